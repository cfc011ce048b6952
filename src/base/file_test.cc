#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>

#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

constexpr std::uint64_t kLimit = 1000;

TEST(ReadFile, gives_every_byte) {
  const TemporaryFolder folder;
  const std::string bytes("a\0b\nc", 5);
  EXPECT_EQ(read_file(folder.write("file", bytes), kLimit), bytes);
  EXPECT_EQ(read_file(folder.write("file", ""), 0), "");
}

TEST(ReadFile, a_missing_file_is_the_users_error_at_the_place_that_named_it) {
  const TemporaryFolder folder;
  EXPECT_THAT(
      [&] { read_file(folder.path("none"), kLimit, {.file = "job.yaml", .line = 4, .column = 9}); },
      ThrowsMessage<ConfigError>("job.yaml:4:9: cannot open " + folder.path("none") + ": No such file or directory"));
}

TEST(ReadFile, what_is_not_a_file_is_refused) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { read_file(folder.path(), kLimit); },
              ThrowsMessage<ConfigError>("cannot open " + folder.path() + ": it is a folder"));
  ASSERT_EQ(mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_THAT([&] { read_file(folder.path("pipe"), kLimit); },
              ThrowsMessage<ConfigError>("cannot open " + folder.path("pipe") + ": it is not a file"));
}

TEST(ReadFile, a_file_past_the_limit_is_refused) {
  const TemporaryFolder folder;
  const std::string path = folder.write("file", std::string(1001, 'x'));
  EXPECT_THAT([&] { read_file(path, kLimit); },
              ThrowsMessage<DataError>(path + ": has 1,001 bytes; at most 1,000 are read"));
}

TEST(InputFile, reads_from_an_offset_and_not_past_the_end) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("file", "0123456789"));
  EXPECT_EQ(file.size(), 10u);
  std::array<char, 4> bytes;
  file.read(6, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(std::string(bytes.data(), 4), "6789");
  EXPECT_THAT([&] { file.read(7, std::as_writable_bytes(std::span(bytes))); },
              ThrowsMessage<DataError>(file.path() + ": at byte 10: the file ends here; 1 bytes are missing"));
}

TEST(AtomicFile, appears_only_at_commit_and_leaves_no_temporary) {
  const TemporaryFolder folder;
  const std::string path = folder.write("file", "old");
  {
    AtomicFile file(path);
    file.write("new ");
    file.write("text");
    EXPECT_EQ(read_file(path, kLimit), "old");
    file.commit();
  }
  EXPECT_EQ(read_file(path, kLimit), "new text");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(AtomicFile, without_commit_the_old_file_stays) {
  const TemporaryFolder folder;
  const std::string path = folder.write("file", "old");
  { AtomicFile(path).write("half of the n"); }
  EXPECT_EQ(read_file(path, kLimit), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(AtomicFile, a_temporary_that_a_crash_left_is_replaced) {
  const TemporaryFolder folder;
  folder.write("file.tmp", "a long piece of an earlier attempt");
  write_file(folder.path("file"), "new");
  EXPECT_EQ(read_file(folder.path("file"), kLimit), "new");
}

TEST(AtomicFile, a_relative_path_without_a_folder) {
  const TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_file("plain", "text");
  std::filesystem::current_path(before);
  EXPECT_EQ(read_file(folder.path("plain"), kLimit), "text");
}

TEST(CheckFolder, a_file_in_the_way_is_named) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "text");
  EXPECT_THAT([&] { check_folder(file); },
              ThrowsMessage<ConfigError>(StartsWith(file + ": is a file, where a folder is wanted")));
  EXPECT_THAT([&] { check_folder(file + "/more"); },
              ThrowsMessage<ConfigError>(StartsWith(file + "/more: " + file + " is a file")));
  EXPECT_NO_THROW(check_folder(folder.path("a/b")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("a")));
}

TEST(AtomicFile, a_folder_that_is_not_there_is_named_with_the_reason) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { write_file(folder.path("none/file"), "text"); },
              ThrowsMessage<StorageError>(
                  AllOf(StartsWith(folder.path("none/file") + ": "), HasSubstr("No such file or directory"))));
}

TEST(AtomicFile, a_name_that_cannot_be_replaced_leaves_nothing_behind) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("taken"));
  EXPECT_THAT([&] { write_file(folder.path("taken"), "text"); },
              ThrowsMessage<StorageError>(folder.path("taken") + ": cannot replace it: Is a directory"));
  EXPECT_FALSE(std::filesystem::exists(folder.path("taken.tmp")));
}

// A limit on file sizes stands in for a full disk: write() fails halfway.
TEST(AtomicFile, a_write_that_fails_keeps_the_old_file_and_removes_the_temporary) {
  const TemporaryFolder folder;
  const std::string path = folder.write("file", "old");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_THAT([&] { write_file(path, std::string(100000, 'x')); },
              ThrowsMessage<StorageError>(path + ": cannot write: File too large"));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(read_file(path, kLimit), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

}  // namespace
}  // namespace hadal
