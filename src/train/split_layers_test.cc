// Every kind of layer, split over devices: below it something learns, and above it is something that needs all
// channels.

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <utility>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::conv;
using testing::fully_connected;
using testing::layer;
using testing::SmallTraining;

LayerSpec kept_whole(LayerSpec spec) {
  spec.split = LayerSplit::whole;
  return spec;
}

struct Row {
  std::string name;
  std::vector<LayerSpec> layers;  // between a convolution "stem" of 7 channels and a fully-connected layer
  std::int64_t stem = 7;          // channels
};

std::vector<Row> rows() {
  const auto lrn = [](std::int64_t size) {
    return layer("lrn", "lrn", LrnOptions{.size = size, .alpha = 0.7f, .beta = 0.75f, .k = 1.5f});
  };
  const auto pool = [](PoolKind kind, Extent kernel, Extent stride, Extent pad, bool ceil) {
    return layer("pool", "pool", PoolOptions{kind, kernel, stride, pad, ceil});
  };
  return {
      {"conv", {conv("conv", {.out = 5, .kernel = 3, .pad = 1})}},
      {"conv_strided", {conv("conv", {.out = 9, .kernel = 3, .stride = 2})}},
      {"conv_of_one_pixel", {conv("conv", {.out = 6, .kernel = 6})}},
      {"conv_in_2_groups", {conv("conv", {.out = 10, .kernel = 3, .groups = 2})}, 6},
      {"conv_in_4_groups", {conv("conv", {.out = 4, .kernel = 3, .groups = 4})}, 8},
      {"conv_in_6_groups", {conv("conv", {.out = 12, .kernel = 1, .groups = 6})}, 6},
      {"convs_in_fewer_groups_than_parts",
       {conv("a", {.out = 10, .kernel = 3, .groups = 2}), conv("b", {.out = 6, .kernel = 1, .groups = 2})},
       6},
      {"conv_by_channel", {conv("conv", {.out = 7, .kernel = 3, .pad = 1, .groups = 7})}},
      {"two_convs_in_groups",
       {conv("a", {.out = 6, .kernel = 3, .groups = 2}), conv("b", {.out = 9, .kernel = 1, .groups = 3})},
       6},
      {"conv_not_square", {conv("conv", {.out = 9, .kernel = {3, 5}, .stride = {1, 2}, .pad = {0, 1}})}},
      {"conv_of_one_column_dilated",
       {conv("all_columns", {.out = 8, .kernel = {2, 6}, .groups = 2}),
        conv("conv", {.out = 6, .kernel = {2, 1}, .groups = 2, .dilation = {3, 1}})},
       6},
      {"max_pool", {pool(PoolKind::max, 3, 2, 1, true)}},
      {"max_pool_not_square", {pool(PoolKind::max, {3, 2}, {1, 2}, {1, 0}, false)}},
      {"average_pool", {pool(PoolKind::average, 2, 2, 0, false)}},
      {"relu", {layer("relu", "f", ActivationOptions{ActivationKind::relu})}},
      {"sigmoid", {layer("sigmoid", "f", ActivationOptions{ActivationKind::sigmoid})}},
      {"tanh_twice",
       {layer("tanh", "f", ActivationOptions{ActivationKind::tanh}),
        layer("tanh", "g", ActivationOptions{ActivationKind::tanh})}},
      {"dropout", {layer("dropout", "drop", DropoutOptions{0.4f})}},
      {"dropout_of_nothing", {layer("dropout", "drop", DropoutOptions{0})}},
      {"dropout_of_a_vector",
       {layer("flatten", "flat", FlattenOptions{}), layer("dropout", "drop", DropoutOptions{0.3f})}},
      {"lrn_1", {lrn(1)}},
      {"lrn_3", {lrn(3)}},
      {"lrn_4", {lrn(4)}},
      {"lrn_wider_than_parts", {lrn(9)}},
      {"lrn_between_groups", {conv("conv", {.out = 8, .kernel = 3, .pad = 1, .groups = 2}), lrn(5)}, 6},
      {"batch_norm", {layer("batch_norm", "norm", BatchNormOptions{})}},
      {"batch_norm_of_a_vector",
       {layer("flatten", "flat", FlattenOptions{}), layer("batch_norm", "norm", BatchNormOptions{})}},
      {"flatten", {layer("flatten", "flat", FlattenOptions{})}},
      {"fully_connected", {fully_connected("full", 13)}},
      {"fully_connected_whole", {fully_connected("narrow", 2), fully_connected("full", 9)}},
      {"conv_kept_whole", {kept_whole(conv("conv", {.out = 6, .kernel = 3})), conv("more", {.out = 5, .kernel = 1})}},
      {"fully_connected_kept_whole",
       {fully_connected("full", 13), kept_whole(fully_connected("kept", 12)), fully_connected("again", 9)}},
      {"add_of_kept_whole",
       {kept_whole(conv("other", {.out = 7, .kernel = 1})), layer("add", "sum", AddOptions{}, {"stem", "other"})}},
      {"concat", {conv("other", {.out = 4, .kernel = 1}), layer("concat", "join", ConcatOptions{}, {"stem", "other"})}},
      {"concat_of_one", {layer("concat", "join", ConcatOptions{}, {"stem"})}},
      {"concat_pooled_and_convolved",
       {conv("other", {.out = 4, .kernel = 1}), layer("concat", "join", ConcatOptions{}, {"other", "stem"}),
        pool(PoolKind::max, 3, 1, 1, false), conv("more", {.out = 5, .kernel = 1}),
        conv("less", {.out = 3, .kernel = 1}, {"join"}), layer("concat", "again", ConcatOptions{}, {"more", "less"})}},
      {"add", {conv("other", {.out = 7, .kernel = 1}), layer("add", "sum", AddOptions{}, {"stem", "other"})}},
      {"add_of_other_divisions",
       {conv("grouped", {.out = 8, .kernel = 1, .groups = 2}), conv("other", {.out = 8, .kernel = 1}, {"stem"}),
        layer("add", "sum", AddOptions{}, {"grouped", "other", "grouped"})},
       6},
      {"add_of_whole_and_divided",
       {conv("a", {.out = 4, .kernel = 1}), layer("concat", "join", ConcatOptions{}, {"a", "stem"}),
        conv("b", {.out = 11, .kernel = 1}, {"stem"}), layer("add", "sum", AddOptions{}, {"join", "b"})}},
      {"batch_norm_of_other_divisions",
       {conv("grouped", {.out = 12, .kernel = 1, .groups = 3}), conv("other", {.out = 12, .kernel = 1}, {"stem"}),
        layer("add", "sum", AddOptions{}, {"grouped", "other"}), layer("batch_norm", "norm", BatchNormOptions{})},
       6},
      {"concat_of_one_between_kernels",
       {layer("concat", "join", ConcatOptions{}, {"stem"}), layer("relu", "f", ActivationOptions{ActivationKind::relu}),
        conv("more", {.out = 5, .kernel = 1})}},
      {"four_branches",
       {conv("a", {.out = 3, .kernel = 1}), conv("b", {.out = 4, .kernel = 3, .pad = 1}, {"stem"}),
        layer("max_pool", "p", PoolOptions{PoolKind::max, 3, 1, 1, false}, {"stem"}),
        conv("c", {.out = 2, .kernel = 1}), layer("concat", "join", ConcatOptions{}, {"a", "b", "c", "stem"})}},
  };
}

class SplitLayers : public ::testing::TestWithParam<Row> {
 protected:
  static SmallTraining training(bool reference) {
    NetworkSpec network{{2, 6, 6}, {conv("stem", {.out = GetParam().stem, .kernel = 3, .pad = 1})}, {}};
    network.layers.insert(network.layers.end(), GetParam().layers.begin(), GetParam().layers.end());
    network.layers.push_back(fully_connected("out", 5));
    SmallTraining single;
    single.network = network;
    single.batch = 10;
    single.last_rows = 3;
    single.reference = reference;
    return single;
  }
};

TEST_P(SplitLayers, train_as_whole_ones) {
  for (const auto& [reference, clip_norm] : {std::pair{false, 0.0}, {true, 0.0}, {false, 0.2}}) {
    SmallTraining single = training(reference);
    single.shards = 0;
    single.clip_norm = clip_norm;
    const auto one = testing::train(single);
    for (const int groups : {1, 2}) {
      for (const int split : {1, 2, 3, 4}) {
        SmallTraining many = single;
        many.devices = testing::device_list("fake", groups * split);
        many.split = split;
        many.topology = ExchangeTopology::direct;
        const auto result = testing::train(many);
        for (std::size_t p = 0; p < one.size(); ++p) {
          double difference = 0, size = 0;
          for (std::size_t i = 0; i < one[p].size(); ++i) {
            difference += std::abs(result[p][i] - one[p][i]);
            size += std::abs(one[p][i]);
          }
          // A bias that a normalisation takes away again is nothing but rounding.
          EXPECT_LE(difference, 1e-5 * size + 1e-6) << groups << " x " << split << (reference ? ", reference" : "")
                                                    << (clip_norm > 0 ? ", clipped" : "") << ", parameter " << p;
        }
      }
    }
  }
}

#ifdef HADAL_SANITIZED
const std::vector<std::int64_t> kChunks{5};
#else
const std::vector<std::int64_t> kChunks{4, 5};
#endif

TEST_P(SplitLayers, give_the_bits_of_one_device_under_reproducible) {
  for (const bool reference : {false, true}) {
    for (const std::int64_t chunks : kChunks) {
      SmallTraining single = training(reference);
      single.shards = 3;
      single.chunks = chunks;
      single.clip_norm = chunks == 5 ? 0.2 : 0;
      const auto one = testing::train(single);
      for (const int groups : {1, 2}) {
        for (int split = 1; split <= chunks; ++split) {
          for (const char* kind : {"fake", "cpu"}) {
            const bool cpu = std::string(kind) == "cpu";
            if (cpu && groups == 1) continue;  // nothing is exchanged
            SmallTraining many = single;
            many.devices = testing::device_list(kind, groups * split);
            many.split = split;
            many.topology = cpu ? ExchangeTopology::shared : ExchangeTopology::direct;
            EXPECT_EQ(testing::train(many), one) << groups << " x " << split << " " << kind << ", " << chunks
                                                 << " chunks" << (reference ? ", reference" : "");
          }
        }
      }
    }
  }
}

// A new kind of layer is a row here.
TEST(SplitLayersTable, has_every_kind_of_layer) {
  std::set<std::size_t> kinds;
  for (const Row& row : rows()) {
    for (const LayerSpec& spec : row.layers) kinds.insert(spec.options.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<LayerOptions>);
}

INSTANTIATE_TEST_SUITE_P(all, SplitLayers, ::testing::ValuesIn(rows()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hadal
