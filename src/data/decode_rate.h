#pragma once

#include "data/image_source.h"

namespace hadal {

// Images a second that the libraries alone decode, whole and at their size, on so many threads at once: the first ones
// of the source, from memory, for about so many seconds. What a benchmark of the whole input is compared with. Damaged
// ones are left out; 0 where all are.
double decode_rate(const ImageSource& source, int threads, double seconds);

}  // namespace hadal
