#include "ops/cpu/onednn.h"

#include "base/error.h"

namespace hadal::onednn {

namespace {

using dnnl::memory;

// Sets the handle only where it changes: oneDNN fills the padding of blocked memory each time.
void point(memory& memory, void* data) {
  if (memory.get_data_handle() != data) memory.set_data_handle(data);
}

memory unplaced(const memory::desc& desc) { return memory(desc, cpu_engine(), nullptr); }

}  // namespace

dnnl::engine cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

bool has_bf16() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
    case dnnl::cpu_isa::avx512_core_amx:
      return true;
    default:
      return false;
  }
}

memory::data_type type_of(DType type) {
  HADAL_CHECK(type == DType::f32 || type == DType::bf16);
  return type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc plain(const memory::dims& dims, memory::format_tag tag, DType type) {
  return memory::desc(dims, type_of(type), tag);
}

memory::desc image(const memory::dims& dims, Layout layout, DType type) {
  // With one channel both layouts are the same memory; oneDNN knows more of the canonical one.
  const bool last = layout == Layout::channels_last && dims[1] > 1;
  return plain(dims, last ? memory::format_tag::nhwc : memory::format_tag::nchw, type);
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

int rank_of(const std::string& implementation) {
  if (implementation.find("ref") != std::string::npos) return 2;
  return implementation.find("gemm") != std::string::npos ? 1 : 0;
}

int vector_floats() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return 4;
    case dnnl::cpu_isa::avx:
    case dnnl::cpu_isa::avx2:
    case dnnl::cpu_isa::avx2_vnni:
      return 8;
    default:
      return 16;
  }
}

void multiply(const Product& p, const float* a, const float* b, float* c) {
  if (p.m == 0 || p.n == 0) return;
  const dnnl::status status = dnnl::sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1.0f, a,
                                          p.lda, b, p.ldb, p.beta, c, p.ldc);
  HADAL_CHECK(status == dnnl::status::success);
}

Step::Step(dnnl::primitive primitive, memory::desc scratchpad, std::vector<Argument> arguments, ScratchPlan& plan)
    : primitive_(std::move(primitive)),
      scratchpad_(unplaced(scratchpad)),
      scratchpad_offset_(plan.reserve(scratchpad.get_size())),
      arguments_(std::move(arguments)) {
  arguments_.push_back({DNNL_ARG_SCRATCHPAD, scratchpad_});
  for (const Argument& argument : arguments_) c_arguments_.push_back({argument.id, argument.memory.get()});
}

void Step::run(dnnl::stream& stream, std::byte* scratch) {
  point(scratchpad_, scratch + scratchpad_offset_);
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream.get(), static_cast<int>(c_arguments_.size()),
                                                 c_arguments_.data()),
                          "could not execute a primitive");
}

// B [k, n], row-major, as the weights of an inner product from n inputs to k outputs.
static memory::desc b_as_weight(const Product& p) {
  return memory::desc({p.k, p.n}, memory::data_type::bf16, memory::format_tag::oi);
}

Bf16Product::Bf16Product(const Product& p, DType type_of_c, bool with_bias, Way way, ScratchPlan& plan) {
  using Dims = memory::dims;
  const auto bf16 = memory::data_type::bf16;
  const memory::desc a({p.m, p.k}, bf16, p.transpose_a ? Dims{1, p.lda} : Dims{p.lda, 1});
  const memory::desc b({p.k, p.n}, bf16, p.transpose_b ? Dims{1, p.ldb} : Dims{p.ldb, 1});
  const memory::desc c({p.m, p.n}, type_of(type_of_c), Dims{p.ldc, 1});
  const memory::desc bias = with_bias ? memory::desc({1, p.n}, memory::data_type::f32, Dims{p.n, 1}) : memory::desc();
  HADAL_CHECK(p.beta == 0);
  if (way == Way::inner_product) {
    HADAL_CHECK(!p.transpose_a && !p.transpose_b && !with_bias && p.lda == p.k && p.ldb == p.n && p.ldc == p.n);
    using Forward = dnnl::inner_product_forward;
    using BackwardData = dnnl::inner_product_backward_data;
    const Forward::primitive_desc hint({dnnl::prop_kind::forward_training, c, b_as_weight(p), a}, cpu_engine());
    const BackwardData::primitive_desc desc({c, b_as_weight(p), a}, attributes(), cpu_engine(), hint);
    implementation_ = desc.impl_info_str();
    check_implementation();
    a_ = unplaced(a);
    b_ = unplaced(b_as_weight(p));
    c_ = unplaced(c);
    step_.emplace(BackwardData(desc), desc.scratchpad_desc(),
                  std::vector<Step::Argument>{{DNNL_ARG_DIFF_DST, a_}, {DNNL_ARG_WEIGHTS, b_}, {DNNL_ARG_DIFF_SRC, c_}},
                  plan);
    return;
  }
  const dnnl::matmul::primitive_desc desc =
      with_bias ? dnnl::matmul::primitive_desc({a, b, bias, c}, attributes(), cpu_engine())
                : dnnl::matmul::primitive_desc({a, b, c}, attributes(), cpu_engine());
  implementation_ = desc.impl_info_str();
  check_implementation();
  a_ = unplaced(a);
  b_ = unplaced(b);
  c_ = unplaced(c);
  std::vector<Step::Argument> arguments{{DNNL_ARG_SRC, a_}, {DNNL_ARG_WEIGHTS, b_}, {DNNL_ARG_DST, c_}};
  if (with_bias) {
    bias_ = unplaced(bias);
    arguments.push_back({DNNL_ARG_BIAS, bias_});
  }
  step_.emplace(dnnl::matmul(desc), desc.scratchpad_desc(), std::move(arguments), plan);
}

void Bf16Product::check_implementation() const {
  if (rank_of(implementation_) == 2) {
    throw DeviceError("oneDNN has but plain loops for this product of bf16 numbers; use precision: fp32");
  }
}

void Bf16Product::run(dnnl::stream& stream, std::byte* scratch, const Bf16* a, const Bf16* b, const float* bias,
                      void* c) {
  point(a_, const_cast<Bf16*>(a));
  point(b_, const_cast<Bf16*>(b));
  point(c_, c);
  if (bias != nullptr) point(bias_, const_cast<float*>(bias));
  step_->run(stream, scratch);
}

Bridge::Bridge(const memory::desc& outside, const memory::desc& inside, Direction direction, ScratchPlan& plan)
    : same_(outside == inside),
      direction_(direction),
      outside_(unplaced(outside)),
      inside_(same_ ? outside_ : unplaced(inside)) {
  if (same_) return;
  offset_ = plan.reserve(inside.get_size());
  const memory& from = direction == Direction::read ? outside_ : inside_;
  const memory& to = direction == Direction::read ? inside_ : outside_;
  const dnnl::reorder::primitive_desc desc(from, to, attributes());
  reorder_ = std::make_unique<Step>(dnnl::reorder(desc), desc.scratchpad_desc(),
                                    std::vector<Step::Argument>{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}}, plan);
}

void* Bridge::place_at(std::byte* outside, std::byte* scratch) {
  point(outside_, outside);
  if (!same_) point(inside_, scratch + offset_);
  return inside_.get_data_handle();
}

void Bridge::cross(dnnl::stream& stream, std::byte* scratch) {
  if (reorder_) reorder_->run(stream, scratch);
}

}  // namespace hadal::onednn
