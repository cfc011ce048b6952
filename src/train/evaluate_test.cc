// evaluate() meets every sample once, and any number of devices gives the same loss bits.

#include "train/evaluate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "data/synthetic_dataset.h"
#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

constexpr std::int64_t kClasses = 5;  // of small_lenet()

// Random samples, each of which counts how often it was read.
class CountingDataset : public Dataset {
 public:
  CountingDataset(std::int64_t samples, const Shape& input)
      : dataset_({samples, kClasses}, input, 1, Split::test), reads_(static_cast<std::size_t>(samples)) {}

  const Shape& sample_shape() const override { return dataset_.sample_shape(); }
  std::int64_t size() const override { return dataset_.size(); }
  std::int64_t classes() const override { return dataset_.classes(); }
  std::int32_t label(std::int64_t i) const override { return dataset_.label(i); }
  void copy_sample(std::int64_t i, std::span<float> values) const override {
    ++reads_[static_cast<std::size_t>(i)];
    dataset_.copy_sample(i, values);
  }
  DataError bad_label(std::int64_t i, std::int64_t classes) const override { return dataset_.bad_label(i, classes); }

  // How often the samples were read: each as often as any other, or -1.
  int reads() const {
    const int first = reads_[0];
    for (const auto& reads : reads_) {
      if (reads != first) return -1;
    }
    return first;
  }

 private:
  SyntheticDataset dataset_;
  mutable std::vector<std::atomic<int>> reads_;
};

struct EvaluateCase {
  std::int64_t samples = 0, batch = 0;
};

Evaluation evaluation(const EvaluateCase& c, const std::string& kind, int devices, bool reproducible) {
  JobSpec job;
  job.network = testing::small_lenet();
  job.data.batch = c.batch;
  job.parallel.devices = testing::device_list(kind, devices);
  job.parallel.threads = 1;
  if (reproducible) job.reproducible = ReproducibleSpec{};
  const Network network = build_network(job.network);
  const CountingDataset dataset(c.samples, network.input);
  Engine engine(job, network, evaluation_keys(c.batch, dataset));
  engine.initialise(4);
  const Evaluation result = evaluate(engine, dataset, c.batch);
  EXPECT_EQ(dataset.reads(), 1);
  return result;
}

void expect_same_counts(const Evaluation& a, const Evaluation& b) {
  EXPECT_EQ(a.samples, b.samples);
  EXPECT_EQ(a.correct, b.correct);
  EXPECT_EQ(a.correct_top5, b.correct_top5);
  EXPECT_EQ(a.mean_class_accuracy(), b.mean_class_accuracy());
}

class Evaluate : public ::testing::TestWithParam<EvaluateCase> {};

TEST_P(Evaluate, counts_every_sample_once_on_any_number_of_devices) {
  const Evaluation one = evaluation(GetParam(), "cpu", 1, true);
  EXPECT_EQ(one.samples, GetParam().samples);
  EXPECT_EQ(one.correct_top5, GetParam().samples);  // there are five classes
  EXPECT_GT(one.loss(), 0);
  for (int devices = 2; devices <= 6; ++devices) {
    for (const char* kind : {"cpu", "fake"}) {
      SCOPED_TRACE(std::to_string(devices) + " " + kind);
      const Evaluation many = evaluation(GetParam(), kind, devices, true);
      expect_same_counts(many, one);
      EXPECT_EQ(many.loss_sum, one.loss_sum);
      EXPECT_NEAR(evaluation(GetParam(), kind, devices, false).loss(), one.loss(), 1e-6);
    }
  }
}

TEST_P(Evaluate, does_not_depend_on_the_batch) {
  const Evaluation batches = evaluation(GetParam(), "cpu", 1, false);
  const Evaluation whole = evaluation({GetParam().samples, GetParam().samples}, "cpu", 1, false);
  expect_same_counts(batches, whole);
  EXPECT_NEAR(batches.loss(), whole.loss(), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(all, Evaluate,
                         ::testing::Values(EvaluateCase{53, 8}, EvaluateCase{48, 12}, EvaluateCase{25, 6},
                                           EvaluateCase{11, 64}, EvaluateCase{3, 7}),
                         [](const auto& test) {
                           return std::to_string(test.param.samples) + "_by_" + std::to_string(test.param.batch);
                         });

TEST(Evaluate, tells_the_mean_of_classes_where_some_have_more_samples) {
  Evaluation evaluation{.classes = 4};
  for (int i = 0; i < 3; ++i) evaluation.count(0, 0);
  evaluation.count(2, 3);
  EXPECT_EQ(evaluation.accuracy(), 0.75);
  EXPECT_EQ(evaluation.mean_class_accuracy(), 0.5);  // of class 0 and 2
  EXPECT_EQ(to_json(evaluation)["mean_class_accuracy"], 0.5);
  for (int i = 0; i < 2; ++i) evaluation.count(2, 0);
  EXPECT_FALSE(evaluation.mean_class_accuracy());  // it is the accuracy
}

TEST(Evaluate, is_written_with_top5_only_where_that_says_something) {
  Evaluation evaluation{.loss_sum = 6, .samples = 4, .correct = 1, .correct_top5 = 3, .classes = 5};
  EXPECT_EQ(to_json(evaluation).dump(), R"({"loss":1.5,"accuracy":0.25,"samples":4})");
  evaluation.classes = 6;
  EXPECT_EQ(to_json(evaluation).dump(), R"({"loss":1.5,"accuracy":0.25,"top5_accuracy":0.75,"samples":4})");
}

}  // namespace
}  // namespace hadal
