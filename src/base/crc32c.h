#pragma once
// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as iSCSI and LevelDB use it: RFC 3720, appendix B.4.

#include <cstddef>
#include <cstdint>
#include <span>

namespace hadal {

// The checksum of `bytes`, or of what `previous` is the checksum of followed by `bytes`.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous = 0);

// The same without the processor's instruction for it.
std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t previous = 0);

}  // namespace hadal
