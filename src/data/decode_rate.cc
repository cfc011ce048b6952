#include "data/decode_rate.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/owned_thread.h"
#include "data/image_decoder.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;

// Of groups of encoded images, those that can be decoded.
std::vector<EncodedGroup> good_groups(const ImageSource& source) {
  constexpr int kGroups = 32;
  std::vector<EncodedGroup> groups;
  ImageDecoder decoder;
  Image image;
  const auto reader = source.encoded().reader({});
  for (EncodedGroup group; groups.size() < kGroups && reader->claim(group); group = {}) {
    reader->read(group);
    std::erase_if(group.samples, [&](const EncodedSample& sample) {
      try {
        if (!sample.error.empty()) return true;
        decoder.open(group.bytes(sample), sample.name);
        decoder.decode(8, source.channels(), image);
        return false;
      } catch (const DataError&) {
        return true;
      }
    });
    if (!group.samples.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

DecodeRate decode_rate(const ImageSource& source, int threads, double seconds) {
  const std::vector<EncodedGroup> groups = good_groups(source);
  if (groups.empty()) return {};
  std::atomic<std::int64_t> images{0};
  const std::clock_t processor_start = std::clock();
  const auto start = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  {
    std::vector<std::unique_ptr<OwnedThread>> all;
    for (int t = 0; t < threads; ++t) {
      all.push_back(std::make_unique<OwnedThread>([&, t] {
        ImageDecoder decoder;
        Image image;
        for (std::size_t g = static_cast<std::size_t>(t); passed() < seconds; ++g) {
          const EncodedGroup& group = groups[g % groups.size()];
          for (const EncodedSample& sample : group.samples) {
            decoder.open(group.bytes(sample), sample.name);
            decoder.decode(8, source.channels(), image);
            ++images;
          }
        }
      }));
    }
    for (const auto& thread : all) thread->join();
  }
  const double processor = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
  const auto count = static_cast<double>(images);
  return {count / passed(), processor / std::max(1.0, count)};
}

}  // namespace hadal
