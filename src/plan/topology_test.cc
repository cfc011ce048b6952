// Ways between devices, and what the check of plans finds where a step is missing, doubled or misled.

#include "plan/topology.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <numeric>
#include <set>

#include "plan/plan.h"
#include "plan/verify.h"
#include "testing/networks.h"
#include "testing/plans.h"

namespace hadal {
namespace {

constexpr ExchangeTopology kSending[] = {ExchangeTopology::direct, ExchangeTopology::line, ExchangeTopology::tree,
                                         ExchangeTopology::ring};

PlanOptions route_options(ExchangeTopology topology, int devices, ExchangeContent content) {
  return testing::plan_options(topology, devices, content, 24);
}

TEST(Route, leads_every_device_to_the_owner_and_back) {
  for (const ExchangeTopology topology : kSending) {
    for (int devices = 1; devices <= 9; ++devices) {
      for (int owner = 0; owner < devices; ++owner) {
        const Route route(topology, devices, owner);
        for (const auto* next : {&route.gather, &route.distribute}) {
          for (int from = 0; from < devices; ++from) {
            int at = from, hops = 0;
            for (; at != owner && hops < devices; ++hops) at = (*next)[at];
            EXPECT_EQ(at, owner) << to_string(topology) << " of " << devices << " from " << from;
            EXPECT_EQ(hops, (next == &route.gather ? route.hops_in : route.hops_out)[from]);
          }
        }
      }
    }
  }
}

TEST(Route, hops_are_those_of_its_topology) {
  for (int owner = 0; owner < 7; ++owner) {
    for (int d = 0; d < 7; ++d) {
      if (d == owner) continue;
      EXPECT_EQ(Route(ExchangeTopology::direct, 7, owner).gather[d], owner);
      EXPECT_EQ(std::abs(Route(ExchangeTopology::line, 7, owner).gather[d] - d), 1);
      EXPECT_EQ(Route(ExchangeTopology::ring, 7, owner).gather[d], (d + 1) % 7);
      EXPECT_EQ(Route(ExchangeTopology::ring, 7, owner).distribute[d], (d + 6) % 7);
    }
  }
  // 3 is the root of 0 ... 6, 1 and 5 are below it.
  const Route tree(ExchangeTopology::tree, 7, 6);
  EXPECT_EQ(tree.gather, (std::vector<int>{1, 3, 1, 5, 5, 6, -1}));
}

// Each hop once, and what passes a device after what it gets.
TEST(Hops, are_in_an_order_that_can_be_done) {
  for (const ExchangeTopology topology : kSending) {
    for (int devices = 1; devices <= 9; ++devices) {
      std::vector<int> owners(devices);
      std::iota(owners.begin(), owners.end(), 0);
      for (const bool inwards : {true, false}) {
        const auto hops = (inwards ? gather_hops : distribute_hops)(topology, devices, owners);
        EXPECT_EQ(hops.size(), static_cast<std::size_t>(devices * (devices - 1)));
        std::vector<std::vector<bool>> sent(devices, std::vector<bool>(devices)), got = sent;  // by flow and device
        for (const Hop& hop : hops) {
          const Route route(topology, devices, owners[hop.flow]);
          EXPECT_EQ(inwards ? route.gather[hop.from] : hop.from, inwards ? hop.to : route.distribute[hop.to]);
          EXPECT_FALSE(inwards && sent[hop.flow][hop.to]) << "it gets a part that it has passed on already";
          EXPECT_TRUE(inwards || hop.from == owners[hop.flow] || got[hop.flow][hop.from])
              << "it has nothing to pass on";
          sent[hop.flow][hop.from] = got[hop.flow][hop.to] = true;
        }
      }
    }
  }
}

std::size_t bytes_between(const Plan& plan, int from, int to) {
  for (const LinkBytes& link : plan.links) {
    if (link.from == from && link.to == to) return link.bytes;
  }
  return 0;
}

TEST(Exchange, each_hop_of_a_line_carries_each_byte_of_plain_gradients_once) {
  const Network network = build_network(testing::small_lenet());
  const std::size_t model = static_cast<std::size_t>(network.parameter_elements()) * 4;
  for (int devices = 2; devices <= 8; ++devices) {
    const Plan plan = build_plan(network, route_options(ExchangeTopology::line, devices, ExchangeContent::gradients));
    EXPECT_EQ(plan.links.size(), static_cast<std::size_t>(2 * (devices - 1)));
    for (int d = 0; d + 1 < devices; ++d) {
      EXPECT_EQ(bytes_between(plan, d, d + 1), model) << devices << " devices";
      EXPECT_EQ(bytes_between(plan, d + 1, d), model) << devices << " devices";
    }
  }
}

TEST(Exchange, a_hop_of_a_ring_carries_all_gradients_but_its_senders_and_all_values_but_its_receivers) {
  const Network network = build_network(testing::small_mlp());
  for (int devices = 2; devices <= 8; ++devices) {
    const Plan plan = build_plan(network, route_options(ExchangeTopology::ring, devices, ExchangeContent::gradients));
    std::vector<std::size_t> own(devices);
    for (const OwnedRange& owned : plan.owned) own[owned.device] += static_cast<std::size_t>(owned.count) * 4;
    const std::size_t model = std::accumulate(own.begin(), own.end(), std::size_t{0});
    for (int d = 0; d < devices; ++d) {
      const int next = (d + 1) % devices;
      EXPECT_EQ(bytes_between(plan, d, next), 2 * model - own[d] - own[next]) << devices << " devices";
    }
  }
}

TEST(Exchange, relayed_factors_cross_each_hop_once) {
  const NetworkSpec spec{{100}, {testing::fully_connected("only", 120)}, {}};
  const Network network = build_network(spec);
  const Plan plan = build_plan(network, route_options(ExchangeTopology::line, 3, ExchangeContent::factors));
  // From the first device to the second: 8 rows of inputs, 8 rows of the 80 columns that it and the third own, and the
  // values of the first's 40 outputs.
  EXPECT_EQ(bytes_between(plan, 0, 1), (8u * 100 + 8 * 80 + 40 * 101) * 4);
  // From the second to the third: the inputs of both, 16 rows of the third's 40 columns, 80 outputs.
  EXPECT_EQ(bytes_between(plan, 1, 2), (16u * 100 + 16 * 40 + 80 * 101) * 4);
}

// A plan with one step changed.
struct Damage {
  const char* name;
  bool (*apply)(Plan& plan, std::size_t step);  // whether it could
  bool (*applies)(const Step& step);
};

bool is_transfer(const Step& step) { return std::holds_alternative<Transfer>(step.body); }
bool is_update(const Step& step) { return step.name.ends_with(".update"); }
bool is_product_and_update(const Step& step) {
  return is_update(step) && std::holds_alternative<FullyConnectedUpdate>(std::get<Compute>(step.body).op);
}

bool is_scale(const Step& step) { return step.name.ends_with(".scale"); }

bool is_gradient(const Step& step) { return step.name.ends_with(".backward_weights"); }

// ... from rows, not from their sums as batch_norm's.
bool is_gradient_of_rows(const Step& step) {
  return is_gradient(step) && !std::holds_alternative<BatchNormBackwardWeights>(std::get<Compute>(step.body).op);
}

// Other steps keep their waits for each other.
bool drop(Plan& plan, std::size_t step) {
  plan.steps.erase(plan.steps.begin() + static_cast<std::ptrdiff_t>(step));
  for (Step& other : plan.steps) {
    other.room_waits.clear();
    std::erase(other.waits, static_cast<int>(step));
    for (int& wait : other.waits) wait -= wait > static_cast<int>(step) ? 1 : 0;
  }
  return true;
}

bool share_a_tensor(const std::vector<Range>& some, const std::vector<Range>& others) {
  return std::any_of(some.begin(), some.end(), [&](const Range& range) {
    return std::any_of(others.begin(), others.end(), [&](const Range& other) { return other.tensor == range.tensor; });
  });
}

// Before what is left from the step before and must come first, with no wait of its own.
bool move_before_exchange(Plan& plan, std::size_t step) {
  const Step& moving = plan.steps[step];
  const auto exchange = std::find_if(plan.steps.begin(), plan.steps.end(), [&](const Step& other) {
    return other.deferred && other.device == moving.device &&
           (share_a_tensor(other.reads, moving.writes) || share_a_tensor(other.writes, moving.reads));
  });
  if (exchange == plan.steps.end()) return false;
  const auto first = static_cast<int>(exchange - plan.steps.begin());
  Step moved = plan.steps[step];
  moved.waits.clear();
  moved.room_waits.clear();
  drop(plan, step);
  plan.steps.insert(plan.steps.begin() + first, moved);
  for (Step& other : plan.steps) {
    for (int& wait : other.waits) wait += wait >= first ? 1 : 0;
  }
  return true;
}

// The rows of a product, or of its factors.
Rows* rows_of(Step& step) {
  auto& op = std::get<Compute>(step.body).op;
  if (auto* conv = std::get_if<ConvBackwardWeights>(&op)) return &conv->rows;
  if (auto* product = std::get_if<FullyConnectedBackwardWeights>(&op)) return &product->rows;
  if (auto* update = std::get_if<FullyConnectedUpdate>(&op)) return &update->gradient.rows;
  return nullptr;
}

// A sum of parts of a diff from the devices of a group.
bool is_brought(const Plan& plan, const Step& sum) {
  return std::any_of(sum.reads.begin(), sum.reads.end(), [&](const Range& range) {
    return plan.tensors[range.tensor].name.find(".diff_of_") != std::string::npos;
  });
}

// Names of the kernels that computed what lies in a tensor.
std::set<std::string> computed_by(const Plan& plan, int tensor) {
  std::set<std::string> names;
  std::vector<int> from{tensor};
  for (std::size_t t = 0; t < from.size(); ++t) {
    for (const Step& step : plan.steps) {
      const bool writes = std::any_of(step.writes.begin(), step.writes.end(),
                                      [&](const Range& range) { return range.tensor == from[t]; });
      if (!writes) continue;
      if (!std::holds_alternative<Transfer>(step.body)) {
        names.insert(step.name);
      } else if (std::find(from.begin(), from.end(), step.reads[0].tensor) == from.end()) {
        from.push_back(step.reads[0].tensor);
      }
    }
  }
  return names;
}

bool share_a_name(const std::set<std::string>& some, const std::set<std::string>& others) {
  return std::any_of(some.begin(), some.end(), [&](const std::string& name) { return others.contains(name); });
}

// The first of what a kernel reads becomes another value of the same shape, which its device has.
bool redirect_to_another_value(Plan& plan, std::size_t step) {
  Range& source = plan.steps[step].reads[0];
  const PlanTensor& is = plan.tensors[source.tensor];
  if (plan.split == 1 || is.width == 0) return false;
  const std::set<std::string> names = computed_by(plan, source.tensor);
  for (std::size_t before = 0; before < step; ++before) {
    for (const Range& range : plan.steps[before].writes) {
      const PlanTensor& other = plan.tensors[range.tensor];
      const bool alike = other.device == is.device && other.type == is.type && other.elements == is.elements &&
                         other.width == is.width && other.first_column == is.first_column;
      if (!alike || range.tensor == source.tensor) continue;
      const std::set<std::string> others = computed_by(plan, range.tensor);
      if (share_a_name(names, others)) continue;
      source.tensor = range.tensor;
      return true;
    }
  }
  return false;
}

// A device computes no part of a diff, and nobody misses it.
bool leave_out_an_addend(Plan& plan, std::size_t step) {
  if (plan.split == 1 || plan.parts[plan.steps[step].layer] == 1) return false;
  std::set<int> gone{plan.steps[step].writes[0].tensor};
  std::vector<std::size_t> dropped{step};
  for (std::size_t i = step + 1; i < plan.steps.size(); ++i) {
    Step& other = plan.steps[i];
    const bool copies = std::holds_alternative<Transfer>(other.body) && gone.contains(other.reads[0].tensor);
    if (copies) gone.insert(other.writes[0].tensor), dropped.push_back(i);
    if (!other.name.ends_with(".sum_diffs")) continue;
    std::erase_if(other.reads, [&](const Range& range) { return gone.contains(range.tensor); });
    std::get<Add>(std::get<Compute>(other.body).op).inputs = static_cast<int>(other.reads.size());
  }
  for (auto i = dropped.rbegin(); i != dropped.rend(); ++i) drop(plan, *i);
  return dropped.size() > 1;
}

const Damage kDamages[] = {
    {"a transfer is missing", drop, is_transfer},
    {"an update is missing", drop, is_update},
    {"an update is made twice",
     [](Plan& plan, std::size_t step) {
       plan.steps.insert(plan.steps.begin() + static_cast<std::ptrdiff_t>(step), plan.steps[step]);
       return true;
     },
     is_update},
    {"a sum leaves something out",
     [](Plan& plan, std::size_t step) {
       plan.steps[step].reads[1] = plan.steps[step].reads[0];
       return true;
     },
     [](const Step& step) { return step.name.ends_with(".add_up") || step.name.ends_with(".accumulate"); }},
    {"a transfer comes from elsewhere",
     [](Plan& plan, std::size_t step) {
       Range& source = plan.steps[step].reads[0];
       source.first += source.first > 0 ? -1 : 1;
       return true;
     },
     is_transfer},
    {"a transfer goes elsewhere",
     [](Plan& plan, std::size_t step) {
       Range& to = plan.steps[step].writes[0];
       to.first += to.first > 0 ? -1 : 1;
       return true;
     },
     is_transfer},
    {"a gradient is not computed", drop, is_gradient},
    {"a part of a diff is added up twice, and another is not",
     [](Plan& plan, std::size_t step) {
       auto& reads = plan.steps[step].reads;
       if (!is_brought(plan, plan.steps[step])) return false;
       reads[0] = reads[1];
       return true;
     },
     [](const Step& step) { return step.name.ends_with(".sum_diffs"); }},
    {"a kernel takes another value of the same shape", redirect_to_another_value,
     [](const Step& step) {
       return step.name.ends_with(".forward") && std::holds_alternative<Compute>(step.body) && !step.reads.empty();
     }},
    {"a device has no part of a diff", leave_out_an_addend,
     [](const Step& step) {
       const auto* compute = std::get_if<Compute>(&step.body);
       return compute && (std::holds_alternative<FullyConnectedBackwardData>(compute->op) ||
                          (std::holds_alternative<ConvBackwardData>(compute->op) &&
                           std::get<ConvBackwardData>(compute->op).shape.groups == 1));
     }},
    {"a part of a diff is taken for all of it",
     [](Plan& plan, std::size_t step) {
       Range& diff = plan.steps[step].reads.back();
       for (const Step& other : plan.steps) {
         if (!other.name.ends_with(".sum_diffs") || other.device != plan.steps[step].device) continue;
         if (other.writes[0].tensor != diff.tensor || !is_brought(plan, other)) continue;
         diff = other.reads[0];
         return true;
       }
       return false;
     },
     is_gradient_of_rows},
    {"a gradient is of fewer rows",
     [](Plan& plan, std::size_t step) {
       --rows_of(plan.steps[step])->count;
       return true;
     },
     is_gradient_of_rows},
    {"a gradient is of rows that are another's too",
     [](Plan& plan, std::size_t step) {
       Rows* rows = rows_of(plan.steps[step]);
       ++rows->count;
       if (rows->first > 0) --rows->first;
       return true;
     },
     is_gradient_of_rows},
    {"factors are multiplied of fewer rows",
     [](Plan& plan, std::size_t step) {
       --rows_of(plan.steps[step])->count;
       return true;
     },
     is_product_and_update},
    {"the gradient of other outputs is applied",
     [](Plan& plan, std::size_t step) {
       auto& op = std::get<Compute>(plan.steps[step].body).op;
       auto& product = std::get<FullyConnectedUpdate>(op).gradient;
       product.first_output += product.first_output > 0 ? -1 : 1;
       return true;
     },
     is_product_and_update},
    {"momentum is sent for values",
     [](Plan& plan, std::size_t step) {
       for (const OwnedRange& owned : plan.owned) {
         Range& source = plan.steps[step].reads[0];
         const bool whole =
             plan.parameters[owned.parameter].tensor[owned.device] == source.tensor && owned.first == source.first;
         if (whole && owned.states.empty())
           source.tensor = plan.parameters[owned.parameter].squares[owned.device];
         else if (whole)
           source = {owned.states[0], 0, owned.count};
         if (whole) return true;
       }
       return false;
     },
     [](const Step& step) { return step.name.ends_with(".send") && step.stream == StreamKind::distribute; }},
    {"a layer reads values before they are updated", move_before_exchange,
     [](const Step& step) { return step.name.ends_with(".forward"); }},
    {"a gradient is overwritten before it is sent", move_before_exchange, is_gradient},
    {"what is left to the next step is done at once",
     [](Plan& plan, std::size_t step) {
       plan.steps[step].deferred = false;
       return true;
     },
     [](const Step& step) { return step.deferred; }},
    {"a gradient is not scaled", drop, is_scale},
    {"a gradient is scaled twice",
     [](Plan& plan, std::size_t step) {
       plan.steps.insert(plan.steps.begin() + static_cast<std::ptrdiff_t>(step), plan.steps[step]);
       return true;
     },
     is_scale},
    {"a device's rows are not summed", drop,
     [](const Step& step) { return step.name.ends_with("_norm.sum") || step.name.ends_with(".backward_sum"); }},
    {"the sums of a device are of fewer rows",
     [](Plan& plan, std::size_t step) {
       auto& op = std::get<Compute>(plan.steps[step].body).op;
       if (auto* sums = std::get_if<BatchNormSums>(&op)) --sums->rows.count;
       if (auto* sums = std::get_if<BatchNormBackwardSums>(&op)) --sums->rows.count;
       return true;
     },
     [](const Step& step) { return step.name.ends_with("_norm.sum") || step.name.ends_with(".backward_sum"); }},
    {"a mean is a sum",
     [](Plan& plan, std::size_t step) {
       std::get<SumParts>(std::get<Compute>(plan.steps[step].body).op).scale = 1;
       return true;
     },
     [](const Step& step) { return step.name.ends_with(".average"); }},
    {"a mean is not kept by its owner", drop, [](const Step& step) { return step.name.ends_with(".store"); }},
};

constexpr const char* kLaterWait = "waits for a step that comes after it";
constexpr const char* kOtherArguments = "numbers as its";

TEST(Exchange, a_kernel_that_gets_more_or_less_than_its_operator_says_is_found) {
  const Network network = build_network(testing::small_mlp());
  Plan plan = build_plan(network, route_options(ExchangeTopology::line, 3, ExchangeContent::gradients));
  const auto forward = std::find_if(plan.steps.begin(), plan.steps.end(),
                                    [](const Step& step) { return step.name.ends_with(".forward"); });
  ASSERT_NE(forward, plan.steps.end());
  --forward->reads.back().count;
  EXPECT_THAT(exchange_error(plan, network), ::testing::HasSubstr(kOtherArguments));
}

TEST(Exchange, a_range_that_nobody_owns_is_found) {
  const Network network = build_network(testing::small_mlp());
  const Plan plan = build_plan(network, route_options(ExchangeTopology::direct, 4, ExchangeContent::gradients));
  for (std::size_t o = 0; o < plan.owned.size(); ++o) {
    Plan damaged = plan;
    damaged.owned.erase(damaged.owned.begin() + static_cast<std::ptrdiff_t>(o));
    EXPECT_THAT(exchange_error(damaged, network), ::testing::HasSubstr("one owner"));
  }
}

// Every step that brings a norm to who clips by it.
TEST(Exchange, a_norm_that_does_not_arrive_is_found) {
  const Network network = build_network(testing::small_mlp());
  PlanOptions options = route_options(ExchangeTopology::direct, 4, ExchangeContent::gradients);
  options.split = 2;
  options.smallest_part = 1;
  options.clip_norm = 1;
  const Plan plan = build_plan(network, options);
  int dropped = 0;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (!plan.steps[i].name.starts_with("norms.send")) continue;
    Plan damaged = plan;
    ASSERT_TRUE(drop(damaged, i));
    EXPECT_THAT(exchange_error(damaged, network), ::testing::HasSubstr("clips by a norm")) << plan.steps[i].name;
    ++dropped;
  }
  EXPECT_GT(dropped, 10);
}

// Evaluation has no gradients, but brings channels too.
TEST(Exchange, channels_that_do_not_arrive_in_evaluation_are_found) {
  const Network network = build_network(testing::small_lenet());
  PlanOptions options = route_options(ExchangeTopology::direct, 4, ExchangeContent::gradients);
  options.split = 2;
  options.smallest_part = 1;
  options.mode = PlanMode::evaluate;
  const Plan plan = build_plan(network, options);
  int dropped = 0;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (!std::holds_alternative<Transfer>(plan.steps[i].body)) continue;
    Plan damaged = plan;
    ASSERT_TRUE(drop(damaged, i));
    EXPECT_NE(exchange_error(damaged, network), "") << plan.steps[i].name;
    ++dropped;
  }
  EXPECT_GT(dropped, 3);
}

TEST(Exchange, a_plan_with_a_wait_for_a_later_step_is_found) {
  const Network network = build_network(testing::small_mlp());
  Plan plan = build_plan(network, route_options(ExchangeTopology::line, 3, ExchangeContent::gradients));
  plan.steps[2].waits.push_back(static_cast<int>(plan.steps.size()) - 1);
  EXPECT_THAT(exchange_error(plan, network), ::testing::HasSubstr(kLaterWait));
}

// Plans of every topology and content, and on a line those of the other kinds that exchange.
std::vector<PlanOptions> kinds_of_plans(bool all_topologies) {
  std::vector<PlanOptions> kinds;
  for (const ExchangeTopology topology : kSending) {
    for (const auto content : {ExchangeContent::gradients, ExchangeContent::factors}) {
      if (!all_topologies && topology != ExchangeTopology::line) continue;
      kinds.push_back(route_options(topology, 4, content));
      if (topology != ExchangeTopology::line) continue;
      kinds.push_back(kinds.back());
      kinds.back().pass_rows = kinds.back().rows / 2;
    }
  }
  for (const int gathers : {0, 1, 2}) {
    kinds.push_back(route_options(ExchangeTopology::line, 4, ExchangeContent::gradients));
    kinds.back().deferred = {2, gathers};
  }
  for (const auto content : {ExchangeContent::gradients, ExchangeContent::factors}) {
    for (const int split : {2, 4}) {
      kinds.push_back(route_options(ExchangeTopology::direct, 4, content));
      kinds.back().split = split;
      kinds.back().smallest_part = 1;
    }
  }
  PlanOptions states = route_options(ExchangeTopology::line, 4, ExchangeContent::gradients);
  states.rule = {.kind = RuleKind::adagrad, .epsilon = 1e-10};
  states.device_states = true;
  kinds.push_back(states);
  states.deferred = {1, 1};
  kinds.push_back(states);
  states.deferred = {};
  states.mode = PlanMode::average;
  kinds.push_back(states);
  return kinds;
}

TEST(Exchange, the_check_finds_every_damaged_step) {
  std::map<std::string, int> applied;
  for (const auto& spec : {testing::small_lenet(), testing::small_mlp(), testing::small_batch_norm()}) {
    const Network network = build_network(spec);
    for (const PlanOptions& options : kinds_of_plans(spec.layers[0].type != "batch_norm")) {
      const Plan whole = build_plan(network, options);
      ASSERT_EQ(exchange_error(whole, network), "");
      for (const Damage& damage : kDamages) {
        for (std::size_t i = 0; i + 1 < whole.steps.size(); ++i) {
          if (!damage.applies(whole.steps[i])) continue;
          Plan damaged = whole;
          if (!damage.apply(damaged, i)) continue;
          const std::string error = exchange_error(damaged, network);
          // By the check that is meant: numbers that do not fit the operator any more are found last.
          EXPECT_TRUE(!error.empty() && error.find(kLaterWait) == std::string::npos &&
                      error.find(kOtherArguments) == std::string::npos)
              << to_string(options.topology) << ": " << damage.name << " at " << whole.steps[i].name << ": " << error;
          ++applied[damage.name];
        }
      }
    }
  }
  for (const Damage& damage : kDamages) EXPECT_GT(applied[damage.name], 0) << damage.name;
}

}  // namespace
}  // namespace hadal
