#include <algorithm>
#include <cmath>
#include <numbers>

#include "speech/ngram_model.h"

namespace hadal {

namespace {

using Words = std::vector<std::int32_t>;

struct Followers {
  std::map<std::int32_t, std::int64_t> counts;  // of the words seen after a history
  std::int64_t total = 0;
};

// By history, up to order - 1 words of it; <s> is a history and never follows one.
std::map<Words, Followers> count_ngrams(int order, std::span<const Words> transcripts, std::int32_t begin,
                                        std::int32_t end) {
  std::map<Words, Followers> histories;
  for (const Words& transcript : transcripts) {
    Words sentence = {begin};
    sentence.insert(sentence.end(), transcript.begin(), transcript.end());
    sentence.push_back(end);
    for (std::size_t i = 1; i < sentence.size(); ++i) {
      for (std::size_t length = 0; length < static_cast<std::size_t>(order) && length <= i; ++length) {
        const auto at = sentence.begin() + static_cast<std::ptrdiff_t>(i);
        Followers& followers = histories[{at - static_cast<std::ptrdiff_t>(length), at}];
        ++followers.counts[sentence[i]];
        ++followers.total;
      }
    }
  }
  return histories;
}

}  // namespace

NgramModel estimate_ngrams(int order, const std::vector<std::string>& words, std::span<const Words> transcripts) {
  std::vector<std::string> names = words;
  const auto begin = static_cast<std::int32_t>(names.size()), end = begin + 1;
  names.insert(names.end(), {"<s>", "</s>"});
  const double equal = 1.0 / static_cast<double>(words.size() + 1);
  const auto histories = count_ngrams(order, transcripts, begin, end);
  std::map<Words, double> probabilities;  // of the n-grams that are listed
  const auto kinds = [](const Followers& f) { return static_cast<double>(f.counts.size()); };
  const auto weight = [&](const Followers& f) { return kinds(f) / (static_cast<double>(f.total) + kinds(f)); };

  std::vector<Ngram> ngrams;
  const auto list = [&](const Words& ngram, double probability) {
    const auto followers = histories.find(ngram);
    const bool is_history = followers != histories.end() && static_cast<int>(ngram.size()) < order;
    probabilities[ngram] = probability;
    ngrams.push_back({ngram, std::log(probability), is_history ? std::log(weight(followers->second)) : 0});
  };
  const auto unseen = histories.find({});
  for (std::int32_t word = 0; word < static_cast<std::int32_t>(names.size()); ++word) {
    double probability = equal;
    if (unseen != histories.end() && order > 0) {
      const Followers& all = unseen->second;
      const auto count = all.counts.find(word);
      const double seen = count == all.counts.end() ? 0 : static_cast<double>(count->second);
      probability = (seen + kinds(all) * equal) / (static_cast<double>(all.total) + kinds(all));
    }
    list({word}, word == begin ? 1e-99 : probability);
  }
  for (std::size_t length = 1; static_cast<int>(length) < order; ++length) {
    for (const auto& [history, followers] : histories) {
      if (history.size() != length) continue;
      for (const auto& [word, count] : followers.counts) {
        Words shorter(history.begin() + 1, history.end()), ngram = history;
        shorter.push_back(word);
        ngram.push_back(word);
        const double all = static_cast<double>(followers.total) + kinds(followers);
        list(ngram, (static_cast<double>(count) + kinds(followers) * probabilities.at(shorter)) / all);
      }
    }
  }
  return {std::max(order, 1), std::move(names), std::move(ngrams)};
}

}  // namespace hadal
