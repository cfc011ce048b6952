#include "speech/ngram_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {

NgramModel::NgramModel(int order, std::vector<std::string> words, std::vector<Ngram> ngrams)
    : order_(order), words_(std::move(words)), ngrams_(std::move(ngrams)) {
  const auto number_of = [&](const char* name) {
    const auto place = std::find(words_.begin(), words_.end(), name);
    return place == words_.end() ? -1 : static_cast<std::int32_t>(place - words_.begin());
  };
  begin_ = number_of("<s>");
  end_ = number_of("</s>");
  // Histories are what n-grams begin with, and what has a weight of its own for backing off.
  history_numbers_[{}] = 0;
  histories_.emplace_back();
  std::map<std::vector<std::int32_t>, bool> begins;
  for (const Ngram& ngram : ngrams_) begins[{ngram.words.begin(), ngram.words.end() - 1}] = true;
  for (const Ngram& ngram : ngrams_) {
    if (static_cast<int>(ngram.words.size()) >= order_) continue;
    if (ngram.log_backoff == 0 && !begins.contains(ngram.words)) continue;
    history_numbers_[ngram.words] = static_cast<std::int32_t>(histories_.size());
    History history;
    history.log_backoff = ngram.log_backoff;
    history.backoff = longest_history(std::span(ngram.words).subspan(1));  // shorter ones come first
    histories_.push_back(std::move(history));
  }
  for (const Ngram& ngram : ngrams_) {
    if (ngram.words.back() == begin_) continue;  // nothing comes before it
    const auto from = history_numbers_.find({ngram.words.begin(), ngram.words.end() - 1});
    HADAL_CHECK(from != history_numbers_.end());
    const std::int32_t next = ngram.words.back() == end_ ? 0 : longest_history(ngram.words);
    histories_[static_cast<std::size_t>(from->second)].arcs.push_back(
        {ngram.words.back(), ngram.log_probability, next});
  }
  for (History& history : histories_) {
    std::sort(history.arcs.begin(), history.arcs.end(), [](const Arc& a, const Arc& b) { return a.word < b.word; });
  }
  if (begin_ >= 0) first_history_ = longest_history(std::span(&begin_, 1));
}

// The longest end of the words that is a history.
std::int32_t NgramModel::longest_history(std::span<const std::int32_t> words) const {
  if (static_cast<int>(words.size()) >= order_) words = words.last(static_cast<std::size_t>(std::max(order_ - 1, 0)));
  for (; !words.empty(); words = words.subspan(1)) {
    const auto found = history_numbers_.find({words.begin(), words.end()});
    if (found != history_numbers_.end()) return found->second;
  }
  return 0;
}

double NgramModel::score(std::int32_t& history, std::int32_t word) const {
  double score = 0;
  for (std::int32_t h = history; h >= 0; h = histories_[static_cast<std::size_t>(h)].backoff) {
    const History& from = histories_[static_cast<std::size_t>(h)];
    const auto arc = std::lower_bound(from.arcs.begin(), from.arcs.end(), word,
                                      [](const Arc& a, std::int32_t w) { return a.word < w; });
    if (arc != from.arcs.end() && arc->word == word) {
      history = arc->next;
      return score + arc->log_probability;
    }
    score += from.log_backoff;
  }
  history = 0;
  return -std::numeric_limits<double>::infinity();
}

double NgramModel::score_sentence(std::span<const std::string> sentence) const {
  double sum = 0;
  std::int32_t history = first_history_;
  for (const std::string& name : sentence) {
    const auto place = std::find(words_.begin(), words_.end(), name);
    sum += score(history, place == words_.end() ? -1 : static_cast<std::int32_t>(place - words_.begin()));
  }
  return sum + score(history, end_);
}

}  // namespace hadal
