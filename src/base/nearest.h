#pragma once
// "did you mean" for misspelt words.

#include <string>
#include <vector>

namespace hadal {

// The word of `known` nearest to `word`; empty where none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

}  // namespace hadal
