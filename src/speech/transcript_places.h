#pragma once
// Transcripts by where they stand, for those who must mend them.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "speech/lexicon.h"

namespace hadal {

// The lines of the `text` of data folders.
class TranscriptPlaces {
 public:
  TranscriptPlaces() = default;
  // Knows no place of files that are not there. Throws ConfigError where one cannot be opened.
  explicit TranscriptPlaces(std::vector<std::string> files);

  // FILE:LINE of an utterance; empty where no file has one of that name.
  std::string of(const std::string& id) const;

  // Whether an utterance is one of this file.
  bool is_of(const std::string& id, const std::string& file) const;

 private:
  std::vector<std::string> files_;
  std::map<std::string, std::pair<std::size_t, int>> lines_;  // which file, which line
};

// Throws DataError where the dictionary lacks words of a data folder's `text`: the place of the first, some others, how
// many there are and what to do. A file that is not there has none.
void check_words(const std::string& file, const Lexicon& lexicon);

}  // namespace hadal
