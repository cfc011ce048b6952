#pragma once
// The part of the training data that is not trained on, but chooses what is tuned.

#include <cstdint>

#include "speech/make_features.h"

namespace hadal {

// Takes `share` of the speakers out of `all`, at least one, or of the utterances where there are fewer than
// kLeastSpeakers speakers: which ones follows from the seed and their names. Copies of what is taken are dropped:
// nothing of it is left in `all`. share 0: nothing is taken. Throws DataError where nothing would be left.
inline constexpr std::size_t kLeastSpeakers = 10;
FeatureSet take_held_out(FeatureSet& all, double share, std::uint64_t seed);

}  // namespace hadal
