// The exchange of a layer goes on while the layers below it are still in backward: seen in the timeline.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTrainer;
using testing::SmallTraining;

SmallTraining wide() {
  SmallTraining training;
  training.network = testing::pages();
  training.batch = 96;
  training.devices = testing::device_list("fake", 2);
  training.topology = ExchangeTopology::direct;
  training.content = ExchangeContent::gradients;
  training.shards = 0;
  training.link = {1e9, 0};  // 4 MB of gradients take 4 ms: longer than a kernel
  training.runner.trace = true;
  return training;
}

using Spans = std::map<std::string, Span>;  // by name: when that began first and ended last

// Of plan 0, by round and device.
std::map<std::pair<std::uint64_t, int>, Spans> spans_by_round(const LocalRunner& runner) {
  std::map<std::pair<std::uint64_t, int>, Spans> rounds;
  for (const TraceEvent& event : runner.trace()) {
    if (event.kind == Item::Kind::wait || event.plan != 0) continue;
    Span& span = rounds[{event.round, event.stream / kStreamKinds}][runner.plan(0).steps[event.step].name];
    span.begin_ns = span.begin_ns == 0 ? event.span.begin_ns : std::min(span.begin_ns, event.span.begin_ns);
    span.end_ns = std::max(span.end_ns, event.span.end_ns);
  }
  return rounds;
}

TEST(Overlap, a_layers_exchange_begins_before_the_backward_below_it_ends) {
  const SmallTraining training = wide();
  SmallTrainer trainer(training);
  const LocalRunner& runner = trainer.bind({trainer.plan(training.batch)});
  constexpr int kRounds = 8;
  for (int step = 0; step < kRounds; ++step) trainer.run(0, step);
  auto rounds = spans_by_round(runner);
  ASSERT_EQ(rounds.size(), static_cast<std::size_t>(2 * kRounds));
  // A busy machine may wake a copy's thread late in some rounds.
  const auto expect_overlap = [&](const std::string& exchange, const std::string& backward) {
    EXPECT_TRUE(std::any_of(rounds.begin(), rounds.end(),
                            [&](auto& round) {
                              EXPECT_TRUE(round.second.contains(exchange) && round.second.contains(backward))
                                  << exchange << ", " << backward;
                              return round.second[exchange].begin_ns < round.second[backward].end_ns;
                            }))
        << exchange << " waits for " << backward;
  };
  expect_overlap("out.weight.send_gradient", "h2.backward_weights");
  expect_overlap("h2.weight.send_gradient", "h1.backward_weights");
  expect_overlap("out.weight.update", "h1.backward_weights");
}

// The exchange of upper layers goes on while the next step's forward pass computes the layers below.
TEST(Overlap, the_next_forward_waits_for_its_own_layers_values_only) {
  SmallTraining training = wide();
  training.deferred = {3, 3};
  SmallTrainer trainer(training);
  const LocalRunner& runner = trainer.bind(trainer.whole_batches());
  constexpr int kRounds = 8;
  for (int step = 0; step < kRounds; ++step) trainer.run(0, step);
  int overlaps = 0;
  for (const auto& [round, spans] : spans_by_round(runner)) {
    ASSERT_TRUE(spans.contains("h1.forward") && spans.contains("h2.weight.send") && spans.contains("out.weight.send"));
    overlaps += spans.at("h1.forward").begin_ns < spans.at("h2.weight.send").end_ns &&
                spans.at("h2.forward").begin_ns < spans.at("out.weight.send").end_ns;
    // A device's forward pass needs what it owns itself no more than what comes to it.
    EXPECT_GE(spans.at("h1.forward").begin_ns, spans.at("h1.weight.update").end_ns);
  }
  EXPECT_GT(overlaps, 0);
}

}  // namespace
}  // namespace hadal
