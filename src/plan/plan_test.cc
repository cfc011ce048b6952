// Every plan, whatever network, devices and exchange: ordered, minimal, complete, and placed without overlap.

#include "plan/plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "plan/memory.h"
#include "plan/recompute.h"
#include "plan/simulate.h"
#include "testing/networks.h"

namespace hadal {
namespace {

constexpr ExchangeTopology kTopologies[] = {ExchangeTopology::shared, ExchangeTopology::direct, ExchangeTopology::line,
                                            ExchangeTopology::tree, ExchangeTopology::ring};

struct Case {
  std::string name;
  NetworkSpec network;
  int devices = 1;
  ExchangeTopology topology = ExchangeTopology::shared;
  ExchangeContent content = ExchangeContent::automatic;
  std::int64_t shards = 0;
  double clip_norm = 0;
  std::int64_t rows = 24;
  DType precision = DType::f32;
  UpdateRule rule = UpdateRule::sgd(0.9, 0);
  std::int64_t pass_rows = 0;
  bool device_states = false;
  PlanOptions::Deferred deferred{};
  int split = 1;
  bool again = false;  // backward computes all again that it can
};

PlanOptions options_of(const Case& c) {
  PlanOptions options;
  options.batch = 24;
  options.rows = c.rows;
  for (int d = 0; d < c.devices; ++d) {
    const bool shared = c.topology == ExchangeTopology::shared;
    options.devices.push_back({(shared ? "cpu:" : "fake:") + std::to_string(d), shared ? 0 : 1 + d});
  }
  options.topology = c.topology;
  options.content = c.content;
  options.reproducible_shards = c.shards;
  options.rule = c.rule;
  options.clip_norm = c.clip_norm;
  options.precision = c.precision;
  options.pass_rows = c.pass_rows;
  options.device_states = c.device_states;
  options.deferred = c.deferred;
  options.split = c.split;
  options.smallest_part = 1;
  options.image_layout = Layout::channels_last;
  if (c.again) {
    const Network network = build_network(c.network);
    for (const KeptValue& value : kept_values(build_plan(network, options))) options.recompute.insert(value.name);
  }
  return options;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::vector<std::pair<std::string, NetworkSpec>> networks{{"lenet", testing::small_lenet()},
                                                                  {"dag", testing::small_dag()},
                                                                  {"mlp", testing::small_mlp()},
                                                                  {"batch_norm", testing::small_batch_norm()}};
  for (const auto& [name, network] : networks) {
    for (const ExchangeTopology topology : kTopologies) {
      for (const int devices : {1, 2, 3, 6, 8}) {
        if (devices == 8 && topology != ExchangeTopology::shared && topology != ExchangeTopology::line) continue;
        const std::string base = fmt::format("{}_{}{}", name, to_string(topology), devices);
        all.push_back({base, network, devices, topology});
        all.push_back({base + "_gradients", network, devices, topology, ExchangeContent::gradients});
        all.push_back({base + "_factors", network, devices, topology, ExchangeContent::factors});
        all.push_back({base + "_bf16", network, devices, topology, ExchangeContent::automatic, 0, 0, 24, DType::bf16});
        all.push_back(
            {base + "_bf16_clip", network, devices, topology, ExchangeContent::factors, 0, 0.5, 24, DType::bf16});
        all.push_back({base + "_adam",
                       network,
                       devices,
                       topology,
                       ExchangeContent::automatic,
                       0,
                       0,
                       24,
                       DType::bf16,
                       {.kind = RuleKind::adam, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}});
        if (devices <= 3) {
          all.push_back({base + "_again", network, devices, topology});
          all.back().again = true;
          all.push_back({base + "_again_bf16", network, devices, topology, ExchangeContent::gradients});
          all.back().precision = DType::bf16;
          all.back().again = true;
        }
        if (devices == 3) {
          all.push_back({base + "_passes", network, devices, topology});
          all.back().pass_rows = 10;
          all.push_back({base + "_passes_again", network, devices, topology});
          all.back().pass_rows = 10;
          all.back().again = true;
          all.push_back({base + "_states", network, devices, topology});
          all.back().rule = {.kind = RuleKind::adagrad, .weight_decay = 1e-4, .epsilon = 1e-10};
          all.back().device_states = true;
        }
        if (devices == 3 && topology != ExchangeTopology::shared) {
          all.push_back({base + "_deferred", network, devices, topology, ExchangeContent::gradients});
          all.back().deferred = {2, 1};
          all.push_back(all.back());
          all.back().name += "_again";
          all.back().again = true;
          all.push_back({base + "_deferred_bf16", network, devices, topology, ExchangeContent::automatic, 12});
          all.back().deferred = {1, 0};
          all.back().precision = DType::bf16;
        }
        for (const int split : {2, 3}) {
          if (devices % split != 0) continue;
          const auto add = [&](const std::string& kind) -> Case& {
            all.push_back({fmt::format("{}_split{}{}", base, split, kind), network, devices, topology});
            all.back().split = split;
            return all.back();
          };
          add("");
          add("_again").again = true;
          add("_gradients").content = ExchangeContent::gradients;
          add("_factors_bf16").content = ExchangeContent::factors;
          all.back().precision = DType::bf16;
          if (topology == ExchangeTopology::shared || topology == ExchangeTopology::direct) {
            add("_clip").clip_norm = 0.5;
            add("_reproducible").shards = 12;
          }
          add("_short").rows = 5;
          add("_passes").pass_rows = 10;
          add("_passes_again").pass_rows = 10;
          all.back().again = true;
        }
        all.push_back({base + "_reproducible", network, devices, topology, ExchangeContent::automatic, 12});
        all.push_back({base + "_reproducible_again", network, devices, topology, ExchangeContent::automatic, 12});
        all.back().again = true;
        all.push_back({base + "_clip", network, devices, topology, ExchangeContent::automatic, 12, 0.5});
        all.push_back({base + "_short", network, devices, topology, ExchangeContent::automatic, 0, 0, 5});
        all.push_back({base + "_short_reproducible", network, devices, topology, ExchangeContent::automatic, 12, 0, 5});
      }
    }
  }
  return all;
}

// done[i][j]: step j is certainly done when step i begins, by stream order and waits alone.
// `room`: by waits for room too.
std::vector<std::vector<bool>> happens_before(const Plan& plan, int skip_step = -1, std::size_t skip_wait = 0,
                                              bool room = false) {
  const std::size_t n = plan.steps.size();
  std::vector<std::vector<bool>> done(n, std::vector<bool>(n));
  std::map<std::pair<int, StreamKind>, int> previous;
  for (std::size_t i = 0; i < n; ++i) {
    const Step& step = plan.steps[i];
    std::vector<int> direct;
    for (std::size_t w = 0; w < step.waits.size(); ++w) {
      if (static_cast<int>(i) != skip_step || w != skip_wait) direct.push_back(step.waits[w]);
    }
    if (room) direct.insert(direct.end(), step.room_waits.begin(), step.room_waits.end());
    const auto key = std::make_pair(step.device, step.stream);
    if (previous.contains(key)) direct.push_back(previous[key]);
    previous[key] = static_cast<int>(i);
    for (const int j : direct) {
      done[i][j] = true;
      for (std::size_t k = 0; k < n; ++k) done[i][k] = done[i][k] || done[j][k];
    }
  }
  return done;
}

// The elements that a step touches in a range, as spans [first, end): one for each row of a transfer.
std::vector<std::pair<std::int64_t, std::int64_t>> spans(const Plan& plan, const Step& step, const Range& range,
                                                         bool writes) {
  const auto* transfer = std::get_if<Transfer>(&step.body);
  if (transfer == nullptr) return {{range.first, range.first + range.count}};
  const auto size = size_of(plan.tensors[range.tensor].type);
  std::vector<std::pair<std::int64_t, std::int64_t>> rows;
  for (std::size_t row = 0; row < transfer->rows; ++row) {
    const std::size_t pitch = writes ? transfer->destination_pitch : transfer->source_pitch;
    const auto first = range.first + static_cast<std::int64_t>(row * pitch / size);
    rows.emplace_back(first, first + static_cast<std::int64_t>(transfer->row_bytes / size));
  }
  return rows;
}

bool conflict(const Plan& plan, const Step& a, const Step& b) {
  const auto meet = [&](const std::vector<Range>& some, bool some_written, const std::vector<Range>& others,
                        bool others_written) {
    for (const Range& r : some) {
      for (const Range& s : others) {
        if (r.tensor != s.tensor || r.first >= s.first + s.count || s.first >= r.first + r.count) continue;
        for (const auto& [first, end] : spans(plan, a, r, some_written)) {
          for (const auto& [other_first, other_end] : spans(plan, b, s, others_written)) {
            if (first < other_end && other_first < end) return true;
          }
        }
      }
    }
    return false;
  };
  return meet(a.writes, true, b.writes, true) || meet(a.writes, true, b.reads, false) ||
         meet(a.reads, false, b.writes, true);
}

bool has_race(const Plan& plan, const std::vector<std::vector<bool>>& done) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!done[i][j] && conflict(plan, plan.steps[i], plan.steps[j])) return true;
    }
  }
  return false;
}

class PlanTest : public ::testing::TestWithParam<Case> {
 protected:
  Network network_ = build_network(GetParam().network);
  Plan plan_ = build_plan(network_, options_of(GetParam()));
};

TEST_P(PlanTest, every_two_steps_that_conflict_are_ordered_and_no_wait_is_idle) {
  EXPECT_FALSE(has_race(plan_, happens_before(plan_)));
  if (plan_.steps.size() > 150) return;  // the second half is cubic
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    for (std::size_t w = 0; w < plan_.steps[i].waits.size(); ++w) {
      EXPECT_TRUE(has_race(plan_, happens_before(plan_, static_cast<int>(i), w)))
          << plan_.steps[i].name << " waits in vain for " << plan_.steps[plan_.steps[i].waits[w]].name;
    }
  }
}

TEST_P(PlanTest, owners_cover_each_parameter_once) {
  for (std::size_t p = 0; p < network_.parameters.size(); ++p) {
    const Parameter& parameter = network_.parameters[p];
    std::int64_t next = 0;
    for (const OwnedRange& owned : plan_.owned) {
      if (owned.parameter != static_cast<int>(p)) continue;
      const bool again = owned.first == 0 && plan_.parts[parameter.layer] < plan_.split;  // of the next partition
      if (again && next > 0) {
        EXPECT_EQ(next, elements(parameter.shape));
        next = 0;
      }
      EXPECT_EQ(owned.first, next);
      next += owned.count;
      // A partition's ranges are of what its devices have.
      const ParameterPlace& place = plan_.parameters[p];
      EXPECT_GE(owned.first, place.first[owned.device]);
      EXPECT_LE(owned.first + owned.count,
                place.first[owned.device] + plan_.tensors[place.tensor[owned.device]].elements);
    }
    EXPECT_EQ(next, parameter.learned ? elements(parameter.shape) : 0) << parameter.name;
  }
}

TEST_P(PlanTest, every_element_that_is_read_was_written_or_persists) {
  std::vector<std::vector<std::pair<std::int64_t, std::int64_t>>> written(plan_.tensors.size());
  for (const Step& step : plan_.steps) {
    for (const Range& range : step.reads) {
      const PlanTensor& tensor = plan_.tensors[range.tensor];
      if (tensor.persistent()) continue;
      if (tensor.carried && step.deferred) {
        EXPECT_TRUE(std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const Step& other) {
          return !other.deferred &&
                 std::any_of(other.writes.begin(), other.writes.end(),
                             [&](const Range& written_later) { return written_later.tensor == range.tensor; });
        })) << tensor.name;
        continue;
      }
      auto pieces = written[range.tensor];
      std::sort(pieces.begin(), pieces.end());
      if (std::holds_alternative<Transfer>(step.body)) {
        for (auto [at, last] : spans(plan_, step, range, false)) {
          for (const auto& [first, end] : pieces) {
            if (first <= at) at = std::max(at, end);
          }
          EXPECT_GE(at, last) << step.name << " sends " << plan_.tensors[range.tensor].name;
        }
        continue;
      }
      std::int64_t reached = range.first;
      for (const auto& [first, end] : pieces) {
        if (first <= reached) reached = std::max(reached, end);
      }
      // A transfer of columns spans whole rows but the last; its pieces leave what nobody reads.
      const bool columns = std::holds_alternative<Compute>(step.body) &&
                           (std::holds_alternative<FullyConnectedBackwardWeights>(std::get<Compute>(step.body).op) ||
                            std::holds_alternative<FullyConnectedUpdate>(std::get<Compute>(step.body).op));
      if (columns && &range == &step.reads[1]) {
        const auto& op = std::get<Compute>(step.body).op;
        const auto* update = std::get_if<FullyConnectedUpdate>(&op);
        const auto& product = update ? update->gradient : std::get<FullyConnectedBackwardWeights>(op);
        for (std::int64_t row = 0; row < product.rows.count; ++row) {
          std::int64_t column = range.first + row * product.out + product.first_output;
          const std::int64_t last = column + product.outputs;
          for (const auto& [first, end] : pieces) {
            if (first <= column) column = std::max(column, end);
          }
          EXPECT_GE(column, last) << step.name << " reads row " << row << " of " << plan_.tensors[range.tensor].name;
        }
        continue;
      }
      EXPECT_GE(reached, range.first + range.count) << step.name << " reads " << plan_.tensors[range.tensor].name;
    }
    for (const Range& range : step.writes) {
      for (const auto& span : spans(plan_, step, range, true)) written[range.tensor].push_back(span);
    }
  }
}

TEST_P(PlanTest, memory_of_living_tensors_never_overlaps) {
  const MemoryPlan memory =
      plan_memory(plan_, {64, std::vector<std::size_t>(plan_.devices.size() * kStreamKinds, 1000), true});
  std::vector<std::vector<int>> users(plan_.tensors.size());  // steps, in order
  for (int i = 0; i < static_cast<int>(plan_.steps.size()); ++i) {
    for (const auto* ranges : {&plan_.steps[i].reads, &plan_.steps[i].writes}) {
      for (const Range& range : *ranges) users[range.tensor].push_back(i);
    }
  }
  const auto end = [&](std::size_t t) { return memory.offset[t] + plan_.tensors[t].bytes(); };
  const auto done = happens_before(plan_, -1, 0, true);
  // Whether each step that uses `first` is done before any that uses `second` begins.
  const auto before = [&](std::size_t first, std::size_t second) {
    return std::all_of(users[second].begin(), users[second].end(), [&](int later) {
      return std::all_of(users[first].begin(), users[first].end(), [&](int earlier) { return done[later][earlier]; });
    });
  };
  for (std::size_t a = 0; a < plan_.tensors.size(); ++a) {
    if (!users[a].empty()) {
      EXPECT_LE(end(a), memory.use[plan_.tensors[a].device].peak) << plan_.tensors[a].name;
    }
    for (std::size_t b = 0; b < a; ++b) {
      if (users[a].empty() || users[b].empty() || plan_.tensors[a].device != plan_.tensors[b].device) continue;
      if (end(a) <= memory.offset[b] || end(b) <= memory.offset[a]) continue;
      const bool persists = plan_.tensors[a].persistent() || plan_.tensors[b].persistent();
      EXPECT_TRUE(!persists && (before(a, b) || before(b, a)))
          << plan_.tensors[a].name << " and " << plan_.tensors[b].name << " share bytes";
    }
  }
}

TEST_P(PlanTest, simulation_is_bounded_by_its_parts) {
  const int devices = static_cast<int>(plan_.devices.size());
  const Machine machine = uniform_machine(devices, {});
  const Simulation result = simulate(plan_, machine);
  EXPECT_GE(result.step_seconds, *std::max_element(result.compute_seconds.begin(), result.compute_seconds.end()));
  EXPECT_GE(result.exchange_seconds, -1e-12);
  EXPECT_LT(simulate(plan_, uniform_machine(devices, {1e15, 0})).step_seconds, result.step_seconds + 1e-12);
  EXPECT_EQ(result.port_bytes, port_bytes(plan_, machine));
  std::size_t left = 0, arrived = 0;  // of devices and the host, through the switch
  for (std::size_t port = 0; port < result.port_bytes.size(); ++port) {
    (port % 2 == 0 ? left : arrived) += result.port_bytes[port];
  }
  std::size_t all = plan_.exchange_bytes() + plan_.transfer_bytes();
  for (const std::size_t bytes : plan_.load_bytes) all += bytes;
  EXPECT_EQ(left, all);
  EXPECT_EQ(arrived, all);
}

INSTANTIATE_TEST_SUITE_P(all, PlanTest, ::testing::ValuesIn(cases()), [](const auto& test) { return test.param.name; });

TEST(plan, memory_is_shared_by_tensors_that_do_not_live_together) {
  const Network network = build_network(testing::small_lenet());
  for (const PlanMode mode : {PlanMode::train, PlanMode::evaluate}) {
    PlanOptions options = options_of({"", testing::small_lenet(), 1});
    options.mode = mode;
    const Plan plan = build_plan(network, options);
    const std::size_t with = plan_memory(plan, {64, {}, true}).use[0].peak;
    EXPECT_LT(static_cast<double>(with), 0.9 * static_cast<double>(plan_memory(plan, {64, {}, false}).use[0].peak));
  }
}

TEST(plan, direct_exchange_of_gradients_moves_what_the_ranges_say) {
  const Network network = build_network(testing::small_mlp());
  const Case c{"", testing::small_mlp(), 3, ExchangeTopology::direct, ExchangeContent::gradients};
  const Plan plan = build_plan(network, options_of(c));
  // Each range goes from both other devices to its owner and back to both.
  EXPECT_EQ(plan.exchange_bytes(), static_cast<std::size_t>(network.parameter_elements()) * 4 * 2 * 2);
  EXPECT_EQ(plan.remote_read_bytes, 0u);
}

TEST(plan, factors_move_rows_of_inputs_and_columns_of_diffs) {
  const NetworkSpec spec{{100}, {testing::fully_connected("only", 120)}, {}};
  const Network network = build_network(spec);
  const Case c{"", spec, 2, ExchangeTopology::direct, ExchangeContent::factors};
  const Plan plan = build_plan(network, options_of(c));
  const std::size_t rows = 12, factors = 2 * rows * (100 + 60) * 4, parameters = 120 * 101 * 4;
  EXPECT_EQ(plan.exchange_bytes(), factors + parameters);
}

TEST(plan, shared_exchange_copies_nothing_and_counts_what_it_reads) {
  const Network network = build_network(testing::small_lenet());
  const Plan plan = build_plan(network, options_of({"", testing::small_lenet(), 2}));
  EXPECT_EQ(plan.exchange_bytes(), 0u);
  EXPECT_GT(plan.remote_read_bytes, 0u);
}

// Each group's device reads the other's half of a gradient, and the half of the new values that the other owns.
TEST(plan, shared_exchange_of_split_models_is_within_partitions) {
  const NetworkSpec spec{{100}, {testing::fully_connected("only", 120)}, {}};
  Case c{"", spec, 4, ExchangeTopology::shared, ExchangeContent::gradients};
  c.split = 2;
  const Plan plan = build_plan(build_network(spec), options_of(c));
  EXPECT_EQ(plan.exchange_bytes(), 0u);
  const std::size_t partition = 60 * 101 * 4;
  EXPECT_EQ(plan.remote_read_bytes, 2 * (partition + partition));
}

TEST(plan, content_follows_the_fewer_bytes_and_reproducible_refuses_another) {
  const Network network = build_network(testing::small_lenet());
  PlanOptions options = options_of({"", testing::small_lenet(), 2});
  EXPECT_EQ(exchange_content(network, 5, options), ExchangeContent::factors);  // 72 -> 96 at batch 24
  options.batch = 64;
  EXPECT_EQ(exchange_content(network, 5, options), ExchangeContent::gradients);
  options.batch = 24;
  options.reproducible_shards = 12;
  options.content = ExchangeContent::gradients;
  EXPECT_THROW(exchange_content(network, 5, options), ConfigError);
}

TEST(partition, shards_are_whole_and_cover_the_batch) {
  for (const std::int64_t rows : {1, 5, 12, 60, 64}) {
    for (int devices = 1; devices <= 8; ++devices) {
      std::int64_t next = 0;
      std::vector<std::int64_t> units;
      for (const RowSpan& span : partition_rows(rows, devices, 12)) {
        EXPECT_EQ(span.first, next);
        next += span.count;
        EXPECT_EQ(std::accumulate(span.units.begin(), span.units.end(), std::int64_t{0}), span.count);
        units.insert(units.end(), span.units.begin(), span.units.end());
      }
      EXPECT_EQ(next, rows);
      EXPECT_EQ(units, partition_rows(rows, 1, 12)[0].units) << "units depend on the devices";
    }
  }
}

TEST(network, refuses_what_cannot_be_built) {
  const auto message = [](const NetworkSpec& spec) -> std::string {
    try {
      build_network(spec);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  using testing::conv;
  using testing::fully_connected;
  EXPECT_EQ(message({{1, 4, 4}, {conv("c", {.out = 3, .kernel = 5})}, {}}),
            "c: kernel height 5 is larger than the input's 4; the input is [1, 4, 4]");
  EXPECT_EQ(message({{1, 4, 1}, {conv("c", {.out = 3, .kernel = {3, 5}, .pad = 1})}, {}}),
            "c: kernel width 5 is larger than the padded input's 3; the input is [1, 4, 1]");
  EXPECT_EQ(message({{1, 4, 4}, {conv("c", {.out = 3, .kernel = 3, .dilation = {2, 1}})}, {}}),
            "c: kernel height 3, dilated to 5, is larger than the input's 4; the input is [1, 4, 4]");
  EXPECT_EQ(
      message({{1, 4, 4}, {testing::layer("max_pool", "p", PoolOptions{PoolKind::max, {4, 3}, 1, 2, false})}, {}}),
      "p: pad 2 of the width is more than half of kernel width 3");
  EXPECT_EQ(message({{3, 4, 4}, {conv("c", {.out = 4, .kernel = 1, .groups = 2})}, {}}),
            "c: groups: 2 must divide its 3 input channels and its 4 output channels");
  EXPECT_EQ(message({{8}, {conv("c", {.out = 3, .kernel = 1})}, {}}),
            "c needs an input of [channels, height, width]; it gets [8]");
  EXPECT_EQ(message({{8}, {fully_connected("a", 3), fully_connected("b", 3, {"x"})}, {}}),
            "'b' takes its input from 'x', which is not a layer above it");
  EXPECT_EQ(message({{8}, {fully_connected("a", 3), fully_connected("b", 3, {"input"})}, {}}),
            "nothing uses the output of 'a'; only the last layer may end the network");
  EXPECT_EQ(message({{8}, {fully_connected("a", 3), testing::layer("add", "s", AddOptions{}, {"a", "input"})}, {}}),
            "s: cannot add [3] and [8]");
}

}  // namespace
}  // namespace hadal
