// Any bytes are an archive that is read to its end, or to a DataError, and what is read is no larger than they are. The
// first byte says what is read.

#include <cstdint>

#include "base/error.h"
#include "speech/archive.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  try {
    hadal::ArchiveReader reader(bytes, "input");
    std::size_t numbers = 0;
    while (reader.next_key()) {
      switch (data[0] % 3) {
        case 0: {
          const hadal::FeatureMatrix matrix = reader.matrix();
          if (static_cast<std::size_t>(matrix.frames * matrix.dim) != matrix.values.size()) __builtin_trap();
          numbers += matrix.values.size();
          break;
        }
        case 1:
          numbers += reader.vector().size();
          break;
        default:
          numbers += reader.integers().size();
      }
      if (reader.offset() > bytes.size()) __builtin_trap();
    }
    if (numbers > bytes.size()) __builtin_trap();
  } catch (const hadal::DataError& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) __builtin_trap();
  }
  return 0;
}
