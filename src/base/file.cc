#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/thousands.h"

namespace hadal {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// So that the entry of `path` in its folder survives a power cut. False, with errno, where that fails.
bool synchronise_folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int opened = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return false;
  const int failed = ::fsync(opened) == 0 ? 0 : errno;
  ::close(opened);
  errno = failed;
  return failed == 0;
}

}  // namespace

InputFile::InputFile(std::string path, const Position& where) : path_(std::move(path)) {
  // O_NONBLOCK: a named pipe without a writer is refused below instead of waited for.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw ConfigError(where, "cannot open " + path_ + ": " + reason(errno));
  struct stat status;
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    const std::string why = !known ? reason(errno) : S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a file";
    ::close(descriptor_);
    throw ConfigError(where, "cannot open " + path_ + ": " + why);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw DataError(path_, offset, "cannot read: " + reason(errno));
    if (count == 0)
      throw DataError(path_, offset, "the file ends here; " + with_thousands(bytes.size()) + " bytes are missing");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

std::string read_file(const std::string& path, std::uint64_t limit_bytes, const Position& where) {
  const InputFile file(path, where);
  if (file.size() > limit_bytes) {
    throw DataError(path + ": has " + with_thousands(file.size()) + " bytes; at most " + with_thousands(limit_bytes) +
                    " are read");
  }
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void check_folder(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path folder;
  for (const fs::path& name : fs::path(path)) {
    folder /= name;
    std::error_code error;
    if (name.empty() || fs::is_directory(folder, error) || !fs::exists(folder, error)) continue;
    throw ConfigError(path + ": " + (folder == path ? "" : folder.string() + " ") +
                      "is a file, where a folder is wanted; name another with --out");
  }
}

void create_folders(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path folder;
  for (const fs::path& name : fs::path(path)) {
    folder /= name;
    std::error_code error;
    if (name.empty() || fs::is_directory(folder, error)) continue;
    if (::mkdir(folder.c_str(), 0777) != 0 && (errno != EEXIST || !fs::is_directory(folder, error))) {
      throw StorageError(path + ": cannot be created: " + folder.string() + ": " + reason(errno) +
                         "; name another folder with --out");
    }
    synchronise_folder_of(folder);  // as far as the system allows it
  }
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".tmp") {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot create " + temporary_);
  exists_ = true;
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::write(std::span<const std::byte> bytes) {
  HADAL_CHECK(descriptor_ >= 0);
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::commit() {
  HADAL_CHECK(descriptor_ >= 0);
  if (::fsync(descriptor_) != 0) fail("cannot write");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot write");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot replace it");
  exists_ = false;

  if (!synchronise_folder_of(path_)) fail("cannot synchronise its folder");
}

void AtomicFile::fail(const std::string& what) {
  const std::string why = reason(errno);
  discard();
  throw StorageError(path_ + ": " + what + ": " + why);
}

void AtomicFile::discard() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  if (std::exchange(exists_, false)) ::unlink(temporary_.c_str());
}

void check_writable(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) throw ConfigError(path + ": this is a folder; it must be a file");
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty() && !std::filesystem::is_directory(folder, error))
    throw ConfigError(path + ": there is no folder " + folder + "; make it first, or name another file");
  const AtomicFile file(path);
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace hadal
