// docs/speech.md says what the parser does: the same keys, values and defaults, and an example that is read.

#include <gtest/gtest.h>

#include "speech/recipe.h"
#include "speech/recipe_keys.h"
#include "testing/documented_keys.h"

namespace hadal {
namespace {

TEST(RecipeDoc, has_every_key_with_its_value_and_default) { testing::expect_documented(recipe_keys(), "speech.md"); }

TEST(RecipeDoc, has_an_example_that_is_read) {
  const std::string example = testing::example_of_doc("speech.md");
  const Recipe recipe = parse_recipe(example, "docs/speech.md");
  EXPECT_EQ(recipe.name(), "digits");
  // It shows every section.
  for (const auto& key : recipe_table()) EXPECT_NE(example.find(key.name + ":"), std::string::npos) << key.name;
}

}  // namespace
}  // namespace hadal
