// Which convolutions are computed by Winograd's algorithm, and how exactly.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ops/conformance.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/test_run.h"
#include "ops/reference/loops.h"

namespace hadal {
namespace {

#if defined(__x86_64__)
bool has_winograd() { return onednn::vector_floats() == 16; }
#else
bool has_winograd() { return false; }
#endif

bool is_winograd(const Op& op) { return make_cpu_backend()->bind(op, 1)->implementation().starts_with("winograd"); }

bool is_conv(const Op& op, DType type) {
  const auto has_type = [type](const auto* conv) { return conv != nullptr && conv->type == type; };
  return has_type(std::get_if<ConvForward>(&op)) || has_type(std::get_if<ConvBackwardData>(&op)) ||
         has_type(std::get_if<ConvBackwardWeights>(&op));
}

// Channels that a result is a sum over; 0: it is one over pixels.
std::int64_t terms(const Op& op) {
  if (const auto* forward = std::get_if<ConvForward>(&op)) return forward->shape.channels / forward->shape.groups;
  const auto* data = std::get_if<ConvBackwardData>(&op);
  return data ? data->shape.out / data->shape.groups : 0;
}

std::vector<DType> types() {
  return onednn::has_bf16() ? std::vector<DType>{DType::f32, DType::bf16} : std::vector<DType>{DType::f32};
}

// The rows of the table that are there for it.
TEST(Winograd, is_what_its_conformance_cases_test) {
  if (!has_winograd()) GTEST_SKIP() << "it needs AVX-512";
  for (const DType type : types()) {
    int cases = 0;
    for (const ConformanceCase& which : conformance_cases()) {
      if (which.name.find("winograd") == std::string::npos || !is_conv(which.op, type)) continue;
      const bool short_sums = type == DType::bf16 && terms(which.op) == 16;
      EXPECT_EQ(is_winograd(which.op), !short_sums) << which.name << ", " << op_name(which.op);
      cases += !short_sums;
    }
    EXPECT_EQ(cases, (11 * 3 - (type == DType::bf16 ? 7 : 0)) * 4);  // rows, directions, layouts
  }
}

// Tiles reach over the edges of these, or their sums are short.
TEST(Winograd, is_not_chosen_where_it_would_be_slow) {
  const Rows rows{.first = 0, .count = 2, .units = {}};
  const Layout last = Layout::channels_last;
  const ConvShape shapes[] = {{.channels = 64, .height = 3, .width = 3, .out = 64, .kernel = 3, .pad = 1},
                              {.channels = 16, .height = 32, .width = 32, .out = 16, .kernel = 3, .pad = 1},
                              {.channels = 64, .height = 32, .width = 32, .out = 64, .kernel = 3, .stride = 2},
                              {.channels = 24, .height = 32, .width = 32, .out = 64, .kernel = 3}};
  for (const ConvShape& shape : shapes) {
    EXPECT_FALSE(is_winograd(ConvForward{shape, rows, last, last}));
    EXPECT_FALSE(is_winograd(ConvBackwardData{shape, rows, last, last}));
    EXPECT_FALSE(is_winograd(ConvBackwardWeights{shape, rows, last, last}));
  }
  // What a kernel without padding sees at the edges of its gradient's padding is mostly zeros.
  const ConvShape unpadded{.channels = 64, .height = 9, .width = 9, .out = 64, .kernel = 3};
  EXPECT_EQ(is_winograd(ConvForward{unpadded, rows, last, last}), has_winograd());
  EXPECT_FALSE(is_winograd(ConvBackwardData{unpadded, rows, last, last}));
}

// The error of sums of products in double precision: root of the sum of squares, relative to that of the results.
double relative_error(const std::vector<float>& results, const std::vector<double>& exact) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    error += std::pow(static_cast<double>(results[i]) - exact[i], 2);
    size += exact[i] * exact[i];
  }
  return std::sqrt(error / size);
}

template <class ConvOp>
std::vector<std::vector<double>> run_in_double(const ConvOp& op, const Arrays& arrays) {
  std::vector<std::vector<double>> wide;
  std::vector<std::byte*> arguments;
  for (const std::vector<float>& array : arrays) wide.emplace_back(array.begin(), array.end());
  for (std::vector<double>& array : wide) arguments.push_back(reinterpret_cast<std::byte*>(array.data()));
  const StepValues values{};
  reference::run<double>(op, {arguments, values});
  return wide;
}

template <class ConvOp>
double error_of(const ConvOp& op, std::size_t result) {
  Arrays arrays = make_arrays(op);
  const std::vector<std::vector<double>> exact = run_in_double(op, arrays);
  run_kernel(*make_cpu_backend()->bind(op, 1), types_of(op), arrays);
  return relative_error(arrays[result], exact[result]);
}

TEST(Winograd, is_as_exact_as_a_direct_sum) {
  if (!has_winograd()) GTEST_SKIP() << "it needs AVX-512";
  const std::pair<std::int64_t, std::int64_t> sizes[] = {{32, 3}, {256, 3}, {64, 5}};
  for (const auto& [channels, kernel] : sizes) {
    const Extent pad = kernel / 2;
    const ConvShape shape{.channels = channels, .height = 13, .width = 13, .out = 64, .kernel = kernel, .pad = pad};
    // As many products in the same layout, computed directly.
    ConvShape direct = shape;
    direct.dilation = {1, 2};
    direct.pad = {pad.height, 2 * pad.width};
    const Rows rows{.first = 0, .count = 4, .units = {}};
    const std::string of = std::to_string(channels) + " channels, kernel " + std::to_string(kernel);
    const auto compare = [&](auto op, std::size_t result, const char* name) {
      ASSERT_TRUE(is_winograd(op));
      const double error = error_of(op, result);
      op.shape = direct;
      ASSERT_FALSE(is_winograd(op));
      const double direct_error = error_of(op, result);
      EXPECT_LT(error, 1.3 * direct_error) << name << ", " << of;
      EXPECT_LT(error, 1e-6) << name << ", " << of;
    };
    const Layout last = Layout::channels_last;
    compare(ConvForward{shape, rows, last, last}, 3, "forward");
    compare(ConvBackwardData{shape, rows, last, last}, 2, "backward data");
    compare(ConvBackwardWeights{shape, rows, last, last}, 2, "backward weights");
  }
}

// A result that is only rounded to bf16 is wrong by 0.0017.
TEST(Winograd, rounds_more_than_once_in_bf16_and_no_more_than_that) {
  if (!has_winograd() || !onednn::has_bf16()) GTEST_SKIP() << "it needs AVX512_BF16";
  const Rows rows{.first = 0, .count = 3, .units = {}};
  const Layout last = Layout::channels_last;
  for (const std::int64_t kernel : {3, 5}) {
    const ConvShape shape{
        .channels = 64, .height = 13, .width = 13, .out = 96, .kernel = kernel, .pad = Extent(kernel / 2)};
    EXPECT_LT(error_of(ConvForward{shape, rows, last, last, DType::bf16, DType::bf16}, 3), 0.005);
    EXPECT_LT(error_of(ConvBackwardData{shape, rows, last, last, DType::bf16}, 2), 0.005);
    EXPECT_LT(error_of(ConvBackwardWeights{shape, rows, last, last, DType::bf16}, 2), 0.005);
    EXPECT_LT(error_of(ConvBackwardWeights{shape, rows, last, last, DType::bf16}, 3), 0.005);  // of the biases
  }
}

// A sample's numbers do not depend on its neighbours nor on the threads, whether tiles fill a product's rows or not;
// gradients of weights do not depend on the threads.
TEST(Winograd, computes_each_sample_by_itself) {
  if (!has_winograd()) GTEST_SKIP() << "it needs AVX-512";
  const ConvShape shape{.channels = 32, .height = 7, .width = 9, .out = 48, .kernel = 3, .pad = 1};
  const Rows seven{.first = 0, .count = 7, .units = {}}, single{.first = 0, .count = 1, .units = {}};
  const Layout last = Layout::channels_last;
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  // Of arguments `images` each sample has a part.
  const auto expect_by_itself = [&](auto all, std::initializer_list<std::size_t> images, std::size_t result) {
    ASSERT_TRUE(is_winograd(all));
    const Arrays whole = run_op(*backend, all);
    EXPECT_TRUE(holds_bits(whole[result], 0, run_op(*backend, all, 3)[result]));
    auto one = all;
    one.rows = single;
    for (std::size_t sample = 0; sample < 7; ++sample) {
      Arrays arrays = make_arrays(all);
      for (const std::size_t i : images) {
        const std::size_t numbers = arrays[i].size() / 7;
        arrays[i] = std::vector<float>(arrays[i].begin() + static_cast<std::ptrdiff_t>(sample * numbers),
                                       arrays[i].begin() + static_cast<std::ptrdiff_t>((sample + 1) * numbers));
      }
      run_kernel(*backend->bind(one, 1), types_of(all), arrays);
      EXPECT_TRUE(holds_bits(whole[result], sample * arrays[result].size(), arrays[result]));
    }
  };
  for (const DType type : types()) {
    expect_by_itself(ConvForward{shape, seven, last, last, type, type}, {0, 3}, 3);
    expect_by_itself(ConvBackwardData{shape, seven, last, last, type}, {0, 2}, 2);
    const ConvBackwardWeights weights{shape, seven, last, last, type};
    ASSERT_TRUE(is_winograd(weights));
    const Arrays one_thread = run_op(*backend, weights), three = run_op(*backend, weights, 3);
    EXPECT_TRUE(holds_bits(one_thread[2], 0, three[2]));
    EXPECT_TRUE(holds_bits(one_thread[3], 0, three[3]));
  }
}

}  // namespace
}  // namespace hadal
