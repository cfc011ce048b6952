// The job of ./dev demo learns what the README says. Long: runs with HADAL_LONG_TESTS=1, where data/mnist is.

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "testing/workplace.h"

namespace hadal {
namespace {

// Trains the demo's job and gives the summary; nothing, and a reason, where that cannot be done here.
std::optional<nlohmann::json> train_demo(const std::vector<std::string>& more, std::string& missing) {
#ifdef HADAL_SANITIZED
  missing = "needs a build without sanitizers (it takes minutes)";
  return std::nullopt;
#endif
  const std::string data = std::string(HADAL_SOURCE_DIR) + "/data";
  if (std::getenv("HADAL_LONG_TESTS") == nullptr) missing = "needs HADAL_LONG_TESTS=1 (it takes half a minute)";
  if (!std::filesystem::exists(data + "/mnist")) missing = "needs " + data + "/mnist (tools/fetch_mnist gets it)";
  if (!missing.empty()) return std::nullopt;
  const testing::Workplace place;
  std::filesystem::create_directory_symlink(data, place.path("data"));
  std::vector<std::string> arguments{"train", std::string(HADAL_SOURCE_DIR) + "/examples/mnist_lenet.yaml", "--json",
                                     "--out", "demo"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const testing::CommandResult result = place.hadal(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return place.summary("demo");
}

TEST(Demo, reads_985_of_1000_digits_that_it_has_never_seen) {
  std::string missing;
  const std::optional<nlohmann::json> summary = train_demo({}, missing);
  if (!summary) GTEST_SKIP() << missing;
  EXPECT_GE((*summary)["test"]["accuracy"].get<double>(), 0.985);
  EXPECT_EQ((*summary)["steps"], 1876);
}

// The mean over seeds: one run's accuracy moves by as much with its seed.
TEST(Demo, in_bf16_reads_no_more_than_one_of_1000_less) {
  constexpr int kSeeds = 5;
  double fp32 = 0, bf16 = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const std::string setting = "seed=" + std::to_string(seed);
    std::string missing;
    const auto wide = train_demo({"--set", setting}, missing);
    if (!wide) GTEST_SKIP() << missing;
    const auto narrow = train_demo({"--set", setting, "--set", "precision=bf16"}, missing);
    fp32 += (*wide)["test"]["accuracy"].get<double>();
    bf16 += (*narrow)["test"]["accuracy"].get<double>();
  }
  EXPECT_GE(bf16 / kSeeds, fp32 / kSeeds - 0.001);
}

}  // namespace
}  // namespace hadal
