// Any bytes are a recording of finite samples, or a DataError.

#include <cmath>
#include <cstdint>

#include "base/error.h"
#include "speech/audio_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const hadal::Audio audio = hadal::decode_audio(std::as_bytes(std::span(data, size)), "input", 8000);
    if (audio.samples.empty() || audio.rate != 8000) __builtin_trap();
    for (const float sample : audio.samples) {
      if (!std::isfinite(sample)) __builtin_trap();
    }
  } catch (const hadal::DataError& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) __builtin_trap();
  }
  return 0;
}
