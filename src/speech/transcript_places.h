#pragma once
// Transcripts by where they stand, for those who must mend them.

#include <map>
#include <string>
#include <string_view>

#include "speech/lexicon.h"

namespace hadal {

// The lines of a data folder's `text`.
class TranscriptPlaces {
 public:
  TranscriptPlaces() = default;
  // Knows no place where there is no such file. Throws ConfigError where it cannot be opened.
  explicit TranscriptPlaces(std::string file);

  // FILE:LINE of an utterance; empty where the file has none of that name.
  std::string of(const std::string& id) const;

 private:
  std::string file_;
  std::map<std::string, int> lines_;
};

// Throws DataError where the dictionary lacks words of a data folder's `text`: the place of the first, some others, how
// many there are and what to do. A file that is not there has none.
void check_words(const std::string& file, const Lexicon& lexicon);

}  // namespace hadal
