#include "speech/data_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "base/file.h"
#include "base/printable.h"
#include "base/thousands.h"
#include "speech/archive.h"
#include "speech/lexicon.h"

namespace hadal {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  while (!(text = trimmed(text)).empty()) {
    words.emplace_back(text.substr(0, text.find_first_of(kBlanks)));
    text.remove_prefix(words.back().size());
  }
  return words;
}

// A file that an index names: as the folder has it, or as the working directory does; empty where neither.
std::string find_data_file(const std::string& folder, const std::string& name) {
  std::error_code ignored;
  if (fs::path(name).is_absolute()) return fs::exists(name, ignored) ? name : "";
  const fs::path inside = fs::path(folder) / name;
  if (fs::exists(inside, ignored)) return inside.string();
  return fs::exists(name, ignored) ? name : "";
}

// A line of one of the folder's files: what stands first, and the rest.
struct TableLine {
  std::string id, rest;
  int number = 0;
};

// One of the folder's files by id, in its order.
struct Table {
  std::string file;
  std::vector<TableLine> lines;
  std::unordered_map<std::string, std::size_t> by_id;

  const TableLine* find(const std::string& id) const {
    const auto found = by_id.find(id);
    return found == by_id.end() ? nullptr : &lines[found->second];
  }
  std::string place(const TableLine& line) const { return fmt::format("{}:{}", file, line.number); }
};

// Reads the files of one folder and joins them.
class FolderReader {
 public:
  FolderReader(const std::string& path, const DataFolderOptions& options) : options_(options) {
    folder_.path = path;
    check_data_folder(path);
    folder_.has_features = options.features;
  }

  DataFolder read() {
    main_ = main_table();
    if (main_.lines.empty() && folder_.left_out.count == 0) {
      throw ConfigError(fmt::format("{}: is empty; a line is ID FILE", main_.file));
    }
    text_ = table("text", options_.needs_text);
    speakers_ = table("utt2spk", false);
    folder_.has_text = !text_.file.empty();
    segments_ = folder_.has_features ? Table{} : table("segments", false);
    if (segments_.file.empty()) {
      for (const TableLine& line : main_.lines) add(main_, line, main_, line, "");
    } else {
      for (const TableLine& line : segments_.lines) add_segment(line);
      for (const TableLine& line : main_.lines) {
        if (!used_recordings_.contains(line.id)) {
          bad(main_, line, fmt::format("no line of segments uses the recording '{}'", printable(line.id)));
        }
      }
    }
    check_leftovers(text_);
    check_leftovers(speakers_);
    if (folder_.utterances.empty()) {
      const std::string why = folder_.left_out.named.empty() ? "segments is empty" : folder_.left_out.named[0];
      throw ConfigError(main_.file + ": no utterance is left: " + why);
    }
    return std::move(folder_);
  }

 private:
  Table main_table() {
    const std::string name = options_.features ? "feats.scp" : "wav.scp";
    const std::string other = options_.features ? "wav.scp" : "feats.scp";
    std::error_code ignored;
    const fs::path folder(folder_.path);
    if (!fs::exists(folder / name, ignored)) {
      const bool has_other = fs::exists(folder / other, ignored);
      throw ConfigError(fmt::format(
          "{}: has no {}{}", folder_.path, name,
          !has_other          ? "; it is no data folder of Kaldi's (docs/speech.md)"
          : options_.features ? ", but wav.scp: set features.kind to fbank or mfcc, or make features first"
                              : ", but feats.scp: set features.kind to given to use the features that are there"));
    }
    return table(name, true);
  }

  Table table(const std::string& name, bool needed) {
    Table result;
    const fs::path path = fs::path(folder_.path) / name;
    std::error_code ignored;
    if (!needed && !fs::exists(path, ignored)) return result;
    result.file = path.string();
    constexpr std::uint64_t kMost = std::uint64_t{1} << 30;
    const std::string all = read_file(result.file, kMost);
    std::string_view text = without_mark(all);
    for (int number = 1; !text.empty(); ++number) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = trimmed(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.empty()) continue;
      const std::size_t blank = std::min(line.find_first_of(kBlanks), line.size());
      TableLine parsed{std::string(line.substr(0, blank)), std::string(trimmed(line.substr(blank))), number};
      if (std::any_of(line.begin(), line.end(), [](char c) { return c == '\0'; })) {
        bad(result, parsed, "is not text: it holds a zero byte");
        continue;
      }
      const auto [before, is_new] = result.by_id.emplace(parsed.id, result.lines.size());
      if (!is_new) {
        bad(result, parsed,
            fmt::format("the id '{}' stands in line {} already", printable(parsed.id),
                        result.lines[before->second].number));
        continue;
      }
      result.lines.push_back(std::move(parsed));
    }
    return result;
  }

  // What is wrong with a line: an error, or one that is left out.
  void bad(const Table& table, const TableLine& line, const std::string& what) {
    const std::string message = fmt::format("{}: {}", table.place(line), what);
    if (options_.on_bad == BadSample::fail) throw ConfigError(message);
    folder_.left_out.add(message);
    named_.insert(line.id);
  }

  // `line` of `table` names the utterance, `source` of wav.scp or feats.scp its file.
  void add(const Table& table, const TableLine& line, const Table& sources, const TableLine& source,
           const std::string& times) {
    Utterance& utterance = folder_.utterances.emplace_back();
    utterance.id = line.id;
    utterance.where = {table.file, line.number, 1};
    const bool good = set_file(utterance, sources, source) && set_times(utterance, table, line, times) &&
                      set_words(utterance, table, line) && set_speaker(utterance, table, line);
    if (!good) folder_.utterances.pop_back();
  }

  bool set_file(Utterance& utterance, const Table& table, const TableLine& line) {
    std::string name = line.rest;
    if (name.empty()) {
      bad(table, line, fmt::format("names no file for '{}'; a line is ID FILE", printable(line.id)));
      return false;
    }
    if (name.back() == '|') {
      bad(table, line,
          fmt::format("'{}' is a command, and commands are not run; run it yourself, and name the file that it makes",
                      printable(name)));
      return false;
    }
    if (folder_.has_features) std::tie(name, utterance.offset) = split_archive_place(name);
    utterance.file = known_files_.try_emplace(name, "").first->second;
    if (utterance.file.empty()) known_files_[name] = utterance.file = find_data_file(folder_.path, name);
    if (!utterance.file.empty()) return true;
    bad(table, line, fmt::format("there is no file '{}', in this folder or the working directory", printable(name)));
    return false;
  }

  bool set_times(Utterance& utterance, const Table& table, const TableLine& line, const std::string& times) {
    if (segments_.file.empty()) return true;
    const std::vector<std::string> words = split_words(times);
    double* const targets[] = {&utterance.begin, &utterance.end};
    bool good = words.size() == 2;
    for (std::size_t i = 0; good && i < 2; ++i) {
      const auto [end, error] = std::from_chars(words[i].data(), words[i].data() + words[i].size(), *targets[i]);
      good = error == std::errc() && end == words[i].data() + words[i].size() && std::isfinite(*targets[i]);
    }
    if (good && utterance.begin >= 0 && (utterance.end == -1 || utterance.end > utterance.begin)) return true;
    bad(table, line, "is no segment; a line is ID RECORDING BEGIN END, in seconds, with END behind BEGIN");
    return false;
  }

  bool set_words(Utterance& utterance, const Table& table, const TableLine& line) {
    if (!folder_.has_text) return true;
    const TableLine* found = text_.find(line.id);
    if (found == nullptr) {
      if (!named_.contains(line.id)) {
        bad(table, line, fmt::format("'{}' is not in {}", printable(line.id), text_.file));
      }
      return false;
    }
    utterance.words = split_words(found->rest);
    if (!utterance.words.empty() || !options_.needs_text) return true;
    bad(text_, *found, fmt::format("has no words for '{}'", printable(line.id)));
    return false;
  }

  bool set_speaker(Utterance& utterance, const Table& table, const TableLine& line) {
    utterance.speaker = line.id;
    if (speakers_.file.empty()) return true;
    const TableLine* found = speakers_.find(line.id);
    if (found == nullptr) {
      if (!named_.contains(line.id)) {
        bad(table, line, fmt::format("'{}' is not in {}", printable(line.id), speakers_.file));
      }
      return false;
    }
    const std::vector<std::string> words = split_words(found->rest);
    if (words.size() == 1) {
      utterance.speaker = words[0];
      return true;
    }
    bad(speakers_, *found, fmt::format("has {} words behind the id; a line is ID SPEAKER", words.size()));
    return false;
  }

  void add_segment(const TableLine& line) {
    const std::string recording = line.rest.substr(0, line.rest.find_first_of(kBlanks));
    const TableLine* source = main_.find(recording);
    if (source == nullptr) {
      bad(segments_, line, fmt::format("the recording '{}' is not in {}", printable(recording), main_.file));
      return;
    }
    used_recordings_.insert(recording);
    const std::string times(trimmed(std::string_view(line.rest).substr(recording.size())));
    add(segments_, line, main_, *source, times);
  }

  // Lines about utterances that are nowhere else; those that were left out are.
  void check_leftovers(const Table& table) {
    const Table& ids = segments_.file.empty() ? main_ : segments_;
    for (const TableLine& line : table.lines) {
      if (ids.find(line.id) != nullptr || named_.contains(line.id)) continue;
      bad(table, line, fmt::format("'{}' is not in {}", printable(line.id), ids.file));
    }
  }

  DataFolderOptions options_;
  DataFolder folder_;
  Table main_, text_, speakers_, segments_;
  std::set<std::string> used_recordings_, named_;   // named_: ids that something was said of
  std::map<std::string, std::string> known_files_;  // by name, where they are
};

}  // namespace

void check_data_folder(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) return;
  if (fs::exists(status)) throw ConfigError(path + ": is not a folder; a data folder is expected");
  if (status.type() == fs::file_type::not_found) throw ConfigError(path + ": there is no such data folder");
  throw ConfigError(path + ": cannot be read: " + error.message());
}

DataFolder read_data_folder(const std::string& path, const DataFolderOptions& options) {
  return FolderReader(path, options).read();
}

std::set<std::string> files_of_index(const std::string& folder, std::string_view index, bool features) {
  std::set<std::string> files;
  while (!index.empty()) {
    const std::size_t end = std::min(index.find('\n'), index.size());
    const std::string_view line = trimmed(index.substr(0, end));
    index.remove_prefix(std::min(end + 1, index.size()));
    std::string name(trimmed(line.substr(std::min(line.find_first_of(kBlanks), line.size()))));
    if (name.empty()) continue;
    if (features) name = split_archive_place(name).first;
    const std::string found = find_data_file(folder, name);
    files.insert(found.empty() ? name : found);
  }
  return files;
}

FeatureMatrix read_features(const Utterance& utterance, std::int64_t sphinx_width) {
  if (utterance.file.ends_with(".mfc")) return read_sphinx_file(utterance.file, sphinx_width, utterance.where);
  ArchiveReader reader(utterance.file, utterance.where);
  reader.seek(utterance.offset);
  return reader.matrix();
}

std::span<const float> part_of(const Audio& recording, const Utterance& utterance) {
  const std::span<const float> all(recording.samples);
  const auto size = static_cast<double>(all.size());
  const double first = std::round(utterance.begin * recording.rate);
  const double last = utterance.end < 0 ? size : std::round(utterance.end * recording.rate);
  if (first >= size) {
    throw DataError(fmt::format("{}: '{}' begins at {} s, but {} has {:.3f} s", utterance.where.to_string(),
                                utterance.id, utterance.begin, utterance.file, size / recording.rate));
  }
  return all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(last, size) - first));
}

Audio read_audio_of(const Utterance& utterance, double rate) {
  Audio audio = read_audio(utterance.file, rate, utterance.where);
  const std::span<const float> part = part_of(audio, utterance);
  return {audio.rate, std::vector<float>(part.begin(), part.end()), audio.cancelled};
}

}  // namespace hadal
