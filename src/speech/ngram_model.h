#pragma once
// An n-gram language model with back-off: what word comes next, after a history of words.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal {

// A word sequence of the model, as an ARPA file lists it.
struct Ngram {
  std::vector<std::int32_t> words;  // numbers in NgramModel::words()
  double log_probability = 0;       // natural logarithm
  double log_backoff = 0;
};

// Histories are numbered: 0 is the empty one. Natural logarithms everywhere. Immutable, so any thread may call any
// function.
class NgramModel {
 public:
  struct Arc {
    std::int32_t word = 0;
    double log_probability = 0;
    std::int32_t next = 0;  // history
  };
  struct History {
    std::vector<Arc> arcs;      // by word
    double log_backoff = 0;     // of words without an arc: to be added to what `backoff` says of them
    std::int32_t backoff = -1;  // none: 0 has nothing to fall back to
  };

  // words: with <s> and </s>. ngrams: each once, by length, those of one word first; of a longer one's beginnings all
  // are there.
  NgramModel(int order, std::vector<std::string> words, std::vector<Ngram> ngrams);

  // The ARPA format (as SRILM's ngram-format(5) has it), of any order. Throws ConfigError where the file cannot be
  // opened, DataError with the line where it is not so, does not know </s>, or lacks a beginning of an n-gram.
  static NgramModel read(const std::string& path, const Position& where = {});
  static NgramModel parse(std::string_view text, const std::string& file);
  std::string to_text() const;  // n-grams in the order of their words' numbers

  int order() const { return order_; }
  const std::vector<std::string>& words() const { return words_; }
  std::int32_t begin() const { return begin_; }  // <s>; -1 where the model has none
  std::int32_t end() const { return end_; }      // </s>
  const std::vector<Ngram>& ngrams() const { return ngrams_; }

  const std::vector<History>& histories() const { return histories_; }
  std::int32_t first_history() const { return first_history_; }  // of a sentence

  // Of a word after a history, which becomes the next one. Minus infinity of a word that the model does not have.
  double score(std::int32_t& history, std::int32_t word) const;

  // Of a whole sentence, its end included: words by name.
  double score_sentence(std::span<const std::string> sentence) const;

 private:
  std::int32_t longest_history(std::span<const std::int32_t> words) const;

  int order_ = 1;
  std::vector<std::string> words_;
  std::vector<Ngram> ngrams_;
  std::vector<History> histories_;
  std::map<std::vector<std::int32_t>, std::int32_t> history_numbers_;
  std::int32_t begin_ = -1, end_ = -1, first_history_ = 0;
};

// A model of transcripts: interpolated Witten-Bell smoothing, where each order is mixed with the shorter one,
//
//   P(w | h) = (count(h w) + kinds(h) P(w | h without its first word)) / (count(h) + kinds(h)),
//
// kinds(h) the number of different words seen after h, and the shortest with equal probabilities of all `words` and
// </s>. (Witten and Bell 1991, method C; it needs no counts of counts, so it suits a few hundred sentences.) order 0:
// these equal probabilities alone. The transcripts' words are all in `words`, which are names without <s> and </s>.
NgramModel estimate_ngrams(int order, const std::vector<std::string>& words,
                           std::span<const std::vector<std::int32_t>> transcripts);

}  // namespace hadal
