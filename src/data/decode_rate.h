#pragma once

#include "data/image_source.h"

namespace hadal {

struct DecodeRate {
  double images_per_second = 0, processor_seconds_per_image = 0;  // 0 where no image could be decoded
};

// What the libraries alone do: images decoded whole and at their size, on so many threads at once; the first ones of
// the source, from memory, for about so many seconds. What a benchmark of the whole input is compared with. Damaged
// ones are left out. Nothing else of the process may work at the time.
DecodeRate decode_rate(const ImageSource& source, int threads, double seconds);

}  // namespace hadal
