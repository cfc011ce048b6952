// What the command says of wrong input: one line that a person can act on, and the exit code of its kind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tensor/safetensors.h"
#include "testing/workplace.h"

namespace hadal {
namespace {

using ::testing::AnyOf;
using testing::CommandResult;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SmallWorkplace;
using ::testing::StartsWith;

namespace fs = std::filesystem;

void expect_one_line(const CommandResult& result, int exit_code, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_THAT(result.err, StartsWith("hadal: "));
  EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
  EXPECT_THAT(result.err, EndsWith("\n"));
  for (const char* trace : {"terminate called", "internal error", "std::", "what():"}) {
    EXPECT_THAT(result.err, Not(HasSubstr(trace)));
  }
  for (const std::string& part : parts) EXPECT_THAT(result.err, HasSubstr(part));
}

struct Case {
  const char* name;
  std::vector<std::string> arguments;
  int exit_code;
  std::vector<std::string> parts;  // of the line
  const char* replace = "";        // in job.yaml
  const char* by = "";
};

std::vector<std::string> set(const std::string& setting) { return {"train", "job.yaml", "--set", setting}; }

const Case kCases[] = {
    {"typo_in_a_layer",
     {"train", "job.yaml"},
     2,
     {"job.yaml:6:34: ", "kernal", "did you mean 'kernel'?"},
     "kernel: 3",
     "kernal: 3"},
    {"typo_in_a_section",
     {"train", "job.yaml"},
     2,
     {"job.yaml:16:3: ", "bach", "did you mean 'batch'?"},
     "batch:",
     "bach:"},
    {"typo_at_the_top",
     {"train", "job.yaml"},
     2,
     {"job.yaml:17:1: ", "solvr", "did you mean 'solver'?"},
     "solver:",
     "solvr:"},
    {"repeated_key", {"train", "job.yaml"}, 2, {"job.yaml:3:1: ", "seed"}, "seed: 3", "seed: 3\nseed: 4"},
    {"missing_key", {"train", "job.yaml"}, 2, {"job.yaml:14:3: ", "batch"}, "  batch: 12\n", ""},
    {"wrong_type", {"train", "job.yaml"}, 2, {"job.yaml:18:11: ", "epochs", "many"}, "epochs: 4", "epochs: many"},
    {"number_out_of_range", {"train", "job.yaml"}, 2, {"job.yaml:11:20: ", "p", "1.5"}, "p: 0.2", "p: 1.5"},
    {"not_yaml", {"train", "job.yaml"}, 2, {"job.yaml:"}, "[1, 12, 12]", "[1, 12, 12"},
    {"kernel_larger_than_its_input",
     {"train", "job.yaml"},
     2,
     {"job.yaml:6:7: ", "stem", "13"},
     "kernel: 3",
     "kernel: 13"},
    {"an_output_nobody_uses",
     {"train", "job.yaml"},
     2,
     {"job.yaml:6:7: ", "stem"},
     "- max_pool: {kernel: 2}",
     "- max_pool: {from: input, kernel: 2}"},
    {"from_an_unknown_layer",
     {"train", "job.yaml"},
     2,
     {"job.yaml:7:", "takes its input from 'stm'"},
     "- max_pool: {kernel: 2}",
     "- max_pool: {from: stm, kernel: 2}"},
    {"shared_exchange_of_separate_memories",
     {"train", "job.yaml", "--devices", "fake:0,fake:1"},
     2,
     {"job.yaml:21:22: ", "topology", "shared"},
     "reproducible: true",
     "exchange: {topology: shared}"},
    {"content_forced_under_reproducible",
     {"train", "job.yaml", "--devices", "cpu:0,cpu:1"},
     2,
     {"content", "reproducible"},
     "reproducible: true",
     "exchange: {content: factors}\nreproducible: true"},
    {"a_memory_limit_of_no_unit",
     {"train", "job.yaml"},
     2,
     {"job.yaml:21:17: ", "memory.limit", "900 MB"},
     "reproducible: true",
     "memory: {limit: 4}"},
    {"a_memory_limit_that_is_too_low",
     {"train", "job.yaml"},
     2,
     {"job.yaml:21:17: ", "memory.limit: 1 kB is too little", "cpu:0 needs", "largest: ", "parameters and state"},
     "reproducible: true",
     "memory: {limit: 1 kB}"},
    {"shared_without_one_memory",
     {"train", "job.yaml", "--devices", "fake:0,fake:1"},
     2,
     {"job.yaml:21:22: ", "shared", "another topology"},
     "reproducible: true",
     "exchange: {topology: shared}"},

    {"missing_images", set("data.train.idx.images=gone"), 2, {"gone", "No such file"}},
    {"missing_images_by_the_job",
     {"train", "job.yaml"},
     2,
     {"job.yaml:14:", "gone", "No such file"},
     "images: train-images-idx3-ubyte",
     "images: gone"},
    {"truncated_images",
     set("data.train.idx.images=short"),
     3,
     {"short: ends after 1,000 of 16,576 bytes (image 6 is incomplete)"}},
    {"images_and_labels_swapped",
     set("data.train.idx.images=train-labels-idx1-ubyte"),
     3,
     {"train-labels-idx1-ubyte", "swapped"}},
    {"label_out_of_range",
     set("data.train.idx.labels=wild"),
     3,
     {"wild: at byte 15: ", "label 10", "sample 7", "10 classes"}},
    {"images_of_another_size",
     set("data.train.idx.images=large-images-idx3-ubyte"),
     3,
     {"large-images-idx3-ubyte", "[16, 16]", "[1, 12, 12]"}},
    {"more_images_than_labels",
     set("data.train.idx.labels=test-labels-idx1-ubyte"),
     3,
     {"test-labels-idx1-ubyte", "30", "115"}},
    {"data_that_is_a_folder", set("data.train.idx.images=."), 2, {"folder"}},

    {"more_devices_than_samples_in_a_batch",
     {"train", "job.yaml", "--devices", "cpu:0,cpu:1,cpu:2", "--set", "data.batch=2"},
     2,
     {"data.batch", "2", "3 devices"}},
    {"groups_that_do_not_fit",
     {"train", "job.yaml", "--devices", "cpu:0,cpu:1", "--groups", "3"},
     2,
     {"groups", "3", "2"}},
    {"unknown_device", {"train", "job.yaml", "--devices", "gpu:0"}, 2, {"gpu:0", "cpu:0"}},
    {"device_named_twice", {"train", "job.yaml", "--devices", "cpu:0,cpu:0"}, 2, {"cpu:0", "twice"}},
    {"devices_of_two_kinds", {"train", "job.yaml", "--devices", "cpu:0,fake:1"}, 2, {"two kinds"}},

    {"set_without_a_value", set("solver.epochs"), 2, {"--set solver.epochs", "KEY=VALUE"}},
    {"set_of_an_unknown_key", set("solver.epoch=2"), 2, {"--set solver.epoch=2", "did you mean 'epochs'?"}},
    {"set_of_a_wrong_type", set("solver.epochs=[1]"), 2, {"--set solver.epochs=[1]", "epochs"}},
    {"set_through_a_number", set("solver.epochs.x=1"), 2, {"--set solver.epochs.x=1"}},

    {"missing_job", {"train", "gone.yaml"}, 2, {"gone.yaml", "No such file"}},
    {"job_that_is_a_folder", {"train", "."}, 2, {"folder"}},
    {"job_of_bytes", {"train", "train-images-idx3-ubyte"}, 2, {"train-images-idx3-ubyte"}},
    {"unknown_verb", {"trian", "job.yaml"}, 2, {"no verb 'trian'", "did you mean 'train'?"}},
    {"no_verb", {}, 2, {"--help"}},
    {"unknown_flag", {"train", "job.yaml", "--epochs", "3"}, 2, {"--epochs", "hadal train --help"}},
    {"flag_without_its_value", {"train", "job.yaml", "--out"}, 2, {"--out"}},
    {"flag_of_a_wrong_type", {"train", "job.yaml", "--max-steps", "few"}, 2, {"--max-steps", "few"}},
    {"two_ways_to_begin", {"train", "job.yaml", "--init", "a", "--init-partial", "b"}, 2, {"--init"}},
    {"missing_initial_model",
     {"train", "job.yaml", "--init", "gone.safetensors"},
     2,
     {"gone.safetensors", "No such file"}},

    {"folder_below_a_file", {"train", "job.yaml", "--out", "job.yaml/run"}, 2, {"job.yaml/run", "--out"}},
    {"folder_that_cannot_be_made", {"train", "job.yaml", "--out", "/proc/hadal/run"}, 4, {"/proc/hadal/run", "--out"}},
    {"folder_that_is_a_file",
     {"train", "job.yaml", "--out", "train-images-idx3-ubyte"},
     2,
     {"train-images-idx3-ubyte: is a file", "--out"}},

    {"eval_of_nothing", {"eval", "gone"}, 2, {"gone"}},
    {"eval_of_a_folder_without_a_model", {"eval", "empty"}, 2, {"empty", "model.safetensors"}},
    {"predict_of_a_folder_without_a_model", {"predict", "empty", "a.pgm"}, 2, {"empty", "model.safetensors"}},
    {"plan_of_a_missing_job", {"plan", "gone.yaml"}, 2, {"gone.yaml"}},
    {"bench_of_an_unknown_network", {"bench", "train", "--only", "lenett"}, 2, {"did you mean 'lenet'?"}},
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }
void PrintTo(const Case& which, std::ostream* out) { *out << which.name; }

class WrongWord : public ::testing::TestWithParam<Case> {};

TEST_P(WrongWord, is_one_line_and_an_exit_code) {
  const Case& which = GetParam();
  SmallWorkplace place;
  place.write("short", place.read("train-images-idx3-ubyte").substr(0, 1000));
  std::string labels = place.read("train-labels-idx1-ubyte");
  labels[8 + 7] = 10;
  place.write("wild", labels);
  place.write_data("large", 115, 16, 1);
  fs::create_directory(place.path("empty"));
  std::string job = testing::kSmallJob;
  const std::string replaced = which.replace;
  if (!replaced.empty()) {
    ASSERT_NE(job.find(replaced), std::string::npos);
    place.write("job.yaml", job.replace(job.find(replaced), replaced.size(), which.by));
  }
  const CommandResult result = place.hadal(which.arguments);
  expect_one_line(result, which.exit_code, which.parts);
  EXPECT_FALSE(place.has("runs/small/model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(Cases, WrongWord, ::testing::ValuesIn(kCases), case_name);

TEST(BadInput, a_checkpoint_of_another_network_or_job_is_refused) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--max-steps", "6"}).exit_code, 0);
  const auto resume = [&](const std::string& setting) {
    return place.hadal({"train", "job.yaml", "--resume", "--set", setting});
  };
  const auto kept = place.checkpoints("runs/small");
  expect_one_line(resume("network.layers.3.fully_connected.out=25"), 2,
                  {"step-000000006.safetensors", "another network", "hidden.weight", "25", "24", "--out"});
  expect_one_line(resume("solver.rule.sgd.rate=0.06"), 2,
                  {"runs/small", "another job", "solver.rule.sgd.rate", "--resume"});
  expect_one_line(resume("seed=4"), 2, {"another job", "seed"});
  EXPECT_EQ(place.checkpoints("runs/small"), kept);
}

void expect_finite_checkpoints(const SmallWorkplace& place) {
  ASSERT_FALSE(place.checkpoints("runs/small").empty());
  for (const std::string& name : place.checkpoints("runs/small")) {
    const auto checkpoint = SafetensorsFile::open(place.path("runs/small/checkpoints/" + name));
    for (const SafetensorsEntry& entry : checkpoint.entries()) {
      std::vector<float> values(static_cast<std::size_t>(elements(entry.shape)));
      checkpoint.copy_floats(entry.name, entry.shape, values);
      EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
          << name << " " << entry.name;
    }
  }
}

TEST(BadInput, divergence_names_its_layer_and_keeps_a_good_checkpoint) {
  SmallWorkplace place;
  std::string job = testing::kSmallJob;  // without its relus, which may die and then hold the loss
  for (std::size_t at; (at = job.find("    - relu\n")) != std::string::npos;) job.erase(at, 11);
  place.write("job.yaml", job);
  for (const char* devices : {"cpu:0", "cpu:0,cpu:1", "fake:0,fake:1"}) {
    const CommandResult result = place.hadal({"train", "job.yaml", "--json", "--devices", devices, "--set",
                                              "solver.rule.sgd.rate=1000000", "--set", "checkpoint.every_steps=1"});
    expect_one_line(result, 3, {"diverged at step", "the first NaN or infinity is in ", "smaller rate"});
    EXPECT_THAT(result.err, AnyOf(HasSubstr("in the output of stem"), HasSubstr("in the output of hidden"),
                                  HasSubstr("in the output of logits"), HasSubstr("in stem."), HasSubstr("in hidden."),
                                  HasSubstr("in logits.")));
    expect_finite_checkpoints(place);
    EXPECT_FALSE(place.has("runs/small/model.safetensors"));
    fs::remove_all(place.path("runs"));
  }
}

// Eight layers that multiply by about 1e7 each: the sixth leaves what fp32 holds, forward; with a first layer that
// gives zeros nothing does so forward, but the gradients do backward.
TEST(BadInput, divergence_names_the_first_layer_and_no_other) {
  std::string job =
      "name: deep\nnetwork:\n  input: [1, 12, 12]\n  layers:\n"
      "    - fully_connected: {name: first, out: 10, init: {weight: FIRST}}\n";
  for (int i = 2; i <= 8; ++i) {
    job +=
        "    - fully_connected: {name: layer" + std::to_string(i) + ", out: 10, init: {weight: {constant: 1000000}}}\n";
  }
  job +=
      "    - fully_connected: {name: last, out: 10, init: {weight: {gaussian: 1}}}\n"
      "data: {train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}, batch: 12}\n";
  const auto with = [&](const std::string& first) {
    std::string text = job;
    return text.replace(text.find("FIRST"), 5, first);
  };
  SmallWorkplace place;
  place.write("forward.yaml", with("{constant: 1}"));
  place.write("backward.yaml", with("{constant: 0}"));
  for (const char* devices : {"cpu:0", "cpu:0,cpu:1", "fake:0,fake:1"}) {
    for (const std::string rate : {"0", "0.1"}) {
      const auto train = [&](const std::string& file) {
        return place.hadal({"train", file, "--json", "--devices", devices, "--out", "deep", "--set",
                            "solver.rule={sgd: {rate: " + rate + "}}"});
      };
      // 144 pixels of about 100 / 255 make some 30 of the first layer; each further one multiplies by 1e7.
      expect_one_line(train("forward.yaml"), 3,
                      {"diverged at step 0: the first NaN or infinity is in the output of layer7;"});
      expect_one_line(train("backward.yaml"), 3, {"diverged at step 0: ", "update", "the gradient is not finite"});
      EXPECT_FALSE(place.has("deep/model.safetensors"));
    }
  }
}

TEST(BadInput, a_checkpoint_of_other_data_is_refused) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--max-steps", "25"}).exit_code, 0);
  const auto resume = [&] { return place.hadal({"train", "job.yaml", "--resume"}); };
  for (const auto& [samples, seed] : {std::pair{300u, 1u}, std::pair{60u, 1u}, std::pair{115u, 9u}}) {
    place.write_data("train", samples, 12, seed);
    expect_one_line(resume(), 2,
                    {"runs/small", "other data", "115 samples", std::to_string(samples) + " samples", "--out"});
  }
  place.write_data("train", 115, 12, 1);
  EXPECT_EQ(resume().exit_code, 0);
}

TEST(BadInput, output_that_nobody_takes_does_not_end_a_training) {
  SmallWorkplace place;
  const std::string hadal = std::string(HADAL_BINARY_DIR) + "/hadal train job.yaml ";
  const auto shell = [&](const std::string& command) {
    const int status =
        std::system(("cd " + place.path() + " && bash -c 'set -o pipefail; " + command + "' 2>err").c_str());
    EXPECT_EQ(place.sha256("runs/small").size(), 64u) << command;
    fs::remove_all(place.path("runs"));
    return WEXITSTATUS(status);
  };
  for (const char* json : {"", "--json "}) {
    EXPECT_EQ(shell(hadal + json + "| head -n 1 >out"), 0) << place.read("err");
    EXPECT_EQ(shell(hadal + json + ">/dev/full"), 4) << json;
    EXPECT_THAT(place.read("err"), HasSubstr("standard output cannot be written"));
  }
}

TEST(BadInput, two_runs_do_not_share_a_folder) {
  SmallWorkplace place;
  testing::Command first(place.path(), {"train", "job.yaml", "--set", "solver.epochs=100000"});
  while (first.running() && place.checkpoints("runs/small").empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_TRUE(first.running());
  for (const bool resume : {false, true}) {
    std::vector<std::string> arguments{"train", "job.yaml"};
    if (resume) arguments.emplace_back("--resume");
    expect_one_line(place.hadal(arguments), 2, {"runs/small", "another process", "--out"});
  }
  EXPECT_FALSE(place.has("runs/small.1"));
  first.kill(SIGINT);
  EXPECT_EQ(first.wait().exit_code, 5);
}

// Weight decay alone multiplies the weights by 1e12 a step: they overflow while the loss is still finite.
TEST(BadInput, an_update_that_overflows_is_never_kept) {
  SmallWorkplace place;
  std::string job = testing::kSmallJob;
  const std::size_t first = job.find("    - conv"), last = job.find("    - fully_connected: {name: logits");
  place.write("job.yaml", job.erase(first, last - first));
  for (const char* every_steps : {"1", "0"}) {
    for (const char* max_steps : {"2", "3", "4", "40"}) {
      const CommandResult result = place.hadal({"train", "job.yaml", "--json", "--max-steps", max_steps, "--set",
                                                std::string("checkpoint.every_steps=") + every_steps, "--set",
                                                "solver.rule={sgd: {rate: 1000000, weight_decay: 1000000}}"});
      if (result.exit_code != 0) {
        expect_one_line(result, 3, {"diverged at step", "logits"});
      }
      EXPECT_EQ(place.has("runs/small/model.safetensors"), result.exit_code == 0);
      if (*every_steps == '1') {
        expect_finite_checkpoints(place);
      }
      if (std::string(max_steps) == "40") {
        EXPECT_EQ(result.exit_code, 3);
      }
      fs::remove_all(place.path("runs"));
    }
  }
}

void expect_full_disk_survived(SmallWorkplace& place, const CommandResult& full, const std::string& run) {
  EXPECT_EQ(full.exit_code, 4) << full.err;
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  EXPECT_THAT(full.err, AnyOf(HasSubstr(run + "/checkpoints/step-"), HasSubstr(run + "/metrics.jsonl")));
  EXPECT_EQ(testing::lines(full.err).size(), 1u) << full.err;
  const auto kept = place.checkpoints(run);
  ASSERT_FALSE(kept.empty());
  for (const std::string& name : kept) EXPECT_THAT(name, EndsWith(".safetensors"));
}

TEST(BadInput, a_full_disk_keeps_the_earlier_checkpoint) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "the shim cannot be preloaded before a sanitizer's runtime";
#endif
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "whole"}).exit_code, 0);
  for (const char* call : {"write", "fsync", "rename"}) {
    // The first checkpoint takes one fsync and one rename, and a write for each tensor.
    const std::string count = std::string(call) == "write" ? "20" : "2";
    const CommandResult full = place.hadal(
        {"train", "job.yaml", "--json"},
        {std::string("LD_PRELOAD=") + HADAL_FAULT_SHIM, "HADAL_FAULT=full:" + std::string(call) + ":" + count});
    expect_full_disk_survived(place, full, "runs/small");
    const CommandResult resumed = place.hadal({"train", "job.yaml", "--json", "--resume"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("resuming runs/small at step 5"));
    EXPECT_EQ(place.sha256("runs/small"), place.sha256("whole"));
    fs::remove_all(place.path("runs"));
  }
}

TEST(BadInput, a_real_full_disk_keeps_the_earlier_checkpoint) {
  SmallWorkplace place;
  fs::create_directory(place.path("disk"));
  // The run's texts take about 48 kB and a checkpoint about 24 kB.
  if (::mount("none", place.path("disk").c_str(), "tmpfs", 0, "size=128k") != 0) {
    GTEST_SKIP() << "this process may not mount a file system";
  }
  struct Unmount {
    std::string path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } unmount{place.path("disk")};
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "whole"}).exit_code, 0);
  const std::vector<std::string> train{"train", "job.yaml",           "--json", "--out", "disk/run",
                                       "--set", "checkpoint.keep=100"};
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "whole", "--set", "checkpoint.keep=100"}).exit_code, 0);
  expect_full_disk_survived(place, place.hadal(train), "disk/run");
  ASSERT_EQ(::mount("none", place.path("disk").c_str(), "tmpfs", MS_REMOUNT, "size=4m"), 0);
  std::vector<std::string> resume = train;
  resume.push_back("--resume");
  const CommandResult resumed = place.hadal(resume);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("resuming disk/run at step"));
  EXPECT_EQ(place.sha256("disk/run"), place.sha256("whole"));
}

TEST(BadInput, a_damaged_model_is_refused) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--max-steps", "2"}).exit_code, 0);
  const std::string model = place.read("runs/small/model.safetensors");
  place.write("cut.safetensors", model.substr(0, model.size() - 100));
  std::string head = model.substr(0, 40);
  head[7] = '\xff';  // of the header's length
  place.write("head.safetensors", head);
  place.write("empty.safetensors", "");
  std::string renamed = model;
  renamed.replace(renamed.find("hadal-model-1"), 13, "somebody-else");
  place.write("other.safetensors", renamed);
  for (const char* name : {"cut", "head", "empty", "other"}) {
    const std::string path = std::string(name) + ".safetensors";
    expect_one_line(place.hadal({"eval", path, "--data", "test-images-idx3-ubyte"}), 3, {path});
    expect_one_line(place.hadal({"predict", path, "test-images-idx3-ubyte:0"}), 3, {path});
  }
}

TEST(BadInput, eval_and_predict_refuse_what_does_not_fit) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--max-steps", "2"}).exit_code, 0);
  place.write("small.pgm", "P5\n5 5\n255\n" + std::string(25, 'x'));
  place.write("text.pgm", "not a picture");
  place.write_data("large", 10, 16, 1);
  const std::string run = "runs/small";
  expect_one_line(place.hadal({"predict", run, "small.pgm"}), 3, {"small.pgm", "5 x 5", "12 x 12"});
  expect_one_line(place.hadal({"predict", run, "text.pgm"}), 3, {"text.pgm", "PGM"});
  expect_one_line(place.hadal({"predict", run, "gone.png"}), 2, {"gone.png", "No such file"});
  expect_one_line(place.hadal({"predict", run, "test-images-idx3-ubyte:28-30"}), 2, {"rows 0 to 29", "28-30"});
  expect_one_line(place.hadal({"predict", run, "large-images-idx3-ubyte:0"}), 3,
                  {"large-images-idx3-ubyte", "256", "[1, 12, 12]"});
  expect_one_line(place.hadal({"eval", run, "--data", "large-images-idx3-ubyte"}), 3,
                  {"large-images-idx3-ubyte", "[16, 16]"});
  expect_one_line(place.hadal({"eval", run, "--data", "job.yaml"}), 2, {"--data job.yaml"});
  expect_one_line(place.hadal({"eval", run, "--data", "tset"}), 2, {"--data tset", "did you mean 'test'?"});
  expect_one_line(place.hadal({"eval", run + "/model.safetensors"}), 2, {"--data"});
}

}  // namespace
}  // namespace hadal
