// Jobs on image files: the command trains, resumes, evaluates, predicts and measures on them, and says what is bad.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <thread>

#include "testing/images.h"
#include "testing/workplace.h"

namespace hadal {
namespace {

using ::testing::AllOf;
using testing::Command;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::Workplace;

namespace fs = std::filesystem;

// Three classes: bright above, in the middle, below, on images of several sizes.
Image image_of(int label, int number) {
  Image image{.width = 24 + number % 5, .height = 20 + number % 3, .channels = 3, .pixels = {}};
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      const bool bright = 3 * y / image.height == label;
      for (int c = 0; c < 3; ++c) {
        image.pixels.push_back(static_cast<std::uint8_t>((bright ? 180 : 30) + (number * 7 + c * 11 + x) % 40));
      }
    }
  }
  return image;
}

constexpr const char* kImageJob = R"(name: images
seed: 3
network:
  input: [3, 12, 12]
  layers:
    - fully_connected: {out: 16}
    - relu
    - fully_connected: {out: 3}
data:
  train: {image_folder: {path: train, resize: stretch, pca: 0.1, mean: 0.4, std: 0.3}}
  test: {tar: {files: "test-{0..1}.tar", resize: stretch, mean: 0.4, std: 0.3}}
  batch: 16
solver:
  epochs: 5
  rule: {sgd: {rate: 0.05, momentum: 0.9}}
checkpoint: {every_steps: 7, keep: 3}
reproducible: true
)";

class ImageWorkplace : public Workplace {
 public:
  ImageWorkplace() {
    write("job.yaml", kImageJob);
    for (int i = 0; i < 120; ++i) {
      fs::create_directories(path(fmt::format("train/c{}", i % 3)));
      write(file(i), testing::jpeg_bytes(image_of(i % 3, i)));
    }
    for (int shard = 0; shard < 2; ++shard) {
      std::vector<std::pair<std::string, std::string>> files;
      for (int i = 0; i < 25; ++i) {
        files.emplace_back(fmt::format("{:03}.png", i), testing::png_bytes(image_of(i % 3, 1000 + i + 25 * shard)));
        files.emplace_back(fmt::format("{:03}.cls", i), std::to_string(i % 3));
      }
      write(fmt::format("test-{}.tar", shard), testing::tar_bytes(files));
    }
  }

  static std::string file(int i) { return fmt::format("train/c{}/{:03}.jpg", i % 3, i); }
  void damage(int i) const { write(file(i), read(file(i)).substr(0, 300)); }
};

std::vector<std::string> train_images(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"train", "job.yaml", "--json", "--threads", "1", "--out", out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(ImageData, trains_evaluates_and_predicts) {
  const ImageWorkplace place;
  const CommandResult result = place.hadal(train_images("run"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto summary = place.summary("run");
  EXPECT_EQ(summary["samples"], 600);
  EXPECT_EQ(summary["test"]["samples"], 50);
  EXPECT_GT(summary["test"]["accuracy"], 0.9);
  ASSERT_EQ(summary["input"]["stages"].size(), 3u);
  EXPECT_EQ(summary["input"]["stages"][2]["name"], "augment");
  EXPECT_TRUE(summary["verdict"].contains("bound_by"));
  EXPECT_EQ(place.hadal({"eval", "run", "--json"}).json(), summary["test"]);
  const auto of_train = place.hadal({"eval", "run", "--json", "--data", "train"}).json();
  EXPECT_EQ(of_train["samples"], 120);
  std::string job = place.read("run/job.yaml");  // what it changed at random is left out
  ASSERT_NE(job.find("pca: 0.1"), std::string::npos);
  place.write("run/job.yaml", job.replace(job.find("pca: 0.1"), 8, "pca: 0"));
  EXPECT_EQ(place.hadal({"eval", "run", "--json", "--data", "train"}).json(), of_train);
  EXPECT_EQ(place.hadal({"plan", "job.yaml", "--json"}).json()["rows"], 16);
  // Of any size, as the test data is read.
  for (int label = 0; label < 3; ++label) {
    place.write("one.jpg", testing::jpeg_bytes(image_of(label, 2000)));
    const CommandResult predicted = place.hadal({"predict", "run", "one.jpg", "--json"});
    ASSERT_EQ(predicted.exit_code, 0) << predicted.err;
    EXPECT_EQ(predicted.json()["top"][0]["label"], label);
    // So does the model alone, but for rounding: it is not computed reproducibly.
    const CommandResult alone = place.hadal({"predict", "run/model.safetensors", "one.jpg", "--json"});
    ASSERT_EQ(alone.exit_code, 0) << alone.err;
    const auto second = [](const CommandResult& of) { return of.json()["top"][1]["probability"].get<double>(); };
    EXPECT_NEAR(second(alone) / second(predicted), 1, 1e-3);
  }
}

TEST(ImageData, a_killed_run_ends_in_the_model_of_one_left_alone) {
  const ImageWorkplace place;
  ASSERT_EQ(place.hadal(train_images("whole")).exit_code, 0);
  ASSERT_EQ(place.hadal(train_images("parts", {"--max-steps", "11"})).exit_code, 0);
  ASSERT_EQ(place.hadal(train_images("parts", {"--resume", "--max-steps", "24"})).exit_code, 0);
  ASSERT_EQ(place.hadal(train_images("parts", {"--resume", "--devices", "fake:0,fake:1"})).exit_code, 0);
  EXPECT_EQ(place.sha256("parts"), place.sha256("whole"));
}

TEST(ImageData, other_images_are_other_data) {
  const ImageWorkplace place;
  ASSERT_EQ(place.hadal(train_images("run", {"--max-steps", "9"})).exit_code, 0);
  fs::rename(place.path(ImageWorkplace::file(5)), place.path("train/c2/zzz.jpg"));
  const CommandResult result = place.hadal(train_images("run", {"--resume"}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("was trained on other data"));
}

TEST(ImageData, a_damaged_image_ends_the_run_or_is_skipped) {
  const ImageWorkplace place;
  for (const int i : {7, 50, 51}) place.damage(i);
  const CommandResult failed = place.hadal(train_images("failed"));
  EXPECT_EQ(failed.exit_code, 3);
  EXPECT_THAT(failed.err, AllOf(HasSubstr("train/c"), HasSubstr("the JPEG is damaged")));
  const CommandResult skipped = place.hadal(train_images("skipped", {"--set", "data.on_bad_sample=skip"}));
  ASSERT_EQ(skipped.exit_code, 0) << skipped.err;
  EXPECT_EQ(place.summary("skipped")["input"]["skipped_samples"], 15);
  for (const int i : {7, 50, 51}) EXPECT_THAT(skipped.err, HasSubstr(ImageWorkplace::file(i)));
  EXPECT_THAT(skipped.err, HasSubstr("data.train: samples skipped in all: 15"));
}

TEST(ImageData, ten_crops_of_each_image_are_one_sample) {
  const ImageWorkplace place;
  const std::string ten = "data.test={tar: {files: 'test-{0..1}.tar', resize: 16, crops: 10, mean: 0.4, std: 0.3}}";
  const CommandResult result =
      place.hadal(train_images("run", {"--set", ten, "--set", "data.train.image_folder.resize=16", "--set",
                                       "data.train.image_folder.crop=random"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(place.summary("run")["test"]["samples"], 50);
  EXPECT_EQ(place.hadal({"eval", "run", "--json"}).json(), place.summary("run")["test"]);
  EXPECT_THAT(place.hadal({"eval", "run"}).out, HasSubstr("mean of the classes"));  // they have 18, 16 and 16 samples
  EXPECT_GT(place.summary("run")["test"]["accuracy"], 0.9);
}

// The example of Caltech-101, on other images: what its two groups of two devices train is what one device trains.
TEST(ImageData, the_example_ends_in_one_model_on_one_device_and_on_two_groups_of_two) {
  const ImageWorkplace place;
  std::string csv = "path,label\n";
  for (int i = 0; i < 36; ++i) csv += fmt::format("c{}/{:03}.jpg,{}\n", i % 3, i, 30 * (i % 3) + 7);
  place.write("list.csv", csv);
  const auto train = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{
        "train",        HADAL_SOURCE_DIR "/examples/images/caltech101.yaml", "--out", out, "--max-steps", "3", "--set",
        "data.batch=12"};
    for (const char* split : {"train", "test"}) {
      arguments.insert(arguments.end(), {"--set", fmt::format("data.{}.image_folder.path=train", split), "--set",
                                         fmt::format("data.{}.image_folder.list=list.csv", split)});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = place.hadal(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  train("example", {});
  train("one", {"--devices", "cpu:0", "--groups", "1", "--split", "1"});
  EXPECT_EQ(place.summary("example")["devices"].size(), 4);
  EXPECT_EQ(place.summary("one")["devices"].size(), 1);
  EXPECT_EQ(place.sha256("example"), place.sha256("one"));
  EXPECT_EQ(place.summary("example")["test"], place.summary("one")["test"]);
}

TEST(ImageData, tools_divide_and_pack_images) {
  const ImageWorkplace place;
  const auto tool = [&](const std::string& name, const std::string& arguments) {
    const std::string command = "cd '" + place.path() + "' && python3 '" HADAL_SOURCE_DIR "/tools/" + name + "' " +
                                arguments + " >/dev/null 2>&1";
    return std::system(command.c_str());
  };
  if (std::system("python3 --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "python3";
  ASSERT_EQ(tool("split_images", "train --train 30 --out lists"), 0);
  ASSERT_EQ(tool("pack_shards", "lists/train.csv train packed --each 50"), 0);
  const CommandResult result = place.hadal(
      train_images("run", {"--set", "data.train={tar: {files: 'packed-{000..001}.tar'}}", "--max-steps", "3"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(place.summary("run")["total_steps"], 5 * 6);  // 90 images
  place.write("spaces", "c0/000.jpg 0\nc1/001.jpg 1\n");
  EXPECT_EQ(tool("pack_shards", "spaces train spaced"), 0);
  EXPECT_TRUE(place.has("spaced-000.tar"));
  EXPECT_GT(fs::file_size(place.path("spaced-000.tar")), 4 * 512u);
  for (const char* list : {"", "path,label\n", "c0/000.jpg,0\nc1/001.jpg\n", "c0/000.jpg,0\nc1/001.jpg,x\n"}) {
    place.write("list", list);
    EXPECT_NE(tool("pack_shards", "list train none"), 0) << list;
    EXPECT_FALSE(place.has("none-000.tar")) << list;
  }
}

TEST(ImageData, input_is_measured_by_stages) {
  const ImageWorkplace place;
  const CommandResult result = place.hadal({"bench", "input", "job.yaml", "--seconds", "0.5", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::istringstream lines(result.out);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    const auto stage = nlohmann::json::parse(line);
    names.push_back(stage.contains("decoders_alone") ? "alone" : stage.value("stage", "all"));
    if (names.back() == "alone") {
      EXPECT_GT(stage["share"], 0);
      continue;
    }
    if (names.back() == "all") {
      EXPECT_GT(stage["samples_per_second"], 0);
      continue;
    }
    EXPECT_GT(stage["samples_per_second_of_a_thread"], 0);
    EXPECT_NEAR(
        stage["busy_share"].get<double>() + stage["starved_share"].get<double>() + stage["blocked_share"].get<double>(),
        1, 1e-6);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"read", "decode", "augment", "all", "alone"}));
  EXPECT_EQ(place.hadal({"bench", "input", "job.yaml", "--seconds", "0.2"}).exit_code, 0);
}

TEST(ImageData, a_run_says_what_limits_it_when_it_gets_sigusr1) {
  const ImageWorkplace place;
  Command command(place.path(),
                  train_images("run", {"--set", "solver.epochs=100000", "--set", "checkpoint.every_steps=0"}));
  while (command.running() && !place.has("run/metrics.jsonl"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  command.kill(SIGUSR1);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  command.kill(SIGINT);
  const CommandResult result = command.wait();
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr("-bound: devices "));
}

TEST(ImageData, what_does_not_fit_is_told_where_it_stands) {
  const ImageWorkplace place;
  const auto error_of = [&](const std::string& set) {
    const CommandResult result = place.hadal(train_images("run", {"--set", set}));
    EXPECT_NE(result.exit_code, 0);
    return result.err;
  };
  EXPECT_THAT(error_of("data.train.image_folder.path=nowhere"), HasSubstr("job.yaml:10:11: cannot open nowhere"));
  EXPECT_THAT(error_of("data.test.tar.files=test-{0..2}.tar"), HasSubstr("cannot open test-2.tar"));
  EXPECT_THAT(error_of("network.input=[432]"), HasSubstr("images are read for an input of [1, height, width]"));
  EXPECT_THAT(error_of("network.layers.2.fully_connected.out=2"),
              HasSubstr("has 3 folders of images, but the network has 2"));
  const CommandResult small =
      place.hadal(train_images("run", {"--set", "network.input=[3, 40, 40]", "--set",
                                       "data.train={image_folder: {path: train, resize: none}}"}));
  EXPECT_EQ(small.exit_code, 3);
  EXPECT_THAT(small.err, HasSubstr("is smaller than the network's input, 40 x 40: resize: fit makes it larger"));
}

}  // namespace
}  // namespace hadal
