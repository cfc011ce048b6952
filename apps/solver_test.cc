// Batches in passes, and adagrad's states of the devices' own, from a job to its summary.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::SmallWorkplace;

std::vector<std::string> train_with(const std::string& run, const std::vector<std::string>& settings) {
  std::vector<std::string> arguments{"train", "job.yaml", "--out", run};
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  return arguments;
}

TEST(Accumulate, gives_the_model_of_the_bigger_batch) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train_with("big", {"data.batch=24"})).exit_code, 0);
  EXPECT_EQ(place.summary("big").at("steps"), 20);
  for (const std::string devices : {"[cpu:0]", "[cpu:0, cpu:1, cpu:2]", "[fake:0, fake:1]"}) {
    for (const char* accumulate : {"2", "4"}) {
      const std::string run = std::string("passes") + accumulate + devices;
      const std::string batch = "data.batch=" + std::to_string(24 / std::stoi(accumulate));
      const CommandResult result = place.hadal(
          train_with(run, {batch, std::string("solver.accumulate=") + accumulate, "parallel.devices=" + devices}));
      ASSERT_EQ(result.exit_code, 0) << result.err;
      EXPECT_EQ(place.sha256(run), place.sha256("big")) << run;
      EXPECT_EQ(place.summary(run).at("steps"), 20);
      EXPECT_EQ(place.summary(run).at("samples"), 4 * 115);
    }
  }
}

TEST(Accumulate, takes_the_memory_of_one_batch_for_activations) {
  SmallWorkplace place;
  const auto activations = [&](const std::vector<std::string>& settings) {
    std::vector<std::string> arguments = train_with("", settings);
    arguments[0] = "plan";
    arguments[2] = "--json";
    arguments.erase(arguments.begin() + 3);
    const CommandResult result = place.hadal(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out).at("devices")[0].at("activation_bytes").get<double>();
  };
  const std::vector<std::string> plain{"reproducible=false", "network.layers.0.conv.out=64",
                                       "network.layers.3.fully_connected.out=256"};
  std::vector<std::string> big = plain, passes = plain;
  big.insert(big.end(), {"data.batch=96"});
  passes.insert(passes.end(), {"data.batch=12", "solver.accumulate=8"});
  EXPECT_LT(activations(passes), 0.2 * activations(big));
}

// The model has the moving means, and evaluation uses them.
TEST(BatchNorm, is_evaluated_by_its_moving_means) {
  SmallWorkplace place;
  const CommandResult run =
      place.hadal(train_with("run", {"network.layers.2={batch_norm: {name: norm}}", "reproducible=false"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json tested = place.summary("run").at("test");
  EXPECT_LT(tested.at("loss"), 2.2);
  const CommandResult result = place.hadal({"eval", "run", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NEAR(json::parse(result.out).at("loss").get<double>(), tested.at("loss").get<double>(), 1e-6);
  EXPECT_THAT(place.read("run/model.safetensors"),
              ::testing::AllOf(HasSubstr("\"norm.running_mean\""), HasSubstr("\"norm.running_variance\"")));
}

// Six devices in a line; epochs are short enough for a few averages.
const std::vector<std::string> kLine{"reproducible=false", "exchange.topology=line",
                                     "parallel.devices=[fake:0, fake:1, fake:2, fake:3, fake:4, fake:5]"};

std::vector<std::string> adagrad(const std::string& exchange, std::vector<std::string> more = kLine) {
  more.push_back("solver.rule={adagrad: {rate: 0.01, exchange: " + exchange + "}}");
  return more;
}

TEST(StateExchange, approximate_takes_a_tenth_of_full_and_owner_nothing) {
  SmallWorkplace place;
  std::map<std::string, json> summaries;
  for (const char* exchange : {"owner", "approximate", "full"}) {
    const CommandResult result = place.hadal(train_with(exchange, adagrad(exchange)));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    summaries[exchange] = place.summary(exchange);
    EXPECT_LT(summaries[exchange].at("test").at("loss"), 2.3) << exchange;  // it learns: by chance log(10)
  }
  const auto state_bytes = [&](const char* exchange) -> std::int64_t {
    return summaries[exchange].at("exchange").at("state_bytes_per_step");
  };
  EXPECT_EQ(state_bytes("owner"), 0);
  EXPECT_GT(state_bytes("approximate"), 0);
  EXPECT_GE(state_bytes("full"), 10 * state_bytes("approximate"));
  // As much as gradients and parameters, once over.
  EXPECT_EQ(state_bytes("full"), summaries["full"].at("exchange").at("bytes_per_step"));
}

TEST(StateExchange, goes_on_from_a_checkpoint_as_if_it_had_not_stopped) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train_with("whole", adagrad("approximate"))).exit_code, 0);
  std::vector<std::string> first = train_with("run", adagrad("approximate")), rest = first;
  first.insert(first.end(), {"--max-steps", "13"});
  rest.push_back("--resume");
  ASSERT_EQ(place.hadal(first).exit_code, 0);
  ASSERT_EQ(place.hadal(rest).exit_code, 0);
  EXPECT_EQ(place.sha256("run"), place.sha256("whole"));
}

TEST(StateExchange, goes_on_from_a_checkpoint_on_any_devices) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train_with("whole", adagrad("approximate"))).exit_code, 0);
  const double whole = place.summary("whole").at("test").at("loss");
  for (const char* devices : {"[fake:0, fake:1, fake:2]", "[cpu:0, cpu:1]", "[cpu:0]"}) {
    std::filesystem::remove_all(place.path("run"));
    std::vector<std::string> first = train_with("run", adagrad("approximate"));
    first.insert(first.end(), {"--max-steps", "13"});
    ASSERT_EQ(place.hadal(first).exit_code, 0);
    std::vector<std::string> second = train_with("run", adagrad("approximate"));
    second.insert(second.end(),
                  {"--set", std::string("parallel.devices=") + devices, "--set", "exchange.topology=auto", "--resume"});
    const CommandResult result = place.hadal(second);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out + result.err, HasSubstr("resuming run at step 13"));
    EXPECT_EQ(place.summary("run").at("steps"), testing::kSmallJobSteps);
    EXPECT_NEAR(place.summary("run").at("test").at("loss"), whole, 0.1) << devices;
  }
}

TEST(StateExchange, is_in_the_plan) {
  SmallWorkplace place;
  std::vector<std::string> arguments{"plan", "job.yaml"};
  for (const std::string& setting : adagrad("approximate")) arguments.insert(arguments.end(), {"--set", setting});
  const CommandResult result = place.hadal(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("states: the devices' own; averaged every 10 steps: "));
}

}  // namespace
}  // namespace hadal
