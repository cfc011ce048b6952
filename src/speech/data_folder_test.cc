#include "speech/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "speech/archive.h"
#include "speech/audio_file.h"
#include "speech/sphinx_file.h"
#include "testing/command.h"
#include "testing/shared_data.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Three recordings of two speakers.
class SmallData : public testing::TemporaryFolder {
 public:
  SmallData() {
    for (const char* name : {"a.wav", "b.wav", "c.wav"}) write_wav(path(name), {16000, std::vector<float>(8000, 3)});
    write("wav.scp", "a a.wav\nb\tb.wav\nc   c.wav  \n");
    write("text", "a ONE TWO\nb  TWO\nc THREE\n");
    write("utt2spk", "a ann\nb ann\nc bob\n");
  }
  DataFolder read(const DataFolderOptions& options = {}) const { return read_data_folder(path(), options); }
  std::string refusal(const DataFolderOptions& options = {}) const {
    try {
      static_cast<void>(read(options));
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      return message.starts_with(path() + "/") ? message.substr(path().size() + 1) : message;
    }
    return "nothing is refused";
  }
};

TEST(DataFolder, recordings_words_and_speakers) {
  const SmallData data;
  const DataFolder folder = data.read();
  ASSERT_EQ(folder.utterances.size(), 3U);
  EXPECT_TRUE(folder.has_text);
  EXPECT_EQ(folder.utterances[0].id, "a");
  EXPECT_THAT(folder.utterances[0].words, ElementsAre("ONE", "TWO"));
  EXPECT_EQ(folder.utterances[1].file, data.path("b.wav"));
  EXPECT_EQ(folder.utterances[2].speaker, "bob");
  EXPECT_EQ(folder.utterances[2].where.line, 3);
}

TEST(DataFolder, text_and_speakers_may_be_missing) {
  const SmallData data;
  std::filesystem::remove(data.path("text"));
  std::filesystem::remove(data.path("utt2spk"));
  const DataFolder folder = data.read();
  EXPECT_FALSE(folder.has_text);
  EXPECT_EQ(folder.utterances[1].speaker, "b");
  EXPECT_THAT(data.refusal({.needs_text = true}), HasSubstr("text: No such file"));
}

struct BadFolder {
  const char *name, *file, *content, *error;
};
void PrintTo(const BadFolder& bad, std::ostream* out) { *out << bad.name; }

class RefusedFolder : public ::testing::TestWithParam<BadFolder> {};

TEST_P(RefusedFolder, is_told_by_file_and_line) {
  const SmallData data;
  data.write(GetParam().file, GetParam().content);
  EXPECT_THAT(data.refusal({.needs_text = true}), HasSubstr(GetParam().error));
}

// What stands in wav.scp in the folder's other files too stays good.
INSTANTIATE_TEST_SUITE_P(
    All, RefusedFolder,
    ::testing::Values(
        BadFolder{"twice", "wav.scp", "a a.wav\nb b.wav\na c.wav\n", "wav.scp:3: the id 'a' stands in line 1 already"},
        BadFolder{"no file", "wav.scp", "a a.wav\nb\n", "wav.scp:2: names no file for 'b'"},
        BadFolder{"missing", "wav.scp", "a x.wav\n", "wav.scp:1: there is no file 'x.wav'"},
        BadFolder{"command", "wav.scp", "a sox a.wav -t wav - |\n", "wav.scp:1: 'sox a.wav -t wav - |' is a command"},
        BadFolder{"not in text", "text", "a ONE\nc ONE\n", "wav.scp:2: 'b' is not in "},
        BadFolder{"not in scp", "text", "a ONE\nb ONE\nc TWO\nd TWO\n", "text:4: 'd' is not in "},
        BadFolder{"no words", "text", "a ONE\nb\nc TWO\n", "text:2: has no words for 'b'"},
        BadFolder{"no speaker", "utt2spk", "a ann\nb ann\n", "wav.scp:3: 'c' is not in "},
        BadFolder{"two speakers", "utt2spk", "a ann bob\nb ann\nc bob\n", "utt2spk:1: has 2 words behind the id"},
        BadFolder{"bad segment", "segments", "a a 0 0.3\nb b 0.2 0.1\nc c 0 1\n", "segments:2: is no segment"},
        BadFolder{"no recording", "segments", "a d 0 0.3\n", "segments:1: the recording 'd' is not in "},
        BadFolder{"unused", "segments", "a a 0 0.3\nb a 0 0.3\nc c 0 0.3\n",
                  "no line of segments uses the recording 'b'"},
        BadFolder{"empty", "wav.scp", "\n", "wav.scp: is empty; a line is ID FILE"}));

TEST(DataFolder, a_byte_order_mark_is_no_part_of_the_first_id) {
  const SmallData data;
  for (const char* file : {"wav.scp", "text", "utt2spk"}) {
    data.write(file, "\xef\xbb\xbf" + testing::contents(data.path(file)));
  }
  const DataFolder folder = data.read({.needs_text = true});
  ASSERT_EQ(folder.utterances.size(), 3U);
  EXPECT_EQ(folder.utterances[0].id, "a");
  EXPECT_THAT(folder.utterances[0].words, ElementsAre("ONE", "TWO"));
}

TEST(DataFolder, what_is_bad_may_be_left_out) {
  const SmallData data;
  std::string scp = "a a.wav\n", text = "a ONE\n";
  for (int i = 0; i < 12; ++i) {
    scp += "x" + std::to_string(i) + " x.wav\n";
    text += "x" + std::to_string(i) + " ONE\n";
  }
  data.write("wav.scp", scp + "b b.wav\na again.wav\n");
  data.write("text", text);
  const DataFolder folder = data.read({.on_bad = BadSample::skip});
  ASSERT_EQ(folder.utterances.size(), 1U);
  EXPECT_EQ(folder.utterances[0].file, data.path("a.wav"));
  // A repeated line, twelve files that are not there, b without a text; b and c of utt2spk are then nowhere.
  EXPECT_EQ(folder.left_out.count, 1 + 12 + 1 + 1);
  EXPECT_EQ(folder.left_out.named.size(), 10U);
  EXPECT_THAT(folder.left_out.named[0], HasSubstr("wav.scp:15: the id 'a' stands in line 1 already"));
}

TEST(DataFolder, nothing_left) {
  const SmallData data;
  data.write("segments", "\n");
  EXPECT_THAT(data.refusal({.on_bad = BadSample::skip}), HasSubstr("wav.scp: no utterance is left: "));
  std::filesystem::remove(data.path("segments"));
  data.write("wav.scp", "a x.wav\nb x.wav\nc x.wav\n");
  EXPECT_THAT(data.refusal({.on_bad = BadSample::skip}), ::testing::AllOf(HasSubstr("wav.scp: no utterance is left: "),
                                                                          HasSubstr(":1: there is no file 'x.wav'")));
}

TEST(DataFolder, segments_are_parts_of_recordings) {
  const SmallData data;
  data.write("wav.scp", "r a.wav\n");
  data.write("segments", "a r 0 0.25\nb r 0.25 0.5\nc r 0.1 -1\n");
  const DataFolder folder = data.read();
  ASSERT_EQ(folder.utterances.size(), 3U);
  EXPECT_EQ(folder.utterances[1].begin, 0.25);
  EXPECT_EQ(folder.utterances[1].end, 0.5);
  EXPECT_LT(folder.utterances[2].end, 0);
  EXPECT_EQ(folder.utterances[1].file, data.path("a.wav"));
  EXPECT_THAT(folder.utterances[1].where.file, HasSubstr("segments"));
}

TEST(DataFolder, says_which_other_index_there_is) {
  const SmallData data;
  EXPECT_THAT(data.refusal({.features = true}), HasSubstr("has no feats.scp, but wav.scp: set features.kind to fbank"));
  EXPECT_THAT([&] { read_data_folder(data.path("a.wav"), {}); },
              ThrowsMessage<ConfigError>(HasSubstr("is not a folder")));
  EXPECT_THAT([&] { read_data_folder(data.path("no"), {}); },
              ThrowsMessage<ConfigError>(HasSubstr("there is no such data folder")));
}

TEST(DataFolder, features_of_archives_and_of_sphinx) {
  const SmallData data;
  FeatureMatrix matrix(2, 13);
  matrix.values[14] = 2.5f;
  ArchiveWriter writer(data.path("f.ark"), data.path("feats.scp"), "f.ark");
  writer.write("a", FeatureMatrix(1, 13));
  writer.write("b", matrix);
  writer.commit();
  std::string big("\0\0\0\x1a", 4), little("\x1a\0\0\0", 4);
  for (const float value : matrix.values) {
    const auto bits = std::bit_cast<std::array<char, 4>>(value);
    little.append(bits.begin(), bits.end());
    big.append(bits.rbegin(), bits.rend());
  }
  data.write("c.mfc", big);
  data.write("d.mfc", little);
  data.write("bad.mfc", big.substr(0, 100));
  data.write("feats.scp", "a f.ark:2\nb f.ark:" + std::to_string(2 + 15 + 52 + 2) + "\nc c.mfc\nd d.mfc\ne bad.mfc\n");
  data.write("text", "a A\nb A\nc A\nd A\ne A\n");
  std::filesystem::remove(data.path("utt2spk"));
  const DataFolder folder = data.read({.features = true});
  ASSERT_EQ(folder.utterances.size(), 5U);
  EXPECT_EQ(read_features(folder.utterances[0]).frames, 1);
  for (const std::size_t i : {1U, 2U, 3U}) EXPECT_EQ(read_features(folder.utterances[i]).values, matrix.values) << i;
  EXPECT_THAT([&] { read_features(folder.utterances[4]); },
              ThrowsMessage<DataError>(HasSubstr("the count of numbers is 26 (big-endian), but 96 bytes follow")));
  EXPECT_EQ(read_features(folder.utterances[2], 2).frames, 13);
  EXPECT_THAT([&] { read_sphinx_file(data.path("c.mfc"), 12); },
              ThrowsMessage<DataError>(HasSubstr("its 26 numbers are no rows of 12")));
}

TEST(DataFolder, another_toolkits) {
  const auto path = testing::shared_folder() / "data/fixture_kaldi/lhotse_mini_librispeech2";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const DataFolder folder = read_data_folder(path, {.features = true, .needs_text = true});
  ASSERT_EQ(folder.utterances.size(), 3U);
  EXPECT_EQ(folder.utterances[1].words.front(), "ON");
  EXPECT_EQ(folder.utterances[1].speaker, "lbi-6241-61943");
  EXPECT_EQ(read_features(folder.utterances[1]).frames, 693);
  EXPECT_THAT([&] { read_data_folder(path, {}); }, ThrowsMessage<ConfigError>(HasSubstr("is a command")));
}

}  // namespace
}  // namespace hadal
