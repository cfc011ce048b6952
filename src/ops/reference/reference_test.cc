// Small results that can be checked by hand.

#include "ops/reference/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "ops/reference/named_arrays.h"

namespace hadal::reference {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Fp32Arrays = NamedArrays<float>;
using Floats = std::vector<float>;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// ---- images

TEST(Conv, slides_its_kernel_over_the_image) {
  const ConvShape shape{.channels = 1, .height = 3, .width = 3, .out = 1, .kernel = 2};
  Fp32Arrays a;
  a["source"] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  a["weight"] = {1, 0, 0, 10};
  a["bias"] = {0.5f};
  a.run(ConvForward{shape, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(51.5f, 62.5f, 84.5f, 95.5f));

  a["diff_destination"] = {1, 2, 3, 4};
  a.run(ConvBackwardData{shape, all(1)});
  EXPECT_THAT(a["diff_source"], ElementsAre(1, 2, 0, 3, 14, 20, 0, 30, 40));
  a.run(ConvBackwardWeights{shape, all(1)});
  EXPECT_THAT(a["diff_weight"], ElementsAre(1 + 4 + 12 + 20, 2 + 6 + 15 + 24, 4 + 10 + 21 + 32, 5 + 12 + 24 + 36));
  EXPECT_THAT(a["diff_bias"], ElementsAre(10));
}

TEST(Conv, counts_pads_as_zero_and_keeps_groups_apart) {
  const ConvShape shape{
      .channels = 2, .height = 1, .width = 2, .out = 2, .kernel = 3, .stride = 2, .pad = 1, .groups = 2};
  Fp32Arrays a;
  a["source"] = {1, 2, 10, 20};
  a["weight"] = {9, 9, 9, 1, 2, 3, 9, 9, 9,  //
                 9, 9, 9, 4, 5, 6, 9, 9, 9};
  a["bias"] = {0, 0};
  a.run(ConvForward{shape, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(2 * 1 + 3 * 2, 5 * 10 + 6 * 20));
}

TEST(Conv, reads_and_writes_channels_last) {
  const ConvShape shape{.channels = 2, .height = 1, .width = 2, .out = 3, .kernel = 1};
  Fp32Arrays a;
  a["source"] = {1, 10, 2, 20};  // [y, x, c]
  a["weight"] = {1, 0, 0, 1, 1, 1};
  a["bias"] = {0, 0, 0};
  a.run(ConvForward{shape, all(1), Layout::channels_last, Layout::channels_last});
  EXPECT_THAT(a["destination"], ElementsAre(1, 10, 11, 2, 20, 22));
  a.run(ConvForward{shape, all(1), Layout::channels_last, Layout::canonical});
  EXPECT_THAT(a["destination"], ElementsAre(1, 2, 10, 20, 11, 22));
}

TEST(Pool, gives_the_gradient_of_a_shared_maximum_to_the_first) {
  const PoolShape shape{PoolKind::max, 1, 2, 3, 2, 1, 0, 1, 2};
  Fp32Arrays a;
  a["source"] = {1, 7, 7,  //
                 7, 2, 7};
  a["diff_destination"] = {1, 10};
  a.run(PoolForward{shape, all(1), Layout::canonical, Layout::canonical, true});
  a.run(PoolBackward{shape, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(7, 7));
  EXPECT_THAT(a["diff_source"], ElementsAre(0, 11, 0, 0, 0, 0));
}

TEST(Pool, takes_maxima_below_zero_from_inside_the_image_only) {
  Fp32Arrays a;
  a["source"] = {-3, -4, -5, -6};
  a.run(PoolForward{{PoolKind::max, 1, 2, 2, 3, 2, 1, 1, 1}, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(-3));
}

TEST(Pool, does_not_hide_a_nan) {
  Fp32Arrays a;
  a["source"] = {1, kNaN, 5, 2};
  a.run(PoolForward{{PoolKind::max, 1, 2, 2, 2, 2, 0, 1, 1}, all(1)});
  EXPECT_TRUE(std::isnan(a["destination"][0]));
}

TEST(Pool, averages_what_lies_inside_the_image) {
  const PoolShape shape{PoolKind::average, 1, 2, 2, 2, 2, 1, 2, 2};
  Fp32Arrays a;
  a["source"] = {1, 2, 3, 4};
  a.run(PoolForward{shape, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(1, 2, 3, 4));
  a["source"] = {1, 2, 6};
  a.run(PoolForward{{PoolKind::average, 1, 1, 3, 3, 2, 1, 1, 2}, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(1.5f, 4));
}

// ---- element by element

TEST(Activation, relu_keeps_nan_and_passes_no_gradient_at_zero) {
  Fp32Arrays a;
  a["source"] = {-2, 0, 3, kNaN};
  a["diff_destination"] = {5, 5, 5, 5};
  a.run(ActivationForward{ActivationKind::relu, 4, all(1)});
  EXPECT_EQ(a["destination"][0], 0);
  EXPECT_EQ(a["destination"][2], 3);
  EXPECT_TRUE(std::isnan(a["destination"][3]));
  a["destination"][3] = 1;
  a.run(ActivationBackward{ActivationKind::relu, 4, all(1)});
  EXPECT_THAT(a["diff_source"], ElementsAre(0, 0, 5, 5));
}

TEST(Concat, joins_rows_and_splits_their_gradient) {
  Fp32Arrays a;
  a["source"] = {1, 2, 3, 4};
  a["source 2"] = {5, 6};
  a.run(ConcatForward{{2, 1}, all(2)});
  EXPECT_THAT(a["destination"], ElementsAre(1, 2, 5, 3, 4, 6));
  a["diff_destination"] = a["destination"];
  a.run(ConcatBackward{{2, 1}, all(2)});
  EXPECT_EQ(a["diff_source"], a["source"]);
  EXPECT_EQ(a["diff_source 2"], a["source 2"]);
}

TEST(Add, adds_from_left_to_right) {
  Fp32Arrays a;
  a["source"] = {1e8f, 1};
  a["source 2"] = {-1e8f, 2};
  a["source 3"] = {1, 3};
  a.run(Add{3, 2, all(1)});
  EXPECT_THAT(a["destination"], ElementsAre(1, 6));  // from right to left the first would be 0
}

// ---- dropout

Floats mask(const Dropout& op, std::uint64_t step) {
  Fp32Arrays a;
  a["source"] = Floats(static_cast<std::size_t>(op.rows.count * op.row_elements), 1);
  StepValues values;
  values.step = step;
  a.run(op, values);
  return a["destination"];
}

TEST(Dropout, mask_follows_from_step_row_and_element) {
  const Dropout op{
      .p = 0.25f, .row_elements = 7, .rows = {.first = 20, .count = 3, .units = {}}, .seed = 8, .layer = 2};
  const Floats whole = mask(op, 5);
  const RandomSequence sequence(8, RandomUse::dropout, 2);
  for (std::uint32_t r = 0; r < 3; ++r) {
    for (std::uint32_t e = 0; e < 7; ++e) {
      const bool kept = sequence.bits(5, 20 + r, e / 4)[e % 4] >= 0x40000000u;
      EXPECT_EQ(whole[r * 7 + e], kept ? 1 / 0.75f : 0.0f);
    }
  }
}

TEST(Dropout, does_not_depend_on_how_rows_are_divided) {
  Dropout op{.p = 0.5f, .row_elements = 37, .rows = all(8), .seed = 8, .layer = 2};
  const Floats whole = mask(op, 5);
  Floats joined;
  for (const auto& [first, count] : {std::pair{0, 3}, std::pair{3, 1}, std::pair{4, 4}}) {
    op.rows = {.first = first, .count = count, .units = {}};
    const Floats part = mask(op, 5);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(joined, whole);
}

TEST(Dropout, does_not_depend_on_how_elements_are_divided) {
  Dropout op{.p = 0.5f, .row_elements = 37, .rows = all(2), .seed = 8, .layer = 2};
  const Floats whole = mask(op, 5);
  for (const auto& [first, count] : {std::pair{0, 3}, std::pair{3, 14}, std::pair{17, 20}}) {
    op.first_element = first;
    op.row_elements = count;
    const Floats part = mask(op, 5);
    for (std::ptrdiff_t row = 0; row < 2; ++row) {
      const auto begin = whole.begin() + row * 37 + first;
      EXPECT_TRUE(std::equal(begin, begin + count, part.begin() + row * count)) << first;
    }
  }
}

TEST(Dropout, changes_with_step_seed_and_layer) {
  const Dropout op{.p = 0.5f, .row_elements = 64, .rows = all(1), .seed = 8, .layer = 2};
  Dropout other_seed = op, other_layer = op;
  other_seed.seed = 9;
  other_layer.layer = 3;
  EXPECT_EQ(mask(op, 5), mask(op, 5));
  EXPECT_NE(mask(op, 5), mask(op, 6));
  EXPECT_NE(mask(op, 5), mask(other_seed, 5));
  EXPECT_NE(mask(op, 5), mask(other_layer, 5));
}

TEST(Dropout, keeps_a_share_of_one_minus_p) {
  const Floats result = mask({.p = 0.3f, .row_elements = 1000, .rows = all(100), .seed = 1, .layer = 0}, 0);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(result, 0.0f)), 30000, 600);  // four deviations
  EXPECT_THAT(mask({.p = 0, .row_elements = 100, .rows = all(3), .seed = 1, .layer = 0}, 0), Each(1));
}

// ---- matrix products and losses

TEST(FullyConnected, multiplies_and_sums_over_the_rows) {
  Fp32Arrays a;
  a["source"] = {1, 2, 3, 4};  // two rows
  a["weight"] = {1, 0, 0, 1, 1, 1};
  a["bias"] = {10, 20, 30};
  a["diff_destination"] = {1, 2, 3, 4, 5, 6};
  a.run(FullyConnectedForward{2, 3, all(2)});
  EXPECT_THAT(a["destination"], ElementsAre(11, 22, 33, 13, 24, 37));
  a.run(FullyConnectedBackwardData{2, 3, all(2)});
  EXPECT_THAT(a["diff_source"], ElementsAre(4, 5, 10, 11));
  a.run(FullyConnectedBackwardWeights{2, 3, 1, 2, {}, all(2)});  // of outputs 1 and 2
  EXPECT_THAT(a["diff_weight"], ElementsAre(2 + 15, 4 + 20, 3 + 18, 6 + 24));
  EXPECT_THAT(a["diff_bias"], ElementsAre(7, 9));
}

TEST(SoftmaxCrossEntropy, gives_loss_rank_and_gradient) {
  Fp32Arrays a;
  a["logits"] = {0, 0,
                 0, 0,  //
                 0, std::log(2.0f),
                 0, 0};
  a.integers["labels"] = {2, 1};
  a.run(SoftmaxCrossEntropy{4, all(2), 10, true});
  EXPECT_FLOAT_EQ(a["loss"][0], std::log(4.0f));
  EXPECT_FLOAT_EQ(a["loss"][1], std::log(2.5f));
  EXPECT_THAT(a.integers["rank"], ElementsAre(2, 0));
  EXPECT_FLOAT_EQ(a["diff_logits"][0], 0.025f);
  EXPECT_FLOAT_EQ(a["diff_logits"][2], -0.075f);
  EXPECT_FLOAT_EQ(a["diff_logits"][5], -0.06f);
}

TEST(SoftmaxCrossEntropy, is_finite_for_huge_logits_and_nan_for_nan) {
  Fp32Arrays a;
  a["logits"] = {1e30f, 0, 0,  //
                 0,     1, kNaN};
  a.integers["labels"] = {0, 1};
  a.run(SoftmaxCrossEntropy{3, all(2), 2, false});
  EXPECT_EQ(a["loss"][0], 0);
  EXPECT_TRUE(std::isnan(a["loss"][1]));
}

// Of logits whose classes are divided, a part's columns.
std::vector<float> columns_of(const std::vector<float>& logits, std::int64_t width, std::int64_t first,
                              std::int64_t end) {
  std::vector<float> some;
  for (std::size_t row = 0; row < logits.size(); row += static_cast<std::size_t>(width)) {
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(row);
    some.insert(some.end(), begin + first, begin + end);
  }
  return some;
}

TEST(SoftmaxCrossEntropyPart, parts_give_together_what_the_whole_gives) {
  constexpr std::int64_t kClasses = 7, kRows = 6;
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<float> logits{
      0.5f,  -1,    2,      0.25f, 1,     -3,    0.75f,  //
      1,     1,     1,      1,     1,     1,     1,      // ties
      1e4f,  -1e4f, 9999,   0,     1e4f,  3,     -5e4f,  // large
      -kInf, -kInf, -kInf,  1,     2,     -kInf, -kInf,  // impossible classes, of some parts all
      -1e4f, -2e4f, -1e4f,  -3e4f, -4e4f, -1e4f, -9999,  //
      3,     -2,    0.125f, 3,     -0.0f, 0,     0.125f,
  };
  Fp32Arrays whole;
  whole["logits"] = logits;
  whole.integers["labels"] = {3, 4, 2, 4, 5, 6};
  whole.run(SoftmaxCrossEntropy{kClasses, all(kRows), 9, true});
  for (const std::vector<std::int64_t>& bounds :
       {std::vector<std::int64_t>{0, 7}, {0, 3, 7}, {0, 2, 4, 7}, {0, 1, 2, 3, 4, 5, 6, 7}}) {
    const auto parts = static_cast<std::int64_t>(bounds.size()) - 1;
    Fp32Arrays a;
    a.integers["labels"] = whole.integers["labels"];
    std::vector<float> sums(static_cast<std::size_t>(kRows * parts * kSoftmaxSums));
    std::vector<std::int32_t> before(static_cast<std::size_t>(kRows * parts));
    for (std::int64_t p = 0; p < parts; ++p) {
      a["logits"] = columns_of(logits, kClasses, bounds[p], bounds[p + 1]);
      a.run(SoftmaxSums{bounds[p + 1] - bounds[p], bounds[p], all(kRows)});
      for (std::int64_t i = 0; i < kRows * kSoftmaxSums; ++i) {
        sums[(i / kSoftmaxSums * parts + p) * kSoftmaxSums + i % kSoftmaxSums] = a["sums"][i];
      }
    }
    for (std::int64_t p = 0; p < parts; ++p) {
      a["logits"] = columns_of(logits, kClasses, bounds[p], bounds[p + 1]);
      a["sums"] = sums;
      a.run(SoftmaxCrossEntropyPart{bounds[p + 1] - bounds[p], bounds[p], parts, all(kRows), 9, true});
      const auto diff = columns_of(whole["diff_logits"], kClasses, bounds[p], bounds[p + 1]);
      for (std::size_t i = 0; i < diff.size(); ++i) EXPECT_NEAR(a["diff_logits"][i], diff[i], 1e-8f) << p << ", " << i;
      for (std::int64_t n = 0; n < kRows; ++n) {
        EXPECT_FLOAT_EQ(a["loss"][n], whole["loss"][n]) << parts << " parts, row " << n;
        before[n * parts + p] = a.integers["before"][n];
      }
    }
    a.integers["before"] = before;
    a.run(LabelRank{parts, all(kRows)});
    EXPECT_EQ(a.integers["rank"], whole.integers["rank"]) << parts << " parts";
  }
}

TEST(SoftmaxCrossEntropyPart, of_a_nan_in_any_part_has_a_loss_of_nan) {
  for (const std::vector<float>& logits : {std::vector<float>{kNaN, 1}, {kNaN, kNaN}}) {
    Fp32Arrays a;
    a["logits"] = logits;
    a.integers["labels"] = {3};
    a.run(SoftmaxSums{2, 0, all(1)});
    a["sums"].insert(a["sums"].end(), {1, 1, 1});
    a["logits"] = {0, 1};
    a.run(SoftmaxCrossEntropyPart{2, 2, 2, all(1), 1, false});
    EXPECT_TRUE(std::isnan(a["loss"][0]));
    EXPECT_THROW(a.run(SoftmaxCrossEntropyPart{2, 2, 2, all(1), 1, true}), NotFinite);
  }
}

TEST(Softmax, sums_to_one) {
  Fp32Arrays a;
  a["logits"] = {1000, 1000, -1000, 7};
  a.run(Softmax{4, all(1)});
  EXPECT_THAT(a["probabilities"], ElementsAre(0.5f, 0.5f, 0, 0));
}

// ---- updates

TEST(SumParts, halves_round_up) {
  const float tiny = 0x1p-24f;  // 1 + tiny == 1, and 1 + 2 tiny != 1
  const auto sum = [](const Floats& parts) {
    Fp32Arrays a;
    for (std::size_t i = 0; i < parts.size(); ++i) a[i == 0 ? "part" : "part " + std::to_string(i + 1)] = {parts[i]};
    a.run(SumParts{static_cast<int>(parts.size()), 1});
    return a["sum"][0];
  };
  EXPECT_EQ(sum({3}), 3);
  EXPECT_EQ(sum({1, tiny, tiny}), 1);                // (1 + tiny) + tiny
  EXPECT_EQ(sum({1, 0, tiny, tiny}), 1 + 2 * tiny);  // (1 + 0) + (tiny + tiny)
  EXPECT_EQ(sum({1, 0, tiny, tiny, 0}), 1);          // ((1 + 0) + tiny) + (tiny + 0)
  EXPECT_EQ(sum({1, 0, 0, tiny, tiny}), 1 + 2 * tiny);
}

TEST(Update, moves_weights_and_velocity) {
  Fp32Arrays a;
  a["part"] = {0.25f};
  a["part 2"] = {0.75f};
  a["scale"] = {2};
  a["weights"] = {2};
  a["momentum"] = {4};
  StepValues values;
  values.rate = 0.5f;
  a.run(Update{2, 1, UpdateRule::sgd(0.5, 0.25), true}, values);
  EXPECT_THAT(a["momentum"], ElementsAre(4.5f));  // 0.5 * 4 + (2 * (0.25 + 0.75) + 0.25 * 2)
  EXPECT_THAT(a["weights"], ElementsAre(-0.25f));
  a["weights"] = {2};
  a["part"] = {8};
  a.run(Update{1, 1, UpdateRule::sgd(0, 0), false}, values);
  EXPECT_THAT(a["weights"], ElementsAre(-2));
}

TEST(Update, rounds_the_product_before_it_adds) {
  const float m = 1 + 0x1p-12f;  // m * m = 1 + 2^-11 + 2^-24, which rounds to 1 + 2^-11
  Fp32Arrays a;
  a["part"] = {-(1 + 0x1p-11f)};
  a["weights"] = {0};
  a["momentum"] = {m};
  a.run(Update{1, 1, UpdateRule::sgd(m, 0), false});
  EXPECT_THAT(a["momentum"], ElementsAre(0));
}

TEST(Clip, scales_down_to_the_norm_only) {
  Fp32Arrays a;
  a["gradient"] = {3, 0, 2, 2, 2, 2};
  a.run(SquaredNorms{{1, 1, 4}});
  EXPECT_THAT(a.doubles["squares"], ElementsAre(9, 0, 16));
  a.run(ClipScale{3, 1});
  EXPECT_FLOAT_EQ(a["norm"][0], 5);
  EXPECT_FLOAT_EQ(a["scale"][0], 1 / (5 + 1e-6f));
  a.run(ClipScale{3, 10});
  EXPECT_EQ(a["scale"][0], 1);
  a.doubles["squares"][1] = kNaN;
  a.run(ClipScale{3, 10});
  EXPECT_TRUE(std::isnan(a["scale"][0]));
}

}  // namespace
}  // namespace hadal::reference
