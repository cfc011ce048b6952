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

TEST(Overlap, a_layers_exchange_begins_before_the_backward_below_it_ends) {
  SmallTraining training;
  training.network = testing::pages();
  training.batch = 96;
  training.devices = testing::device_list("fake", 2);
  training.topology = ExchangeTopology::direct;
  training.content = ExchangeContent::gradients;
  training.shards = 0;
  training.link = {1e9, 0};  // 4 MB of gradients take 4 ms: longer than a kernel
  training.runner.trace = true;
  SmallTrainer trainer(training);
  LocalRunner& runner = trainer.bind({trainer.plan(training.batch)});
  constexpr int kRounds = 8;
  for (int step = 0; step < kRounds; ++step) trainer.run(0, step);

  // By round and device, and by name: when that began first and ended last.
  std::map<std::pair<std::uint64_t, int>, std::map<std::string, Span>> rounds;
  for (const TraceEvent& event : runner.trace()) {
    if (event.kind == Item::Kind::wait) continue;
    Span& span = rounds[{event.round, event.stream / kStreamKinds}][runner.plan(0).steps[event.step].name];
    span.begin_ns = span.begin_ns == 0 ? event.span.begin_ns : std::min(span.begin_ns, event.span.begin_ns);
    span.end_ns = std::max(span.end_ns, event.span.end_ns);
  }
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

}  // namespace
}  // namespace hadal
