#pragma once
// Tar archives: POSIX's ustar and pax formats, and GNU's.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace hadal {

// A regular file in an archive.
struct TarEntry {
  std::string name;                    // printable() of it
  std::uint64_t header = 0;            // where it begins, with what goes before it (long names)
  std::uint64_t offset = 0, size = 0;  // its bytes
  std::uint64_t end() const { return offset + (size + 511) / 512 * 512; }
};

// Bytes of an archive from an offset on, all of which are there.
using TarBytes = std::function<void(std::uint64_t offset, std::span<std::byte> bytes)>;

// The regular files of an archive, or of a part of one that begins with an entry; folders, links and the like are
// passed over.
class TarReader {
 public:
  // `file` names the archive in errors; `size`: of the archive, or the part's end; `offset`: where to begin.
  TarReader(std::string file, std::uint64_t size, TarBytes bytes, std::uint64_t offset = 0);

  // The next one, or nothing at the end: where only zeros follow, a block or more, or no more bytes. Throws DataError
  // where the archive is damaged or cut short.
  [[nodiscard]] std::optional<TarEntry> next();

 private:
  [[noreturn]] void fail(std::uint64_t offset, const std::string& what) const;
  void check_end() const;
  std::string text(const TarEntry& entry) const;  // of an entry that holds a name or attributes
  void read_attributes(const std::string& text, const TarEntry& entry, std::optional<std::string>& name,
                       std::optional<std::uint64_t>& size) const;

  std::string file_;
  std::uint64_t size_, position_;
  TarBytes bytes_;
};

}  // namespace hadal
