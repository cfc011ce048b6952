#pragma once
// Whole files: read with limits, and written so that a crash leaves the old file or the new one.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal {

// A regular file, open for reading. Thread-safe.
class InputFile {
 public:
  // Throws ConfigError where the file cannot be opened or is not a regular one. `where` is the place that named it.
  explicit InputFile(std::string path, const Position& where = {});
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // when it was opened

  // Fills `bytes` from `offset` on. Throws DataError where the file ends before, or reading fails.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// The bytes of a file. Throws as InputFile does, and DataError where it is longer than the limit.
std::string read_file(const std::string& path, std::uint64_t limit_bytes, const Position& where = {});

// Throws ConfigError where a folder's name, or one of those above it, is a file's. What is not there may be made.
void check_folder(const std::string& path);

// Makes a folder and those above it, and synchronises each that gets a new entry. Nothing where it is there. Throws
// StorageError.
void create_folders(const std::string& path);

// A file that appears under its name only once it is whole: written to PATH.tmp, synchronised, renamed, and the folder
// synchronised. A crash before the rename leaves the old file, and a PATH.tmp that the next AtomicFile replaces; so one
// writer a path.
//
// Every failure is a StorageError with the path and the system's reason; the temporary is removed then, and the old
// file is as it was (except where the folder's own synchronisation fails: the new file is there, but may not survive a
// power cut).
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();  // without commit(): removes the temporary
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  // Nothing may be written after it.
  void commit();

 private:
  [[noreturn]] void fail(const std::string& what);
  void discard();

  std::string path_, temporary_;
  int descriptor_ = -1;
  bool exists_ = false;  // the temporary
};

// Throws ConfigError where a folder has that name or there is none to put it in, StorageError where no file can be
// written there. What is there stays as it is.
void check_writable(const std::string& path);

// One piece of text through an AtomicFile.
void write_file(const std::string& path, std::string_view text);

}  // namespace hadal
