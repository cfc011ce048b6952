#include "speech/lexicon.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/nearest.h"
#include "base/printable.h"
#include "base/thousands.h"

namespace hadal {

namespace {

constexpr std::uint64_t kDictionaryLimit = 1'000'000'000;  // bytes

struct Pronounced {
  int line = 0;
  std::string word;
  std::vector<std::string> phones;
};

// WORD(2) is WORD: digits in brackets behind a name.
std::string without_number(const std::string& word) {
  if (word.size() < 4 || word.back() != ')') return word;
  const std::size_t open = word.rfind('(');
  if (open == std::string::npos || open == 0 || open + 2 >= word.size()) return word;
  const bool digits = std::all_of(word.begin() + static_cast<std::ptrdiff_t>(open) + 1, word.end() - 1,
                                  [](char c) { return c >= '0' && c <= '9'; });
  return digits ? word.substr(0, open) : word;
}

std::vector<Pronounced> entries_of(std::string_view text, const std::string& file) {
  std::vector<Pronounced> entries;
  text = without_mark(text);
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::vector<std::string> fields = split_fields(line);
    fields.erase(std::find(fields.begin(), fields.end(), "#"), fields.end());  // a comment behind the phones
    if (fields.empty() || fields[0].starts_with(";;;") || fields[0].starts_with('#')) continue;
    const auto fail = [&](const std::string& what) {
      throw DataError(fmt::format("{}:{}: {}", file, number, printable(what)));
    };
    const std::string word = without_number(fields[0]);
    if (word == "<s>" || word == "</s>") {
      fail(fmt::format("{} marks where a sentence begins or ends and is no word; remove the line", word));
    }
    fields.erase(fields.begin());
    if (fields.empty()) fail(fmt::format("the word '{}' has no phones; a line is a word, then its phones", word));
    for (const std::string& phone : fields) {
      if (phone == "*") fail(fmt::format("a phone cannot be named '{}'; name it otherwise", phone));
    }
    entries.push_back({number, word, std::move(fields)});
  }
  return entries;
}

}  // namespace

std::vector<std::string> split_fields(std::string_view line) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  std::vector<std::string> fields;
  for (std::size_t begin = line.find_first_not_of(kSpace); begin != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(kSpace, begin), line.size());
    fields.emplace_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(kSpace, end);
  }
  return fields;
}

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  return text.starts_with(kMark) ? text.substr(kMark.size()) : text;
}

Lexicon Lexicon::read(const std::string& path, const Position& where) {
  return parse(read_file(path, kDictionaryLimit, where), path);
}

Lexicon Lexicon::parse(std::string_view text, const std::string& file) {
  Lexicon lexicon;
  lexicon.file_ = file;
  const std::vector<Pronounced> entries = entries_of(text, file);
  if (entries.empty()) throw DataError(file + ": has no words; a line is a word, then its phones");
  std::set<std::string> names;
  for (const Pronounced& entry : entries) names.insert(entry.phones.begin(), entry.phones.end());
  names.erase("SIL");
  lexicon.phones_ = {"SIL"};
  lexicon.phones_.insert(lexicon.phones_.end(), names.begin(), names.end());
  for (std::size_t i = 0; i < lexicon.phones_.size(); ++i) {
    lexicon.phone_numbers_[lexicon.phones_[i]] = static_cast<std::int32_t>(i);
  }
  std::set<std::pair<std::int32_t, std::vector<std::int32_t>>> pronounced;
  for (const Pronounced& entry : entries) {
    const auto next = static_cast<std::int32_t>(lexicon.words_.size());
    const auto [found, is_new] = lexicon.word_numbers_.try_emplace(entry.word, next);
    if (is_new) {
      lexicon.words_.push_back(entry.word);
      lexicon.pronunciations_.emplace_back();
    }
    std::vector<std::int32_t> phones;
    for (const std::string& phone : entry.phones) phones.push_back(lexicon.phone_numbers_.at(phone));
    if (!pronounced.emplace(found->second, phones).second) continue;
    auto& all = lexicon.pronunciations_[static_cast<std::size_t>(found->second)];
    if (all.size() == kMostPronunciations) {
      throw DataError(printable(fmt::format("{}:{}: '{}' has more than {} pronunciations; remove some", file,
                                            entry.line, entry.word, with_thousands(kMostPronunciations))));
    }
    all.push_back(std::move(phones));
  }
  return lexicon;
}

std::optional<std::int32_t> Lexicon::word(const std::string& name) const {
  const auto found = word_numbers_.find(name);
  return found == word_numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int32_t> Lexicon::phone(const std::string& name) const {
  const auto found = phone_numbers_.find(name);
  return found == phone_numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::vector<std::int32_t>> Lexicon::words_of(const std::string& id,
                                                           std::span<const std::string> transcript,
                                                           BadSample on_unknown, LeftOut& left_out) const {
  std::vector<std::int32_t> numbers;
  for (const std::string& name : transcript) {
    const auto number = word(name);
    if (!number) {
      const std::string near = nearest(name, words_);
      const std::string what = printable(fmt::format("{}: the word '{}' is not in {}{}", id, name, file_,
                                                     near.empty() ? "" : "; did you mean '" + near + "'?"));
      if (on_unknown == BadSample::fail)
        throw DataError(what + "; add it there, or leave such utterances out with data.on_bad_utterance: skip");
      left_out.add(what);
      return std::nullopt;
    }
    numbers.push_back(*number);
  }
  return numbers;
}

}  // namespace hadal
