// The job of ./dev demo learns what the README says. Long: runs with HADAL_LONG_TESTS=1, where data/mnist is.

#include <gtest/gtest.h>

#include <cstdlib>

#include "testing/workplace.h"

namespace hadal {
namespace {

TEST(Demo, reads_985_of_1000_digits_that_it_has_never_seen) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "needs a build without sanitizers (it takes minutes)";
#endif
  const std::string data = std::string(HADAL_SOURCE_DIR) + "/data";
  if (std::getenv("HADAL_LONG_TESTS") == nullptr) GTEST_SKIP() << "needs HADAL_LONG_TESTS=1 (it takes half a minute)";
  if (!std::filesystem::exists(data + "/mnist"))
    GTEST_SKIP() << "needs " << data << "/mnist (tools/fetch_mnist gets it)";
  const testing::Workplace place;
  std::filesystem::create_directory_symlink(data, place.path("data"));
  const testing::CommandResult result =
      place.hadal({"train", std::string(HADAL_SOURCE_DIR) + "/examples/mnist_lenet.yaml", "--json", "--out", "demo"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GE(place.summary("demo")["test"]["accuracy"].get<double>(), 0.985);
  EXPECT_EQ(place.summary("demo")["steps"], 1876);
}

}  // namespace
}  // namespace hadal
