#pragma once
// Word errors of what was recognised against what was said, and how sure their rate is.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace hadal {

using Transcript = std::vector<std::string>;

// A file of transcripts as Kaldi has them: a line each, the utterance's name, then its words, maybe none.
struct TranscriptFile {
  std::string file;
  std::map<std::string, Transcript> utterances;

  // Throws ConfigError where the file cannot be opened, DataError with the line where a name comes twice.
  static TranscriptFile read(const std::string& path, const Position& where = {});
  static TranscriptFile parse(std::string_view text, const std::string& file);
};

struct WordErrors {
  std::int64_t words = 0;  // of the reference
  std::int64_t substitutions = 0, deletions = 0, insertions = 0;

  std::int64_t errors() const { return substitutions + deletions + insertions; }
  double rate() const;  // of the words; where there are none: 0, or 1 with insertions
  WordErrors& operator+=(const WordErrors& other);
  bool operator==(const WordErrors&) const = default;
};

// A word of the reference and one of the hypothesis; empty where there is none.
struct AlignedWord {
  std::string reference, hypothesis;

  bool operator==(const AlignedWord&) const = default;
};

// The alignment with the fewest errors; of these the one with the most equal words (as NIST's sclite, which counts 4
// for a substitution and 3 for an insertion or deletion, prefers); of these the one that, read from the end, pairs
// words first, then deletes, then inserts.
std::vector<AlignedWord> align_words(const Transcript& reference, const Transcript& hypothesis);

WordErrors count_errors(std::span<const AlignedWord> alignment);

struct UtteranceErrors {
  std::string name;
  WordErrors errors;
  std::vector<AlignedWord> alignment;
};

// Of each utterance of the reference, by name. Throws DataError where the hypothesis has an utterance that the
// reference has not; one that the hypothesis lacks was recognised as nothing, and its name is added to `missing`.
std::vector<UtteranceErrors> score_transcripts(const TranscriptFile& reference, const TranscriptFile& hypothesis,
                                               std::vector<std::string>& missing);

struct Interval {
  double low = 0, high = 0;
};

struct BootstrapOptions {
  std::int64_t samples = 10'000;
  double confidence = 0.95;
  std::uint64_t seed = 1;
};

// Of the error rate: utterances are drawn with replacement as often as there are, and the interval is between the
// percentiles of the rates (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
// evaluation", 2004). The same draws each time: they depend on the seed and the number of utterances.
Interval bootstrap_rate(std::span<const WordErrors> utterances, const BootstrapOptions& options = {});

struct Comparison {
  double reduction = 0;  // 1 - errors / errors before
  Interval interval;     // of the reduction
  double p = 1;          // of the draws, how many show no reduction: (1 + those) / (1 + all)
};

// The same draws for two systems, utterance by utterance.
Comparison compare_errors(std::span<const WordErrors> before, std::span<const WordErrors> after,
                          const BootstrapOptions& options = {});

// Pairs of words that were taken for one another, and words inserted or left out, the most frequent first, then by
// name.
std::vector<std::pair<AlignedWord, std::int64_t>> frequent_confusions(std::span<const UtteranceErrors> utterances);

}  // namespace hadal
