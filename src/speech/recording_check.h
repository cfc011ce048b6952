#pragma once
// What is wrong with a recording, as far as its samples tell.

#include <cstdint>
#include <span>

namespace hadal {

struct RecordingCheck {
  double loudest_db = 0;  // of the loudest piece of 25 ms, below the largest sample of 16 bits
  double range_db = 0;    // between the loudest and the quietest pieces, the outer twentieths left out
  double clipped = 0;     // share of the samples that stand at the limit, three or more in a row

  // Too quiet to be speech, or as loud all the time as no speech is.
  bool is_silent() const { return loudest_db < -60 || range_db < 3; }
  bool is_clipped() const { return clipped > 0.001; }
};

// Samples are as read_audio() gives them.
RecordingCheck check_recording(std::span<const float> samples, double rate);

}  // namespace hadal
