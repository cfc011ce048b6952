#pragma once
// The .npy format of NumPy, versions 1.0 to 3.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
//
//   "\x93NUMPY", major, minor     magic number and version
//   u16 or u32                    length of the header; u32 from version 2 on
//   header                        a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (60, 40), }
//   values                        row-major, to the end of the file

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "data/element.h"
#include "tensor/tensor.h"

namespace hadal {

// Of the magic number, the length and the header.
inline constexpr std::size_t kNpyHeaderLimit = 1 << 16;

struct NpyHeader {
  Element element = Element::f32;
  Shape shape;
  std::size_t size = 0;  // of the header: where the values begin
};

// Checks the header and the file's size against each other. `start` holds the first min(kNpyHeaderLimit, file_size)
// bytes. Throws DataError naming `file`.
NpyHeader parse_npy_header(std::span<const std::byte> start, std::uint64_t file_size, const std::string& file);

}  // namespace hadal
