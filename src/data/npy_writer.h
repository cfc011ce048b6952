#pragma once
// Bytes of .npy files for tests and benchmarks.

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace hadal {

// The header alone, padded as NumPy does.
inline std::string npy_header(const std::string& type, const std::vector<std::int64_t>& shape, int version = 1) {
  std::string dict = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (";
  for (const std::int64_t dimension : shape) dict += fmt::format("{}, ", dimension);
  dict += "), }";
  const std::size_t begin = version == 1 ? 10 : 12;
  while ((begin + dict.size() + 1) % 64 != 0) dict += ' ';
  dict += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += {static_cast<char>(version), '\0'};
  for (std::size_t i = 0; i < begin - 8; ++i) bytes += static_cast<char>(dict.size() >> (8 * i) & 255);
  return bytes + dict;
}

template <class T>
std::string bytes_of_values(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::string npy_type() {
  const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  return fmt::format("{}{}{}", sizeof(T) == 1 ? '|' : '<', kind, sizeof(T));
}

template <class T>
std::string npy_bytes(const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
  return npy_header(npy_type<T>(), shape) + bytes_of_values(values);
}

}  // namespace hadal
