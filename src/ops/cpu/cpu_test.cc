#include "ops/cpu/cpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "ops/cpu/test_run.h"
#include "ops/in_fp32.h"

namespace hadal {
namespace {

using testing::Each;
using testing::Not;
using testing::StartsWith;

constexpr Layout kCanonical = Layout::canonical, kLast = Layout::channels_last;

Rows all(std::int64_t count) { return {.first = 0, .count = count, .units = {}}; }

// LeNet, and what it has not: groups, padding, average pooling, a packed matrix.
std::vector<Op> ops(const Rows& rows) {
  const ConvShape conv1{.channels = 1, .height = 28, .width = 28, .out = 20, .kernel = 5};
  const ConvShape conv2{.channels = 20, .height = 12, .width = 12, .out = 50, .kernel = 5};
  const ConvShape grouped{.channels = 32, .height = 9, .width = 8, .out = 64, .kernel = 3, .pad = 1, .groups = 2};
  const PoolShape max{.kind = PoolKind::max,
                      .channels = 50,
                      .height = 8,
                      .width = 8,
                      .kernel = 3,
                      .stride = 2,
                      .pad = 1,
                      .out_height = 4,
                      .out_width = 4};
  PoolShape average = max;
  average.kind = PoolKind::average;
  std::vector<Op> list = {
      ConvForward{conv1, rows, kCanonical, kLast},
      ConvBackwardWeights{conv1, rows, kCanonical, kLast},
      ConvForward{conv2, rows, kLast, kLast},
      ConvBackwardData{conv2, rows, kLast, kLast},
      ConvBackwardWeights{conv2, rows, kLast, kLast},
      ConvForward{grouped, rows, kLast, kCanonical},
      ConvBackwardData{grouped, rows, kLast, kCanonical},
      ConvBackwardWeights{grouped, rows, kLast, kCanonical},
      PoolForward{max, rows, kLast, kCanonical, true},
      PoolForward{average, rows, kLast, kCanonical, true},
      PoolBackward{average, rows, kLast, kCanonical},
      LrnForward{{96, 30, {}}, rows, kLast},
      LrnBackward{{96, 30, {}}, rows, kLast},
      FullyConnectedForward{800, 500, rows},
      FullyConnectedBackwardData{800, 500, rows},
      FullyConnectedBackwardWeights{800, 500, 0, 500, {}, rows},
      FullyConnectedBackwardData{1024, 40, rows},
      FullyConnectedUpdate{{800, 500, 0, 500, {}, rows}, UpdateRule::sgd(0.9, 5e-4), UpdateRule::sgd(0.9, 5e-4)},
      ActivationForward{ActivationKind::tanh, 1500, rows},
      ActivationBackward{ActivationKind::sigmoid, 1500, rows},
      Dropout{.p = 0.5f, .row_elements = 1501, .rows = rows, .seed = 1, .layer = 2},
      Add{3, 1500, rows},
      SoftmaxCrossEntropy{1500, rows, rows.count, true},
      SoftmaxSums{1500, 7, rows},
      Softmax{1500, rows},
      SumParts{5, 100003},
      Update{3, 100003, UpdateRule::sgd(0.9, 5e-4), true}};
  const std::vector<Op> fp32 = list;
  for (const Op& op : fp32) {
    if (const std::optional<Op> bf16 = in_bf16(op)) list.push_back(*bf16);
  }
  return list;
}

TEST(Cpu, no_operator_falls_to_a_plain_loop_of_onednn) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  std::vector<std::string> implementations;
  for (const Op& op : ops(all(8))) implementations.push_back(backend->bind(op, 1)->implementation());
  EXPECT_THAT(implementations, Each(Not(StartsWith("ref"))));
}

// Arguments may be rows of a larger array, aligned to one element only; and a run repeats itself.
TEST(Cpu, bits_do_not_depend_on_alignment) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  for (const Op& op : ops(all(17))) {
    const Arrays aligned = run_op(*backend, op);
    for (const std::size_t shift : {0, 1, 3, 9}) {
      const Arrays shifted = run_op(*backend, op, 1, shift);
      for (std::size_t i = 0; i < aligned.size(); ++i) {
        ASSERT_TRUE(holds_bits(aligned[i], 0, shifted[i])) << op_name(op) << " shift " << shift;
      }
    }
  }
}

TEST(Cpu, threads_change_no_more_than_the_order_of_sums) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  for (const Op& op : ops(all(48))) {
    const Arrays one = run_op(*backend, op, 1), two = run_op(*backend, op, 2), again = run_op(*backend, op, 2);
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT_TRUE(holds_bits(two[i], 0, again[i])) << op_name(op);
      // A sum in another order may round to the next bf16 number.
      const double tolerance = types_of(op)[i] == DType::bf16 ? 1e-5 : 1e-11;
      double error = 0, size = 0;
      for (std::size_t e = 0; e < one[i].size(); ++e) {
        error += std::pow(static_cast<double>(one[i][e]) - static_cast<double>(two[i][e]), 2);
        size += std::pow(static_cast<double>(one[i][e]), 2);
      }
      EXPECT_LE(error, tolerance * size) << op_name(op) << " argument " << i;
    }
  }
}

// The windows' places are those that the forward pass leaves.
TEST(Cpu, threads_do_not_change_the_gradient_of_max_pooling) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  for (const DType type : {DType::f32, DType::bf16}) {
    const PoolShape shape{
        .channels = 64, .height = 9, .width = 9, .kernel = 3, .stride = 2, .out_height = 4, .out_width = 4};
    const Op forward = PoolForward{shape, all(48), kLast, kLast, true, type};
    const Op backward = PoolBackward{shape, all(48), kLast, kLast, type};
    const Arrays before = run_op(*backend, forward);
    std::vector<Arrays> results;
    for (const int threads : {1, 2}) {
      Arrays arrays = make_arrays(backward);
      arrays[1] = before[2];
      run_kernel(*backend->bind(backward, threads), types_of(backward), arrays, threads);
      results.push_back(arrays);
    }
    EXPECT_TRUE(holds_bits(results[0][2], 0, results[1][2]));
    EXPECT_FALSE(holds_bits(results[0][2], 0, std::vector<float>(results[0][2].size())));
  }
}

TEST(Cpu, sums_over_no_rows_are_zero) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  const ConvShape conv{.channels = 2, .height = 5, .width = 5, .out = 3, .kernel = 3};
  for (const Op& op :
       {Op{ConvBackwardWeights{conv, all(0)}}, Op{FullyConnectedBackwardWeights{4, 3, 0, 3, {}, all(0)}}}) {
    const Arrays arrays = run_op(*backend, op);
    EXPECT_THAT(arrays[2], Each(0.0f));
    EXPECT_THAT(arrays[3], Each(0.0f));
  }
  for (const Op& op : {Op{ConvForward{conv, all(0)}}, Op{FullyConnectedForward{4, 3, all(0)}}}) {
    EXPECT_NO_THROW(run_op(*backend, op));
  }
}

TEST(Cpu, binding_leaves_the_threads_setting_alone) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  omp_set_num_threads(2);
  backend->bind(FullyConnectedForward{30, 20, {.first = 0, .count = 4, .units = {2, 2}}}, 1);
  EXPECT_EQ(omp_get_max_threads(), 2);
}

}  // namespace
}  // namespace hadal
