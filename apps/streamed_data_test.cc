// Jobs whose data is streamed from disk: the command trains, resumes, evaluates and plans on them, and says what is
// bad.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "data/npy_writer.h"
#include "tensor/safetensors.h"
#include "testing/workplace.h"

namespace hadal {
namespace {

using ::testing::AllOf;
using testing::Command;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::Workplace;

namespace fs = std::filesystem;

// Six numbers a sample, around a point of each of three classes.
struct Samples {
  std::vector<float> values;
  std::vector<std::int32_t> labels;
};

Samples make_samples(std::int64_t count, std::uint64_t seed) {
  const RandomSequence random(seed, RandomUse::synthetic, 5);
  Samples samples;
  std::uint64_t draw = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int32_t>(random.below(draw++, 3));
    samples.labels.push_back(label);
    for (int k = 0; k < 6; ++k) samples.values.push_back((k % 3 == label ? 1.0f : 0.0f) + 0.5f * random.normal(draw++));
  }
  return samples;
}

constexpr const char* kStreamedJob = R"(name: streamed
seed: 3
network:
  input: [6]
  layers:
    - fully_connected: {out: 16}
    - relu
    - fully_connected: {out: 3}
data:
  train: {npy: {features: "train-features-*.npy", labels: "train-labels-*.npy"}}
  test: {npy: {features: test-features-0.npy, labels: test-labels-0.npy}}
  batch: 24
  buffer: 500
solver:
  epochs: 4
  rule: {sgd: {rate: 0.05, momentum: 0.9}}
checkpoint: {every_steps: 7, keep: 3}
reproducible: true
)";

class StreamedWorkplace : public Workplace {
 public:
  StreamedWorkplace() {
    write("job.yaml", kStreamedJob);
    write_npy("train", {make_samples(700, 1), make_samples(300, 2)});
    write_npy("test", {make_samples(205, 3)});
  }

  void write_npy(const std::string& name, const std::vector<Samples>& shards) const {
    for (std::size_t s = 0; s < shards.size(); ++s) {
      const auto count = static_cast<std::int64_t>(shards[s].labels.size());
      write(fmt::format("{}-features-{}.npy", name, s), npy_bytes({count, 6}, shards[s].values));
      write(fmt::format("{}-labels-{}.npy", name, s), npy_bytes({count}, shards[s].labels));
    }
  }

  // The same samples as one file of each format, named NAME.FORMAT.
  void write_all_formats(const std::string& name, const Samples& samples) const {
    const auto count = static_cast<std::int64_t>(samples.labels.size());
    write_npy(name, {samples});
    write_safetensors(path(name + ".safetensors"), {},
                      {{"features", DType::f32, {count, 6}, std::as_bytes(std::span(samples.values))},
                       {"labels", DType::i32, {count}, std::as_bytes(std::span(samples.labels))}});
    std::string csv = "a,b,c,label,d,e,f\n", libsvm;
    for (std::size_t i = 0; i < samples.labels.size(); ++i) {
      const float* row = samples.values.data() + 6 * i;
      csv += fmt::format("{},{},{},{},{},{},{}\n", row[0], row[1], row[2], samples.labels[i], row[3], row[4], row[5]);
      libsvm += fmt::format("{} 1:{} 2:{} 3:{} 4:{} 5:{} 6:{}\n", samples.labels[i], row[0], row[1], row[2], row[3],
                            row[4], row[5]);
    }
    write(name + ".csv", csv);
    write(name + ".libsvm", libsvm);
  }

  void damage(const std::string& name, std::int64_t offset, const std::string& bytes) const {
    std::fstream file(path(name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file << bytes;
  }
};

std::vector<std::string> streamed_run(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"train", "job.yaml", "--json", "--threads", "1", "--out", out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(StreamedData, trains_evaluates_and_plans) {
  const StreamedWorkplace place;
  const CommandResult result = place.hadal(streamed_run("run"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto summary = place.summary("run");
  EXPECT_EQ(summary["steps"], 4 * 42);
  EXPECT_EQ(summary["samples"], 4000);
  EXPECT_EQ(summary["test"]["samples"], 205);
  EXPECT_GT(summary["test"]["accuracy"], 0.8);
  ASSERT_EQ(summary["input"]["stages"].size(), 2u);
  EXPECT_EQ(summary["input"]["stages"][0]["name"], "read");
  EXPECT_EQ(summary["input"]["stages"][1]["name"], "decode");
  EXPECT_FALSE(summary["input"].contains("skipped_samples"));
  EXPECT_EQ(place.hadal({"eval", "run", "--json"}).json(), summary["test"]);
  EXPECT_EQ(place.hadal({"eval", "run", "--json", "--data", "train"}).json()["samples"], 1000);
  EXPECT_EQ(place.hadal({"plan", "job.yaml", "--json", "--set", "data.batch=5000"}).json()["rows"], 1000);
}

TEST(StreamedData, a_killed_run_ends_in_the_model_of_one_left_alone) {
  const StreamedWorkplace place;
  ASSERT_EQ(place.hadal(streamed_run("whole")).exit_code, 0);
  int kills = 0;
  for (const std::int64_t steps : {3, 11, 20}) {
    const std::string run = fmt::format("run{}", steps);
    for (int part = 0; part < 3; ++part) {
      Command command(place.path(), streamed_run(run, {"--resume"}));
      const auto before = place.checkpoints(run);
      while (command.running() && place.checkpoints(run) == before) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100 * steps));
      command.kill(SIGKILL);
      kills += command.wait().signal == SIGKILL ? 1 : 0;
    }
    const CommandResult result = place.hadal(streamed_run(run, {"--resume"}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(place.sha256(run), place.sha256("whole"));
    EXPECT_EQ(place.summary(run)["test"], place.summary("whole")["test"]);
  }
  EXPECT_GE(kills, 3);
}

TEST(StreamedData, any_devices_give_one_model_and_one_test_loss) {
  const StreamedWorkplace place;
  ASSERT_EQ(place.hadal(streamed_run("one")).exit_code, 0);
  for (const char* devices : {"cpu:0,cpu:1,cpu:2", "fake:0,fake:1"}) {
    ASSERT_EQ(place.hadal(streamed_run("many", {"--devices", devices})).exit_code, 0);
    EXPECT_EQ(place.sha256("many"), place.sha256("one"));
    EXPECT_EQ(place.summary("many")["test"], place.summary("one")["test"]);
    fs::remove_all(place.path("many"));
  }
}

TEST(StreamedData, the_same_samples_in_any_format_make_the_same_model) {
  const StreamedWorkplace place;
  place.write_all_formats("all", make_samples(1300, 7));
  place.write_all_formats("check", make_samples(100, 8));
  const auto source = [](const std::string& format, const std::string& name) {
    if (format == "npy")
      return fmt::format("{{npy: {{features: {0}-features-0.npy, labels: {0}-labels-0.npy}}}}", name);
    return fmt::format("{{{0}: {{files: {1}.{0}{2}}}}}", format, name, format == "csv" ? ", label: label" : "");
  };
  for (const std::string format : {"npy", "safetensors", "csv", "libsvm"}) {
    const CommandResult result = place.hadal(streamed_run(
        format, {"--set", "data.train=" + source(format, "all"), "--set", "data.test=" + source(format, "check")}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(place.sha256(format), place.sha256("npy")) << format;
    EXPECT_EQ(place.summary(format)["test"], place.summary("npy")["test"]) << format;
    EXPECT_EQ(place.hadal({"eval", format, "--json"}).json(), place.summary(format)["test"]) << format;
  }
}

TEST(StreamedData, frames_are_spliced) {
  const StreamedWorkplace place;
  const std::string lengths = npy_bytes<std::int32_t>({2}, {450, 250});
  place.write("u0.npy", lengths);
  place.write("u1.npy", npy_bytes<std::int32_t>({1}, {300}));
  const CommandResult result = place.hadal(streamed_run(
      "run", {"--set", "network.input=[18]", "--set", "data.train.npy.splice={left: 1, right: 1}", "--set",
              "data.test.npy.splice={left: 1, right: 1}", "--set", "data.train.npy.utterances=[u0.npy, u1.npy]"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GT(place.summary("run")["test"]["accuracy"], 0.8);
}

TEST(StreamedData, bad_samples_end_a_run_or_are_skipped) {
  const StreamedWorkplace place;
  place.damage("train-labels-1.npy", 128 + 4 * 7, "\x09");
  place.damage("test-labels-0.npy", 128 + 4 * 8, "\x08");
  CommandResult result = place.hadal(streamed_run("run"));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.err,
            "hadal: train-labels-1.npy: at byte 156: label 9 of sample 7 is out of range: the network has 3 "
            "classes\n");
  place.write("bad-features.npy", "nothing");
  const std::vector<std::string> skip{
      "--set", "data.on_bad_sample=skip", "--set",
      "data.train.npy={features: ['train-features-*.npy', bad-features.npy], labels: ['train-labels-*.npy', "
      "train-labels-0.npy]}"};
  result = place.hadal(streamed_run("run", skip));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("a file is left out: bad-features.npy"),
                                HasSubstr("data.train: bad samples are skipped, and others stand for them; the first: "
                                          "train-labels-1.npy: at byte 156"),
                                HasSubstr("data.train: samples skipped in all: 4"),
                                HasSubstr("data.test: samples skipped in all: 4")));
  EXPECT_EQ(testing::lines(result.err).size(), 5u) << result.err;
  const auto summary = place.summary("run");
  EXPECT_EQ(summary["steps"], 4 * 42);
  EXPECT_EQ(summary["input"]["skipped_samples"], 4);
  EXPECT_EQ(summary["input"]["skipped_files"], 1);
  // Stopped in the middle, it ends in the same model.
  std::vector<std::string> some = skip;
  some.insert(some.end(), {"--max-steps", "50"});
  ASSERT_EQ(place.hadal(streamed_run("parts", some)).exit_code, 0);
  std::vector<std::string> rest = skip;
  rest.push_back("--resume");
  ASSERT_EQ(place.hadal(streamed_run("parts", rest)).exit_code, 0);
  EXPECT_EQ(place.sha256("parts"), place.sha256("run"));
  // Evaluation says so too.
  result = place.hadal({"eval", "run", "--json"});
  EXPECT_EQ(result.json()["samples"], 205);
  EXPECT_THAT(result.err, HasSubstr("samples skipped: 1, "));
}

TEST(StreamedData, a_run_does_not_go_on_with_other_data) {
  const StreamedWorkplace place;
  ASSERT_EQ(place.hadal(streamed_run("run", {"--max-steps", "9"})).exit_code, 0);
  place.write_npy("train", {make_samples(700, 1), make_samples(300, 9)});
  const CommandResult result = place.hadal(streamed_run("run", {"--resume"}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("was trained on other data: 1000 samples in 2 shards, checksum "));
}

struct Wrong {
  const char* name;
  std::string setting;
  int exit_code;
  std::string message;
};
void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

class WrongSource : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongSource, is_one_line_and_an_exit_code) {
  const StreamedWorkplace place;
  std::string csv, libsvm;
  for (int i = 0; i < 30; ++i) {
    csv += "1,2,3,4,5,6,0\n";
    libsvm += "0 1:1\n";
  }
  place.write("ragged.csv", csv + "1,2,3\n");
  place.write("wild.libsvm", libsvm + "1 7:1\n");
  place.write("one.csv", "a,b,c,d,e,f,label\n1,2,3,4,5,6,0\n");
  place.write("two.csv", "b,a,c,d,e,f,label\n1,2,3,4,5,6,0\n");
  place.write("short.npy", place.read("train-features-0.npy").substr(0, 1000));
  const CommandResult result = place.hadal(streamed_run("run", {"--set", GetParam().setting}));
  EXPECT_EQ(result.exit_code, GetParam().exit_code);
  EXPECT_THAT(result.err, HasSubstr(GetParam().message));
  EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
  EXPECT_FALSE(place.has("run/model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(
    all, WrongSource,
    ::testing::Values(
        Wrong{"missing", "data.train.npy.labels=[gone.npy, gone.npy]", 2,
              "cannot open gone.npy: No such file or directory"},
        Wrong{"pattern_without_files", "data.train.npy.labels=gone*", 2, "no file fits the pattern gone*"},
        Wrong{"truncated", "data.train.npy={features: short.npy, labels: train-labels-0.npy}", 3,
              "short.npy: ends after 1,000 of 16,928 bytes"},
        Wrong{"another_format", "data.train.npy={features: job.yaml, labels: train-labels-0.npy}", 3,
              "job.yaml: at byte 0: is not a .npy file"},
        Wrong{"another_type", "data.train.npy={features: train-features-0.npy, labels: train-features-0.npy}", 3,
              "train-features-0.npy: is [700, 6]: labels are [N]"},
        Wrong{"ragged", "data.train={csv: {files: ragged.csv}}", 3,
              "ragged.csv:31:6: the line ends after 3 of 7 columns"},
        Wrong{"index", "data.train={libsvm: {files: wild.libsvm}}", 3,
              "wild.libsvm:31:3: index 7 is past the 6 numbers of the network's input"},
        Wrong{"column", "data.train={csv: {files: ragged.csv, label: x}}", 2,
              "label: ragged.csv has no column named 'x'"},
        Wrong{"headers", "data.train={csv: {files: [one.csv, two.csv]}}", 2,
              "column 1 of two.csv is 'b', but 'a' in one.csv"},
        Wrong{"safetensors", "data.train={safetensors: {files: ragged.csv}}", 3,
              "ragged.csv: at byte 0: is not a safetensors file"}),
    [](const auto& row) { return row.param.name; });

TEST(StreamedData, bad_test_data_do_not_lose_what_was_trained) {
  const StreamedWorkplace place;
  const std::string good = "1,2,3,4,5,6,0\n";
  place.write("test.csv", good + "1,2,3,4,5,six,0\n");
  const std::vector<std::string> settings{"--set", "data.test={csv: {files: test.csv}}", "--set",
                                          "checkpoint.every_steps=1000"};
  const CommandResult stopped = place.hadal(streamed_run("run", settings));
  EXPECT_EQ(stopped.exit_code, 3);
  EXPECT_THAT(stopped.err, HasSubstr("test.csv:2:11"));
  ASSERT_EQ(place.checkpoints("run").size(), 1u);
  place.write("test.csv", good);
  std::vector<std::string> again = settings;
  again.push_back("--resume");
  const CommandResult result = place.hadal(streamed_run("run", again));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(place.summary("run")["steps"], 4 * 42);
}

TEST(StreamedData, a_missing_file_is_named_at_its_place_in_the_job) {
  const StreamedWorkplace place;
  fs::remove(place.path("test-labels-0.npy"));
  const CommandResult result = place.hadal(streamed_run("run"));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("job.yaml:11:10: cannot open test-labels-0.npy: No such file or directory"));
}

}  // namespace
}  // namespace hadal
