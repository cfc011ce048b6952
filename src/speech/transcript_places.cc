#include "speech/transcript_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/nearest.h"
#include "base/printable.h"
#include "base/thousands.h"
#include "speech/run_files.h"

namespace hadal {

namespace {

constexpr std::uint64_t kTextFileLimit = std::uint64_t{1} << 30;  // bytes
constexpr std::size_t kNamedWords = 5;

// The fields of each line that is not empty, with its number from 1 on.
void for_each_transcript(const std::string& file,
                         const std::function<void(int, const std::vector<std::string>&)>& use) {
  if (!is_there(file)) return;
  const std::string all = read_file(file, kTextFileLimit);
  std::string_view text = without_mark(all);
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::vector<std::string> fields = split_fields(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!fields.empty()) use(number, fields);
  }
}

}  // namespace

TranscriptPlaces::TranscriptPlaces(std::vector<std::string> files) : files_(std::move(files)) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for_each_transcript(files_[i], [&](int line, const std::vector<std::string>& fields) {
      lines_.emplace(fields[0], std::pair(i, line));
    });
  }
}

std::string TranscriptPlaces::of(const std::string& id) const {
  const auto found = lines_.find(id);
  if (found == lines_.end()) return "";
  const auto [file, line] = found->second;
  return fmt::format("{}:{}", files_[file], line);
}

bool TranscriptPlaces::is_of(const std::string& id, const std::string& file) const {
  const auto found = lines_.find(id);
  return found != lines_.end() && files_[found->second.first] == file;
}

void check_words(const std::string& file, const Lexicon& lexicon) {
  std::set<std::string> unknown;
  std::string first, others;
  std::size_t utterances = 0;
  for_each_transcript(file, [&](int line, const std::vector<std::string>& fields) {
    bool is_bad = false;
    for (std::size_t i = 1; i < fields.size(); ++i) {
      if (lexicon.word(fields[i])) continue;
      is_bad = true;
      if (!unknown.insert(fields[i]).second || unknown.size() > kNamedWords) continue;
      if (unknown.size() > 1) {
        others += fmt::format("{}'{}' (line {})", others.empty() ? "" : ", ", fields[i], line);
        continue;
      }
      const std::string near = nearest(fields[i], lexicon.words());
      first = fmt::format("{}:{}: {}: the word '{}' is not in {}{}", file, line, fields[0], fields[i], lexicon.file(),
                          near.empty() ? "" : "; did you mean '" + near + "'?");
    }
    utterances += is_bad ? 1 : 0;
  });
  if (unknown.empty()) return;
  if (unknown.size() > kNamedWords) others += ", ...";
  std::string all;
  if (utterances > 1 || unknown.size() > 1) {
    all = fmt::format("; not there in all: {} word{} of {} utterance{}", with_thousands(unknown.size()),
                      unknown.size() == 1 ? "" : "s", with_thousands(utterances), utterances == 1 ? "" : "s");
    if (!others.empty()) all += fmt::format(", also {}", others);
  }
  throw DataError(printable(fmt::format(
      "{}{}; add what is missing there, or leave such utterances out with data.on_bad_utterance: skip", first, all)));
}

}  // namespace hadal
