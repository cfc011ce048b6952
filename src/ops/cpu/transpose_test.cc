#include "ops/cpu/transpose.h"

#include <gtest/gtest.h>

#include <vector>

namespace hadal {
namespace {

TEST(Transpose, moves_each_element_and_no_other) {
  for (const std::int64_t rows : {1, 3, 16, 17, 40}) {
    for (const std::int64_t columns : {1, 5, 16, 31, 48}) {
      const std::int64_t from_pitch = columns + 3, to_pitch = rows + 2;
      std::vector<float> from(static_cast<std::size_t>(rows * from_pitch)), bias(static_cast<std::size_t>(rows));
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
      for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = 1e4f * static_cast<float>(i);
      for (const bool biased : {false, true}) {
        std::vector<float> to(static_cast<std::size_t>(columns * to_pitch), -1.0f);
        transpose(from.data(), rows, columns, from_pitch, biased ? bias.data() : nullptr, to.data(), to_pitch);
        for (std::int64_t column = 0; column < columns; ++column) {
          for (std::int64_t row = 0; row < to_pitch; ++row) {
            const float expected = row >= rows ? -1.0f
                                               : static_cast<float>(row * from_pitch + column) +
                                                     (biased ? 1e4f * static_cast<float>(row) : 0);
            ASSERT_EQ(to[static_cast<std::size_t>(column * to_pitch + row)], expected)
                << rows << " x " << columns << ", row " << row << ", column " << column;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace hadal
