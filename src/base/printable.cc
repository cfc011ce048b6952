#include "base/printable.h"

namespace hadal {

std::string printable(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  // In UTF-8 those from 0x80 to 0x9f are two bytes, of which the first is 0xc2.
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const auto is_pair = [&](std::size_t i) { return at(i) == 0xc2 && at(i + 1) >= 0x80 && at(i + 1) < 0xa0; };
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (at(i) < 0x20 || at(i) == 0x7f || is_pair(i) || (i > 0 && is_pair(i - 1))) {
      result += {'\\', 'x', kDigits[at(i) / 16], kDigits[at(i) % 16]};
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace hadal
