#include "train/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "spec/image_keys.h"
#include "spec/job.h"
#include "tensor/safetensors.h"
#include "testing/networks.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

Values values_of(const Network& network, std::uint64_t seed) {
  Values values;
  for (int p = 0; p < static_cast<int>(network.parameters.size()); ++p) {
    values.push_back(initial_values(network, p, seed));
  }
  return values;
}

std::string save(const std::string& path, const NetworkSpec& spec, std::uint64_t seed) {
  const Network network = build_network(spec);
  return save_model(path, spec, network, values_of(network, seed));
}

// What the call throws, which must be an E.
template <class E, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

NetworkSpec mlp(std::int64_t hidden, std::int64_t classes) {
  return {{6},
          {testing::fully_connected("hidden", hidden), testing::activation("act", ActivationKind::tanh),
           testing::fully_connected("out", classes)},
          {}};
}

TEST(ModelFile, comes_back_as_it_was_saved) {
  const TemporaryFolder folder;
  const std::string path = folder.path("model.safetensors");
  for (const NetworkSpec& spec :
       {testing::small_lenet(), testing::small_dag(), testing::small_mlp(), testing::small_batch_norm()}) {
    save(path, spec, 8);
    const Model model = load_model(path);
    EXPECT_EQ(model.parameters, values_of(build_network(spec), 8));
    EXPECT_EQ(network_to_json(model.spec), network_to_json(spec));
    EXPECT_EQ(model.network.parameters.size(), model.parameters.size());
  }
}

TEST(ModelFile, has_a_sum_that_depends_on_network_and_parameters_alone) {
  const TemporaryFolder folder;
  const std::string one = folder.path("one.safetensors"), other = folder.path("other.name");
  const std::string sum = save(one, mlp(4, 3), 8);
  EXPECT_EQ(sum, sha256_of_file(one));
  std::filesystem::last_write_time(one, std::filesystem::file_time_type::clock::now() - std::chrono::hours(30));
  EXPECT_EQ(save(other, mlp(4, 3), 8), sum);
  EXPECT_EQ(save(one, mlp(4, 3), 8), sum);  // over an earlier file
  EXPECT_NE(save(one, mlp(4, 3), 9), sum);
  NetworkSpec renamed = mlp(4, 3);
  renamed.layers[1].name = "squash";
  EXPECT_NE(save(one, renamed, 8), sum);
}

TEST(ModelFile, is_not_loaded_when_it_is_missing_or_cut_short) {
  const TemporaryFolder folder;
  const std::string path = folder.path("model.safetensors");
  EXPECT_THAT(message_of<ConfigError>([&] { (void)load_model(path); }), HasSubstr("cannot open " + path));
  save(path, mlp(4, 3), 8);
  const std::string intact = read_file(path, 1 << 20);
  for (std::size_t length = 0; length < intact.size(); length += 13) {
    folder.write("model.safetensors", intact.substr(0, length));
    EXPECT_THROW((void)load_model(path), DataError) << length << " bytes";
  }
}

class HostileModel : public ::testing::Test {
 protected:
  // A file with this metadata and a tensor of four numbers by each name.
  std::string write(const Metadata& metadata, const std::vector<std::string>& names = {"out.weight", "out.bias"}) {
    const std::vector<float> numbers(4, 1.0f);
    std::vector<TensorData> tensors;
    for (const std::string& name : names) tensors.push_back({name, DType::f32, {4}, std::as_bytes(std::span(numbers))});
    write_safetensors(folder_.path("model.safetensors"), metadata, tensors);
    return folder_.path("model.safetensors");
  }
  std::string message(const Metadata& metadata) {
    const std::string path = write(metadata);
    return message_of<DataError>([&] { (void)load_model(path); });
  }
  static Metadata metadata(const std::string& network) { return {{"format", "hadal-model-1"}, {"network", network}}; }
  static std::string fully_connected(const std::string& input, const std::string& out) {
    return R"({"input":[)" + input + R"(],"layers":[{"fully_connected":{"name":"out","out":)" + out + "}}]}";
  }

  const TemporaryFolder folder_;
};

TEST_F(HostileModel, is_told_apart_from_other_safetensors_files) {
  for (const Metadata& other : {Metadata{}, Metadata{{"format", "pt"}}, Metadata{{"format", "hadal-model-1"}},
                                Metadata{{"format", "hadal-model-2"}, {"network", fully_connected("2", "2")}}}) {
    EXPECT_THAT(message(other), HasSubstr("its metadata has no network"));
  }
}

TEST_F(HostileModel, with_a_network_that_is_none_is_refused) {
  for (const std::string& network :
       {std::string(), std::string("{"), std::string("7"), std::string("[]"), std::string("{}"),
        std::string(R"({"input":[4]})"), std::string(R"({"input":[4],"layers":[]})"),
        std::string(R"({"input":[4],"layers":[{"fully_connected":{"out":0}}]})"),
        std::string(R"({"input":[4],"layers":[{"conv":{"out":1,"kernel":3}}]})"),
        std::string(R"({"input":[4],"layers":[{"relu":{"from":["nowhere"]}}]})"), std::string(R"({"input":"\u0000"})"),
        std::string(3000, '['), fully_connected("4", "-1"), fully_connected("4", "1e99"),
        fully_connected("4,\"x\"", "1")}) {
    EXPECT_NE(message(metadata(network)), "nothing was thrown") << network.substr(0, 60);
  }
}

TEST_F(HostileModel, with_tensors_of_other_shapes_is_refused) {
  EXPECT_THAT(message(metadata(fully_connected("2", "2"))), HasSubstr("expected [2, 2]"));
}

TEST_F(HostileModel, whose_network_would_need_all_memory_is_refused_before_it_is_taken) {
  for (const char* input : {"4", "16000000", "16000000,60", "16000000,16000000"}) {
    for (const char* out : {"1", "16000000"}) {
      EXPECT_NE(message(metadata(fully_connected(input, out))), "nothing was thrown") << input << " to " << out;
    }
  }
}

TEST_F(HostileModel, that_lacks_a_tensor_is_refused) {
  const std::string path = write(metadata(fully_connected("1", "4")), {"out.bias"});
  EXPECT_THAT(message_of<DataError>([&] { (void)load_model(path); }), HasSubstr("has no tensor out.weight"));
}

class InitFromModel : public ::testing::Test {
 protected:
  InitFromModel() : path_(folder_.path("model.safetensors")) { save(path_, mlp(4, 3), 8); }

  const TemporaryFolder folder_;
  const std::string path_;
};

TEST_F(InitFromModel, takes_all_parameters_of_the_same_network) {
  const Network network = build_network(mlp(4, 3));
  Values values = values_of(network, 1);
  EXPECT_EQ(init_from_model(path_, network, false, values), 4);
  EXPECT_EQ(values, values_of(network, 8));
}

TEST_F(InitFromModel, refuses_other_shapes_even_in_part) {
  const Network network = build_network(mlp(4, 5));
  for (const bool partial : {false, true}) {
    Values values = values_of(network, 1);
    EXPECT_THAT(message_of<ConfigError>([&] { (void)init_from_model(path_, network, partial, values); }),
                HasSubstr("out.weight is [3, 4], the network's is [5, 4]"));
  }
}

TEST_F(InitFromModel, takes_a_part_only_when_asked) {
  NetworkSpec longer = mlp(4, 3);
  longer.layers.push_back(testing::fully_connected("more", 3));
  const Network network = build_network(longer);
  Values values = values_of(network, 1);
  EXPECT_THAT(message_of<ConfigError>([&] { (void)init_from_model(path_, network, false, values); }),
              HasSubstr("has no tensor more.weight; --init needs all"));
  values = values_of(network, 1);
  EXPECT_EQ(init_from_model(path_, network, true, values), 4);
  const Values fresh = values_of(network, 1), taken = values_of(build_network(mlp(4, 3)), 8);
  for (std::size_t p = 0; p < values.size(); ++p) EXPECT_EQ(values[p], p < 4 ? taken[p] : fresh[p]) << p;
}

TEST_F(InitFromModel, ignores_what_the_network_lacks_only_when_asked) {
  const Network network = build_network({{6}, {testing::fully_connected("hidden", 4)}, {}});
  Values values = values_of(network, 1);
  EXPECT_THAT(message_of<ConfigError>([&] { (void)init_from_model(path_, network, false, values); }),
              HasSubstr("out.weight is not in the network; --init-partial ignores it"));
  EXPECT_EQ(init_from_model(path_, network, true, values), 2);
}

TEST_F(InitFromModel, needs_a_file) {
  const Network network = build_network(mlp(4, 3));
  Values values = values_of(network, 1);
  EXPECT_THROW((void)init_from_model(folder_.path("none"), network, false, values), ConfigError);
}

TEST(ModelFile, says_how_images_are_read) {
  const TemporaryFolder folder;
  const NetworkSpec spec = mlp(5, 3);
  const Network network = build_network(spec);
  const ImageSpec image{.resize = Resize::side, .side = 40, .scale = 0.5, .mean = {1, 2, 3}, .deviation = {4}};
  save_model(folder.path("m"), spec, network, values_of(network, 1), &image);
  const std::optional<ImageSpec> read = load_model(folder.path("m")).image;
  ASSERT_TRUE(read);
  EXPECT_EQ(image_to_json(*read), image_to_json(image));
  EXPECT_EQ(read->side, 40);
  EXPECT_EQ(read->mean, image.mean);
  save_model(folder.path("m"), spec, network, values_of(network, 1));
  EXPECT_FALSE(load_model(folder.path("m")).image);
  EXPECT_THROW(image_from_json("{\"resize\": 0}", "m"), DataError);
}

}  // namespace
}  // namespace hadal
