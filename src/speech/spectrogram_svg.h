#pragma once
// Drawings of utterances: features over time, with what was said.

#include <cstdint>
#include <string>
#include <vector>

#include "speech/feature_matrix.h"

namespace hadal {

// Frames first to last, both inclusive.
struct LabelledSpan {
  std::int64_t first = 0, last = 0;
  std::string label;
};

struct SpectrogramOptions {
  std::string title;
  double frame_shift_ms = 10;
  std::int64_t columns = 0;          // drawn, from the first; 0: all (deltas and cepstra are less pretty)
  std::vector<LabelledSpan> phones;  // below the picture
  std::vector<LabelledSpan> words;   // below them
};

// An SVG document of its own: features as a picture, low columns below, brighter is more; about 5 kB for each second.
std::string draw_spectrogram(const FeatureMatrix& features, const SpectrogramOptions& options);

}  // namespace hadal
