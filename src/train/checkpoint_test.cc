// Checkpoints come back as they were saved, or not at all.

#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "testing/networks.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

NetworkSpec tiny(std::int64_t classes = 3) {
  return {{1, 4, 4}, {testing::conv("conv", {.out = 2, .kernel = 3}), testing::fully_connected("out", classes)}, {}};
}

Checkpoint checkpoint_at(std::int64_t step, const Network& network) {
  Checkpoint checkpoint{{step, 2, 7, 12.25 + 1e-13, 640, {0.5 + 1e-15, 3}, {}, 2},
                        R"({"name":"tiny","seed":1})",
                        "7 samples, labels 0123abcd",
                        {},
                        {}};
  for (int p = 0; p < static_cast<int>(network.parameters.size()); ++p) {
    checkpoint.parameters.push_back(initial_values(network, p, static_cast<std::uint64_t>(step)));
    checkpoint.states["mean"].push_back(initial_values(network, p, static_cast<std::uint64_t>(step) + 1000));
    checkpoint.states["squares"].push_back(initial_values(network, p, static_cast<std::uint64_t>(step) + 2000));
  }
  return checkpoint;
}

void expect_equal(const Checkpoint& actual, const Checkpoint& expected) {
  EXPECT_EQ(actual.position.step, expected.position.step);
  EXPECT_EQ(actual.position.epoch, expected.position.epoch);
  EXPECT_EQ(actual.position.batch_in_epoch, expected.position.batch_in_epoch);
  EXPECT_EQ(actual.position.loss_sum, expected.position.loss_sum);
  EXPECT_EQ(actual.position.loss_rows, expected.position.loss_rows);
  EXPECT_EQ(actual.position.plateau.best, expected.position.plateau.best);
  EXPECT_EQ(actual.position.plateau.epochs, expected.position.plateau.epochs);
  EXPECT_EQ(actual.position.stopping.best, expected.position.stopping.best);  // infinity
  EXPECT_EQ(actual.position.stalls, expected.position.stalls);
  EXPECT_EQ(actual.identity, expected.identity);
  EXPECT_EQ(actual.data, expected.data);
  EXPECT_EQ(actual.parameters, expected.parameters);
  EXPECT_EQ(actual.states, expected.states);
}

class CheckpointTest : public ::testing::Test {
 protected:
  std::optional<Checkpoint> load() {
    warnings_.clear();
    return load_newest_checkpoint(folder_.path(), network_,
                                  [this](const std::string& line) { warnings_.push_back(line); });
  }
  void save(std::int64_t step, std::int64_t keep = 9) {
    save_checkpoint(folder_.path(), network_, checkpoint_at(step, network_), keep);
  }
  std::string bytes(const std::string& name) const { return read_file(folder_.path(name), 1 << 20); }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  const TemporaryFolder folder_;
  const Network network_ = build_network(tiny());
  std::vector<std::string> warnings_;
};

constexpr const char* kFirst = "step-000000100.safetensors";
constexpr const char* kSecond = "step-000000200.safetensors";

TEST_F(CheckpointTest, comes_back_as_it_was_saved) {
  save(100);
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  expect_equal(*loaded, checkpoint_at(100, network_));
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(CheckpointTest, without_states_comes_back_without) {
  Checkpoint checkpoint = checkpoint_at(100, network_);
  checkpoint.states.clear();
  save_checkpoint(folder_.path(), network_, checkpoint, 1);
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  expect_equal(*loaded, checkpoint);
}

TEST_F(CheckpointTest, is_the_newest_one) {
  for (const std::int64_t step : {90, 100, 999, 1000}) save(step);
  EXPECT_EQ(load()->position.step, 1000);
}

TEST_F(CheckpointTest, is_not_there_in_an_empty_or_missing_folder) {
  EXPECT_FALSE(load());
  EXPECT_FALSE(load_newest_checkpoint(folder_.path("none"), network_, [](const std::string&) {}));
}

TEST_F(CheckpointTest, is_saved_into_a_folder_that_is_made_for_it) {
  save_checkpoint(folder_.path("run/checkpoints"), network_, checkpoint_at(5, network_), 1);
  EXPECT_TRUE(fs::exists(folder_.path("run/checkpoints/step-000000005.safetensors")));
}

TEST_F(CheckpointTest, cannot_be_saved_where_a_file_is_in_the_way) {
  folder_.write("run", "a file");
  EXPECT_THROW(save_checkpoint(folder_.path("run"), network_, checkpoint_at(5, network_), 1), StorageError);
}

TEST_F(CheckpointTest, only_the_newest_are_kept) {
  for (std::int64_t step = 100; step <= 500; step += 100) save(step, 2);
  EXPECT_THAT(files(), ElementsAre("step-000000400.safetensors", "step-000000500.safetensors"));
}

TEST_F(CheckpointTest, a_damaged_one_of_a_later_step_does_not_push_a_new_one_out) {
  folder_.write("step-000000900.safetensors", "damaged");
  save(100, 1);
  ASSERT_TRUE(load());
  EXPECT_EQ(load()->position.step, 100);
}

TEST_F(CheckpointTest, temporary_and_foreign_files_are_no_checkpoints) {
  save(100);
  folder_.write(std::string(kSecond) + ".tmp", "half of a checkpoint");
  folder_.write("notes.safetensors", "mine");
  EXPECT_EQ(load()->position.step, 100);
  EXPECT_THAT(warnings_, IsEmpty());
  save(300, 1);
  EXPECT_THAT(files(), ElementsAre("notes.safetensors", "step-000000300.safetensors"));
}

// A flipped bit may stand in what says nothing, a space: then all must be as it was.
TEST_F(CheckpointTest, every_flipped_bit_is_noticed) {
  save(100);
  const Checkpoint expected = checkpoint_at(100, network_);
  const std::string intact = bytes(kFirst);
  std::fstream file(folder_.path(kFirst), std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](std::size_t i, int byte) {
    file.seekp(static_cast<std::streamoff>(i)).put(static_cast<char>(byte)).flush();
  };
  std::size_t unnoticed = 0;
  for (std::size_t i = 0; i < intact.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      put(i, intact[i] ^ (1 << bit));
      try {
        if (const auto loaded = load()) {
          expect_equal(*loaded, expected);
          ++unnoticed;
        } else {
          EXPECT_EQ(warnings_.size(), 1u);
        }
      } catch (const ConfigError&) {
      }
      ASSERT_FALSE(HasFailure()) << "bit " << bit << " of byte " << i;
    }
    put(i, intact[i]);
  }
  EXPECT_TRUE(load());
  EXPECT_LE(unnoticed, 8u);
}

TEST_F(CheckpointTest, the_one_before_a_damaged_one_is_taken) {
  save(100);
  save(200);
  const std::string intact = bytes(kSecond);
  for (std::size_t i = 0; i < intact.size(); i += 37) {
    std::string damaged = intact;
    damaged[i] = static_cast<char>(~damaged[i]);
    folder_.write(kSecond, damaged);
    const auto loaded = load();
    ASSERT_TRUE(loaded) << "byte " << i;
    expect_equal(*loaded, checkpoint_at(100, network_));
    EXPECT_THAT(warnings_, ElementsAre(HasSubstr(kSecond)));
  }
}

TEST_F(CheckpointTest, the_one_before_a_truncated_one_is_taken) {
  save(100);
  save(200);
  const std::string intact = bytes(kSecond);
  for (std::size_t length = 0; length < intact.size(); length += 11) {
    folder_.write(kSecond, intact.substr(0, length));
    const auto loaded = load();
    ASSERT_TRUE(loaded) << length << " bytes";
    EXPECT_EQ(loaded->position.step, 100) << length << " bytes";
    EXPECT_EQ(warnings_.size(), 1u);
  }
}

TEST_F(CheckpointTest, a_file_of_another_kind_is_passed_over) {
  save(100);
  save_model(folder_.path(kSecond), tiny(), network_, checkpoint_at(200, network_).parameters);
  EXPECT_EQ(load()->position.step, 100);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("not a checkpoint")));
}

TEST_F(CheckpointTest, of_another_network_is_refused) {
  save(100);
  for (const auto& [spec, words] : {std::pair{tiny(4), "this job's out.weight is [4, 8], the checkpoint's [3, 8]"},
                                    std::pair{NetworkSpec{{8}, {testing::fully_connected("other", 3)}, {}},
                                              "this job's other.weight is [3, 8], the checkpoint has none"}}) {
    try {
      (void)load_newest_checkpoint(folder_.path(), build_network(spec), [](const std::string&) {});
      ADD_FAILURE() << "not refused: " << words;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
  }
}

}  // namespace
}  // namespace hadal
