// docs/job.md says what the parser does: the same keys, values and defaults, and examples that are read.

#include "spec/schema.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "spec/job.h"
#include "spec/job_keys.h"
#include "spec/machine_file.h"
#include "spec/network_keys.h"
#include "testing/documented_keys.h"

namespace hadal {
namespace {

using testing::example_of_doc;
using testing::expect_documented;
using testing::table_rows;

TEST(JobDoc, has_every_key_with_its_value_and_default) { expect_documented(job_keys(), "job.md"); }

TEST(MachineDoc, has_every_key_with_its_value_and_default) { expect_documented(machine_keys(), "machine.md"); }

TEST(MachineDoc, has_an_example_that_is_read) {
  const Machine machine = parse_machine(example_of_doc("machine.md"), "docs/machine.md");
  EXPECT_EQ(machine.devices.size(), 2u);
  EXPECT_EQ(machine.node_name(machine.host), "root");
}

TEST(JobDoc, has_an_example_that_is_read) {
  const std::string example = example_of_doc("job.md");
  const JobSpec job = parse_job(example, "docs/job.md");
  EXPECT_EQ(job.name, "mnist-lenet");
  EXPECT_EQ(job.network.layers.size(), 7u);
  // It shows every section.
  for (const auto& key : job_table()) EXPECT_NE(example.find(key.name + ":"), std::string::npos) << key.name;
}

TEST(JobDoc, has_overrides_that_fit_the_example) {
  const std::string example = example_of_doc("job.md");
  const std::string before = to_yaml(parse_job(example, "docs/job.md"));
  int count = 0;
  for (const auto& row : table_rows("argument", "job.md")) {
    ASSERT_EQ(row[0].substr(0, 6), "--set ");
    const Override override = parse_override(row[0].substr(6));
    EXPECT_NE(to_yaml(parse_job(example, "docs/job.md", {override})), before) << row[0];
    ++count;
  }
  EXPECT_GE(count, 5);
}

// The defaults of the list, against what is written of a job that says nothing.
const Json* find_path(const Json& map, const std::string& path) {
  const Json* at = &map;
  std::istringstream stream(path);
  for (std::string word; std::getline(stream, word, '.');) {
    if (!at->is_object() || !at->contains(word)) return nullptr;
    at = &(*at)[word];
  }
  return at;
}

std::string plain_text(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  std::erase(text, '"');
  return text;
}

// Defaults that are said in words.
const std::map<std::string, std::string> kInWords = {{"devices / split", "1"}, {"1, or devices / groups", "1"},
                                                     {"kernel", "3"},          {"its type and number", ""},
                                                     {"the layer above", ""},  {"absent", ""},
                                                     {"of its keys", ""}};

TEST(Defaults, are_those_of_the_list) {
  const JobSpec job = parse_job(
      "name: defaults\n"
      "network:\n"
      "  input: [3, 8, 8]\n"
      "  layers: [conv: {out: 1, kernel: 3}, max_pool: {kernel: 3}, average_pool: {kernel: 3}, lrn, batch_norm, "
      "dropout, relu, "
      "sigmoid, tanh, flatten, fully_connected: {out: 2}]\n"
      "data: {train: {synthetic: {samples: 1, classes: 2}}, batch: 1}\n"
      "solver: {rule: {sgd: {rate: {step: {base: 1, every_epochs: 1}}}}}\n"
      "reproducible: {}\n",
      "job.yaml");
  Json written = write_map(job_table(), job);
  for (const LayerSpec& layer : job.network.layers) written.update(write_map(layer_types(), layer));
  for (const char* rule : {"nesterov: {rate: 1}", "adagrad: {rate: 1}", "rmsprop: {rate: 1}", "adam: {rate: 1}",
                           "adamw: {rate: 1}", "sgd: {rate: {multistep: {base: 1, at_epochs: [1]}}}",
                           "sgd: {rate: {exponential: {base: 1}}}", "sgd: {rate: {polynomial: {base: 1, epochs: 1}}}",
                           "sgd: {rate: {cosine: {base: 1, epochs: 1}}}", "sgd: {rate: {plateau: {base: 1}}}"}) {
    const JobSpec other = parse_job(std::string("name: defaults\n"
                                                "network: {input: [3], layers: [fully_connected: {out: 2}]}\n"
                                                "data: {train: {synthetic: {samples: 1, classes: 2}}, "
                                                "test: {synthetic: {samples: 1, classes: 2}}, batch: 1}\n"
                                                "solver: {rule: {") +
                                        rule + "}}\n",
                                    "job.yaml");
    written["solver"]["rule"].merge_patch(write_map(job_table(), other)["solver"]["rule"]);
  }
  for (const char* source : {"npy: {features: a, labels: b}", "safetensors: {files: a}", "libsvm: {files: a}",
                             "csv: {files: a}", "image_folder: {path: a}", "tar: {files: a}"}) {
    const JobSpec other = parse_job(std::string("name: defaults\n"
                                                "network: {input: [3], layers: [fully_connected: {out: 2}]}\n"
                                                "data: {batch: 1, train: {") +
                                        source + "}}\nsolver: {rule: {sgd: {rate: 1}}}\n",
                                    "job.yaml");
    written["data"].merge_patch(write_map(job_table(), other)["data"]);
  }
  int checked = 0;
  for (const KeyInfo& key : job_keys()) {
    if (key.fallback.empty() || key.fallback == kRequired || key.path == "reproducible") continue;
    if (key.path == "LAYER.split" || key.path == "conv.dilation") continue;  // written where it is something else
    const auto words = kInWords.find(key.fallback);
    const std::string expected = words == kInWords.end() ? key.fallback : words->second;
    if (expected.empty()) continue;
    const Json* value = find_path(written, key.path);
    ASSERT_TRUE(value) << key.path;
    if (value->is_number_float()) {
      EXPECT_EQ(value->get<double>(), std::stod(expected)) << key.path;
    } else {
      EXPECT_EQ(plain_text(*value), expected) << key.path;
    }
    ++checked;
  }
  EXPECT_GE(checked, 30);
}

}  // namespace
}  // namespace hadal
