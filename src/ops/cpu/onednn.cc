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

memory::desc plain(const memory::dims& dims, memory::format_tag tag) {
  return memory::desc(dims, memory::data_type::f32, tag);
}

memory::desc image(const memory::dims& dims, Layout layout) {
  // With one channel both layouts are the same memory; oneDNN knows more of the canonical one.
  const bool last = layout == Layout::channels_last && dims[1] > 1;
  return plain(dims, last ? memory::format_tag::nhwc : memory::format_tag::nchw);
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

float* Bridge::place(std::byte* outside, std::byte* scratch) {
  point(outside_, outside);
  if (!same_) point(inside_, scratch + offset_);
  return static_cast<float*>(inside_.get_data_handle());
}

void Bridge::cross(dnnl::stream& stream, std::byte* scratch) {
  if (reorder_) reorder_->run(stream, scratch);
}

}  // namespace hadal::onednn
