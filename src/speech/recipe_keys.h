#pragma once
// The table of recipe.yaml.

#include "spec/keys.h"
#include "speech/recipe.h"

namespace hadal {

const Keys<Recipe>& recipe_table();

}  // namespace hadal
