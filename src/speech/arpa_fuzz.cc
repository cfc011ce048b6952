// Any text is a language model whose histories lead somewhere and whose text is read back, or a DataError in one line.

#include <cstring>

#include "base/error.h"
#include "speech/ngram_model.h"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const hadal::NgramModel model = hadal::NgramModel::parse(text, "input");
    const auto histories = static_cast<std::int32_t>(model.histories().size());
    for (std::int32_t h = 0; h < histories; ++h) {
      const auto& history = model.histories()[static_cast<std::size_t>(h)];
      require(history.backoff < h && (h == 0 || history.backoff >= 0));
      for (const auto& arc : history.arcs) require(arc.next >= 0 && arc.next < histories && arc.log_probability <= 0);
    }
    const std::string written = model.to_text();
    require(hadal::NgramModel::parse(written, "again").to_text() == written);
  } catch (const hadal::DataError& error) {
    require(std::strchr(error.what(), '\n') == nullptr);
  }
  return 0;
}
