#pragma once
// How words become acoustic states, how Gaussian mixtures of these are trained, and how words are found: the sections
// `hmm`, `gmm` and `decode` of a recipe.

#include <cstdint>
#include <string>

namespace hadal {

enum class Context {
  phone,     // a phone has the same states everywhere
  triphone,  // by its neighbours in the word, where these are frequent enough, else by one of them, else by none
  word,      // each word has states of its own
};

struct HmmOptions {
  int states = 3;          // of a phone, from left to right
  int silence_states = 3;  // of silence, which may stand between words
  Context context = Context::phone;
  std::int64_t least_frames = 100;  // of a state that depends on context
};

struct GmmOptions {
  std::int64_t gaussians = 1000;  // of all states together
  int iterations = 30;
  double variance_floor = 0.01;  // of the variance of all frames
};

struct LanguageModelOptions {
  std::string arpa;  // a file; empty: made of the training transcripts
  int order = 2;     // of what is made; 0: any word may follow any with the same probability
};

struct DecodeOptions {
  double beam = 200;  // partial results so much worse than the best one are dropped, in natural logarithms
  std::int64_t most_active = 5000;
  double acoustic_scale = 0.1;
  double language_scale = 1;
  double word_penalty = 0;  // natural logarithm, added at each word
  double silence_probability = 0.5;
};

}  // namespace hadal
