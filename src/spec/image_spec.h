#pragma once
// How image files become samples, and the sources that hold such files.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace hadal {

// What an image's size becomes before the crop.
enum class Resize {
  fit,      // just covers the network's input
  stretch,  // is the network's input, whatever the image's shape
  none,     // stays as it is
  side,     // the shorter side is ImageSpec::side
};

struct ImageSpec {
  Resize resize = Resize::fit;
  std::int64_t side = 0;                      // pixels; of Resize::side
  std::int64_t pad = 0;                       // black pixels added on every side after that
  bool random_crop = false;                   // else the centre
  std::int64_t crops = 1;                     // samples made of an image: see docs/job.md
  bool mirror = false;                        // every other image, at random
  std::optional<std::array<double, 2>> area;  // random crops of such shares of the image, in place of `resize`,
  std::array<double, 2> aspect{1, 1};         // and of such shapes, against that of the network's input
  double scale = 1 / 255.0;
  std::vector<double> mean{0}, deviation{1};  // one for all channels, or one for each
  double pca = 0;                             // deviation of the colour jitter of Krizhevsky et al. 2012
  Position where;                             // of what speaks of `crops`, `crop`, `area`
};

// Folders of a folder are classes; or the files are those of a list.
struct ImageFolderData {
  std::string path;
  std::optional<std::string> list;
  ImageSpec image;
  Position where;
};

// WebDataset's shards.
struct TarData {
  std::vector<std::string> files;
  ImageSpec image;
  Position where;
};

}  // namespace hadal
