// hadal predict: what a trained model says of single inputs.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/verbs.h"
#include "base/error.h"
#include "data/idx_file.h"
#include "data/image_file.h"
#include "train/trained_model.h"

namespace hadal {

namespace {

constexpr std::int64_t kRowsAtOnce = 64;

struct Input {
  std::string name;
  std::vector<float> values;
};

// "FILE", "FILE:7" or "FILE:7-12": rows of an IDX file. Returns false where the text names no rows.
bool split_rows(const std::string& text, std::string& file, std::int64_t& first, std::int64_t& last) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(text)) return false;
  const char* end = text.data() + text.size();
  auto parsed = std::from_chars(text.data() + colon + 1, end, first);
  if (parsed.ec != std::errc()) return false;
  last = first;
  if (parsed.ptr != end) {
    if (*parsed.ptr != '-') return false;
    parsed = std::from_chars(parsed.ptr + 1, end, last);
    if (parsed.ec != std::errc() || parsed.ptr != end) return false;
  }
  file = text.substr(0, colon);
  return true;
}

// By its first bytes: no image begins with zeros.
bool is_idx(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[2] = {1, 1};
  return file.read(magic, sizeof magic) && magic[0] == 0 && magic[1] == 0;
}

void append_rows(const std::string& path, std::int64_t first, std::int64_t last, const Shape& shape,
                 std::vector<Input>& inputs) {
  const IdxFile file(path, IdxContent::images, {});
  if (last < 0) last = file.size() - 1;
  if (first < 0 || first > last || last >= file.size()) {
    throw ConfigError(path + ": has rows 0 to " + std::to_string(file.size() - 1) + ", not " + std::to_string(first) +
                      (first == last ? "" : "-" + std::to_string(last)));
  }
  if (static_cast<std::int64_t>(file.sample(0).size()) != elements(shape)) {
    throw DataError(path + ": a row has " + std::to_string(file.sample(0).size()) + " values; the network takes " +
                    to_string(shape));
  }
  for (std::int64_t row = first; row <= last; ++row) {
    Input input{path + ":" + std::to_string(row), {}};
    for (const std::uint8_t pixel : file.sample(row)) input.values.push_back(static_cast<float>(pixel) / 255.0f);
    inputs.push_back(std::move(input));
  }
}

struct PredictCommand {
  std::string run_or_model;
  std::vector<std::string> names;
  int top = 3;
  bool json = false;

  void run() const {
    TrainedModel trained = open_trained(run_or_model);
    trained.job.parallel = {};
    trained.job.exchange = {};
    trained.job.data.batch = kRowsAtOnce;
    std::vector<Input> inputs;
    for (const std::string& name : names) {
      std::string file;
      std::int64_t first = 0, last = -1;
      if (split_rows(name, file, first, last)) {
        append_rows(file, first, last, trained.model.network.input, inputs);
      } else if (is_idx(name)) {
        append_rows(name, 0, -1, trained.model.network.input, inputs);
      } else {
        inputs.push_back({name, read(trained.model, name)});
      }
    }
    const auto count = static_cast<std::int64_t>(inputs.size());
    const auto engine = engine_for(
        trained, {{PlanMode::predict, std::min(count, kRowsAtOnce)}, {PlanMode::predict, count % kRowsAtOnce}});
    for (std::int64_t i = 0; i < count; i += kRowsAtOnce) {
      predict(*engine, std::span(inputs).subspan(static_cast<std::size_t>(i),
                                                 static_cast<std::size_t>(std::min(kRowsAtOnce, count - i))));
    }
  }

  // As the run read its images, if it did; else an image must have the size of the network's input.
  static std::vector<float> read(const Model& model, const std::string& name) {
    return read_image(name, model.network.input, model.image ? &*model.image : nullptr);
  }

  void predict(Engine& engine, std::span<const Input> inputs) const {
    std::vector<float> batch;
    for (const Input& input : inputs) batch.insert(batch.end(), input.values.begin(), input.values.end());
    const std::vector<float> probabilities = engine.predict(static_cast<std::int64_t>(inputs.size()), batch.data());
    const std::size_t classes = probabilities.size() / inputs.size();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const float* row = probabilities.data() + i * classes;
      std::vector<std::size_t> order(classes);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [row](std::size_t a, std::size_t b) { return row[a] > row[b]; });
      order.resize(std::min(classes, static_cast<std::size_t>(top)));
      print(inputs[i].name, order, row);
    }
  }

  void print(const std::string& name, const std::vector<std::size_t>& order, const float* probabilities) const {
    if (json) {
      nlohmann::ordered_json line{{"input", name}, {"top", nlohmann::ordered_json::array()}};
      for (const std::size_t label : order)
        line["top"].push_back({{"label", label}, {"probability", probabilities[label]}});
      fmt::print("{}\n", line.dump());
      return;
    }
    fmt::print("{}:", name);
    for (const std::size_t label : order) fmt::print("  {} ({:.1f} %)", label, 100 * probabilities[label]);
    fmt::print("\n");
  }
};

}  // namespace

void add_predict(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("predict", "What a trained model says of image files, or rows of an IDX file");
  auto command = std::make_shared<PredictCommand>();
  verb->add_option("run", command->run_or_model, "A run's folder or a model.safetensors")->required();
  verb->add_option("input", command->names, "FILE.jpg, FILE.png, FILE.pgm, IDXFILE, IDXFILE:ROW or IDXFILE:FIRST-LAST")
      ->required();
  verb->add_option("--top", command->top, "Labels to show")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_flag("--json", command->json, "A JSON line for each input");
  verb->footer("Example: hadal predict runs/mnist-lenet data/mnist/t10k-images-idx3-ubyte:0-9");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
