// Any text is a list of images with labels from 0 on, or a DataError; and any path is one or many, or a ConfigError.

#include "base/error.h"
#include "data/file_list.h"
#include "data/image_list.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const hadal::ListedImage& image : hadal::parse_image_list(text, "input")) {
      if (image.label < 0 || image.path.empty()) __builtin_trap();
    }
  } catch (const hadal::DataError&) {
  }
  if (size > 100 || text.find('\0') != std::string::npos) return 0;
  try {
    if (hadal::list_files({"no folder/" + text}, {}).empty()) __builtin_trap();
  } catch (const hadal::ConfigError&) {
  }
  return 0;
}
