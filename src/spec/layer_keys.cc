// A layer of job.yaml is a row of layer_types(); its options are a table of their own.

#include "spec/layer_name.h"
#include "spec/network_keys.h"

namespace hadal {

namespace {

constexpr WholeRange kOut{1, 1 << 24};
constexpr WholeRange kWindow{1, 1024};
constexpr WholeRange kPad{0, 1024};

const Keys<Initializer>& initializers() {
  const auto word = [](const std::string& name, Initializer::Kind kind, const std::string& meaning) {
    return Key<Initializer>{name,
                            "word",
                            "",
                            meaning,
                            [=](const Value& value, const std::string& path, Initializer& into) {
                              into = {kind, 0};
                              read_map(value, path, {}, into);
                            },
                            [=](const Initializer& from) -> std::optional<Json> {
                              if (from.kind != kind) return std::nullopt;
                              return Json::object();
                            }};
  };
  const auto number = [](const std::string& name, Initializer::Kind kind, RealRange range, const std::string& meaning) {
    return Key<Initializer>{name,
                            describe(range),
                            "",
                            meaning,
                            [=](const Value& value, const std::string& path, Initializer& into) {
                              into = {kind, read_float(value, path, range)};
                            },
                            [=](const Initializer& from) -> std::optional<Json> {
                              if (from.kind != kind) return std::nullopt;
                              return number_json(from.value);
                            }};
  };
  static const Keys<Initializer> kInitializers = {
      word("xavier", Initializer::Kind::xavier,
           "uniform within ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010)"),
      word("msra", Initializer::Kind::msra, "normal, deviation sqrt(2 / inputs) (He et al. 2015)"),
      number("gaussian", Initializer::Kind::gaussian, {0, 1e6}, "normal, mean 0, this deviation"),
      number("constant", Initializer::Kind::constant, {-1e6, 1e6}, "this number; a number alone means the same"),
  };
  return kInitializers;
}

Key<InitOptions> initializer(const std::string& name, Initializer InitOptions::*member, const std::string& fallback,
                             const std::string& meaning) {
  return {name,
          "initializer",
          fallback,
          meaning,
          [=](const Value& value, const std::string& path, InitOptions& into) {
            if (is_number(value)) {
              find_key(initializers(), "constant")->read(value, path, into.*member);
            } else {
              read_one_of(value, path, "initializer", initializers(), into.*member);
            }
          },
          [=](const InitOptions& from) -> std::optional<Json> {
            const Initializer& init = from.*member;
            const Json map = write_map(initializers(), init);
            if (init.kind == Initializer::Kind::constant) return map["constant"];
            if (init.kind == Initializer::Kind::gaussian) return map;
            return Json(map.begin().key());
          }};
}

template <class Options>
Key<Options> init_key(const char* weights) {
  return section<Options>("init", &Options::init,
                          Keys<InitOptions>{
                              initializer("weight", &InitOptions::weight, weights, "how the weights start"),
                              initializer("bias", &InitOptions::bias, "0", "how the biases start"),
                          },
                          "of its keys", "how the parameters start");
}

template <class Options>
Key<Options> multipliers_key(const char* name, Multipliers Options::*place, const char* meaning) {
  constexpr RealRange kRange{0, 1e6};
  return section<Options>(name, place,
                          Keys<Multipliers>{
                              real<Multipliers>("weight", &Multipliers::weight, kRange, "1", "of the weights"),
                              real<Multipliers>("bias", &Multipliers::bias, kRange, "1", "of the biases"),
                          },
                          "of its keys", meaning);
}

// Of a layer with weights and biases.
template <class Options>
Keys<Options> with_parameters(Keys<Options> keys, const char* weights = "xavier") {
  keys.push_back(init_key<Options>(weights));
  keys.push_back(multipliers_key("rate_mult", &Options::rate_mult,
                                 "what the rate is multiplied by for this layer; 0 keeps its parameters as they are"));
  keys.push_back(
      multipliers_key("decay_mult", &Options::decay_mult, "what `weight_decay` is multiplied by for this layer"));
  return keys;
}

// One number for height and width alike, or a list of both; written as one number where they are equal.
template <class Options>
Key<Options> extent(const std::string& name, Extent Options::*place, WholeRange range, const std::string& fallback,
                    const std::string& meaning) {
  return {name,
          describe(range) + ", or [height, width]",
          fallback,
          meaning,
          [=](const Value& value, const std::string& path, Options& into) {
            const auto number = [&](const Value& from, const char* side) {
              return static_cast<std::int64_t>(read_whole(from, path + side, range));
            };
            if (value.kind != Value::Kind::list) {
              into.*place = number(value, "");
            } else if (value.items.size() == 2) {
              into.*place = {number(value.items[0], " height"), number(value.items[1], " width")};
            } else {
              throw ConfigError(value.where, path + " must be a number or [height, width], not a list of " +
                                                 std::to_string(value.items.size()));
            }
          },
          [=](const Options& from) {
            const Extent& extent = from.*place;
            return extent.height == extent.width ? Json(extent.height) : Json({extent.height, extent.width});
          }};
}

Key<ConvOptions> dilation_key() {
  Key<ConvOptions> key = extent<ConvOptions>("dilation", &ConvOptions::dilation, kWindow, "1",
                                             "pixels from one number of the kernel to the next");
  key.write = [write = std::move(key.write)](const ConvOptions& from) {
    return from.dilation == 1 ? std::nullopt : write(from);
  };
  return key;
}

Keys<ConvOptions> conv_keys() {
  using O = ConvOptions;
  return with_parameters<O>({
      whole<O>("out", &O::out, kOut, kRequired, "output channels"),
      extent<O>("kernel", &O::kernel, kWindow, kRequired, "height and width of the kernel"),
      extent<O>("stride", &O::stride, kWindow, "1", "step of the kernel over the image"),
      extent<O>("pad", &O::pad, kPad, "0", "zeros added on every side of the image"),
      whole<O>("groups", &O::groups, kOut, "1", "parts that the channels are divided into, each convolved alone"),
      dilation_key(),
  });
}

Keys<PoolOptions> pool_keys() {
  using O = PoolOptions;
  return {
      extent<O>("kernel", &O::kernel, kWindow, kRequired, "height and width of the window"),
      extent<O>("stride", &O::stride, kWindow, "kernel", "step of the window over the image"),
      extent<O>("pad", &O::pad, kPad, "0", "border added on every side, at most half of `kernel`; it takes no part"),
      boolean<O>("ceil", &O::ceil, "false", "round the output size up rather than down"),
  };
}

Keys<LrnOptions> lrn_keys() {
  using O = LrnOptions;
  return {
      whole<O>("size", &O::size, kWindow, "5", "channels of the window"),
      real<O>("alpha", &O::alpha, {0, 1e6}, "0.0001", "factor of the mean square of the window's channels"),
      real<O>("beta", &O::beta, {0, 100}, "0.75", "exponent"),
      real<O>("k", &O::k, {1e-6, 1e6}, "1", "added to the mean square"),
  };
}

Keys<BatchNormOptions> batch_norm_keys() {
  using O = BatchNormOptions;
  return with_parameters<O>(
      {
          real<O>("epsilon", &O::epsilon, {.most = 1, .above_least = true}, "1e-05", "added to the variance"),
          real<O>("momentum", &O::momentum, {.most = 1}, "0.1", "share of a batch in the moving means"),
      },
      "1");
}

Keys<FullyConnectedOptions> fully_connected_keys() {
  using O = FullyConnectedOptions;
  return with_parameters<O>({whole<O>("out", &O::out, kOut, kRequired, "outputs")});
}

Key<LayerSpec> name_key() {
  return {"name",
          "layer name",
          "its type and number",
          "what other layers and the model file call it",
          [](const Value& value, const std::string& path, LayerSpec& into) {
            into.name = read_layer_name(value, path);
            if (into.name == "input") throw ConfigError(value.where, path + ": 'input' names the network's input");
          },
          [](const LayerSpec& from) { return Json(from.name); }};
}

Key<LayerSpec> from_key(const std::string& fallback) {
  return {"from",
          "layer name, or a list of them",
          fallback,
          "the layers that it takes its input from",
          [](const Value& value, const std::string& path, LayerSpec& into) {
            constexpr std::size_t kMost = 1024;
            into.from.clear();
            if (value.kind != Value::Kind::list) {
              into.from.push_back(read_layer_name(value, path));
              return;
            }
            if (value.items.empty() || value.items.size() > kMost) {
              throw ConfigError(value.where,
                                path + " must name 1 to 1024 layers, not " + std::to_string(value.items.size()));
            }
            for (const Value& item : value.items) into.from.push_back(read_layer_name(item, path));
          },
          [](const LayerSpec& from) -> std::optional<Json> {
            if (from.from.empty()) return std::nullopt;
            return Json(from.from);
          }};
}

// What the devices of a group make of a type of layers.
enum class Divided { by_outputs, as_its_input, never };

Key<LayerSpec> split_key(Divided divided) {
  Key<LayerSpec> key =
      at(&LayerSpec::split_where,
         choice<LayerSpec, LayerSplit>(
             "split", &LayerSpec::split,
             {{"auto", LayerSplit::automatic}, {"whole", LayerSplit::whole}, {"divide", LayerSplit::divide}}, "auto",
             "of conv and fully_connected, where devices hold one model together: whether each computes all of it or a "
             "part"));
  key.read = [=, read = std::move(key.read)](const Value& value, const std::string& path, LayerSpec& into) {
    read(value, path, into);
    if (into.split == LayerSplit::automatic || divided == Divided::by_outputs) return;
    if (divided == Divided::as_its_input) {
      throw ConfigError(value.where, path + ": " + value.text + ": " + into.type +
                                         " is divided as the layer is that it takes its input from; set split of the "
                                         "conv or fully_connected below it");
    }
    if (into.split == LayerSplit::divide) {
      throw ConfigError(value.where, path + ": divide: " + into.type +
                                         " cannot be divided: what comes after it mostly needs all channels, so each "
                                         "device has all of it; use auto or whole");
    }
  };
  key.write = [write = std::move(key.write)](const LayerSpec& from) {
    return from.split == LayerSplit::automatic ? std::nullopt : write(from);
  };
  return key;
}

// A row of layer_types(): what the options of the type start from, and their table.
template <class Options>
struct LayerType {
  std::string name;
  Options initial;
  Keys<Options> options;
  std::string meaning;
  bool needs_from = false;
  void (*finish)(Options&) = nullptr;  // defaults that depend on other options
  Divided divided = Divided::as_its_input;
};

template <class Options>
Key<LayerSpec> layer(LayerType<Options> type) {
  std::vector<KeyInfo> below = list_keys(type.options);
  Keys<LayerSpec> keys = {name_key(), from_key(type.needs_from ? kRequired : "the layer above"),
                          split_key(type.divided)};
  if (type.needs_from) below = list_keys(Keys<LayerSpec>{keys[1]});
  for (const Key<Options>& option : type.options) {
    keys.push_back({option.name, option.type, option.fallback, option.meaning,
                    [read = option.read](const Value& value, const std::string& path, LayerSpec& into) {
                      read(value, path, std::get<Options>(into.options));
                    },
                    [write = option.write](const LayerSpec& from) { return write(std::get<Options>(from.options)); }});
  }
  return {type.name,
          "layer",
          "",
          type.meaning,
          [=](const Value& value, const std::string&, LayerSpec& into) {
            into.type = type.name;
            into.options = type.initial;
            read_map(value, type.name, keys, into);
            if (type.finish) type.finish(std::get<Options>(into.options));
          },
          [=](const LayerSpec& from) -> std::optional<Json> {
            if (from.type != type.name) return std::nullopt;
            return write_map(keys, from);
          },
          std::move(below)};
}

Key<LayerSpec> pool(const std::string& name, PoolKind kind, const std::string& meaning) {
  return layer<PoolOptions>({.name = name,
                             .initial = {.kind = kind, .stride = 0},
                             .options = pool_keys(),
                             .meaning = meaning,
                             .finish = [](PoolOptions& o) { o.stride = o.stride == 0 ? o.kernel : o.stride; }});
}

Key<LayerSpec> activation(const std::string& name, ActivationKind kind, const std::string& meaning) {
  return layer<ActivationOptions>({.name = name, .initial = {kind}, .options = {}, .meaning = meaning});
}

}  // namespace

const Keys<LayerSpec>& layer_types() {
  static const Keys<LayerSpec> kTypes = {
      layer<ConvOptions>({.name = "conv",
                          .options = conv_keys(),
                          .meaning = "2-D convolution with a bias",
                          .divided = Divided::by_outputs}),
      pool("max_pool", PoolKind::max, "largest element of each window"),
      pool("average_pool", PoolKind::average, "mean of each window's elements inside the image"),
      layer<FullyConnectedOptions>({.name = "fully_connected",
                                    .options = fully_connected_keys(),
                                    .meaning = "product with a weight matrix, plus a bias; flattens its input",
                                    .divided = Divided::by_outputs}),
      activation("relu", ActivationKind::relu, "max(x, 0)"),
      activation("sigmoid", ActivationKind::sigmoid, "1 / (1 + exp(-x))"),
      activation("tanh", ActivationKind::tanh, "tanh(x)"),
      layer<DropoutOptions>({.name = "dropout",
                             .options = {real<DropoutOptions>("p", &DropoutOptions::p, {.most = 1, .below_most = true},
                                                              "0.5", "probability that an element becomes 0")},
                             .meaning = "in training, zeroes elements at random and scales the others by 1 / (1 - p)"}),
      layer<LrnOptions>({.name = "lrn",
                         .options = lrn_keys(),
                         .meaning = "local response normalisation across channels (Krizhevsky et al. 2012): x / (k + "
                                    "alpha / size * the sum of squares over the window)^beta"}),
      layer<BatchNormOptions>({.name = "batch_norm",
                               .options = batch_norm_keys(),
                               .meaning =
                                   "normalises each channel by the mean and variance of the batch on all devices, "
                                   "elsewhere than in training by their moving means (Ioffe and Szegedy 2015)"}),
      layer<FlattenOptions>({.name = "flatten", .options = {}, .meaning = "one dimension for each sample"}),
      layer<ConcatOptions>({.name = "concat",
                            .options = {},
                            .meaning = "joins its inputs along the first dimension (channels)",
                            .needs_from = true,
                            .divided = Divided::never}),
      layer<AddOptions>(
          {.name = "add", .options = {}, .meaning = "sum of its inputs, element by element", .needs_from = true}),
  };
  return kTypes;
}

std::vector<KeyInfo> layer_key_list() {
  std::vector<KeyInfo> list =
      list_keys(Keys<LayerSpec>{name_key(), from_key("the layer above"), split_key(Divided::by_outputs)}, "LAYER");
  for (const auto& infos : {list_keys(layer_types()), list_keys(initializers(), "INITIALIZER")}) {
    list.insert(list.end(), infos.begin(), infos.end());
  }
  return list;
}

}  // namespace hadal
