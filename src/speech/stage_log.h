#pragma once
// Which stages of a run are done, and of what: stages.json of its folder. A stage is repeated where its inputs are
// others, or where a file that it made is gone or has another size.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hadal {

// One process at a time.
class StageLog {
 public:
  // Throws DataError where the file is damaged.
  explicit StageLog(std::string file);

  // `key`: what the stage is made of (stage_key()).
  bool is_done(const std::string& stage, const std::string& key) const;
  // The stage was begun with this key, by this process or an earlier one: what it left half done may be gone on with.
  bool is_begun(const std::string& stage, const std::string& key) const;

  // Kept at once, and across a crash. `made`: files of the log's folder, and folders of it whose files count. Throw
  // StorageError.
  void begin(const std::string& stage, const std::string& key);
  void end(const std::string& stage, const std::string& key, const std::vector<std::string>& made);

 private:
  void write() const;

  struct Stage {
    std::string key;
    bool done = false;
    std::map<std::string, std::uint64_t> files{};  // sizes, by path from the log's folder
  };
  std::string file_;
  std::map<std::string, Stage> stages_;
};

// The SHA-256 of texts.
std::string stage_key(const std::vector<std::string>& inputs);

// A data folder's tables, and the sizes and times of the files they name. Throws ConfigError where there is no folder.
std::string data_fingerprint(const std::string& folder);

}  // namespace hadal
