#include "speech/stage_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// A recording that is made again is other data, whatever it is called.
TEST(StageLog, data_are_others_where_one_of_their_files_is) {
  const testing::TemporaryFolder data;
  for (const char* name : {"plain.wav", "with blanks in it.wav", "12:30.wav", "b.ark", "c:7.ark"}) {
    data.write(name, "sound");
  }
  data.write("wav.scp", "a plain.wav\nb\twith blanks in it.wav  \nc 12:30.wav\n");
  data.write("feats.scp", "a b.ark:12\nb c:7.ark:3\nc nowhere.ark:3\n");
  std::string before = data_fingerprint(data.path());
  EXPECT_EQ(data_fingerprint(data.path()), before);
  for (const char* name : {"plain.wav", "with blanks in it.wav", "12:30.wav", "b.ark", "c:7.ark", "nowhere.ark"}) {
    data.write(name, "another sound");
    const std::string after = data_fingerprint(data.path());
    EXPECT_NE(after, before) << name;
    before = after;
  }
  data.write("text", "a ONE\n");
  EXPECT_NE(data_fingerprint(data.path()), before);
}

TEST(StageLog, what_is_no_data_folder_is_told) {
  const testing::TemporaryFolder folder;
  folder.write("file", "");
  EXPECT_THAT([&] { data_fingerprint(folder.path("no")); },
              ThrowsMessage<ConfigError>(HasSubstr("no: there is no such data folder")));
  EXPECT_THAT([&] { data_fingerprint(folder.path("file")); },
              ThrowsMessage<ConfigError>(HasSubstr("file: is not a folder")));
  const std::string long_name = folder.path(std::string(300, 'x'));
  EXPECT_THAT([&] { data_fingerprint(long_name); },
              ThrowsMessage<ConfigError>(HasSubstr("x: cannot be read: File name too long")));
}

TEST(StageLog, keeps_what_was_done) {
  const testing::TemporaryFolder folder;
  {
    StageLog log(folder.path("stages.json"));
    log.begin("one", "k");
    log.end("one", "k", {});
    log.begin("two", "k");
  }
  StageLog log(folder.path("stages.json"));
  EXPECT_TRUE(log.is_done("one", "k"));
  EXPECT_FALSE(log.is_done("one", "other"));
  EXPECT_FALSE(log.is_done("two", "k"));
  EXPECT_TRUE(log.is_begun("two", "k"));
  folder.write("stages.json", "{");
  EXPECT_THAT([&] { StageLog(folder.path("stages.json")); }, ThrowsMessage<DataError>(HasSubstr("is damaged")));
}

TEST(StageLog, what_was_made_and_is_gone_or_cut_is_not_done) {
  const testing::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("made"));
  folder.write("made/a", "aa");
  folder.write("b", "b");
  StageLog log(folder.path("stages.json"));
  log.begin("one", "k");
  log.end("one", "k", {folder.path("made"), folder.path("b"), folder.path("never_made")});
  EXPECT_TRUE(log.is_done("one", "k"));
  folder.write("made/a", "a");
  EXPECT_FALSE(log.is_done("one", "k"));
  folder.write("made/a", "aa");
  EXPECT_TRUE(StageLog(folder.path("stages.json")).is_done("one", "k"));
  std::filesystem::remove(folder.path("b"));
  EXPECT_FALSE(log.is_done("one", "k"));
}

}  // namespace
}  // namespace hadal
