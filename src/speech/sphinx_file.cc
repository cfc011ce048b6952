#include "speech/sphinx_file.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <span>

#include "base/file.h"
#include "base/thousands.h"

namespace hadal {

FeatureMatrix read_sphinx_file(const std::string& path, std::int64_t width, const Position& where) {
  HADAL_CHECK(width > 0);
  const InputFile file(path, where);
  constexpr std::uint64_t kMost = std::uint64_t{1} << 30;
  if (file.size() < 4) throw DataError(fmt::format("{}: ends after {} of the 4 bytes of its count", path, file.size()));
  if (file.size() > kMost) throw DataError(path + ": is longer than 1 GiB");
  std::uint32_t count = 0;
  file.read(0, std::as_writable_bytes(std::span(&count, 1)));
  const std::uint64_t values = (file.size() - 4) / 4;
  const std::uint32_t swapped = __builtin_bswap32(count);
  if ((file.size() - 4) % 4 != 0 || (count != values && swapped != values)) {
    throw DataError(path, 0,
                    fmt::format("is not a feature file of Sphinx, or was cut: the count of numbers is {} (big-endian), "
                                "but {} bytes follow",
                                with_thousands(swapped), with_thousands(file.size() - 4)));
  }
  const auto columns = static_cast<std::uint64_t>(width);
  if (values % columns != 0) {
    throw DataError(path, 0, fmt::format("its {} numbers are no rows of {}", with_thousands(values), width));
  }
  FeatureMatrix features(static_cast<std::int64_t>(values / columns), width);
  file.read(4, std::as_writable_bytes(std::span(features.values)));
  if (swapped == values) {
    for (float& value : features.values)
      value = std::bit_cast<float>(__builtin_bswap32(std::bit_cast<std::uint32_t>(value)));
  }
  return features;
}

}  // namespace hadal
