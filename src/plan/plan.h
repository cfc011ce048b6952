#pragma once
// A plan: everything that one kind of step (train on 64 rows, evaluate 32 rows, ...) does on every device, written down
// before it first runs. Immutable, portable (it knows no addresses), and the same for every runner.
//
// The steps stand in one global order. Running them one by one in that order is a correct execution; running each
// (device, stream) on its own, in its part of that order, is one too, as long as each step's waits are obeyed. So no
// wait can cycle.

#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "device/stream.h"
#include "nn/network.h"
#include "nn/op.h"
#include "plan/partition.h"
#include "plan/topology.h"

namespace hadal {

// `average`: no rows; the devices' own states become their mean (PlanOptions::device_states).
enum class PlanMode { train, evaluate, predict, average };

// What travels to the owner of a fully-connected layer's parameters.
// ... and of batch_norm's: `statistics` alone, sums over the rows of each device, which all get.
enum class ExchangeContent { automatic, gradients, factors, statistics };

// Whether a training plan leaves part of its exchange to the step after it, and does what the step before left:
// neither; the first step of a run; all that follow it; the exchange alone that the last one left.
enum class Deferral { none, begins, continues, ends };

struct PlanDevice {
  std::string name;
  int memory = 0;  // devices with one memory address each other's tensors
};

struct PlanOptions {
  PlanMode mode = PlanMode::train;
  std::int64_t batch = 0;  // the job's; the choice of what is exchanged follows from it
  std::int64_t rows = 0;   // of this plan: at most `batch`
  // Training runs forward and backward on at most so many rows at a time, of all devices together, and updates after
  // the last; 0: on all at once. The result is that of all at once.
  std::int64_t pass_rows = 0;
  std::vector<PlanDevice> devices;
  // Devices of a group, which hold one model together: device d is partition d % split of group d / split. Groups
  // divide the batch; partitions divide the layers (plan/divide.h), none into less than `smallest_part` outputs. Not
  // yet with one memory read where it lies, or device_states.
  int split = 1;
  std::int64_t smallest_part = 8;
  std::vector<int> whole{};  // layers that are not divided, unless the network says that they must be
  int groups() const { return static_cast<int>(devices.size()) / split; }
  ExchangeTopology topology = ExchangeTopology::shared;
  ExchangeContent content = ExchangeContent::automatic;
  // Of the rows: 0 if not reproducible; and the parts of a layer's outputs that its results are made of then
  // (nn/op.h, OutputUnits), of which each partition has some. Both are part of the result.
  std::int64_t reproducible_shards = 0, reproducible_chunks = 4;
  std::int64_t output_chunks() const {  // 1: results are free, or of all outputs at once
    return reproducible_shards > 0 && precision == DType::f32 ? reproducible_chunks : 1;
  }
  Layout image_layout = Layout::canonical;
  std::uint64_t seed = 0;
  bool updates = true;  // false in a family without training: no states, and no fp32 beside bf16 weights
  UpdateRule rule;
  // Adagrad with sums of squares on each device, of the whole model but its own rows (nn/op.h, AdagradScale), in place
  // of the owner's. Gradients are exchanged; neither clipped nor bf16 nor reproducible.
  bool device_states = false;
  // Of training, and not with one memory, several passes or clipping: of the layers that send gradients the first
  // `updates` are updated and sent in the next step, each just before its own forward pass, and the gradients of the
  // first `gathers` of these are brought to their owners no sooner. The result is that of doing all at once.
  struct Deferred {
    int updates = 0, gathers = 0;
  } deferred;
  double clip_norm = 0;  // 0: none
  bool in_place = true;  // activations overwrite their inputs where nothing else needs those
  // Of training: names of values that backward computes again rather than that they are kept (plan/recompute.h).
  std::set<std::string> recompute{};
  // f32 or bf16: of what layers pass to each other and of the weights in products; all else is fp32 (nn/op.h).
  DType precision = DType::f32;
};

enum class TensorKind { parameter, state, gradient, activation, workspace, input, result };

struct PlanTensor {
  std::string name;
  int device = 0;
  TensorKind kind = TensorKind::activation;
  DType type = DType::f32;
  std::int64_t elements = 0;
  Layout layout = Layout::canonical;
  bool carried = false;  // what a step leaves in it is for the next one
  // Of rows of a value, or of its diff: elements of each line (a row; in channels_last a pixel), and the element of the
  // whole line that they begin with. 0: no such rows.
  std::int64_t width = 0, first_column = 0;

  bool persistent() const { return kind == TensorKind::parameter || kind == TensorKind::state; }
  std::size_t bytes() const { return static_cast<std::size_t>(elements) * size_of(type); }
};

// Consecutive elements of a tensor.
struct Range {
  int tensor = 0;
  std::int64_t first = 0, count = 0;
};

struct Compute {
  Op op;
};

// Copies `rows` pieces of `row_bytes` from reads[0] to writes[0]; the pieces start a pitch (bytes) apart. The ranges of
// the step span all that lies between the first piece's begin and the last one's end.
struct Transfer {
  int to = 0;  // device
  std::size_t rows = 1, row_bytes = 0, source_pitch = 0, destination_pitch = 0;

  std::size_t bytes() const { return rows * row_bytes; }
};

// Fills writes[0] from the staged batch in host memory.
struct Load {
  std::size_t batch_offset = 0;  // bytes
};

struct Step {
  std::string name;  // "conv1.forward"
  int device = 0;
  StreamKind stream = StreamKind::compute;
  int layer = -1;
  std::variant<Compute, Transfer, Load> body;
  std::vector<Range> reads, writes;  // a range that is written in place stands in `writes` only
  std::vector<int> waits;            // earlier steps, of other streams, that must be done
  std::int64_t first_row = 0;        // of the rows that it works on, in the global batch
  bool deferred = false;             // it works on the gradients of the training step before
  bool again = false;                // in backward what forward did, whose result was not kept
  std::vector<int> room_waits{};     // as `waits`, but not for results: since then memory is known to be free

  std::size_t stream_index() const {  // among all streams of the plan's devices
    return static_cast<std::size_t>(device) * kStreamKinds + static_cast<std::size_t>(stream);
  }
};

// Where layers read parameter p: one tensor on each device, or the same one where they share a memory. fp32, or a copy
// of a weight in bf16. Where a layer is divided, a device has the consecutive elements of its outputs.
struct ParameterPlace {
  std::int64_t elements = 0;        // of the whole parameter
  std::vector<int> tensor;          // by device
  std::vector<std::int64_t> first;  // by device: the parameter's element that its tensor begins with
  std::vector<int> squares;         // by device: its own state, of the parameter's shape; empty without device_states
};

// A range of a parameter and the device that updates it, for those of its partition. Of each partition the ranges of
// one parameter cover once, in order, what its devices have of it.
struct OwnedRange {
  int parameter = 0;
  int device = 0;
  std::int64_t first = 0, count = 0;  // elements
  int master = -1;                    // tensor of the fp32 values, -1: they are those of the place
  std::vector<int> states;            // tensors, in the order of the rule's states
};

// What a device gives back after a round: loss and rank of its rows, or their probabilities.
struct ResultRows {
  int device = 0;
  std::int64_t first = 0, count = 0;
  int loss = -1, rank = -1, probabilities = -1;
};

struct LinkBytes {
  int from = 0, to = 0;
  std::size_t bytes = 0;
};

struct Plan {
  PlanMode mode = PlanMode::train;
  DType precision = DType::f32;
  ExchangeTopology topology = ExchangeTopology::shared;
  std::int64_t rows = 0;
  int split = 1;  // PlanOptions::split
  std::vector<PlanDevice> devices;
  std::vector<RowSpan> device_rows;          // in several passes without fixed shards only their number says something
  std::vector<std::vector<RowSpan>> passes;  // by pass and device: those that are computed together
  std::vector<PlanTensor> tensors;           // persistent ones first, and the same in every plan of a family
  std::vector<Step> steps;
  std::vector<ParameterPlace> parameters;
  std::vector<OwnedRange> owned;
  Deferral deferral = Deferral::none;
  std::vector<ResultRows> results;
  std::vector<ExchangeContent> content;           // by layer; automatic where nothing is exchanged
  std::vector<int> parts;                         // by layer: 1, or `split` where it is divided
  std::vector<int> whole;                         // PlanOptions::whole
  std::vector<LinkBytes> links;                   // of one step, sorted
  std::vector<std::size_t> layer_exchange_bytes;  // by layer: what is exchanged in one step
  std::vector<std::size_t> layer_transfer_bytes;  // by layer: what partitions bring each other for it in one step
  std::size_t group_bytes = 0;                    // ... in all
  std::vector<std::size_t> load_bytes;            // by device: of one step, from the host
  std::size_t remote_read_bytes = 0;  // of one step: gradients, factors and new parameters read where they lie
  int clip_norm = -1;                 // tensor of the gradient's norm, -1: not clipped

  // The device that has what all groups read where it lies: in one memory the first of a partition, else each its own.
  int keeper_of(int device) const { return topology == ExchangeTopology::shared ? device % split : device; }
  // Whether the device has the tensor: by itself, or as one of all groups' rows.
  bool lies_on(int tensor, int device) const {
    const int place = tensors[static_cast<std::size_t>(tensor)].device;
    return place == device || place == keeper_of(device);
  }

  std::size_t exchange_bytes() const;   // of all links, but the transfers
  std::size_t transfer_bytes() const;   // between partitions
  int deferred_layers() const;          // that are updated in the next step
  std::int64_t rows_of_a_pass() const;  // at most, of all devices together
  std::size_t waits() const;
};

// Builds the plan of `network`. Throws ConfigError where the options do not go together. With `deferred`, that of a
// step between others.
Plan build_plan(const Network& network, const PlanOptions& options);

// Without the check that it exchanges what it should: for plans that are only timed.
Plan build_unchecked(const Network& network, const PlanOptions& options);

// Of a plan that continues, the one that begins, without what a step before would have left; or that ends, with nothing
// else. They have the same tensors.
Plan part_of(const Plan& continues, Deferral part);

// What is exchanged for `layer`: gradients, factors, or automatic (nothing to choose). With factors each device's rows
// of inputs and output gradients travel: batch (in + out) numbers against in x out (docs/reproducible.md).
ExchangeContent exchange_content(const Network& network, int layer, const PlanOptions& options);

}  // namespace hadal
