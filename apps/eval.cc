// hadal eval: loss and accuracy of a trained model, and a look at some samples.

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/error.h"
#include "base/printable.h"
#include "data/batch_loader.h"
#include "spec/scalar.h"
#include "train/evaluate.h"
#include "train/trained_model.h"

namespace hadal {

namespace {

// "test" or "train" of the run's job, or an IDX file of images whose labels stand beside it, or "IMAGES,LABELS".
DataSource source_of(const TrainedModel& trained, const std::string& data) {
  if (data == "train" || data == "test") {
    if (!trained.from_run)
      throw ConfigError("--data " + data + " names a section of a run's job; a model file needs --data IMAGES,LABELS");
    if (data == "train") return trained.job.data.train;
    if (!trained.job.data.test)
      throw ConfigError("the run's job has no data.test; use --data train or --data IMAGES,LABELS");
    return *trained.job.data.test;
  }
  const std::string hint = did_you_mean(data, {"test", "train"});
  if (!hint.empty() && !std::filesystem::exists(data))
    throw ConfigError("--data " + data + ": is neither test nor train, nor a file" + hint);
  const std::size_t comma = data.find(',');
  if (comma != std::string::npos) return IdxData{data.substr(0, comma), data.substr(comma + 1), {}};
  std::string labels = data;
  const std::size_t kind = labels.rfind("images-idx3");
  if (kind == std::string::npos) {
    throw ConfigError("--data " + data +
                      ": give the labels too, as IMAGES,LABELS (they are found by themselves only beside a file named "
                      "...images-idx3...)");
  }
  return IdxData{data, labels.replace(kind, 11, "labels-idx1"), {}};
}

struct Shown {
  std::vector<float> pixels;
  std::int32_t label;
  std::size_t guess;
  float probability;
};

struct EvalCommand {
  std::string run_or_model, data = "test";
  bool json = false;
  int show = 0;

  void run() const {
    const TrainedModel trained = open_trained(run_or_model);
    const std::int64_t classes = elements(trained.model.network.layers.back().output);
    const auto source = open_data(
        source_of(trained, data),
        data_options(trained.job, trained.model.network.input, classes, data == "train" ? Split::train : Split::test));
    const std::int64_t batch = std::max<std::int64_t>(trained.job.data.batch, 1);
    auto keys = evaluation_keys(batch, *source);
    const auto engine = engine_for(trained, keys);
    const Evaluation result = evaluate(*engine, *source, batch);
    tell_skipped(source->skipped());
    if (json) {
      fmt::print("{}\n", to_json(result).dump());
      return;
    }
    fmt::print("{} samples: loss {:.4f}, accuracy {:.2f} %", format_count(static_cast<double>(result.samples)),
               result.loss(), 100 * result.accuracy());
    if (const auto mean = result.mean_class_accuracy()) fmt::print(", mean of the classes {:.2f} %", 100 * *mean);
    if (classes > 5) {
      fmt::print(", top-5 {:.2f} %",
                 100.0 * static_cast<double>(result.correct_top5) / static_cast<double>(result.samples));
    }
    fmt::print("\n");
    if (show > 0) show_samples(trained, *source);
  }

  static void tell_skipped(const Skipped& skipped) {
    std::vector<std::string> lines = lines_of_left_out(skipped);
    const LeftOut& samples = skipped.samples;
    if (samples.count > 0) {
      lines.push_back(fmt::format("samples skipped: {}, and others stand for them; the first: {}", samples.count,
                                  samples.named.at(0)));
      for (std::size_t i = 1; i < samples.named.size(); ++i) lines.push_back("  also skipped: " + samples.named[i]);
    }
    for (const std::string& line : lines) fmt::print(stderr, "{}\n", printable(line));
  }

  // Half of the pictures are wrong ones, where there are enough.
  void show_samples(const TrainedModel& trained, const SampleSource& source) const {
    const Shape& input = trained.model.network.input;
    if (input.size() != 3 || input[0] != 1 || input[1] > 64 || input[2] > 40) {
      throw ConfigError("--show draws gray pictures of at most 64 x 40 pixels; these samples are " + to_string(input));
    }
    JobSpec job = trained.job;
    job.parallel.devices = {"cpu:0"};
    job.parallel.groups.reset();
    job.parallel.split = 1;
    job.parallel.automatic_split = false;
    TrainedModel alone = trained;
    alone.job = job;
    const std::int64_t batch = std::min<std::int64_t>(source.size(), job.data.batch);
    const auto engine = engine_for(alone, {{PlanMode::predict, batch}, {PlanMode::predict, source.size() % batch}});
    BatchLoaderOptions options;
    options.batch = batch;
    options.order = SampleOrder::sequential;
    options.augment = false;
    BatchLoader loader(source, options);
    std::vector<Shown> right, wrong;
    const auto classes = static_cast<std::size_t>(elements(trained.model.network.layers.back().output));
    while (const auto staged = loader.next()) {
      const std::vector<float> probabilities = engine->predict(staged->rows(), staged->data());
      for (std::int64_t i = 0; i < staged->rows(); ++i) {
        const float* row = probabilities.data() + static_cast<std::size_t>(i) * classes;
        const auto guess = static_cast<std::size_t>(std::max_element(row, row + classes) - row);
        const std::int32_t label = staged->labels()[static_cast<std::size_t>(i)];
        auto& list = static_cast<std::int32_t>(guess) == label ? right : wrong;
        if (list.size() == static_cast<std::size_t>(show)) continue;
        const auto size = static_cast<std::size_t>(elements(input));
        const std::span<const float> pixels = staged->samples().subspan(static_cast<std::size_t>(i) * size, size);
        list.push_back({{pixels.begin(), pixels.end()}, label, guess, row[guess]});
      }
    }
    const std::size_t wrong_count = std::min(wrong.size(), static_cast<std::size_t>((show + 1) / 2));
    std::vector<Shown> pick(right.begin(),
                            right.begin() + static_cast<std::ptrdiff_t>(
                                                std::min(right.size(), static_cast<std::size_t>(show) - wrong_count)));
    pick.insert(pick.end(), wrong.begin(), wrong.begin() + static_cast<std::ptrdiff_t>(wrong_count));
    draw_row(pick, input);
  }

  static void draw_row(const std::vector<Shown>& pick, const Shape& input) {
    const auto width = static_cast<std::size_t>(std::max<std::int64_t>(input[2], 24)) + 2;
    const std::size_t columns = std::max<std::size_t>(1, 90 / width);
    for (std::size_t first = 0; first < pick.size(); first += columns) {
      std::string row;
      for (std::size_t i = first; i < std::min(first + columns, pick.size()); ++i) {
        const bool correct = static_cast<std::int32_t>(pick[i].guess) == pick[i].label;
        const std::string picture = draw(pick[i].pixels, input[1], input[2]) +
                                    fmt::format("says {} ({:.0f} %)\n{}\n", pick[i].guess, 100 * pick[i].probability,
                                                correct ? "right" : fmt::format("WRONG: it is {}", pick[i].label));
        row = row.empty() ? picture : side_by_side(row, width * (i - first), picture);
      }
      fmt::print("\n{}", row);
    }
  }
};

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("eval", "Loss and accuracy of a trained model");
  auto command = std::make_shared<EvalCommand>();
  verb->add_option("run", command->run_or_model, "A run's folder or a model.safetensors")->required();
  verb->add_option("--data", command->data, "test or train of the run's job, or IMAGES,LABELS (IDX files)")
      ->capture_default_str();
  auto* show = verb->add_option("--show", command->show, "Draw this many samples, half of them wrong ones")
                   ->check(CLI::Range(0, 100));
  verb->add_flag("--json", command->json, "As JSON")->excludes(show);
  verb->footer("Example: hadal eval runs/mnist-lenet --show 6");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
