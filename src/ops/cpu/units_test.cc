#include "ops/cpu/units.h"

#include <gtest/gtest.h>

#include "ops/cpu/test_run.h"

namespace hadal {
namespace {

// y = x + error; counts its runs.
class Shifted final : public Kernel {
 public:
  Shifted(std::int64_t floats, float error, int& runs) : floats_(floats), error_(error), runs_(runs) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    ++runs_;
    const auto* x = reinterpret_cast<const float*>(arguments[0]);
    auto* y = reinterpret_cast<float*>(arguments[1]);
    for (std::int64_t i = 0; i < floats_; ++i) y[i] = x[i] + error_;
  }
  std::string implementation() const override { return "shifted"; }

 private:
  std::int64_t floats_;
  float error_;
  int& runs_;
};

struct Runs {
  int unit = 0, wrong = 0, right = 0;
};

// Units of two floats a row; ways: one that is wrong in the last bits, then perhaps one that is right.
PieceRequest request(Runs& runs, bool with_right_way) {
  PieceRequest r{
      .key = with_right_way ? "a" : "b",
      .units = {2, 0, 3},
      .operands = {{.elements = 10, .piece_elements = 2}, {.elements = 10, .piece_elements = 2, .written = true}},
      .bind_unit = [&](std::int64_t size) { return std::make_unique<Shifted>(2 * size, 0.0f, runs.unit); },
      .ways = {[&] { return std::make_unique<Shifted>(10, 1e-7f, runs.wrong); }}};
  if (with_right_way) r.ways.push_back([&] { return std::make_unique<Shifted>(10, 0.0f, runs.right); });
  return r;
}

TEST(Units, the_first_way_with_the_units_bits_is_taken_and_remembered) {
  SelfTests tests;
  Runs runs;
  tests.bind(request(runs, true));
  const int trials = runs.right;
  EXPECT_GT(trials, 1);              // of so few results
  EXPECT_EQ(runs.unit, 2 * trials);  // the empty unit has no kernel
  EXPECT_EQ(runs.wrong, 1);

  const std::unique_ptr<Kernel> again = tests.bind(request(runs, true));
  EXPECT_EQ(runs.unit + runs.wrong + runs.right, 3 * trials + 1);
  Arrays arrays = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, std::vector<float>(10)};
  run_kernel(*again, {DType::f32, DType::f32}, arrays);
  EXPECT_EQ(runs.right, trials + 1);
  EXPECT_EQ(arrays[0], arrays[1]);
}

TEST(Units, without_a_way_the_units_run_one_by_one) {
  SelfTests tests;
  Runs runs;
  for (int bind = 0; bind < 2; ++bind) {
    const std::unique_ptr<Kernel> kernel = tests.bind(request(runs, false));
    Arrays arrays = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, std::vector<float>(10)};
    run_kernel(*kernel, {DType::f32, DType::f32}, arrays);
    EXPECT_EQ(arrays[0], arrays[1]);
    EXPECT_EQ(kernel->implementation(), "shifted, unit by unit");
  }
  EXPECT_EQ(runs.unit, 2 + 2 + 2);
  EXPECT_EQ(runs.wrong, 1);
}

}  // namespace
}  // namespace hadal
