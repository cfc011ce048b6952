// Any bytes are an archive whose files and samples lie inside it, or a DataError that is told in one line.

#include <cstring>

#include "base/error.h"
#include "base/printable.h"
#include "data/tar_sample.h"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void require_inside(std::uint64_t offset, std::uint64_t count, std::size_t size) {
  require(offset <= size && count <= size - offset);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = [&](std::uint64_t offset, std::span<std::byte> into) {
    require_inside(offset, into.size(), size);
    if (!into.empty()) std::memcpy(into.data(), data + offset, into.size());
  };
  try {
    hadal::TarReader reader("input", size, bytes);
    std::uint64_t end = 0;
    while (const auto entry = reader.next()) {
      require(entry->header >= end && entry->offset > entry->header);
      require(entry->name == hadal::printable(entry->name));
      require_inside(entry->offset, entry->size, size);
      end = entry->offset + entry->size;
    }
  } catch (const hadal::DataError& error) {
    require(std::strchr(error.what(), '\n') == nullptr);
  }
  try {
    hadal::TarSamples samples("input", size, bytes);
    while (const auto sample = samples.next([](const hadal::DataError&) {})) {
      require(sample->begin < sample->end);
      require_inside(sample->image_offset, sample->image_size, size);
      require_inside(sample->label_offset, sample->label_size, size);
      std::string label(sample->label_size, '\0');
      bytes(sample->label_offset, std::as_writable_bytes(std::span(label)));
      if (const auto value = hadal::parse_label(label)) require(*value >= 0);
    }
  } catch (const hadal::DataError&) {
  }
  return 0;
}
