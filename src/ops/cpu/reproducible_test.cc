// Operators with units give one result, however the units are spread over devices.

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "ops/cpu/cpu.h"
#include "ops/cpu/test_run.h"
#include "ops/in_fp32.h"

namespace hadal {
namespace {

constexpr std::int64_t kShards = 12;
const std::int64_t kBatches[] = {64, 60, 32, 7};
const std::int64_t kDevices[] = {1, 2, 3, 4, 6, 5, 7, 8};

// Units and what comes before them.
struct Held {
  std::int64_t first = 0, count = 0;
  std::vector<std::int64_t> units;
};

// The pieces of `count` (their bounds floor(count v / shards)) that device `d` of `devices` holds.
Held held_by(std::int64_t d, std::int64_t devices, std::int64_t count, std::int64_t shards) {
  Held held;
  const auto bound = [=](std::int64_t shard) { return count * shard / shards; };
  const std::int64_t begin = shards * d / devices, end = shards * (d + 1) / devices;
  held.first = bound(begin);
  held.count = bound(end) - bound(begin);
  for (std::int64_t shard = begin; shard < end; ++shard) held.units.push_back(bound(shard + 1) - bound(shard));
  return held;
}

// An operator on some of the pieces; which arguments move with them.
struct PieceCase {
  std::string name;
  std::int64_t pieces;  // rows or outputs
  std::function<Op(const Held&)> op;
  std::vector<std::int64_t> piece_floats;  // for each argument; 0: shared by all pieces
  std::int64_t shards = kShards;           // that the pieces are cut into
};

void PrintTo(const PieceCase& which, std::ostream* out) { *out << which.name; }

Arrays slice(const Arrays& whole, const PieceCase& which, const Held& held) {
  Arrays part;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const bool moves = which.piece_floats[i] != 0;
    const auto begin = whole[i].begin() + held.first * which.piece_floats[i];
    part.emplace_back(begin, moves ? begin + held.count * which.piece_floats[i] : whole[i].end());
  }
  return part;
}

ConvShape lenet1() { return {.channels = 1, .height = 28, .width = 28, .out = 20, .kernel = 5}; }
ConvShape lenet2() { return {.channels = 20, .height = 12, .width = 12, .out = 50, .kernel = 5}; }
ConvShape full() { return {.channels = 16, .height = 6, .width = 7, .out = 32, .kernel = 3, .pad = 1}; }
ConvShape grouped() {
  return {.channels = 32, .height = 7, .width = 6, .out = 32, .kernel = 3, .stride = 2, .pad = 1, .groups = 2};
}
ConvShape grouped_winograd() {
  return {.channels = 64, .height = 9, .width = 8, .out = 96, .kernel = 3, .pad = 1, .groups = 2};
}
ConvShape winograd_5x5() { return {.channels = 32, .height = 13, .width = 12, .out = 48, .kernel = 5, .pad = 2}; }
ConvShape rectangular() {
  return {.channels = 16, .height = 8, .width = 9, .out = 32, .kernel = {2, 5}, .stride = {1, 2}, .pad = {1, 0}};
}
// Of a time-delay network.
ConvShape all_columns() { return {.channels = 1, .height = 20, .width = 13, .out = 48, .kernel = {5, 13}}; }
ConvShape one_column() {
  return {.channels = 48, .height = 15, .width = 1, .out = 32, .kernel = {3, 1}, .dilation = {3, 1}};
}

Rows rows_of(const Held& held) { return {.first = held.first, .count = held.count, .units = held.units}; }

std::vector<PieceCase> row_cases() {
  std::vector<PieceCase> cases;
  for (const std::int64_t batch : kBatches) {
    const std::string suffix = ", batch " + std::to_string(batch);
    const std::pair<const char*, ConvShape> convs[] = {{"LeNet's first conv", lenet1()},
                                                       {"LeNet's second conv", lenet2()},
                                                       {"full", full()},
                                                       {"grouped", grouped()},
                                                       {"grouped, by Winograd", grouped_winograd()},
                                                       {"5x5, by Winograd", winograd_5x5()},
                                                       {"rectangular", rectangular()},
                                                       {"all columns", all_columns()},
                                                       {"one column dilated", one_column()}};
    for (const auto& [name, s] : convs) {
      const std::int64_t x = s.channels * s.height * s.width, y = s.out * s.out_height() * s.out_width();
      cases.push_back({std::string(name) + " forward" + suffix,
                       batch,
                       [s = s](const Held& held) -> Op {
                         return ConvForward{s, rows_of(held), Layout::channels_last, Layout::channels_last};
                       },
                       {x, 0, 0, y}});
      cases.push_back({std::string(name) + " backward data" + suffix,
                       batch,
                       [s = s](const Held& held) -> Op {
                         return ConvBackwardData{s, rows_of(held), Layout::channels_last, Layout::channels_last};
                       },
                       {y, 0, x}});
    }
    const std::pair<std::int64_t, std::int64_t> layers[] = {{800, 500}, {500, 10}, {33, 17}, {2048, 48}, {48, 2048}};
    for (const auto& [in, out] : layers) {
      const std::string name = std::to_string(in) + " to " + std::to_string(out);
      cases.push_back({name + " forward" + suffix,
                       batch,
                       [in = in, out = out](const Held& held) -> Op {
                         return FullyConnectedForward{in, out, rows_of(held)};
                       },
                       {in, 0, 0, out}});
      cases.push_back({name + " backward data" + suffix,
                       batch,
                       [in = in, out = out](const Held& held) -> Op {
                         return FullyConnectedBackwardData{in, out, rows_of(held)};
                       },
                       {out, 0, in}});
    }
  }
  return cases;
}

std::vector<PieceCase> output_cases() {
  std::vector<PieceCase> cases;
  for (const std::int64_t batch : kBatches) {
    const std::pair<std::int64_t, std::int64_t> layers[] = {{800, 500}, {500, 10}, {33, 17}, {48, 2048}, {1024, 512}};
    for (const auto& [in, out] : layers) {
      const Rows rows{.first = 0, .count = batch, .units = {batch}};
      cases.push_back({std::to_string(in) + " to " + std::to_string(out) + " batch " + std::to_string(batch),
                       out,
                       [in = in, out = out, rows](const Held& held) -> Op {
                         return FullyConnectedBackwardWeights{in, out, held.first, held.count, held.units, rows};
                       },
                       {0, 0, in, 1}});
    }
  }
  // The gradient and update in one, whose blocks are smaller than a device's only piece.
  for (const std::int64_t batch : {64, 300}) {
    const std::pair<std::int64_t, std::int64_t> layers[] = {{500, 2000}, {1000, 4200}, {512, 3072}};
    for (const auto& [in, out] : layers) {
      for (const std::int64_t pieces : {2, 4, 12}) {
        const Rows rows{.first = 0, .count = batch, .units = {batch}};
        cases.push_back({"update " + std::to_string(in) + " to " + std::to_string(out) + " batch " +
                             std::to_string(batch) + " in " + std::to_string(pieces),
                         out,
                         [in = in, out = out, rows](const Held& held) -> Op {
                           return FullyConnectedUpdate{{in, out, held.first, held.count, held.units, rows},
                                                       UpdateRule::sgd(0.9, 5e-4),
                                                       UpdateRule::sgd(0.9, 5e-4)};
                         },
                         {0, 0, in, 1, in, 1},
                         pieces});
      }
    }
  }
  return cases;
}

class Reproducible : public testing::TestWithParam<PieceCase> {};

TEST_P(Reproducible, any_split_gives_the_bits_of_one_device) {
  const PieceCase& which = GetParam();
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  const Op whole_op = which.op(held_by(0, 1, which.pieces, which.shards));
  const std::vector<OpArgument> arguments = arguments_of(whole_op);
  const Arrays inputs = make_arrays(whole_op);
  const Arrays whole = run_op(*backend, whole_op);

  for (const std::int64_t devices : kDevices) {
    for (std::int64_t d = 0; d < devices; ++d) {
      const Held held = held_by(d, devices, which.pieces, which.shards);
      if (held.count == 0) continue;
      const std::unique_ptr<Kernel> kernel = backend->bind(which.op(held), 2);  // units compute on one thread anyway
      Arrays part = slice(inputs, which, held);
      run_kernel(*kernel, types_of(whole_op), part, 2, static_cast<std::size_t>(d) % 4);
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (arguments[i].access == Access::read) continue;
        ASSERT_TRUE(holds_bits(whole[i], static_cast<std::size_t>(held.first * which.piece_floats[i]), part[i]))
            << arguments[i].name << " of device " << d << " of " << devices << ", " << kernel->implementation();
      }
    }
  }
}

// The same in bf16.
std::vector<PieceCase> in_bf16(std::vector<PieceCase> cases) {
  for (PieceCase& which : cases) {
    which.name += ", bf16";
    which.op = [op = which.op](const Held& held) { return *hadal::in_bf16(op(held)); };
    // An update writes a copy of its weights.
    const Op one = which.op({0, 1, {1}});
    if (const auto* update = std::get_if<FullyConnectedUpdate>(&one)) which.piece_floats.push_back(update->gradient.in);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Rows, Reproducible, testing::ValuesIn(row_cases()));
INSTANTIATE_TEST_SUITE_P(RowsInBf16, Reproducible, testing::ValuesIn(in_bf16(row_cases())));
INSTANTIATE_TEST_SUITE_P(Outputs, Reproducible, testing::ValuesIn(output_cases()));
INSTANTIATE_TEST_SUITE_P(OutputsInBf16, Reproducible, testing::ValuesIn(in_bf16(output_cases())));

// Weight gradients of a shard: one unit, one thread.
TEST(Reproducible, a_weight_gradient_does_not_depend_on_the_threads_of_its_device) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  for (const ConvShape& shape : {lenet1(), lenet2(), full(), grouped(), grouped_winograd(), winograd_5x5(),
                                 rectangular(), all_columns(), one_column()}) {
    const ConvBackwardWeights op{
        shape, {.first = 0, .count = 11, .units = {11}}, Layout::channels_last, Layout::channels_last};
    const Arrays one = run_op(*backend, op, 1), two = run_op(*backend, op, 2);
    EXPECT_TRUE(holds_bits(one[2], 0, two[2]));
    EXPECT_TRUE(holds_bits(one[3], 0, two[3]));
  }
}

}  // namespace
}  // namespace hadal
