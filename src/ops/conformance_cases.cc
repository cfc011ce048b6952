// The table of cases that every backend must pass: the interesting shapes are the data, the names say why each exists.

#include <fmt/format.h>

#include "ops/conformance.h"
#include "ops/in_fp32.h"

namespace hadal {

namespace {

using Cases = std::vector<ConformanceCase>;

Rows all(std::int64_t count) { return {.first = 0, .count = count, .units = {}}; }

// ---- layouts

struct Layouts {
  const char* name;
  Layout source, destination;
};

constexpr Layouts kLayouts[] = {
    {"canonical", Layout::canonical, Layout::canonical},
    {"canonical to channels_last", Layout::canonical, Layout::channels_last},
    {"channels_last to canonical", Layout::channels_last, Layout::canonical},
    {"channels_last", Layout::channels_last, Layout::channels_last},
};

// ---- convolutions

struct ConvRow {
  const char* name;
  std::int64_t batch;
  ConvShape shape;
};

const ConvRow kConvs[] = {
    {"1x1", 3, {.channels = 3, .height = 5, .width = 4, .out = 7, .kernel = 1}},
    {"1x1 stride 2", 2, {.channels = 16, .height = 7, .width = 7, .out = 20, .kernel = 1, .stride = 2}},
    {"one pixel", 2, {.channels = 3, .height = 1, .width = 1, .out = 5, .kernel = 1}},
    {"3x3 odd", 3, {.channels = 3, .height = 7, .width = 5, .out = 9, .kernel = 3}},
    {"3x3 padded, batch 1", 1, {.channels = 16, .height = 6, .width = 9, .out = 16, .kernel = 3, .pad = 1}},
    {"3x3 many rows", 13, {.channels = 1, .height = 5, .width = 5, .out = 3, .kernel = 3, .pad = 1}},
    {"5x5 LeNet conv1", 3, {.channels = 1, .height = 28, .width = 28, .out = 20, .kernel = 5}},
    {"5x5 LeNet conv2", 2, {.channels = 20, .height = 12, .width = 12, .out = 50, .kernel = 5}},
    {"5x5 pad 4", 2, {.channels = 2, .height = 4, .width = 3, .out = 3, .kernel = 5, .pad = 4}},
    {"11x11 stride 4", 2, {.channels = 3, .height = 23, .width = 27, .out = 16, .kernel = 11, .stride = 4, .pad = 2}},
    {"stride > kernel", 3, {.channels = 4, .height = 9, .width = 8, .out = 6, .kernel = 2, .stride = 3}},
    {"kernel = image", 2, {.channels = 50, .height = 4, .width = 4, .out = 20, .kernel = 4}},
    {"kernel = padded image", 2, {.channels = 3, .height = 3, .width = 3, .out = 4, .kernel = 5, .pad = 1}},
    {"groups 2", 2, {.channels = 16, .height = 6, .width = 5, .out = 20, .kernel = 3, .pad = 1, .groups = 2}},
    {"groups odd", 1, {.channels = 6, .height = 5, .width = 7, .out = 9, .kernel = 3, .groups = 3}},
    {"groups stride 2",
     3,
     {.channels = 32, .height = 7, .width = 6, .out = 32, .kernel = 3, .stride = 2, .pad = 1, .groups = 2}},
    {"outputs in blocks, odd batch", 5, {.channels = 24, .height = 9, .width = 8, .out = 80, .kernel = 3, .pad = 1}},
    {"runs of channels", 3, {.channels = 3, .height = 23, .width = 51, .out = 31, .kernel = 11, .stride = 4, .pad = 2}},
    {"few channels, 16 outputs", 2, {.channels = 2, .height = 6, .width = 13, .out = 16, .kernel = 3, .pad = 1}},
    {"few channels, 48 outputs", 2, {.channels = 3, .height = 9, .width = 21, .out = 48, .kernel = 5, .stride = 2}},
    {"few channels, 80 outputs", 3, {.channels = 4, .height = 5, .width = 8, .out = 80, .kernel = 3, .pad = 1}},
    {"runs of channels in groups", 2, {.channels = 14, .height = 7, .width = 6, .out = 62, .kernel = 3, .groups = 2}},
    {"more lines than a block", 2, {.channels = 8, .height = 40, .width = 27, .out = 48, .kernel = 3}},
    {"depthwise", 2, {.channels = 20, .height = 6, .width = 6, .out = 20, .kernel = 3, .pad = 1, .groups = 20}},
    {"depthwise 2 outputs", 2, {.channels = 3, .height = 5, .width = 5, .out = 6, .kernel = 3, .groups = 3}},
    {"3x5", 3, {.channels = 5, .height = 8, .width = 11, .out = 7, .kernel = {3, 5}, .stride = {1, 2}, .pad = {1, 0}}},
    {"1x3", 2, {.channels = 16, .height = 6, .width = 9, .out = 32, .kernel = {1, 3}, .pad = {0, 1}}},
    {"4x3 in patches", 2, {.channels = 20, .height = 9, .width = 8, .out = 50, .kernel = {4, 3}, .pad = {0, 2}}},
    {"5x2 over lines of bands", 3, {.channels = 1, .height = 17, .width = 13, .out = 20, .kernel = {5, 2}}},
    {"all columns", 3, {.channels = 1, .height = 17, .width = 13, .out = 24, .kernel = {5, 13}}},
    {"one column", 5, {.channels = 48, .height = 13, .width = 1, .out = 32, .kernel = {3, 1}, .stride = {3, 1}}},
    {"one row", 2, {.channels = 24, .height = 1, .width = 12, .out = 48, .kernel = {1, 4}, .pad = {0, 3}}},
    {"2x5 of few channels",
     2,
     {.channels = 3, .height = 7, .width = 23, .out = 31, .kernel = {2, 5}, .stride = {3, 2}, .pad = {1, 2}}},
    {"3x2 outputs in blocks", 5, {.channels = 24, .height = 9, .width = 8, .out = 80, .kernel = {3, 2}, .pad = {2, 1}}},
    {"2x3 in groups",
     3,
     {.channels = 32, .height = 7, .width = 6, .out = 32, .kernel = {2, 3}, .stride = {1, 2}, .groups = 2}},
    {"1x4 depthwise", 2, {.channels = 20, .height = 3, .width = 9, .out = 20, .kernel = {1, 4}, .groups = 20}},
    {"dilated", 2, {.channels = 16, .height = 9, .width = 8, .out = 32, .kernel = 3, .pad = 2, .dilation = 2}},
    {"dilated, few channels",
     3,
     {.channels = 3, .height = 11, .width = 19, .out = 20, .kernel = {3, 2}, .pad = {1, 0}, .dilation = {4, 3}}},
    {"dilated rows", 3, {.channels = 32, .height = 13, .width = 1, .out = 48, .kernel = {3, 1}, .dilation = {3, 1}}},
    {"dilated, stride 2",
     2,
     {.channels = 5, .height = 11, .width = 9, .out = 6, .kernel = 3, .stride = {2, 3}, .pad = 1, .dilation = {2, 1}}},
    {"dilated groups",
     2,
     {.channels = 32, .height = 8, .width = 7, .out = 32, .kernel = 3, .pad = 1, .groups = 2, .dilation = {1, 2}}},
    {"winograd, batch 1", 1, {.channels = 32, .height = 13, .width = 11, .out = 48, .kernel = 3, .pad = 1}},
    {"winograd many rows", 37, {.channels = 16, .height = 7, .width = 8, .out = 32, .kernel = 3, .pad = 1}},
    {"winograd unpadded", 3, {.channels = 48, .height = 14, .width = 12, .out = 16, .kernel = 3}},
    {"winograd pad 2", 3, {.channels = 16, .height = 11, .width = 13, .out = 64, .kernel = 3, .pad = 2}},
    {"winograd pads that differ", 2, {.channels = 80, .height = 9, .width = 13, .out = 48, .kernel = 3, .pad = {1, 0}}},
    {"winograd groups 2",
     5,
     {.channels = 64, .height = 13, .width = 13, .out = 96, .kernel = 3, .pad = 1, .groups = 2}},
    {"winograd groups 3", 2, {.channels = 48, .height = 8, .width = 9, .out = 240, .kernel = 3, .pad = 1, .groups = 3}},
    {"winograd 5x5, batch 1", 1, {.channels = 32, .height = 15, .width = 14, .out = 48, .kernel = 5, .pad = 2}},
    {"winograd 5x5 groups 2",
     7,
     {.channels = 64, .height = 14, .width = 13, .out = 32, .kernel = 5, .pad = 2, .groups = 2}},
    {"winograd 5x3", 3, {.channels = 16, .height = 16, .width = 15, .out = 64, .kernel = {5, 3}, .pad = {1, 2}}},
    {"winograd 3x5", 2, {.channels = 48, .height = 17, .width = 20, .out = 16, .kernel = {3, 5}}},
    {"1x1 dilated", 2, {.channels = 16, .height = 4, .width = 3, .out = 20, .kernel = 1, .dilation = 5}},
};

void add_convs(Cases& cases) {
  for (const ConvRow& row : kConvs) {
    for (const Layouts& layouts : kLayouts) {
      const std::string name = fmt::format("conv {}, {}", row.name, layouts.name);
      const Layout from = layouts.source, to = layouts.destination;
      cases.push_back({name, ConvForward{row.shape, all(row.batch), from, to}});
      cases.push_back({name, ConvBackwardData{row.shape, all(row.batch), from, to}});
      cases.push_back({name, ConvBackwardWeights{row.shape, all(row.batch), from, to}});
    }
  }
}

// ---- poolings

struct PoolRow {
  const char* name;
  std::int64_t batch;
  std::int64_t channels, height, width;
  PoolOptions options;
  Numbers numbers = Numbers::normal;
};

const PoolRow kPools[] = {
    {"2x2", 3, 20, 8, 6, {.kernel = 2, .stride = 2}},
    {"2x2 odd image", 2, 3, 7, 5, {.kernel = 2, .stride = 2}},
    {"2x2 odd image, ceil", 2, 3, 7, 5, {.kernel = 2, .stride = 2, .ceil = true}},
    {"3x3 overlapping", 1, 16, 7, 9, {.kernel = 3, .stride = 2}},
    {"3x3 overlapping, ceil", 2, 16, 8, 6, {.kernel = 3, .stride = 2, .ceil = true}},
    {"3x3 padded", 2, 5, 6, 7, {.kernel = 3, .stride = 2, .pad = 1}},
    {"3x3 padded, ceil", 2, 50, 6, 8, {.kernel = 3, .stride = 2, .pad = 1, .ceil = true}},
    {"stride 1", 2, 3, 5, 4, {.kernel = 3, .stride = 1, .pad = 1}},
    {"stride > kernel", 2, 4, 9, 8, {.kernel = 2, .stride = 3}},
    {"kernel = image", 3, 20, 4, 4, {.kernel = 4, .stride = 1}},
    {"1x1", 1, 1, 3, 3, {.kernel = 1, .stride = 1}},
    {"ties", 2, 16, 8, 8, {.kernel = 3, .stride = 2, .pad = 1}, Numbers::ties},
    {"NaNs", 2, 19, 7, 6, {.kernel = 3, .stride = 2}, Numbers::nans},
    {"64 channels", 2, 64, 9, 8, {.kernel = 2, .stride = 2}},
    {"64 channels, ties", 1, 64, 9, 9, {.kernel = 3, .stride = 2, .pad = 1}, Numbers::ties},
    {"64 channels 2x2, ties", 1, 67, 6, 6, {.kernel = 2, .stride = 2}, Numbers::ties},
    {"64 channels, NaNs", 1, 64, 9, 9, {.kernel = 3, .stride = 2}, Numbers::nans},
    {"ties, stride 1", 2, 3, 6, 5, {.kernel = 2, .stride = 1}, Numbers::ties},
    {"3x1", 2, 16, 9, 4, {.kernel = {3, 1}, .stride = {3, 1}}},
    {"2x3, ties", 2, 64, 7, 9, {.kernel = {2, 3}, .stride = {1, 2}, .pad = {1, 0}}, Numbers::ties},
    {"3x4 padded, ceil", 2, 5, 8, 9, {.kernel = {3, 4}, .stride = {2, 3}, .pad = {0, 2}, .ceil = true}},
    {"all columns, NaNs", 3, 20, 6, 5, {.kernel = {2, 5}, .stride = {2, 1}}, Numbers::nans},
};

std::int64_t pooled(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t pad, bool ceil) {
  const std::int64_t room = size + 2 * pad - kernel;
  if (!ceil) return room / stride + 1;
  const std::int64_t out = (room + stride - 1) / stride + 1;
  return (out - 1) * stride >= size + pad ? out - 1 : out;  // no window begins past the image
}

PoolShape pool_shape(const PoolRow& row, PoolKind kind) {
  const PoolOptions& o = row.options;
  return {.kind = kind,
          .channels = row.channels,
          .height = row.height,
          .width = row.width,
          .kernel = o.kernel,
          .stride = o.stride,
          .pad = o.pad,
          .out_height = pooled(row.height, o.kernel.height, o.stride.height, o.pad.height, o.ceil),
          .out_width = pooled(row.width, o.kernel.width, o.stride.width, o.pad.width, o.ceil)};
}

void add_pools(Cases& cases) {
  for (const PoolRow& row : kPools) {
    for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
      const PoolShape shape = pool_shape(row, kind);
      for (const Layouts& layouts : kLayouts) {
        const std::string name =
            fmt::format("{} pool {}, {}", kind == PoolKind::max ? "max" : "average", row.name, layouts.name);
        const Layout from = layouts.source, to = layouts.destination;
        cases.push_back({name, PoolForward{shape, all(row.batch), from, to, true}, row.numbers});
        cases.push_back({name + ", no training", PoolForward{shape, all(row.batch), from, to, false}, row.numbers});
        cases.push_back({name, PoolBackward{shape, all(row.batch), from, to}, row.numbers});
      }
    }
  }
}

// ---- normalisations

void add_lrns(Cases& cases) {
  struct Row {
    const char* name;
    std::int64_t batch, channels, pixels;
    LrnOptions options;
  };
  const Row rows[] = {
      {"AlexNet", 2, 96, 9, {.size = 5, .alpha = 1e-4f, .beta = 0.75f, .k = 2}},
      {"odd", 3, 7, 15, {.size = 5, .alpha = 0.5f}},
      {"one channel", 1, 1, 1, {.size = 5, .alpha = 0.5f}},
      {"window of one", 2, 19, 5, {.size = 1, .alpha = 0.5f}},
      {"even window", 2, 18, 5, {.size = 4, .alpha = 0.5f}},
      {"window past the channels", 2, 5, 4, {.size = 15, .alpha = 0.5f}},
      {"beta 1", 2, 20, 4, {.size = 3, .alpha = 0.5f, .beta = 1}},
      {"beta 0.6", 2, 33, 4, {.size = 3, .alpha = 0.5f, .beta = 0.6f, .k = 0.5f}},
      {"beta 0", 2, 20, 4, {.size = 3, .alpha = 0.5f, .beta = 0}},
  };
  for (const Row& r : rows) {
    for (const Layout layout : {Layout::canonical, Layout::channels_last}) {
      const std::string name = fmt::format("lrn {}{}", r.name, layout == Layout::canonical ? "" : ", channels_last");
      const LrnShape shape{r.channels, r.pixels, r.options};
      cases.push_back({name, LrnForward{shape, all(r.batch), layout}});
      cases.push_back({name, LrnBackward{shape, all(r.batch), layout}});
      cases.push_back({name + ", in place", LrnBackward{shape, all(r.batch), layout, DType::f32, true}});
    }
  }
}

// ---- element by element

void add_activations(Cases& cases) {
  const std::pair<const char*, ActivationKind> kinds[] = {
      {"relu", ActivationKind::relu}, {"sigmoid", ActivationKind::sigmoid}, {"tanh", ActivationKind::tanh}};
  const std::pair<std::int64_t, std::int64_t> sizes[] = {
      {1, 1}, {3, 5}, {1, 16}, {7, 37}, {2, 1000}};  // rows, elements
  for (const auto& [name, kind] : kinds) {
    for (const auto& [rows, elements] : sizes) {
      const std::string full = fmt::format("{} {}x{}", name, rows, elements);
      cases.push_back({full, ActivationForward{kind, elements, all(rows)}});
      cases.push_back({full, ActivationBackward{kind, elements, all(rows)}});
      cases.push_back({full + ", in place", ActivationForward{kind, elements, all(rows), true}});
      cases.push_back({full + ", in place", ActivationBackward{kind, elements, all(rows), true}});
    }
    cases.push_back({fmt::format("{} saturated", name), ActivationForward{kind, 33, all(3)}, Numbers::huge});
  }
  cases.push_back({"relu NaN", ActivationForward{ActivationKind::relu, 19, all(2)}, Numbers::nans});
  cases.push_back({"relu zeros", ActivationForward{ActivationKind::relu, 19, all(2)}, Numbers::ties});
}

void add_dropouts(Cases& cases) {
  const auto dropout = [](float p, std::int64_t elements, Rows rows) {
    return Dropout{.p = p, .row_elements = elements, .rows = std::move(rows), .seed = 99, .layer = 3};
  };
  cases.push_back({"dropout p = 0", dropout(0, 21, all(3))});
  cases.push_back({"dropout p = 0.5", dropout(0.5f, 64, all(4))});
  cases.push_back({"dropout odd row", dropout(0.5f, 37, all(5))});
  cases.push_back({"dropout one element", dropout(0.3f, 1, all(9))});
  cases.push_back({"dropout p = 0.9", dropout(0.9f, 130, all(2))});
  cases.push_back({"dropout rows 100 to 105", dropout(0.5f, 37, {.first = 100, .count = 5, .units = {}})});
  for (const std::int64_t first : {4, 37, 1502}) {
    Dropout part = dropout(0.5f, 130, all(3));
    part.first_element = first;
    cases.push_back({"dropout from element " + std::to_string(first), part});
  }
}

void add_joins(Cases& cases) {
  const std::vector<std::int64_t> rows[] = {{7}, {5, 8}, {1, 16, 3}};
  for (const std::vector<std::int64_t>& row : rows) {
    for (const std::int64_t batch : {1, 4}) {
      const std::string name = fmt::format("concat of {}, batch {}", row.size(), batch);
      cases.push_back({name, ConcatForward{row, all(batch)}});
      cases.push_back({name, ConcatBackward{row, all(batch)}});
    }
  }
  for (const int inputs : {2, 3, 4}) {
    cases.push_back({fmt::format("add of {}", inputs), Add{inputs, 37, all(3)}});
    cases.push_back({fmt::format("add of {}, one element", inputs), Add{inputs, 1, all(1)}});
  }
}

// ---- matrix products

void add_fully_connected(Cases& cases) {
  struct Row {
    const char* name;
    std::int64_t batch, in, out;
  };
  const Row rows[] = {
      {"1 to 1", 1, 1, 1},
      {"1xN", 1, 37, 21},
      {"Nx1 input", 5, 1, 7},
      {"Nx1 output", 5, 19, 1},
      {"odd", 3, 13, 17},
      {"even", 16, 32, 16},
      {"64 to 10", 64, 64, 10},
      {"800 to 500", 3, 800, 50},
      {"2048 inputs", 2, 2048, 5},
      {"100 rows", 100, 24, 9},
      {"17 rows", 17, 33, 65},
      {"512 outputs", 30, 40, 512},
      {"512 to 1024", 26, 512, 1024},
  };
  for (const Row& r : rows) {
    const std::string name = fmt::format("fully connected {}", r.name);
    cases.push_back({name, FullyConnectedForward{r.in, r.out, all(r.batch)}});
    cases.push_back({name, FullyConnectedBackwardData{r.in, r.out, all(r.batch)}});
    const FullyConnectedBackwardWeights gradient{r.in, r.out, 0, r.out, {}, all(r.batch)};
    cases.push_back({name, gradient});
    cases.push_back({name, FullyConnectedUpdate{gradient, UpdateRule::sgd(0.9, 5e-4), UpdateRule::sgd(0.9, 5e-4)}});
  }
  cases.push_back({"fully connected without momentum", FullyConnectedUpdate{{11, 23, 0, 23, {}, all(6)}, {}, {}}});
  UpdateRule faster = UpdateRule::sgd(0.9, 0);
  faster.rate_mult = 2;
  cases.push_back({"fully connected, biases twice as fast without decay",
                   FullyConnectedUpdate{{11, 23, 0, 23, {}, all(6)}, UpdateRule::sgd(0.9, 5e-4), faster}});
  const auto part = [&](const char* name, std::int64_t first, std::int64_t outputs) {
    cases.push_back({fmt::format("fully connected {} of 23 outputs", name),
                     FullyConnectedBackwardWeights{11, 23, first, outputs, {}, all(6)}});
    cases.push_back(
        {fmt::format("fully connected {} of 23 outputs", name),
         FullyConnectedUpdate{
             {11, 23, first, outputs, {}, all(6)}, UpdateRule::sgd(0.9, 5e-4), UpdateRule::sgd(0.9, 5e-4)}});
  };
  part("first 8", 0, 8);
  part("middle 7", 8, 7);
  part("last 8", 15, 8);
  part("last", 22, 1);
}

// ---- batch norm

void add_batch_norms(Cases& cases) {
  struct Row {
    const char* name;
    std::int64_t batch, channels, pixels;
    std::vector<std::int64_t> units;
  };
  const Row rows[] = {{"one element", 1, 1, 1, {}},   {"one channel", 4, 1, 30, {}},
                      {"odd", 5, 13, 15, {}},         {"many channels", 2, 96, 9, {}},
                      {"of a vector", 17, 37, 1, {}}, {"in units", 7, 6, 10, {2, 1, 4}},
                      {"large", 8, 40, 260, {}}};
  for (const Row& r : rows) {
    for (const Layout layout : {Layout::canonical, Layout::channels_last}) {
      const BatchNormShape shape{r.channels, r.pixels, 1e-3f};
      const Rows of{.first = 0, .count = r.batch, .units = r.units};
      const std::string name =
          fmt::format("batch norm {}{}", r.name, layout == Layout::canonical ? "" : ", channels_last");
      cases.push_back({name, BatchNormSums{shape, of, layout}});
      cases.push_back({name, BatchNormForward{shape, of, layout}});
      cases.push_back({name, BatchNormBackwardSums{shape, of, layout}});
      cases.push_back({name, BatchNormBackwardData{shape, of, 2 * r.batch, layout}});
    }
  }
  for (const std::int64_t parts : {1, 3, 12}) {
    const BatchNormShape shape{11, 10, 1e-3f};
    const std::string name = fmt::format("batch norm of {} parts", parts);
    cases.push_back({name, BatchNormStatistics{shape, parts, 12 * parts, 0.1, false}});
    cases.push_back({name + ", running", BatchNormStatistics{shape, parts, 12 * parts, 0.1, true}});
    cases.push_back({name, BatchNormBackwardWeights{shape, parts, 12 * parts}});
  }
}

// ---- losses

void add_losses(Cases& cases) {
  struct Row {
    const char* name;
    std::int64_t batch, classes;
    Numbers numbers;
  };
  const Row rows[] = {
      {"10 classes", 8, 10, Numbers::normal},  {"one sample", 1, 10, Numbers::normal},
      {"one class", 3, 1, Numbers::normal},    {"1000 classes", 3, 1000, Numbers::normal},
      {"odd classes", 5, 37, Numbers::normal}, {"ties", 9, 11, Numbers::ties},
      {"huge logits", 16, 10, Numbers::huge},  {"two classes, ties", 12, 2, Numbers::ties},
      {"NaN logits", 8, 10, Numbers::nans},
  };
  for (const Row& r : rows) {
    const std::string name = fmt::format("softmax {}", r.name);
    cases.push_back({name, Softmax{r.classes, all(r.batch)}, r.numbers});
    if (r.numbers != Numbers::nans) {  // in training they are refused
      cases.push_back({name, SoftmaxCrossEntropy{r.classes, all(r.batch), r.batch, true}, r.numbers});
    }
    cases.push_back({name + ", no training", SoftmaxCrossEntropy{r.classes, all(r.batch), r.batch, false}, r.numbers});
  }
  cases.push_back(
      {"softmax part of a batch", SoftmaxCrossEntropy{10, {.first = 4, .count = 3, .units = {}}, 12, true}});
}

// Where classes are divided: the first, a middle and the last part.
void add_parts_of_losses(Cases& cases) {
  struct Row {
    const char* name;
    std::int64_t batch, classes, first_class, parts;
    Numbers numbers;
  };
  const Row rows[] = {
      {"5 of 10 classes", 8, 5, 0, 2, Numbers::normal},
      {"3 classes in the middle", 9, 3, 3, 3, Numbers::normal},
      {"one class", 5, 1, 2, 4, Numbers::normal},
      {"500 of 1000 classes", 3, 500, 500, 2, Numbers::normal},
      {"37 classes of 4 parts", 6, 37, 74, 4, Numbers::normal},
      {"part with ties", 12, 6, 5, 2, Numbers::ties},
      {"part with huge logits", 16, 10, 10, 3, Numbers::huge},
      {"part with NaN logits", 8, 10, 0, 2, Numbers::nans},
  };
  for (const Row& r : rows) {
    const std::string name = fmt::format("softmax {}", r.name);
    cases.push_back({name, SoftmaxSums{r.classes, r.first_class, all(r.batch)}, r.numbers});
    for (const bool training : {true, false}) {
      if (training && r.numbers == Numbers::nans) continue;
      cases.push_back({name + (training ? "" : ", no training"),
                       SoftmaxCrossEntropyPart{r.classes, r.first_class, r.parts, all(r.batch), 2 * r.batch, training},
                       r.numbers});
    }
    cases.push_back({name, LabelRank{r.parts, all(r.batch)}});
  }
}

// ---- updates

// epsilon is not small here: where a gradient is nothing but rounding, these rules take its sign.
const UpdateRule kRules[] = {
    {.kind = RuleKind::nesterov, .momentum = 0.9, .weight_decay = 5e-4},
    {.kind = RuleKind::adagrad, .weight_decay = 5e-4, .epsilon = 0.1},
    {.kind = RuleKind::rmsprop, .weight_decay = 5e-4, .beta2 = 0.99, .epsilon = 0.1},
    {.kind = RuleKind::rmsprop, .momentum = 0.9, .beta2 = 0.99, .epsilon = 0.1},
    {.kind = RuleKind::adam, .weight_decay = 5e-4, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 0.1},
    {.kind = RuleKind::adamw, .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 0.1},
};

void add_updates(Cases& cases) {
  for (const int parts : {1, 2, 3, 5, 12}) {
    cases.push_back({fmt::format("sum of {} parts", parts), SumParts{parts, 133}});
    cases.push_back({fmt::format("sum of {} parts, one element", parts), SumParts{parts, 1}});
    cases.push_back({fmt::format("sgd of {} parts", parts), Update{parts, 133, UpdateRule::sgd(0.9, 5e-4), false}});
    cases.push_back(
        {fmt::format("sgd of {} parts, scaled", parts), Update{parts, 70, UpdateRule::sgd(0.9, 5e-4), true}});
  }
  cases.push_back({"sgd plain", Update{1, 133, UpdateRule::sgd(0, 0), false}});
  cases.push_back({"sgd plain, one element", Update{1, 1, UpdateRule::sgd(0, 0), false}});
  cases.push_back({"sgd momentum", Update{1, 133, UpdateRule::sgd(0.9, 0), false}});
  cases.push_back({"sgd decay", Update{1, 133, UpdateRule::sgd(0, 5e-4), false}});
  cases.push_back({"sgd scaled", Update{1, 133, UpdateRule::sgd(0, 0), true}});
  for (const UpdateRule& rule : kRules) {
    const std::string name = fmt::format("{}{}", to_string(rule.kind), rule.momentum > 0 ? " with momentum" : "");
    cases.push_back({name, Update{1, 133, rule, false}});
    cases.push_back({name + " of 3 parts, scaled", Update{3, 1000, rule, true}});
    cases.push_back({"fully connected, " + name, FullyConnectedUpdate{{30, 23, 0, 23, {}, all(6)}, rule, rule}});
  }
  cases.push_back({"mean of 3 parts", SumParts{3, 1500, 1.0f / 3}});
  for (const double decay : {0.0, 0.01}) {
    const UpdateRule adagrad{.kind = RuleKind::adagrad, .weight_decay = decay, .epsilon = 0.1};
    const std::string name = fmt::format("adagrad by a quarter of the rows{}", decay > 0 ? ", with decay" : "");
    cases.push_back({name, AdagradScale{1003, adagrad, 0.25f}});
    cases.push_back({name + ", one element", AdagradScale{1, adagrad, 0.25f}});
  }
  cases.push_back({"norm of one piece", SquaredNorms{{1000}}});
  cases.push_back({"norms of odd pieces", SquaredNorms{{1, 17, 250, 3}}});
  cases.push_back({"clip scale cuts", ClipScale{5, 0.5}});
  cases.push_back({"clip scale leaves alone", ClipScale{3, 1e3}});
}

// ---- bf16

void add_bf16(Cases& cases) {
  const Cases fp32 = cases;
  for (const ConformanceCase& which : fp32) {
    if (const std::optional<Op> op = in_bf16(which.op)) cases.push_back({which.name + ", bf16", *op, which.numbers});
  }
  cases.push_back({"fully connected bf16 to fp32",
                   FullyConnectedForward{.in = 64, .out = 10, .rows = all(33), .type = DType::bf16}});
  cases.push_back(
      {"conv bf16 to fp32", ConvForward{.shape = {.channels = 16, .height = 5, .width = 5, .out = 16, .kernel = 3},
                                        .rows = all(2),
                                        .type = DType::bf16}});
  cases.push_back({"fp32 to bf16", Convert{1003, DType::f32, DType::bf16}});
  cases.push_back({"fp32 to bf16, NaNs", Convert{1003, DType::f32, DType::bf16}, Numbers::nans});
  cases.push_back({"bf16 to fp32", Convert{1003, DType::bf16, DType::f32}});
  cases.push_back({"bf16 to fp32, NaNs", Convert{1003, DType::bf16, DType::f32}, Numbers::nans});
}

}  // namespace

const std::vector<ConformanceCase>& conformance_cases() {
  static const Cases cases = [] {
    Cases all_cases;
    add_convs(all_cases);
    add_pools(all_cases);
    add_lrns(all_cases);
    add_activations(all_cases);
    add_dropouts(all_cases);
    add_joins(all_cases);
    add_fully_connected(all_cases);
    add_batch_norms(all_cases);
    add_losses(all_cases);
    add_parts_of_losses(all_cases);
    add_updates(all_cases);
    add_bf16(all_cases);
    return all_cases;
  }();
  return cases;
}

}  // namespace hadal
