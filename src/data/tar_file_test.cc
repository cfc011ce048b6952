#include "data/tar_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "data/tar_sample.h"
#include "testing/images.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::tar_bytes;
using testing::tar_end;
using testing::tar_entry;

TarBytes archive_bytes(const std::string& archive) {
  return [&archive](std::uint64_t offset, std::span<std::byte> bytes) {
    ASSERT_LE(offset + bytes.size(), archive.size());
    std::memcpy(bytes.data(), archive.data() + offset, bytes.size());
  };
}

// "name=bytes" of each file.
std::vector<std::string> files_of(const std::string& archive) {
  TarReader reader("a.tar", archive.size(), archive_bytes(archive));
  std::vector<std::string> files;
  while (const auto entry = reader.next())
    files.push_back(entry->name + "=" + archive.substr(entry->offset, entry->size));
  return files;
}

std::string tar_error_of(const std::string& archive) {
  try {
    files_of(archive);
    return "none";
  } catch (const DataError& error) {
    return error.what();
  }
}

std::string pax(const std::string& key, const std::string& value) {
  const std::string line = " " + key + "=" + value + "\n";
  std::size_t length = line.size() + 1;
  while (std::to_string(length).size() + line.size() != length) ++length;
  return std::to_string(length) + line;
}

TEST(Tar, regular_files_in_their_order) {
  EXPECT_THAT(files_of(tar_bytes({{"a.txt", "one"}, {"b/c.jpg", std::string(600, 'x')}, {"empty", ""}})),
              ElementsAre("a.txt=one", "b/c.jpg=" + std::string(600, 'x'), "empty="));
  EXPECT_THAT(files_of(tar_end()), ElementsAre());
  EXPECT_THAT(files_of(""), ElementsAre());
  // Programs that do not write the end, or half of it, or pad the last file.
  EXPECT_THAT(files_of(tar_entry("a", "one") + tar_end().substr(512)), ElementsAre("a=one"));
  EXPECT_THAT(files_of(tar_entry("a", "one")), ElementsAre("a=one"));
  EXPECT_THAT(files_of(tar_entry("a", "one").substr(0, 515)), ElementsAre("a=one"));
}

TEST(Tar, folders_and_links_are_passed_over) {
  std::string link = tar_entry("l", "", '2');
  EXPECT_THAT(files_of(tar_entry("d/", "", '5') + link + tar_entry("a", "one") + tar_end()), ElementsAre("a=one"));
}

TEST(Tar, long_names_of_ustar_pax_and_gnu) {
  const std::string name(150, 'n');
  EXPECT_THAT(files_of(tar_entry("a", "1", '0', "folder/of/it") + tar_entry("b", "2") + tar_end()),
              ElementsAre("folder/of/it/a=1", "b=2"));
  EXPECT_THAT(files_of(tar_entry("x", pax("mtime", "1.5") + pax("path", name), 'x') + tar_entry("cut", "1") +
                       tar_entry("b", "2") + tar_end()),
              ElementsAre(name + "=1", "b=2"));
  EXPECT_THAT(files_of(tar_entry("././@LongLink", name + std::string(1, '\0'), 'L') + tar_entry("cut", "1") +
                       tar_entry("b", "2") + tar_end()),
              ElementsAre(name + "=1", "b=2"));
  EXPECT_THAT(files_of(tar_entry("g", pax("path", "not this"), 'g') + tar_entry("a", "1")), ElementsAre("a=1"));
}

TEST(Tar, sizes_of_pax_and_binary_ones) {
  std::string entry = tar_entry("a", "four");
  entry.replace(124, 12, std::string("\x80\0\0\0\0\0\0\0\0\0\0\x04", 12));
  entry.replace(148, 8, "        ");
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(entry[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  entry.replace(148, 7, std::string(text, 7));
  EXPECT_THAT(files_of(entry + tar_end()), ElementsAre("a=four"));
  EXPECT_THAT(files_of(tar_entry("x", pax("size", "2"), 'x') + tar_entry("a", "four") + tar_end()),
              ElementsAre("a=fo"));
}

TEST(Tar, what_is_damaged_is_told_by_its_byte) {
  const std::string good = tar_bytes({{"a", "one"}, {"b", std::string(600, 'x')}});
  EXPECT_THAT(tar_error_of(good.substr(0, 1200)), HasSubstr("a.tar: at byte 1024: the archive ends within a header"));
  EXPECT_THAT(tar_error_of(good.substr(0, 1600)), HasSubstr("a.tar: at byte 1024: the archive ends within this file"));
  std::string damaged = good;
  damaged[1024] = 'c';
  EXPECT_THAT(tar_error_of(damaged), HasSubstr("at byte 1024: this is no header of a tar archive, or a damaged one"));
  const std::string lost = "at byte 1024: zeros end the archive here, but it goes on at byte ";
  EXPECT_THAT(tar_error_of(std::string(good).replace(1024, 512, 512, '\0')), HasSubstr(lost + "1536"));
  EXPECT_THAT(tar_error_of(tar_bytes({{"a", "one"}}) + good), HasSubstr(lost + "2048"));  // joined by cat
  EXPECT_THAT(tar_error_of("\x1f\x8b" + std::string(600, 'z')), HasSubstr("gzip -d"));
  EXPECT_THAT(tar_error_of(tar_entry("s", "", 'S')), HasSubstr("sparse"));
  EXPECT_THAT(tar_error_of(tar_entry("x", "nonsense", 'x')), HasSubstr("this is no pax attribute"));
  EXPECT_THAT(tar_error_of(tar_entry("x", "99 a=b\n", 'x')), HasSubstr("this is no pax attribute"));
  EXPECT_THAT(tar_error_of(tar_entry("x", pax("size", "x"), 'x')), HasSubstr("is no size"));
}

TEST(Tar, every_cut_is_an_error_or_fewer_files) {
  const std::string good = tar_entry("x", pax("path", "name"), 'x') + tar_bytes({{"a", "one"}, {"b", "two"}});
  ASSERT_EQ(good.size(), 4096u);
  for (std::size_t size = 0; size < good.size(); ++size) {
    std::optional<std::size_t> files;
    try {
      files = files_of(good.substr(0, size)).size();
    } catch (const DataError&) {
    }
    // Of the second block of an entry the bytes of its file must be there; of the end nothing, or a block.
    const std::size_t block = size / 512, more = size % 512;
    const std::size_t bytes = pax("path", "name").size();
    const bool is_file = block % 2 == 1 && more >= (block == 1 ? bytes : 3);
    const bool is_whole = block >= 7 || (more == 0 ? block % 2 == 0 : block < 6 && is_file);
    EXPECT_EQ(files.has_value(), is_whole) << size;
    const std::size_t expected = size < 1539 ? 0 : size < 2563 ? 1 : 2;
    EXPECT_EQ(files.value_or(expected), expected) << size;
  }
}

TEST(Tar, names_are_printable) {
  EXPECT_THAT(files_of(tar_entry("x", pax("path", "a\x1b[2J\nb\xc2\x9b\xc3\xa4"), 'x') + tar_entry("cut", "1")),
              ElementsAre("a\\x1b[2J\\x0ab\\xc2\\x9b\xc3\xa4=1"));
}

// --- Samples ---

struct Found {
  std::vector<std::string> samples;  // "image=bytes label"
  std::vector<std::string> incomplete;
};

Found samples_of(const std::string& archive) {
  Found found;
  TarSamples samples("a.tar", archive.size(), archive_bytes(archive));
  while (const auto sample = samples.next([&](const DataError& e) { found.incomplete.emplace_back(e.what()); })) {
    found.samples.push_back(sample->name + "=" + archive.substr(sample->image_offset, sample->image_size) + " " +
                            archive.substr(sample->label_offset, sample->label_size));
  }
  return found;
}

TEST(TarSamples, are_files_named_alike_up_to_the_first_point) {
  const Found found = samples_of(tar_bytes({{"d.1/a.jpg", "A"},
                                            {"d.1/a.cls", "1"},
                                            {"d.1/b.cls", "2"},
                                            {"d.1/b.json", "{}"},
                                            {"d.1/b.seg.png", "no"},
                                            {"d.1/b.PNG", "B"},
                                            {"c.cls", "3"},
                                            {"c.png", "C"}}));
  EXPECT_THAT(found.samples, ElementsAre("d.1/a.jpg=A 1", "d.1/b.PNG=B 2", "c.png=C 3"));
  EXPECT_TRUE(found.incomplete.empty());
}

TEST(TarSamples, without_image_or_label_are_told) {
  const Found found =
      samples_of(tar_bytes({{"a.jpg", "A"}, {"b.cls", "2"}, {"README", "x"}, {"c.png", "C"}, {"c.cls", "3"}}));
  EXPECT_THAT(found.samples, ElementsAre("c.png=C 3"));
  EXPECT_THAT(found.incomplete, ElementsAre(HasSubstr("a.tar: at byte 0: sample 'a' has no label, a file a.cls"),
                                            HasSubstr("at byte 1024: sample 'b' has no image"),
                                            HasSubstr("sample 'README' has no image")));
}

TEST(TarSamples, labels_are_whole_numbers_with_spaces_around) {
  EXPECT_EQ(parse_label("7"), 7);
  EXPECT_EQ(parse_label(" 12\r\n"), 12);
  for (const char* text : {"", " ", "-1", "x", "1.5", "1 2", "99999999999"}) EXPECT_FALSE(parse_label(text)) << text;
}

}  // namespace
}  // namespace hadal
