#pragma once
// Image files before they are decoded, in the order in which epochs meet them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/sample_source.h"

namespace hadal {

struct EncodedSample {
  std::uint32_t number = 0;  // among all of the source: random numbers are drawn for it
  std::int32_t label = 0;
  std::string name;                  // the file, for errors
  std::size_t offset = 0, size = 0;  // its bytes in the group's memory
  std::string error;                 // why it cannot be read, or empty
};

// What stages work on at once: samples that follow each other in an epoch's order. How a stream is divided into groups
// follows from the source and the epoch alone, wherever the stream begins.
struct EncodedGroup {
  std::int64_t epoch = 0;
  std::size_t skip = 0;  // of its first samples, where a stream begins in its middle
  std::vector<EncodedSample> samples;
  std::vector<std::byte> memory;  // may have more room than they need

  std::span<const std::byte> bytes(const EncodedSample& sample) const {
    return std::span(memory).subspan(sample.offset, sample.size);
  }

  // Room for another file behind the `used` bytes of those before.
  std::span<std::byte> append(EncodedSample& sample, std::size_t used, std::size_t size) {
    sample.offset = used;
    sample.size = size;
    if (memory.size() < used + size) memory.resize(used + size + size / 4);
    return std::span(memory).subspan(used, size);
  }

  // Gives back memory that only few groups need.
  void shrink() {
    constexpr std::size_t kKept = 64 << 20;
    if (memory.size() > kKept) memory = std::vector<std::byte>();
  }
};

// A group has 16 samples, and the last one of those that are divided up to 31: each bad one has others beside it, where
// there are any.
inline constexpr std::size_t kGroupSamples = 16;
inline std::size_t group_size(std::size_t left) { return left < 2 * kGroupSamples ? left : kGroupSamples; }

// Where the group of sample `at` begins, of `count` that are divided.
inline std::size_t group_begin(std::size_t at, std::size_t count) {
  return std::min(at / kGroupSamples, std::max<std::size_t>(1, count / kGroupSamples) - 1) * kGroupSamples;
}

// One reading of a source. Ends before it.
class EncodedReader {
 public:
  virtual ~EncodedReader() = default;

  // Makes `group` the next one. False at the end, or where close() has ended it. One thread at a time. Throws
  // DataError.
  [[nodiscard]] virtual bool claim(EncodedGroup& group) = 0;

  // Reads what claim() left to be read. Any thread, at any time: many at once.
  virtual void read(EncodedGroup&) const {}

  // Ends a claim() that waits, and all later ones. Any thread.
  virtual void close() {}
};

// Any thread may call any function.
class EncodedSource {
 public:
  virtual ~EncodedSource() = default;

  virtual std::int64_t size() const = 0;  // samples, >= 1
  virtual std::unique_ptr<EncodedReader> reader(const StreamOptions& options) const = 0;
  virtual bool reads_apart() const = 0;            // read() does the work, and claim() none
  virtual std::string fingerprint() const = 0;     // as SampleSource has it
  virtual Skipped left_out() const { return {}; }  // when it was opened
};

}  // namespace hadal
