#include "speech/word_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/file.h"
#include "base/nearest.h"
#include "base/printable.h"
#include "base/random.h"
#include "speech/lexicon.h"

namespace hadal {

namespace {

constexpr std::uint64_t kTranscriptsLimit = 4'000'000'000;  // bytes

// Errors first, then what sclite counts for them.
constexpr std::int64_t kError = std::int64_t{1} << 32;
constexpr std::int64_t kSubstitution = kError + 4, kDeletion = kError + 3, kInsertion = kError + 3;

// Sums over drawn utterances, of each sample.
template <class Visit>
void for_each_sample(std::size_t utterances, const BootstrapOptions& options, const Visit& visit) {
  std::vector<std::uint32_t> draws(utterances);
  for (std::int64_t sample = 0; sample < options.samples; ++sample) {
    const RandomSequence random(options.seed, RandomUse::bootstrap, static_cast<std::uint32_t>(sample));
    for (std::size_t i = 0; i < utterances; ++i) draws[i] = random.below(i, utterances);
    visit(draws);
  }
}

WordErrors sum_of(std::span<const WordErrors> utterances, const std::vector<std::uint32_t>& draws) {
  WordErrors sum;
  for (const std::uint32_t i : draws) sum += utterances[i];
  return sum;
}

Interval percentiles(std::vector<double>& values, double confidence) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    return values[static_cast<std::size_t>(std::lround(place))];
  };
  return {at((1 - confidence) / 2), at((1 + confidence) / 2)};
}

double reduction_of(const WordErrors& before, const WordErrors& after) {
  if (before.errors() == 0) return after.errors() == 0 ? 0 : -1;
  return 1 - static_cast<double>(after.errors()) / static_cast<double>(before.errors());
}

}  // namespace

TranscriptFile TranscriptFile::read(const std::string& path, const Position& where) {
  return parse(read_file(path, kTranscriptsLimit, where), path);
}

TranscriptFile TranscriptFile::parse(std::string_view text, const std::string& file) {
  TranscriptFile transcripts{.file = file, .utterances = {}};
  text = without_mark(text);
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::vector<std::string> fields = split_fields(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (fields.empty()) continue;
    const std::string name = fields[0];
    fields.erase(fields.begin());
    if (!transcripts.utterances.emplace(name, std::move(fields)).second) {
      throw DataError(printable(fmt::format(
          "{}:{}: the utterance '{}' is there twice; a line is a name of its own, then words", file, line, name)));
    }
  }
  return transcripts;
}

double WordErrors::rate() const {
  if (words == 0) return errors() == 0 ? 0 : 1;
  return static_cast<double>(errors()) / static_cast<double>(words);
}

WordErrors& WordErrors::operator+=(const WordErrors& other) {
  words += other.words;
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  return *this;
}

std::vector<AlignedWord> align_words(const Transcript& reference, const Transcript& hypothesis) {
  const std::size_t rows = reference.size() + 1, columns = hypothesis.size() + 1;
  std::vector<std::int64_t> costs(rows * columns);
  const auto cost = [&](std::size_t r, std::size_t h) -> std::int64_t& { return costs[r * columns + h]; };
  const auto pair_cost = [&](std::size_t r, std::size_t h) {
    return cost(r - 1, h - 1) + (reference[r - 1] == hypothesis[h - 1] ? 0 : kSubstitution);
  };
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t h = 0; h < columns; ++h) {
      if (r == 0 && h == 0) continue;
      std::int64_t best = INT64_MAX;
      if (r > 0 && h > 0) best = pair_cost(r, h);
      if (r > 0) best = std::min(best, cost(r - 1, h) + kDeletion);
      if (h > 0) best = std::min(best, cost(r, h - 1) + kInsertion);
      cost(r, h) = best;
    }
  }
  std::vector<AlignedWord> alignment;
  for (std::size_t r = reference.size(), h = hypothesis.size(); r > 0 || h > 0;) {
    if (r > 0 && h > 0 && cost(r, h) == pair_cost(r, h)) {
      alignment.push_back({reference[--r], hypothesis[--h]});
    } else if (r > 0 && cost(r, h) == cost(r - 1, h) + kDeletion) {
      alignment.push_back({reference[--r], ""});
    } else {
      alignment.push_back({"", hypothesis[--h]});
    }
  }
  std::reverse(alignment.begin(), alignment.end());
  return alignment;
}

WordErrors count_errors(std::span<const AlignedWord> alignment) {
  WordErrors errors;
  for (const AlignedWord& word : alignment) {
    if (!word.reference.empty()) ++errors.words;
    if (word.reference.empty()) {
      ++errors.insertions;
    } else if (word.hypothesis.empty()) {
      ++errors.deletions;
    } else if (word.reference != word.hypothesis) {
      ++errors.substitutions;
    }
  }
  return errors;
}

std::vector<UtteranceErrors> score_transcripts(const TranscriptFile& reference, const TranscriptFile& hypothesis,
                                               std::vector<std::string>& missing) {
  std::vector<std::string> names;
  for (const auto& [name, words] : reference.utterances) names.push_back(name);
  if (names.empty())
    throw DataError(reference.file + ": has no utterances; a line is an utterance's name, then its words");
  for (const auto& [name, words] : hypothesis.utterances) {
    if (reference.utterances.contains(name)) continue;
    const std::string near = nearest(name, names);
    throw DataError(printable(fmt::format("{}: the utterance '{}' is not in {}{}", hypothesis.file, name,
                                          reference.file, near.empty() ? "" : "; did you mean '" + near + "'?")));
  }
  std::vector<UtteranceErrors> scored;
  for (const auto& [name, words] : reference.utterances) {
    const auto found = hypothesis.utterances.find(name);
    if (found == hypothesis.utterances.end()) missing.push_back(name);
    UtteranceErrors utterance{.name = name, .errors = {}, .alignment = {}};
    utterance.alignment = align_words(words, found == hypothesis.utterances.end() ? Transcript{} : found->second);
    utterance.errors = count_errors(utterance.alignment);
    scored.push_back(std::move(utterance));
  }
  return scored;
}

Interval bootstrap_rate(std::span<const WordErrors> utterances, const BootstrapOptions& options) {
  std::vector<double> rates;
  for_each_sample(utterances.size(), options,
                  [&](const auto& draws) { rates.push_back(sum_of(utterances, draws).rate()); });
  return percentiles(rates, options.confidence);
}

Comparison compare_errors(std::span<const WordErrors> before, std::span<const WordErrors> after,
                          const BootstrapOptions& options) {
  HADAL_CHECK(before.size() == after.size());
  std::vector<double> reductions;
  std::int64_t none = 0;
  for_each_sample(before.size(), options, [&](const auto& draws) {
    reductions.push_back(reduction_of(sum_of(before, draws), sum_of(after, draws)));
    if (reductions.back() <= 0) ++none;
  });
  WordErrors all_before, all_after;
  for (const WordErrors& errors : before) all_before += errors;
  for (const WordErrors& errors : after) all_after += errors;
  return {.reduction = reduction_of(all_before, all_after),
          .interval = percentiles(reductions, options.confidence),
          .p = static_cast<double>(1 + none) / static_cast<double>(1 + options.samples)};
}

std::vector<std::pair<AlignedWord, std::int64_t>> frequent_confusions(std::span<const UtteranceErrors> utterances) {
  std::map<std::pair<std::string, std::string>, std::int64_t> counts;
  for (const UtteranceErrors& utterance : utterances) {
    for (const AlignedWord& word : utterance.alignment) {
      if (word.reference != word.hypothesis) ++counts[{word.reference, word.hypothesis}];
    }
  }
  std::vector<std::pair<AlignedWord, std::int64_t>> confusions;
  for (const auto& [pair, count] : counts) confusions.push_back({{pair.first, pair.second}, count});
  std::stable_sort(confusions.begin(), confusions.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return confusions;
}

}  // namespace hadal
