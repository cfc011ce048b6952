#include "apps/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/thousands.h"

namespace hadal {

bool stdout_is_terminal() { return isatty(STDOUT_FILENO) != 0; }

std::string format_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 4) bytes /= 1000, ++unit;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string format_seconds(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(seconds));
  if (total >= 3600) return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  if (total >= 60) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{} s", total);
}

std::string format_count(double count) {
  return with_thousands(static_cast<std::uint64_t>(std::llround(std::max(count, 0.0))));
}

std::string draw(std::span<const float> pixels, std::int64_t height, std::int64_t width) {
  const auto ink = [&](std::int64_t y, std::int64_t x) {
    return y < height && pixels[static_cast<std::size_t>(y * width + x)] > 0.4f;
  };
  std::string text;
  for (std::int64_t y = 0; y < height; y += 2) {
    for (std::int64_t x = 0; x < width; ++x) {
      const bool upper = ink(y, x), lower = ink(y + 1, x);
      text += upper ? (lower ? "█" : "▀") : (lower ? "▄" : " ");
    }
    text += '\n';
  }
  return text;
}

std::string side_by_side(const std::string& left, std::size_t left_width, const std::string& right) {
  std::istringstream a(left), b(right);
  std::string text, x, y;
  for (bool more_a = true, more_b = true;;) {
    more_a = static_cast<bool>(std::getline(a, x));
    more_b = static_cast<bool>(std::getline(b, y));
    if (!more_a && !more_b) return text;
    if (!more_a) x.clear();
    if (!more_b) y.clear();
    const auto columns = static_cast<std::size_t>(
        std::count_if(x.begin(), x.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    text += x + std::string(left_width > columns ? left_width - columns : 0, ' ') + y + "\n";
  }
}

}  // namespace hadal
