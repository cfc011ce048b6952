#include "speech/spectrogram_svg.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/printable.h"
#include "data/png_writer.h"

namespace hadal {

namespace {

constexpr int kLevels = 48;                              // of brightness: few, so that files are small
constexpr double kFrameWidth = 3, kPictureHeight = 160;  // pixels
constexpr double kMargin = 12, kTitleHeight = 26, kRow = 22, kAxis = 20;

std::string xml_text(const std::string& text) {
  std::string result;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

// From dark blue through red to light yellow.
std::vector<PngColour> heat_colours() {
  constexpr std::array<PngColour, 5> kAnchors{PngColour{8, 8, 40}, PngColour{80, 20, 120}, PngColour{190, 50, 90},
                                              PngColour{250, 140, 60}, PngColour{252, 250, 200}};
  std::vector<PngColour> colours;
  for (int level = 0; level < kLevels; ++level) {
    const double at = static_cast<double>(level) / (kLevels - 1) * (kAnchors.size() - 1);
    const auto below = std::min(static_cast<std::size_t>(at), kAnchors.size() - 2);
    const double share = at - static_cast<double>(below);
    PngColour colour;
    for (std::size_t c = 0; c < 3; ++c) {
      colour[c] =
          static_cast<std::uint8_t>(std::lround((1 - share) * kAnchors[below][c] + share * kAnchors[below + 1][c]));
    }
    colours.push_back(colour);
  }
  return colours;
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// One pixel a number, the first column at the bottom; all but the most extreme hundredths on the scale.
std::string picture_of(const FeatureMatrix& features, std::int64_t columns) {
  std::vector<float> sorted;
  for (std::int64_t t = 0; t < features.frames; ++t) {
    const auto row = features.row(t).first(static_cast<std::size_t>(columns));
    std::copy_if(row.begin(), row.end(), std::back_inserter(sorted), [](float value) { return std::isfinite(value); });
  }
  std::sort(sorted.begin(), sorted.end());
  const auto at = [&](double share) {
    if (sorted.empty()) return 0.0;
    return static_cast<double>(sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))]);
  };
  const double low = at(0.01), range = std::max(at(0.995) - low, 1e-6);
  std::vector<std::uint8_t> pixels;
  for (std::int64_t c = columns - 1; c >= 0; --c) {
    for (std::int64_t t = 0; t < features.frames; ++t) {
      const double value = (static_cast<double>(features.row(t)[static_cast<std::size_t>(c)]) - low) / range;
      const double level = std::isfinite(value) ? std::clamp(value, 0.0, 1.0) * (kLevels - 1) : 0;
      pixels.push_back(static_cast<std::uint8_t>(std::lround(level)));
    }
  }
  return png_bytes(pixels, static_cast<std::uint32_t>(features.frames), static_cast<std::uint32_t>(columns),
                   heat_colours());
}

// Labels between lines; those that have no room are only in the tooltip.
std::string row_of_spans(const std::vector<LabelledSpan>& spans, double top, double height, const char* fill) {
  std::string svg;
  for (const LabelledSpan& span : spans) {
    const double x = kMargin + kFrameWidth * static_cast<double>(span.first);
    const double width = kFrameWidth * static_cast<double>(span.last - span.first + 1);
    const std::string label = xml_text(span.label);
    svg += fmt::format(
        "<g><title>{0}</title><rect x=\"{1:.1f}\" y=\"{2:.1f}\" width=\"{3:.1f}\" height=\"{4:.1f}\" fill=\"{5}\" "
        "stroke=\"#888\" stroke-width=\"0.5\"/>",
        label, x, top, width, height, fill);
    if (width >= 7.0 * static_cast<double>(span.label.size())) {
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", x + width / 2,
                         top + height - 7, label);
    }
    svg += "</g>\n";
  }
  return svg;
}

std::string time_axis(double top, double frame_shift_ms, std::int64_t frames) {
  const double seconds = static_cast<double>(frames) * frame_shift_ms / 1000;
  const double step = seconds <= 2 ? 0.2 : seconds <= 10 ? 0.5 : 1;
  std::string svg;
  for (int i = 0; i * step <= seconds; ++i) {
    const double x = kMargin + kFrameWidth * i * step * 1000 / frame_shift_ms;
    svg += fmt::format(
        "<path d=\"M{0:.1f} {1:.1f}v4\" stroke=\"#444\"/><text x=\"{0:.1f}\" y=\"{2:.1f}\" "
        "text-anchor=\"middle\" fill=\"#444\">{3:g} s</text>\n",
        x, top, top + 15, i * step);
  }
  return svg;
}

}  // namespace

std::string draw_spectrogram(const FeatureMatrix& features, const SpectrogramOptions& options) {
  const std::int64_t columns = options.columns > 0 ? std::min(options.columns, features.dim) : features.dim;
  const double width = 2 * kMargin + std::max(160.0, kFrameWidth * static_cast<double>(features.frames));
  double y = options.title.empty() ? kMargin : kTitleHeight;
  std::string body;
  if (!options.title.empty()) {
    body += fmt::format("<text x=\"{}\" y=\"18\" font-size=\"13\">{}</text>\n", kMargin, xml_text(options.title));
  }
  if (features.frames > 0 && columns > 0) {
    body += fmt::format(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" "
        "style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>\n",
        kMargin, y, kFrameWidth * static_cast<double>(features.frames), kPictureHeight,
        base64(picture_of(features, columns)));
  }
  y += kPictureHeight;
  body += time_axis(y, options.frame_shift_ms, features.frames);
  y += kAxis;
  for (const auto& [spans, fill] : {std::pair(&options.phones, "#eef"), std::pair(&options.words, "#fea")}) {
    if (spans->empty()) continue;
    body += row_of_spans(*spans, y, kRow, fill);
    y += kRow;
  }
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{2}</svg>\n",
      width, y + kMargin, body);
}

}  // namespace hadal
