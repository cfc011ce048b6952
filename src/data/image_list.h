#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

struct ListedImage {
  std::string path;
  std::int32_t label = 0;
  int line = 0;  // of the list
};

// A list of image files: a line each, the path, then its label, a whole number. They are separated by a comma or a tab,
// as in csv, and further fields are not read; where a line has neither, by its last space. Empty lines are none, nor is
// a first line whose label is no number. `file` names the list in errors: throws DataError with the line.
std::vector<ListedImage> parse_image_list(std::string_view text, const std::string& file);

}  // namespace hadal
