#pragma once
// A pronunciation dictionary: words as sequences of phones.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/sample_source.h"

namespace hadal {

// Immutable after it was read, so any thread may call any function.
class Lexicon {
 public:
  static constexpr std::int32_t kSilence = 0;                 // the phone SIL, which is always there
  static constexpr std::size_t kMostPronunciations = 65'000;  // of a word: alignments number them with 16 bits

  // A line each: the word, then its phones, separated by spaces or tabs. More pronunciations of a word are more lines;
  // these may say WORD(2) as CMU's dictionary does. Empty lines and those that begin with ;;; or # are none, and a
  // field # ends its line, as CMU's comments do. Throws ConfigError where the file cannot be opened, DataError with the
  // line where one is not so, where a word is <s> or
  // </s>, a phone is *, or a word has more than kMostPronunciations. A pronunciation that is there twice counts
  // once.
  static Lexicon read(const std::string& path, const Position& where = {});
  static Lexicon parse(std::string_view text, const std::string& file);

  const std::string& file() const { return file_; }
  const std::vector<std::string>& words() const { return words_; }    // as they first occur
  const std::vector<std::string>& phones() const { return phones_; }  // SIL, then by name
  std::optional<std::int32_t> word(const std::string& name) const;
  std::optional<std::int32_t> phone(const std::string& name) const;

  // Of a word, in the order of the file: at least one, each of one phone or more.
  const std::vector<std::vector<std::int32_t>>& pronunciations(std::int32_t word) const {
    return pronunciations_[static_cast<std::size_t>(word)];
  }

  // The numbers of a transcript's words. Where one is not in the dictionary: throws DataError with the utterance's name
  // (`id`), or, under skip, adds that to `left_out` and gives nothing.
  std::optional<std::vector<std::int32_t>> words_of(const std::string& id, std::span<const std::string> transcript,
                                                    BadSample on_unknown, LeftOut& left_out) const;

 private:
  std::string file_;
  std::vector<std::string> words_, phones_;
  std::map<std::string, std::int32_t, std::less<>> word_numbers_, phone_numbers_;
  std::vector<std::vector<std::vector<std::int32_t>>> pronunciations_;
};

// The fields of a line: what stands between spaces, tabs and carriage returns.
std::vector<std::string> split_fields(std::string_view line);

// A file's text behind the byte order mark of UTF-8 that some editors write.
std::string_view without_mark(std::string_view text);

}  // namespace hadal
