// ARPA files of language models:
//
//   \data\ (a line of its own)
//   ngram 1=3
//   ngram 2=2
//
//   \1-grams:
//   -0.5    word    -0.3        log10 of the probability, the words, log10 of the weight for backing off (or none: 0)
//   \2-grams:
//   -0.2    one two
//   \end\ (likewise)

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <set>

#include "base/file.h"
#include "base/printable.h"
#include "speech/lexicon.h"
#include "speech/ngram_model.h"

namespace hadal {

namespace {

constexpr std::uint64_t kArpaLimit = 4'000'000'000;  // bytes
constexpr int kMostWords = 20;                       // of an n-gram

class ArpaReader {
 public:
  ArpaReader(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  NgramModel read() {
    find_data();
    read_counts();
    for (std::size_t length = 1; length <= counts_.size(); ++length) read_section(static_cast<int>(length));
    if (fields_.size() != 1 || fields_[0] != "\\end\\") {
      fail(fmt::format("here '\\end\\' is expected after {} {}-grams", counts_.back(), counts_.size()));
    }
    if (!numbers_.contains("</s>")) throw DataError(file_ + ": has no word </s>, which ends each sentence");
    return {static_cast<int>(counts_.size()), std::move(words_), std::move(ngrams_)};
  }

 private:
  // Fills fields_ from the next line that is not empty; false at the end.
  bool next() {
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = std::min(text_.find('\n'), text_.size());
      fields_ = split_fields(text_.substr(0, end));
      text_.remove_prefix(std::min(end + 1, text_.size()));
      if (!fields_.empty()) return true;
    }
    fields_.clear();
    return false;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(printable(fmt::format("{}:{}: {}", file_, line_, what)));
  }

  void find_data() {
    while (next()) {
      if (fields_.size() == 1 && fields_[0] == "\\data\\") return;
    }
    throw DataError(file_ + ": has no line '\\data\\'; this is no ARPA language model");
  }

  void read_counts() {
    while (next() && fields_[0] == "ngram") {
      std::string joined;
      for (std::size_t i = 1; i < fields_.size(); ++i) joined += fields_[i];
      const std::size_t equals = joined.find('=');
      if (equals == std::string::npos) fail("a line of the head is 'ngram LENGTH=COUNT'");
      if (whole(joined.substr(0, equals)) != static_cast<std::int64_t>(counts_.size()) + 1) {
        fail("the counts of n-grams stand in the order of their lengths, from 1 on");
      }
      if (counts_.size() == kMostWords) fail(fmt::format("n-grams have {} words at most", kMostWords));
      counts_.push_back(whole(joined.substr(equals + 1)));
    }
    if (counts_.empty()) fail("the head says no 'ngram 1=COUNT'");
  }

  // fields_ holds its title, and afterwards the line behind it.
  void read_section(int length) {
    if (fields_.size() != 1 || fields_[0] != fmt::format("\\{}-grams:", length)) {
      fail(fmt::format("here '\\{}-grams:' is expected", length));
    }
    const std::int64_t count = counts_[static_cast<std::size_t>(length) - 1];
    for (std::int64_t i = 0; i < count; ++i) {
      if (!next()) fail(fmt::format("the file ends after {} of {} {}-grams", i, count, length));
      read_ngram(length);
    }
    next();
  }

  void read_ngram(int length) {
    const auto words = static_cast<std::size_t>(length);
    if (fields_.size() != words + 1 && fields_.size() != words + 2) {
      fail(fmt::format("a line is a probability, {} word{}, and perhaps a weight", length, length == 1 ? "" : "s"));
    }
    Ngram ngram;
    ngram.log_probability = logarithm(fields_[0]);
    if (ngram.log_probability > 1e-5) fail("the logarithm of a probability is 0 at most");
    ngram.log_probability = std::min(ngram.log_probability, 0.0);
    if (fields_.size() == words + 2) ngram.log_backoff = logarithm(fields_.back());
    for (std::size_t i = 1; i <= words; ++i) {
      if (length == 1) {
        const auto [place, is_new] = numbers_.try_emplace(fields_[i], static_cast<std::int32_t>(words_.size()));
        if (!is_new) fail(fmt::format("the word '{}' is there twice", fields_[i]));
        words_.push_back(fields_[i]);
      }
      const auto number = numbers_.find(fields_[i]);
      if (number == numbers_.end()) fail(fmt::format("the word '{}' is not among the 1-grams", fields_[i]));
      ngram.words.push_back(number->second);
    }
    if (!known_.insert(ngram.words).second) fail("this n-gram is there twice");
    if (length > 1 && !known_.contains({ngram.words.begin(), ngram.words.end() - 1})) {
      fail(fmt::format("what this begins with is not among the {}-grams", length - 1));
    }
    ngrams_.push_back(std::move(ngram));
  }

  std::int64_t whole(const std::string& text) const {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) {
      fail(fmt::format("'{}' is not a number of n-grams", text));
    }
    return value;
  }

  // Natural, of what is written to the base 10. -99 stands for none.
  double logarithm(const std::string& text) const {
    double value = 0;
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
    const bool infinite = text == "-inf" || text == "-Inf" || text == "-infinity";
    if (infinite) value = -99;
    if (!infinite && (error != std::errc() || end != text.data() + text.size() || !(std::abs(value) <= 1e6))) {
      fail(fmt::format("'{}' is not the logarithm of a probability", text));
    }
    return value * std::numbers::ln10;
  }

  std::string_view text_;
  std::string file_;
  int line_ = 0;
  std::vector<std::string> fields_;
  std::vector<std::int64_t> counts_;
  std::vector<std::string> words_;
  std::map<std::string, std::int32_t> numbers_;
  std::set<std::vector<std::int32_t>> known_;
  std::vector<Ngram> ngrams_;
};

}  // namespace

NgramModel NgramModel::read(const std::string& path, const Position& where) {
  return parse(read_file(path, kArpaLimit, where), path);
}

NgramModel NgramModel::parse(std::string_view text, const std::string& file) {
  return ArpaReader(without_mark(text), file).read();
}

std::string NgramModel::to_text() const {
  std::vector<std::vector<const Ngram*>> sections(static_cast<std::size_t>(order_));
  for (const Ngram& ngram : ngrams_) sections[ngram.words.size() - 1].push_back(&ngram);
  std::string text = "\\data\\\n";
  for (std::size_t i = 0; i < sections.size(); ++i) text += fmt::format("ngram {}={}\n", i + 1, sections[i].size());
  for (std::size_t i = 0; i < sections.size(); ++i) {
    std::sort(sections[i].begin(), sections[i].end(),
              [](const Ngram* a, const Ngram* b) { return a->words < b->words; });
    text += fmt::format("\n\\{}-grams:\n", i + 1);
    for (const Ngram* ngram : sections[i]) {
      text += fmt::format("{:.7f}\t", ngram->log_probability / std::numbers::ln10);
      for (std::size_t w = 0; w < ngram->words.size(); ++w) {
        text += (w == 0 ? "" : " ") + words_[static_cast<std::size_t>(ngram->words[w])];
      }
      const std::string weight = fmt::format("{:.7f}", ngram->log_backoff / std::numbers::ln10);
      if (weight.find_first_not_of("-0.") != std::string::npos) text += '\t' + weight;
      text += '\n';
    }
  }
  return text + "\n\\end\\\n";
}

}  // namespace hadal
