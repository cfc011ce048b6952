#include "ops/cpu/simd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace hadal {
namespace {

// Distance in units in the last place of the nearest fp32 to `exact`.
double ulps(float value, double exact) {
  const float nearest = static_cast<float>(exact);
  const double ulp = std::max(std::ldexp(1.0, -149),
                              static_cast<double>(std::nextafter(std::fabs(nearest), INFINITY)) - std::fabs(nearest));
  return std::fabs(static_cast<double>(value) - exact) / ulp;
}

HADAL_CLONES void exp_of(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = fast_exp(x[i]);
}
HADAL_CLONES void log_of(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = fast_log(x[i]);
}
HADAL_CLONES void inverse_fourth_root_of(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = inverse_fourth_root(x[i]);
}
HADAL_CLONES void rough_inverse_fourth_root_of(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = inverse_fourth_root<2>(x[i]);
}
HADAL_CLONES void sigmoid_of(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = fast_sigmoid(x[i]);
}
HADAL_CLONES void tanh_of(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = fast_tanh(x[i]);
}

std::vector<float> grid(float from, float to, float step) {
  std::vector<float> x;
  for (float at = from; at <= to; at += step) x.push_back(at);
  return x;
}

template <class Function, class Exact>
double worst_ulps(const std::vector<float>& x, Function function, Exact exact) {
  std::vector<float> y(x.size());
  function(x.data(), y.data(), x.size());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulps(y[i], exact(static_cast<double>(x[i]))));
  return worst;
}

TEST(Simd, functions_are_accurate) {
  const std::vector<float> x = grid(-103, 88.7f, 0.00077f);
  EXPECT_LT(worst_ulps(x, exp_of, [](double v) { return std::exp(v); }), 2);
  for (const float from : {1e-36f, 1e-3f, 0.25f, 1.0f, 40.0f, 1e12f, 1e36f}) {
    const std::vector<float> positive = grid(from, 20 * from, 0.0001f * from);
    EXPECT_LT(worst_ulps(positive, log_of, [](double v) { return std::log(v); }), 2) << from;
    EXPECT_LT(worst_ulps(positive, inverse_fourth_root_of, [](double v) { return std::pow(v, -0.25); }), 4) << from;
    std::vector<float> rough(positive.size());
    rough_inverse_fourth_root_of(positive.data(), rough.data(), rough.size());
    double worst = 0;
    for (std::size_t i = 0; i < rough.size(); ++i) {
      worst = std::max(worst, std::abs(rough[i] * std::pow(double{positive[i]}, 0.25) - 1));
    }
    EXPECT_LT(worst, 1.5e-5) << from;
  }
  EXPECT_LT(worst_ulps(grid(-86, 40, 0.00077f), sigmoid_of, [](double v) { return 1 / (1 + std::exp(-v)); }), 3);
  EXPECT_LT(worst_ulps(grid(-12, 12, 0.00011f), tanh_of, [](double v) { return std::tanh(v); }), 3);
}

TEST(Simd, functions_end_where_fp32_ends) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(fast_exp(0.0f), 1.0f);
  EXPECT_EQ(fast_exp(-200.0f), 0.0f);
  EXPECT_EQ(fast_exp(-kInfinity), 0.0f);
  EXPECT_EQ(fast_exp(200.0f), kInfinity);
  EXPECT_EQ(fast_exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(fast_exp(kNaN)));
  EXPECT_TRUE(std::isnan(fast_exp(-kNaN)));
  EXPECT_EQ(fast_sigmoid(-kInfinity), 0.0f);
  EXPECT_EQ(fast_sigmoid(kInfinity), 1.0f);
  EXPECT_TRUE(std::isnan(fast_sigmoid(kNaN)));
  EXPECT_EQ(fast_tanh(-kInfinity), -1.0f);
  EXPECT_EQ(fast_tanh(kInfinity), 1.0f);
  EXPECT_TRUE(std::isnan(fast_tanh(kNaN)));
}

// The vectorised part of a loop, its remainder, and a call for one element.
TEST(Simd, bits_do_not_depend_on_the_position) {
  const std::vector<float> x = grid(-10, 10, 0.17f);
  std::vector<float> all(x.size());
  exp_of(x.data(), all.data(), x.size());
  for (std::size_t first = 0; first < 40; ++first) {
    for (std::size_t count = 1; count < 40; ++count) {
      std::vector<float> some(count);
      exp_of(x.data() + first, some.data(), count);
      ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + static_cast<std::ptrdiff_t>(first)));
    }
  }
}

}  // namespace
}  // namespace hadal
