#include "spec/layer_name.h"

#include <algorithm>
#include <map>

#include "spec/scalar.h"

namespace hadal {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_inner(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'; }

}  // namespace

std::string read_layer_name(const Value& value, const std::string& path) {
  constexpr std::size_t kLongest = 128;
  std::string name = read_text(value, path);
  if (name.size() > kLongest || !is_letter(name[0]) || !std::all_of(name.begin(), name.end(), is_inner)) {
    throw ConfigError(value.where, path + ": " + shown(name) +
                                       " is no layer name: a letter, then letters, digits, '_', "
                                       "'-' or '.', at most 128 in all");
  }
  return name;
}

void name_layers(std::vector<LayerSpec>& layers) {
  std::map<std::string, int> count;
  std::map<std::string, const LayerSpec*> named;
  for (LayerSpec& layer : layers) {
    const int number = ++count[layer.type];
    if (layer.name.empty()) layer.name = layer.type + std::to_string(number);
    const auto [first, is_new] = named.emplace(layer.name, &layer);
    if (!is_new) {
      const int line = first->second->where.line;
      throw ConfigError(layer.where, "this layer and the " + first->second->type +
                                         (line > 0 ? " at line " + std::to_string(line) : " above it") +
                                         " are both named '" + layer.name + "'");
    }
  }
}

}  // namespace hadal
