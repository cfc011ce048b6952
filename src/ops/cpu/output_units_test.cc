// Operators with units of their outputs give one result, however these are divided over devices.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>

#include "ops/cpu/cpu.h"
#include "ops/cpu/test_run.h"

namespace hadal {
namespace {

using std::int64_t;

// An argument as lines of outputs: which numbers of a line a unit of the outputs has.
struct Numbers {
  int64_t lines = 1;
  int64_t per_output = 0;  // 0: shared by all units
  bool inputs = false;     // of each group, of which a unit has some outputs
};

struct UnitsCase {
  std::string name;
  OutputUnits units;
  int64_t groups = 1;
  std::function<Op(int64_t outputs, int64_t groups, OutputUnits)> op;
  std::vector<Numbers> arguments;
};

void PrintTo(const UnitsCase& which, std::ostream* out) { *out << which.name; }

int64_t sum(const OutputUnits& units) { return std::accumulate(units.begin(), units.end(), int64_t{0}); }

class ByOutputs : public testing::TestWithParam<UnitsCase> {
 protected:
  // Consecutive units, and the groups that they are of.
  struct Part {
    OutputUnits units;
    int64_t first = 0, first_group = 0, groups = 1;  // first output
  };

  static Part part(std::size_t begin, std::size_t end) {
    const OutputUnits& all = GetParam().units;
    Part p{{all.begin() + static_cast<std::ptrdiff_t>(begin), all.begin() + static_cast<std::ptrdiff_t>(end)}, 0, 0, 1};
    p.first = std::accumulate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(begin), int64_t{0});
    const int64_t of_group = sum(all) / GetParam().groups;
    p.first_group = p.first / of_group;
    p.groups = (p.first + sum(p.units) - 1) / of_group + 1 - p.first_group;
    return p;
  }

  static Op op(const Part& p) { return GetParam().op(sum(p.units), p.groups, p.units); }

  // What a part has of an argument of all outputs.
  static std::vector<float> of_part(const std::vector<float>& whole, const Numbers& numbers, const Part& p) {
    const auto width = static_cast<int64_t>(whole.size()) / numbers.lines;
    int64_t first = 0, count = width;
    if (numbers.per_output > 0) first = p.first * numbers.per_output, count = sum(p.units) * numbers.per_output;
    if (numbers.inputs) {
      first = p.first_group * width / GetParam().groups;
      count = p.groups * width / GetParam().groups;
    }
    std::vector<float> some;
    for (int64_t line = 0; line < numbers.lines; ++line) {
      const auto begin = whole.begin() + line * width + first;
      some.insert(some.end(), begin, begin + count);
    }
    return some;
  }

  static Arrays run_part(Backend& backend, const Arrays& inputs, const Part& p) {
    Arrays arrays;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      arrays.push_back(of_part(inputs[i], GetParam().arguments[i], p));
    }
    run_kernel(*backend.bind(op(p), 2), types_of(op(p)), arrays, 2);
    return arrays;
  }
};

// Of halves, and of halves of these: where an argument is a sum over parts it is the sum of theirs, by halves.
TEST_P(ByOutputs, parts_give_the_bits_of_the_whole) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  const std::size_t units = GetParam().units.size();
  const Arrays inputs = make_arrays(op(part(0, units)));
  const std::vector<OpArgument> arguments = arguments_of(op(part(0, units)));
  const auto check = [&](const auto& self, std::size_t begin, std::size_t end, const Arrays& whole) -> void {
    if (end - begin == 1) return;
    const std::size_t middle = begin + (end - begin + 1) / 2;
    const Part all = part(begin, end), left = part(begin, middle), right = part(middle, end);
    const Arrays a = run_part(*backend, inputs, left), b = run_part(*backend, inputs, right);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (arguments[i].access == Access::read) continue;
      const Numbers& numbers = GetParam().arguments[i];
      std::vector<float> expected = whole[i];
      if (numbers.per_output > 0) {
        const auto at = [&](const Part& p, const std::vector<float>& of_p) {
          const int64_t width = sum(all.units) * numbers.per_output, own = sum(p.units) * numbers.per_output;
          for (int64_t line = 0; line < numbers.lines; ++line) {
            std::copy_n(of_p.begin() + line * own, own,
                        expected.begin() + line * width + (p.first - all.first) * numbers.per_output);
          }
        };
        at(left, a[i]);
        at(right, b[i]);
      } else if (all.groups == 1) {
        std::transform(a[i].begin(), a[i].end(), b[i].begin(), expected.begin(), std::plus<>());
      } else {
        const int64_t lines = numbers.lines, width = static_cast<int64_t>(whole[i].size()) / lines, half = width / 2;
        for (int64_t line = 0; line < lines; ++line) {
          std::copy_n(a[i].begin() + line * half, half, expected.begin() + line * width);
          std::copy_n(b[i].begin() + line * half, half, expected.begin() + line * width + half);
        }
      }
      EXPECT_TRUE(holds_bits(whole[i], 0, expected)) << arguments[i].name << " of units " << begin << " to " << end
                                                     << ", " << backend->bind(op(all), 1)->implementation();
    }
    self(self, begin, middle, a);
    self(self, middle, end, b);
  };
  check(check, 0, units, run_part(*backend, inputs, part(0, units)));
}

OutputUnits cut_evenly(int64_t outputs, int64_t count) {
  OutputUnits units;
  for (int64_t i = 0; i < count; ++i) units.push_back(outputs * (i + 1) / count - outputs * i / count);
  return units;
}

std::vector<UnitsCase> cases() {
  std::vector<UnitsCase> all;
  const Rows rows{.first = 0, .count = 17, .units = {5, 6, 6}};
  struct Full {
    int64_t in, out, units;
  };
  for (const Full f : {Full{500, 64, 4}, Full{33, 18, 3}, Full{2048, 512, 4}, Full{48, 2048, 8}, Full{9216, 256, 4}}) {
    const std::string name = std::to_string(f.in) + " to " + std::to_string(f.out);
    const OutputUnits units = cut_evenly(f.out, f.units);
    all.push_back({name + " forward",
                   units,
                   1,
                   [=](int64_t out, int64_t, OutputUnits of) -> Op {
                     return FullyConnectedForward{f.in, out, rows, DType::f32, DType::f32, std::move(of)};
                   },
                   {{rows.count}, {1, f.in}, {1, 1}, {rows.count, 1}}});
    all.push_back({name + " backward data",
                   units,
                   1,
                   [=](int64_t out, int64_t, OutputUnits of) -> Op {
                     return FullyConnectedBackwardData{f.in, out, rows, DType::f32, std::move(of)};
                   },
                   {{rows.count, 1}, {1, f.in}, {rows.count}}});
    all.push_back(
        {name + " backward weights",
         units,
         1,
         [=](int64_t out, int64_t, OutputUnits of) -> Op {
           return FullyConnectedBackwardWeights{f.in, out, 0, out, std::move(of), {0, rows.count, {rows.count}}};
         },
         {{rows.count}, {rows.count, 1}, {1, f.in}, {1, 1}}});
  }
  struct Conv {
    ConvShape shape;
    OutputUnits units;
  };
  const Conv convs[] = {
      {{.channels = 3, .height = 51, .width = 51, .out = 96, .kernel = 11, .stride = 4}, {16, 32, 16, 32}},
      {{.channels = 48, .height = 13, .width = 13, .out = 128, .kernel = 5, .pad = 2}, {32, 32, 32, 32}},
      {{.channels = 32, .height = 13, .width = 12, .out = 96, .kernel = 3, .pad = 1, .groups = 2}, {16, 32, 16, 32}},
      {{.channels = 32, .height = 9, .width = 8, .out = 128, .kernel = 3, .pad = 1}, {32, 32, 32, 32}},
      {{.channels = 8, .height = 7, .width = 9, .out = 16, .kernel = 3, .groups = 4}, {4, 4, 4, 4}},
      {{.channels = 20, .height = 12, .width = 12, .out = 50, .kernel = 5}, {12, 13, 12, 13}},
      {{.channels = 24, .height = 9, .width = 9, .out = 40, .kernel = 1}, {10, 10, 10, 10}},
      {{.channels = 1, .height = 17, .width = 13, .out = 64, .kernel = {5, 13}}, {16, 16, 16, 16}},
      {{.channels = 32, .height = 13, .width = 1, .out = 48, .kernel = {3, 1}, .dilation = {2, 1}}, {12, 12, 12, 12}},
  };
  for (const Conv& c : convs) {
    for (const Layout layout : {Layout::canonical, Layout::channels_last}) {
      const ConvShape s = c.shape;
      const std::string name = "conv " + std::to_string(s.channels) + " to " + std::to_string(s.out) +
                               (layout == Layout::canonical ? "" : " channels last");
      const auto shape = [s](int64_t out, int64_t groups) {
        ConvShape part = s;
        part.out = out, part.groups = groups, part.channels = s.channels / s.groups * groups;
        return part;
      };
      const bool last = layout == Layout::channels_last;
      const int64_t x_pixels = s.height * s.width, y_pixels = s.out_height() * s.out_width();
      const auto image = [&](int64_t pixels, bool outputs) {
        return Numbers{rows.count * (last ? pixels : 1), outputs ? (last ? 1 : pixels) : 0, !outputs};
      };
      const Numbers x = image(x_pixels, false), y = image(y_pixels, true);
      const Numbers weight{1, s.channels / s.groups * s.kernel.area()}, bias{1, 1};
      all.push_back({name + " forward",
                     c.units,
                     s.groups,
                     [=](int64_t out, int64_t groups, OutputUnits of) -> Op {
                       return ConvForward{shape(out, groups), rows,       layout,       layout,
                                          DType::f32,         DType::f32, std::move(of)};
                     },
                     {x, weight, bias, y}});
      all.push_back({name + " backward data",
                     c.units,
                     s.groups,
                     [=](int64_t out, int64_t groups, OutputUnits of) -> Op {
                       return ConvBackwardData{shape(out, groups), rows, layout, layout, DType::f32, std::move(of)};
                     },
                     {y, weight, x}});
      all.push_back({name + " backward weights",
                     c.units,
                     s.groups,
                     [=](int64_t out, int64_t groups, OutputUnits of) -> Op {
                       return ConvBackwardWeights{
                           shape(out, groups), {0, rows.count, {rows.count}}, layout, layout, DType::f32,
                           std::move(of)};
                     },
                     {x, y, weight, bias}});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(all, ByOutputs, testing::ValuesIn(cases()));

}  // namespace
}  // namespace hadal
