// Convolutions by oneDNN's primitives. Parameters are canonical; primitives get them, and images that they want in
// another layout, reordered in scratch.

#include "ops/cpu/conv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/output_units.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

using dnnl::memory;
using onednn::Bridge;
using onednn::Direction;

std::int64_t source_floats(const ConvShape& s) { return s.channels * s.height * s.width; }
std::int64_t destination_floats(const ConvShape& s) { return s.out * s.out_height() * s.out_width(); }

// The memory of a convolution's arguments as the caller has it, and the numbers that oneDNN asks for.
struct Geometry {
  memory::desc source, weight, diff_weight, bias, destination;
  memory::dims strides, dilates, padding;

  Geometry(const ConvShape& s, const Rows& rows, Layout source_layout, Layout destination_layout, DType type,
           DType destination_type)
      : source(onednn::image({rows.count, s.channels, s.height, s.width}, source_layout, type)),
        weight(weight_desc(s, type)),
        diff_weight(weight_desc(s, DType::f32)),
        bias(onednn::plain({s.out}, memory::format_tag::a)),
        destination(
            onednn::image({rows.count, s.out, s.out_height(), s.out_width()}, destination_layout, destination_type)),
        strides{s.stride.height, s.stride.width},
        dilates{s.dilation.height - 1, s.dilation.width - 1},
        padding{s.pad.height, s.pad.width} {}

 private:
  static memory::desc weight_desc(const ConvShape& s, DType type) {
    const std::int64_t in = s.channels / s.groups, out = s.out / s.groups;
    const std::int64_t height = s.kernel.height, width = s.kernel.width;
    return s.groups == 1 ? onednn::plain({out, in, height, width}, memory::format_tag::oihw, type)
                         : onednn::plain({s.groups, out, in, height, width}, memory::format_tag::goihw, type);
  }
};

// The layouts that a primitive is asked to take.
struct Wish {
  memory::desc source, destination;
};

memory::desc with_tag(const memory::desc& desc, memory::format_tag tag) {
  return memory::desc(desc.dims(), desc.data_type(), tag);
}

std::vector<Wish> wishes(const Geometry& g) {
  using Tag = memory::format_tag;
  return {{g.source, g.destination},
          {with_tag(g.source, Tag::any), with_tag(g.destination, Tag::any)},
          {with_tag(g.source, Tag::nhwc), with_tag(g.destination, Tag::nhwc)},
          {with_tag(g.source, Tag::nchw), with_tag(g.destination, Tag::nchw)}};
}

using Forward = dnnl::convolution_forward::primitive_desc;
using BackwardData = dnnl::convolution_backward_data::primitive_desc;
using BackwardWeights = dnnl::convolution_backward_weights::primitive_desc;

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

Forward describe_forward(const Geometry& g, const Wish& wish) {
  return Forward({dnnl::prop_kind::forward_training, kDirect, wish.source, with_tag(g.weight, memory::format_tag::any),
                  g.bias, wish.destination, g.strides, g.dilates, g.padding, g.padding},
                 onednn::attributes(), onednn::cpu_engine());
}

BackwardData describe_backward_data(const Geometry& g, const Wish& wish) {
  return BackwardData({kDirect, wish.source, with_tag(g.weight, memory::format_tag::any), wish.destination, g.strides,
                       g.dilates, g.padding, g.padding},
                      onednn::attributes(), onednn::cpu_engine(), describe_forward(g, wish));
}

BackwardWeights describe_backward_weights(const Geometry& g, const Wish& wish) {
  return BackwardWeights({kDirect, wish.source, with_tag(g.diff_weight, memory::format_tag::any), g.bias,
                          wish.destination, g.strides, g.dilates, g.padding, g.padding},
                         onednn::attributes(), onednn::cpu_engine(), describe_forward(g, wish));
}

memory::desc source_of(const Forward& d) { return d.src_desc(); }
memory::desc source_of(const BackwardData& d) { return d.diff_src_desc(); }
memory::desc source_of(const BackwardWeights& d) { return d.src_desc(); }
memory::desc destination_of(const Forward& d) { return d.dst_desc(); }
memory::desc destination_of(const BackwardData& d) { return d.diff_dst_desc(); }
memory::desc destination_of(const BackwardWeights& d) { return d.diff_dst_desc(); }

// The best implementation of any wish; among equals the one with the fewest reorders of images, then the first. Nothing
// where oneDNN has none for bf16 numbers that is faster than one for fp32.
template <class Describe>
auto choose(const Geometry& g, const Describe& describe) {
  std::optional<decltype(describe(g, Wish{}))> best;
  if (g.source.data_type() == memory::data_type::bf16 && !onednn::has_bf16()) return best;
  int best_cost = 0;
  for (const Wish& wish : wishes(g)) {
    try {
      const auto desc = describe(g, wish);
      const int cost = 4 * onednn::rank_of(desc.impl_info_str()) + (source_of(desc) != g.source) +
                       (destination_of(desc) != g.destination);
      if (!best || cost < best_cost) {
        best = desc;
        best_cost = cost;
      }
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
    }
  }
  if (g.source.data_type() == memory::data_type::bf16 && best_cost >= 8) best.reset();
  if (!best && g.source.data_type() == memory::data_type::f32) {
    throw DeviceError("oneDNN has no kernel for this convolution; try backend: reference");
  }
  return best;
}

// A primitive between bridges, which are in the order of the operator's arguments.
class Primitive final : public Kernel {
 public:
  struct Port {
    int id;  // DNNL_ARG_...
    memory::desc outside, inside;
    Direction direction;
  };

  template <class Desc>
  Primitive(const Desc& desc, const dnnl::primitive& primitive, std::initializer_list<Port> ports, int threads)
      : threads_(threads), stream_(onednn::cpu_engine()), implementation_(desc.impl_info_str()) {
    std::vector<onednn::Step::Argument> arguments;
    for (const Port& port : ports) {
      bridges_.emplace_back(port.outside, port.inside, port.direction, plan_);
      arguments.push_back({port.id, bridges_.back().inside()});
    }
    step_.emplace(primitive, desc.scratchpad_desc(), arguments, plan_);
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    for (std::size_t i = 0; i < bridges_.size(); ++i) bridges_[i].place(arguments[i], scratch);
    cross(Direction::read, scratch);
    step_->run(stream_, scratch);
    cross(Direction::write, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return implementation_; }

 private:
  void cross(Direction direction, std::byte* scratch) {
    for (Bridge& bridge : bridges_) {
      if (bridge.direction() == direction) bridge.cross(stream_, scratch);
    }
  }

  int threads_;
  dnnl::stream stream_;
  std::string implementation_;
  ScratchPlan plan_;
  std::vector<Bridge> bridges_;
  std::optional<onednn::Step> step_;
};

// Windows as wide as an image of one channel: its rows, features of a time each, are as well the pixels of one row,
// with their numbers as channels. So kernels find several pixels and full registers.
bool covers_rows(const ConvShape& s) {
  return s.channels == 1 && s.kernel.width == s.width && s.pad.width == 0 && s.width > 1;
}
Geometry with_rows_as_pixels(const ConvForward& op) {
  const ConvShape& s = op.shape;
  const ConvShape shape{.channels = s.width,
                        .height = 1,
                        .width = s.height,
                        .out = s.out,
                        .kernel = {1, s.kernel.height},
                        .stride = {1, s.stride.height},
                        .pad = {0, s.pad.height},
                        .dilation = {1, s.dilation.height}};
  Geometry g(shape, op.rows, Layout::channels_last, op.destination, op.type, op.destination_type);
  g.weight = with_tag(g.weight, memory::format_tag::ohwi);
  return g;
}

std::unique_ptr<Kernel> bind_forward(const ConvForward& op, int threads) {
  if (auto kernel = bind_few_channels(op, threads)) return kernel;
  if (auto kernel = bind_winograd(op, threads)) return kernel;
  const OmpThreads scope(threads);
  const Geometry g = covers_rows(op.shape)
                         ? with_rows_as_pixels(op)
                         : Geometry(op.shape, op.rows, op.source, op.destination, op.type, op.destination_type);
  const auto chosen = choose(g, describe_forward);
  if (!chosen) return nullptr;
  const Forward& desc = *chosen;
  using Ports = std::initializer_list<Primitive::Port>;
  return std::make_unique<Primitive>(desc, dnnl::convolution_forward(desc),
                                     Ports{{DNNL_ARG_SRC, g.source, desc.src_desc(), Direction::read},
                                           {DNNL_ARG_WEIGHTS, g.weight, desc.weights_desc(), Direction::read},
                                           {DNNL_ARG_BIAS, g.bias, desc.bias_desc(), Direction::read},
                                           {DNNL_ARG_DST, g.destination, desc.dst_desc(), Direction::write}},
                                     threads);
}

std::unique_ptr<Kernel> bind_primitive(const ConvBackwardData& op, int threads) {
  const OmpThreads scope(threads);
  const Geometry g(op.shape, op.rows, op.source, op.destination, op.type, op.type);
  const auto chosen = choose(g, describe_backward_data);
  if (!chosen) return nullptr;
  const BackwardData& desc = *chosen;
  using Ports = std::initializer_list<Primitive::Port>;
  return std::make_unique<Primitive>(desc, dnnl::convolution_backward_data(desc),
                                     Ports{{DNNL_ARG_DIFF_DST, g.destination, desc.diff_dst_desc(), Direction::read},
                                           {DNNL_ARG_WEIGHTS, g.weight, desc.weights_desc(), Direction::read},
                                           {DNNL_ARG_DIFF_SRC, g.source, desc.diff_src_desc(), Direction::write}},
                                     threads);
}

// With stride 1, the gradient of a convolution's source is a convolution too: of the destination's gradient, padded by
// kernel - 1 - pad, with kernels that are turned by half a turn and whose inputs and outputs change places. oneDNN's
// forward kernels for AVX-512 (brgconv) are a fifth faster than its backward ones.
class BackwardDataAsForward final : public Kernel {
 public:
  BackwardDataAsForward(const ConvBackwardData& op, const Geometry& g, const Forward& desc, int threads)
      : shape_(op.shape),
        type_(op.type),
        threads_(threads),
        stream_(onednn::cpu_engine()),
        turned_at_(plan_.reserve(static_cast<std::size_t>(shape_.weight_elements()) * size_of(type_))),
        diff_destination_(g.destination, desc.src_desc(), Direction::read, plan_),
        weight_(swapped(shape_, type_), desc.weights_desc(), Direction::read, plan_),
        diff_source_(g.source, desc.dst_desc(), Direction::write, plan_),
        step_(dnnl::convolution_forward(desc), desc.scratchpad_desc(),
              {{DNNL_ARG_SRC, diff_destination_.inside()},
               {DNNL_ARG_WEIGHTS, weight_.inside()},
               {DNNL_ARG_DST, diff_source_.inside()}},
              plan_),
        implementation_(std::string(desc.impl_info_str()) + " forward") {}

  // Null where oneDNN has no better kernel for it than for the convolution's own gradient.
  static std::unique_ptr<Kernel> bind(const ConvBackwardData& op, int threads) {
    const ConvShape& s = op.shape;
    if (op.type == DType::bf16 && !onednn::has_bf16()) return nullptr;
    const memory::dims padding{s.window().height - 1 - s.pad.height, s.window().width - 1 - s.pad.width};
    if (s.stride != 1 || padding[0] < 0 || padding[1] < 0) return nullptr;
    const Geometry g(s, op.rows, op.source, op.destination, op.type, op.type);
    try {
      const Forward desc(
          {dnnl::prop_kind::forward_training, kDirect, g.destination,
           with_tag(swapped(s, op.type), memory::format_tag::any), g.source, g.strides, g.dilates, padding, padding},
          onednn::attributes(), onednn::cpu_engine());
      const std::string implementation = desc.impl_info_str();
      if (!implementation.starts_with("brgconv")) return nullptr;
      return std::make_unique<BackwardDataAsForward>(op, g, desc, threads);
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
      return nullptr;
    }
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    std::byte* turned = scratch + turned_at_;
    if (type_ == DType::bf16) {
      turn<Bf16>(arguments[1], turned);
    } else {
      turn<float>(arguments[1], turned);
    }
    diff_destination_.place(arguments[0], scratch);
    weight_.place(turned, scratch);
    diff_source_.place(arguments[2], scratch);
    diff_destination_.cross(stream_, scratch);
    weight_.cross(stream_, scratch);
    step_.run(stream_, scratch);
    diff_source_.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return implementation_; }

 private:
  // The weights [out, in, kernel height, kernel width] of each group, seen as [in, out, kernel height, kernel width].
  static memory::desc swapped(const ConvShape& s, DType type) {
    const std::int64_t in = s.channels / s.groups, out = s.out / s.groups;
    const auto [height, width] = s.kernel;
    const std::int64_t area = s.kernel.area();
    if (s.groups == 1) {
      return memory::desc({in, out, height, width}, onednn::type_of(type), memory::dims{area, in * area, width, 1});
    }
    return memory::desc({s.groups, in, out, height, width}, onednn::type_of(type),
                        memory::dims{out * in * area, area, in * area, width, 1});
  }

  // Each kernel by half a turn: its numbers in the opposite order.
  template <class T>
  void turn(const std::byte* from, std::byte* to) const {
    const auto* weight = reinterpret_cast<const T*>(from);
    auto* turned = reinterpret_cast<T*>(to);
    const std::int64_t area = shape_.kernel.area(), kernels = shape_.weight_elements() / area;
    parallel_for(threads_, kernels, kParallelGrain / area + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        std::reverse_copy(weight + i * area, weight + (i + 1) * area, turned + i * area);
      }
    });
  }

  ConvShape shape_;
  DType type_;
  int threads_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  std::size_t turned_at_;
  Bridge diff_destination_, weight_, diff_source_;
  onednn::Step step_;
  std::string implementation_;
};

std::unique_ptr<Kernel> bind_primitive(const ConvBackwardWeights& op, int threads) {
  const OmpThreads scope(threads);
  const Geometry g(op.shape, op.rows, op.source, op.destination, op.type, op.type);
  const auto chosen = choose(g, describe_backward_weights);
  if (!chosen) return nullptr;
  const BackwardWeights& desc = *chosen;
  using Ports = std::initializer_list<Primitive::Port>;
  return std::make_unique<Primitive>(
      desc, dnnl::convolution_backward_weights(desc),
      Ports{{DNNL_ARG_SRC, g.source, desc.src_desc(), Direction::read},
            {DNNL_ARG_DIFF_DST, g.destination, desc.diff_dst_desc(), Direction::read},
            {DNNL_ARG_DIFF_WEIGHTS, g.diff_weight, desc.diff_weights_desc(), Direction::write},
            {DNNL_ARG_DIFF_BIAS, g.bias, desc.diff_bias_desc(), Direction::write}},
      threads);
}

std::string key(const char* name, const ConvShape& s, Layout source, Layout destination) {
  return fmt::format("{} {}x{}x{} out {} kernel {} stride {} pad {} groups {} dilation {} layouts {} {}", name,
                     s.channels, s.height, s.width, s.out, to_string(s.kernel), to_string(s.stride), to_string(s.pad),
                     s.groups, to_string(s.dilation), static_cast<int>(source), static_cast<int>(destination));
}

// An image's channels as the terms of a sum, group by group.
PieceOperand image_operand(std::int64_t rows, std::int64_t channels, std::int64_t pixels, std::int64_t groups,
                           Layout layout, DType type) {
  return {.elements = rows * channels * pixels,
          .piece_elements = channels * pixels,
          .type = type,
          .terms = channels / groups,
          .inner = layout == Layout::canonical ? pixels : 1};
}

// The convolution of one unit of the outputs: some of one group's, or whole groups.
struct OutputUnit {
  ConvShape shape;
  std::int64_t first_channel = 0, first_output = 0;
};

std::vector<OutputUnit> divide(const ConvShape& s, const OutputUnits& units) {
  const std::int64_t outputs = s.out / s.groups, channels = s.channels / s.groups;  // of a group
  std::vector<OutputUnit> parts;
  std::int64_t first = 0;
  for (const std::int64_t count : units) {
    const std::int64_t group = first / outputs, end = (first + count - 1) / outputs + 1;
    OutputUnit unit{s, group * channels, first};
    unit.shape.out = count;
    unit.shape.groups = end - group;
    unit.shape.channels = unit.shape.groups * channels;
    parts.push_back(unit);
    first += count;
  }
  return parts;
}

// An image's channels, of which each unit has some.
LinesOperand image_lines(const Rows& rows, std::int64_t channels, std::int64_t pixels, Layout layout,
                         std::vector<LinesOperand::Piece> of_unit) {
  const std::int64_t together = layout == Layout::canonical ? pixels : 1;  // numbers of a channel
  for (LinesOperand::Piece& piece : of_unit) piece = {piece.first * together, piece.count * together};
  return {.lines = rows.count * pixels / together, .width = channels * together, .of_unit = std::move(of_unit)};
}

LinesOperand source_lines(const ConvShape& s, const Rows& rows, Layout layout, const std::vector<OutputUnit>& units) {
  std::vector<LinesOperand::Piece> channels;
  for (const OutputUnit& unit : units) channels.push_back({unit.first_channel, unit.shape.channels});
  return image_lines(rows, s.channels, s.height * s.width, layout, std::move(channels));
}

LinesOperand destination_lines(const ConvShape& s, const Rows& rows, Layout layout,
                               const std::vector<OutputUnit>& units) {
  std::vector<LinesOperand::Piece> outputs;
  for (const OutputUnit& unit : units) outputs.push_back({unit.first_output, unit.shape.out});
  return image_lines(rows, s.out, s.out_height() * s.out_width(), layout, std::move(outputs));
}

LinesOperand weight_lines(const ConvShape& s, const OutputUnits& units) {
  return LinesOperand::divided(units, 1, s.weight_elements() / s.out);
}

LinesOperand written(LinesOperand operand) {
  operand.written = true;
  return operand;
}

std::vector<LinesOperand> by_units(const ConvForward& op, const std::vector<OutputUnit>& units) {
  return {source_lines(op.shape, op.rows, op.source, units), weight_lines(op.shape, op.output_units),
          LinesOperand::divided(op.output_units, 1, 1),
          written(destination_lines(op.shape, op.rows, op.destination, units))};
}
std::vector<LinesOperand> by_units(const ConvBackwardData& op, const std::vector<OutputUnit>& units) {
  return {destination_lines(op.shape, op.rows, op.destination, units), weight_lines(op.shape, op.output_units),
          written(source_lines(op.shape, op.rows, op.source, units))};
}
std::vector<LinesOperand> by_units(const ConvBackwardWeights& op, const std::vector<OutputUnit>& units) {
  return {source_lines(op.shape, op.rows, op.source, units),
          destination_lines(op.shape, op.rows, op.destination, units), written(weight_lines(op.shape, op.output_units)),
          written(LinesOperand::divided(op.output_units, 1, 1))};
}

// A kernel of all outputs, or where that is the definition one of each unit of them.
template <class Op, class Bind>
std::unique_ptr<Kernel> bind_outputs(const Op& op, const Bind& bind) {
  if (op.output_units.size() <= 1) return bind(op);
  const std::vector<OutputUnit> units = divide(op.shape, op.output_units);
  return bind_by_output_units(op.output_units, by_units(op, units), [&](std::size_t u) {
    Op unit = op;
    unit.shape = units[u].shape;
    return bind(unit);
  });
}

// Whether the units of the outputs share no channels of the source, so that nothing is a sum over them.
bool sums_over_units(const ConvBackwardData& op) {
  return static_cast<std::int64_t>(op.output_units.size()) > op.shape.groups;
}
template <class Op>
bool sums_over_units(const Op&) {
  return false;
}

// An image of one column is as well one of one row, with the same numbers at the same places in either layout. Kernels
// take the pixels of a row together.
template <class Op>
Op along_rows(Op op) {
  ConvShape& s = op.shape;
  if (s.width > 1 || s.kernel.width > 1 || s.pad.width > 0) return op;
  std::swap(s.height, s.width);
  for (Extent* extent : {&s.kernel, &s.stride, &s.pad, &s.dilation}) std::swap(extent->height, extent->width);
  return op;
}

// Rows of samples: the definition is the kernel of a unit's rows; the one way is the kernel of all rows. Which type of
// number is computed with follows from the units alone.
template <class Op, class Bind>
std::unique_ptr<Kernel> bind_rows(const Op& asked, const char* name, std::vector<PieceOperand> operands,
                                  BindContext& context, const Bind& bind) {
  const Op op = along_rows(asked);
  if (op.rows.units.size() <= 1 && op.output_units.size() <= 1) return bind(op);
  const auto bind_unit = [&](std::int64_t size) {
    Op unit = op;
    unit.rows.count = size;
    return bind_outputs(unit, bind);
  };
  const auto no_kernel = [&](std::int64_t size) { return size > 0 && !bind_unit(size); };
  if (op.type == DType::bf16 && std::any_of(op.rows.units.begin(), op.rows.units.end(), no_kernel)) return nullptr;
  PieceRequest request{.key = key(name, op.shape, op.source, op.destination) + key_of(op.output_units),
                       .units = op.rows.units.empty() ? std::vector<std::int64_t>{op.rows.count} : op.rows.units,
                       .operands = std::move(operands),
                       .bind_unit = bind_unit,
                       .ways = {[&] { return bind(op); }}};
  if (sums_over_units(op) || (op.type == DType::bf16 && !bind(op))) request.ways.clear();
  return context.self_tests.bind(request);
}

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const ConvForward& op, BindContext& context) {
  const ConvShape& s = op.shape;
  const std::int64_t n = op.rows.count, x = source_floats(s), y = destination_floats(s);
  return bind_rows(op, "forward",
                   {image_operand(n, s.channels, x / s.channels, s.groups, op.source, op.type),
                    {.elements = s.weight_elements(),
                     .type = op.type,
                     .terms = s.channels / s.groups,
                     .inner = s.kernel.area(),
                     .opposite = true},
                    {.elements = s.out, .zero = true},
                    {.elements = n * y, .piece_elements = y, .type = op.destination_type, .written = true}},
                   context, [&](const ConvForward& part) { return bind_forward(part, context.threads); });
}

std::unique_ptr<Kernel> bind_kernel(const ConvBackwardData& op, BindContext& context) {
  const ConvShape& s = op.shape;
  const std::int64_t n = op.rows.count, x = source_floats(s), y = destination_floats(s);
  return bind_rows(op, "backward data",
                   {image_operand(n, s.out, y / s.out, s.groups, op.destination, op.type),
                    {.elements = s.weight_elements(),
                     .type = op.type,
                     .terms = s.out / s.groups,
                     .inner = s.weight_elements() / s.out,
                     .opposite = true},
                    {.elements = n * x, .piece_elements = x, .type = op.type, .written = true}},
                   context, [&](const ConvBackwardData& part) {
                     if (part.type == DType::f32 && prefers_patches(part.shape))
                       return bind_patches(part, context.threads);
                     if (auto kernel = bind_winograd(part, context.threads)) return kernel;
                     if (auto kernel = BackwardDataAsForward::bind(part, context.threads)) return kernel;
                     return bind_primitive(part, context.threads);
                   });
}

std::unique_ptr<Kernel> bind_kernel(const ConvBackwardWeights& op, BindContext& context) {
  const ConvShape& s = op.shape;
  const std::int64_t n = op.rows.count, x = source_floats(s), y = destination_floats(s);
  // Its rows are one unit, whatever their number.
  ConvBackwardWeights one = op;
  one.rows.units = {n};
  return bind_rows(one, "backward weights",
                   {{.elements = n * x},
                    {.elements = n * y},
                    {.elements = s.weight_elements(), .written = true},
                    {.elements = s.out, .written = true}},
                   context, [&](const ConvBackwardWeights& part) {
                     // For 1x1 kernels the patches are the image.
                     const bool pointwise = part.shape.kernel == 1 && part.shape.groups == 1;
                     const bool patches = part.type == DType::f32 && (pointwise || prefers_patches(part.shape));
                     if (patches) return bind_patches(part, context.threads);
                     if (auto kernel = bind_winograd(part, context.threads)) return kernel;
                     if (auto kernel = bind_pairs(part, context.threads)) return kernel;
                     return bind_primitive(part, context.threads);
                   });
}

}  // namespace hadal
