#pragma once
// Builds one plan. Internal to src/plan: build.cc writes the forward and backward steps, loss.cc those between, rows.cc
// who works on which rows, split.cc what the devices of a group bring each other, exchange.cc what brings gradients to
// their owners and new parameters back, synchronise.cc and room.cc the waits.

#include <functional>
#include <map>
#include <tuple>

#include "plan/divide.h"
#include "plan/plan.h"

namespace hadal {

// Elements first ... first + count - 1 of a value's canonical row: those of some channels.
struct Columns {
  std::int64_t first = 0, count = 0;

  bool operator==(const Columns&) const = default;
  bool operator<(const Columns& other) const { return std::tie(first, count) < std::tie(other.first, other.count); }
  std::int64_t end() const { return first + count; }
};

// What the rows of an array hold.
struct RowShape {
  std::vector<Columns> columns;  // by device
  Layout layout = Layout::canonical;
  std::int64_t lines = 1;  // that a row's columns are divided among evenly: in channels_last those of a pixel are one
};

// An array of rows on each device: its own rows, or those of the whole batch.
struct RowTensor {
  std::vector<int> tensor;              // by device, -1: none
  std::vector<std::int64_t> first_row;  // of the global batch, by device
  RowShape shape;
  bool addends = false;  // what is meant is the sum over the devices of a group

  // Rows first ... first + count - 1, which must lie on `device`.
  Range rows(int device, std::int64_t first, std::int64_t count) const {
    return {tensor[device], (first - first_row[device]) * row_elements(device), count * row_elements(device)};
  }
  std::int64_t row_elements(int device) const { return shape.columns[device].count; }
};

class PlanBuilder {
 public:
  PlanBuilder(const Network& network, const PlanOptions& options);
  Plan build();

 private:
  // One piece of a layer's gradient: the sum over some rows, computed on their device.
  struct GradientPart {
    int device = 0;
    RowSpan rows;
    int weight = -1, bias = -1;  // tensors
  };

  // What one device has, `where(device)`, and others want there.
  struct Spread {
    std::string name;
    int from = 0;
    std::vector<bool> wanted;  // by device
    std::function<Range(int device)> where;
  };

  // Some of a gradient's parts for an owned range, added up.
  struct GradientPiece {
    std::int64_t first_row = 0;  // of the first part
    Range range;

    bool operator<(const GradientPiece& other) const { return first_row < other.first_row; }
  };

  // build.cc: values and layouts
  int root(int layer) const;                   // the layer whose tensor holds the value of `layer`
  bool is_view(const Layer& layer) const;      // its output is its input's tensor
  bool runs_in_place(int layer) const;         // an activation that overwrites its input
  bool diff_in_place(int layer) const;         // ... and the diff of its output by that of its input
  bool owns_diff(int layer) const;             // no other layer has the tensor of its output's diff
  bool passes_diff(const Layer& layer) const;  // its input's diff is its output's tensor
  void choose_layouts();
  Layout layout_of(int layer) const { return layouts_[root(layer) + 1]; }
  DType type_of(int layer) const;  // of its value
  int logits_in_fp32() const;      // the layer that writes the loss's input in fp32 though others write bf16, or -2

  // rows.cc
  void divide_into_passes();
  void begin_pass(int pass);
  const RowSpan& span_of(int device) const { return plan_.passes[static_cast<std::size_t>(pass_)][device]; }
  bool in_last_pass() const { return pass_ + 1 == static_cast<int>(plan_.passes.size()); }
  Rows rows_of(int device) const;
  bool works(int device) const { return span_of(device).count > 0; }
  std::vector<bool> full_rows_for(int layer) const;
  void find_full_rows();
  // Of a layer. Whole batches are the same tensors in every pass.
  RowTensor add_rows(int layer, const std::string& name, TensorKind kind, DType type, const RowShape& shape,
                     const std::vector<bool>& full);
  int add_part(const std::string& name, int place, TensorKind kind, DType type, std::int64_t rows,
               const RowShape& shape, int device);
  Range own_rows(const RowTensor& rows, int device) const;
  Range value(int layer, int device) const { return own_rows(values_[root(layer) + 1], device); }
  Range diff(int layer, int device) const { return own_rows(diffs_[layer + 1], device); }

  // split.cc
  int split() const { return options_.split; }
  int groups() const { return options_.groups(); }
  int partition_of(int device) const { return device % split(); }
  bool same_partition(int a, int b) const { return partition_of(a) == partition_of(b); }
  Channels computed(int layer, int device) const { return division_.computed(layer, partition_of(device)); }
  OutputUnits units_of(int layer, int device) const { return division_.units(layer, partition_of(device)); }
  std::int64_t pixels(int layer) const;      // of its value: elements of a channel
  RowShape shape_of(int layer) const;        // of its value
  RowShape whole_shape_of(int layer) const;  // ... where all channels lie on each device
  RowShape needed(int layer, std::size_t input) const;
  std::int64_t input_channels(int layer, int device) const;  // that it reads of its first input
  bool needs_more(int layer, std::size_t input) const;       // than the channels of its input that the device has
  const RowTensor& input(int layer, std::size_t i) const;    // what it reads
  Range input(int layer, std::size_t i, int device) const { return own_rows(input(layer, i), device); }
  void bring_inputs(int layer);
  RowTensor bring(int layer, const std::string& name, const RowTensor& from, const RowShape& shape,
                  const std::vector<bool>& full);
  void copy_columns(const std::string& name, int from, int to, int layer, const RowTensor& source,
                    const RowTensor& destination, Columns columns);
  std::vector<RowTensor> addends_of(int layer, const RowTensor& diff);
  RowTensor combine_diffs(int layer);
  RowTensor sum_of(int layer, const std::string& name, const std::vector<RowTensor>& terms, const RowShape& shape,
                   const std::vector<bool>& full);
  std::vector<Hop> hops(bool inwards, const std::vector<int>& owners) const;

  // batch_norm.cc
  BatchNormShape batch_norm_shape(int layer, int device) const;
  std::vector<Range> sums_of_all(int layer, const std::string& name, const std::vector<bool>& wanted,
                                 const std::function<void(int, Range)>& compute_sums);
  void batch_norm_statistics(int layer);
  void batch_norm_gradient(int layer);
  std::vector<Range> statistics_of(int layer, int device) const;
  std::int64_t rows_of_pass() const;
  std::int64_t parts_of_pass() const;

  // build.cc: steps
  void check_options() const;
  void run_pass();
  void defer_exchange();
  void place_persistent();
  void load_batch();
  void forward(int layer);
  ConvShape conv_shape(int layer, int device) const;
  PoolShape pool_shape(int layer, int device) const;
  LrnShape lrn_shape(int layer, int device) const;
  Dropout dropout_of(const DropoutOptions& options, int layer, int device) const;
  void backward(int layer);
  void backward_weights(int layer);
  void add_to_earlier_passes(int layer, GradientPart& part);
  void scale_by_own_squares(int layer);
  void give_diff(int layer, std::size_t input, RowTensor diff);

  // loss.cc
  RowTensor logits();
  Range in_fp32(const Range& numbers, int device);
  void loss();
  void probabilities(int last);
  void whole_loss(int last);
  void divided_loss(int last);
  RowShape columns_of_parts(std::int64_t each) const;
  RowTensor bring_sums(int last, const std::vector<Range>& logits);
  void add_up_ranks();

  // exchange.cc
  void send_inputs(int layer);
  void gather(int layer);
  void gather_gradients(int layer);
  std::vector<std::vector<GradientPiece>> parts_of(int layer, const OwnedRange& owned);
  void add_up(const std::string& name, StreamKind stream, int device, int layer, std::vector<GradientPiece>& pieces);
  StreamKind stream_for(StreamKind kind, int from, int to) const;
  void gather_factors(int layer);
  void update(int layer);
  FullyConnectedBackwardWeights product_of_factors(int layer, const OwnerSpan& owner) const;
  std::vector<Range> factors_on(int layer, int device) const;
  void gradient_of_factors(int layer, const OwnerSpan& owner);
  void update_by_factors(int layer, const OwnerSpan& owner);
  UpdateRule rule_of(int parameter) const;
  UpdateRule owners_rule_of(int parameter) const;
  void update_range(int index, const std::vector<Range>& parts, int scale);
  void distribute(int layer, int parameter);
  std::int64_t first_in_place(const OwnedRange& owned) const;
  Range place_of(const OwnedRange& owned, int device) const;
  Range master_of(const OwnedRange& owned) const;
  std::size_t bytes_of(const Range& range) const;
  std::vector<std::map<std::int64_t, std::int64_t>> number_norms(std::int64_t& count);
  void clip_and_update();
  void average_states();
  void share_norms(const std::vector<int>& slots, std::int64_t first, std::int64_t count, int owner);
  std::vector<int> scales_from(const std::vector<int>& slots, std::int64_t count);

  // Small parts
  int add_tensor(const std::string& name, int device, TensorKind kind, std::int64_t count, DType type = DType::f32,
                 Layout layout = Layout::canonical);
  Range whole(int tensor) const { return {tensor, 0, plan_.tensors[tensor].elements}; }
  void compute(const std::string& name, int device, int layer, Op op, std::vector<Range> reads,
               std::vector<Range> writes);
  void transfer(const std::string& name, int from, int to, StreamKind kind, int layer, Range source, Range destination);
  void spread(StreamKind stream, int layer, std::vector<Spread> flows);
  void transfer_columns(const std::string& name, int from, int to, int layer, Range source, Range destination,
                        std::int64_t pitch, std::int64_t first_column, std::int64_t columns);
  std::int64_t parameter_elements(int parameter, int device) const {
    return plan_.tensors[plan_.parameters[parameter].tensor[device]].elements;
  }
  bool has_copies(const Parameter& parameter) const {  // bf16 copies of its fp32 values are what layers read
    return options_.precision == DType::bf16 && parameter.shape.size() > 1;
  }
  bool shared() const { return options_.topology == ExchangeTopology::shared; }
  int keeper_of(int device) const { return plan_.keeper_of(device); }
  // Whether what is exchanged passes devices that have no use for it.
  bool relays() const { return !shared() && options_.topology != ExchangeTopology::direct; }
  bool training() const { return options_.mode == PlanMode::train; }
  int device_count() const { return static_cast<int>(options_.devices.size()); }

  const Network& network_;
  const PlanOptions& options_;
  const Division division_;
  Plan plan_;
  int pass_ = 0;                                                           // that is being built
  std::map<std::pair<int, std::string>, std::vector<int>> whole_batches_;  // add_rows: tensors by device, -1: none
  std::vector<std::vector<OwnerSpan>> owners_;                             // by layer
  std::vector<std::vector<int>> owned_of_layer_;                           // indices into plan_.owned
  std::vector<std::int64_t> owned_pieces_;                                 // by owned: index of its first norm slot
  std::vector<std::vector<std::int64_t>> owned_piece_elements_;
  std::vector<std::vector<Range>> sources_;                // by owned: what its gradient is the sum of
  std::vector<std::vector<int>> consumers_;                // by layer + 1
  std::vector<Layout> layouts_;                            // by layer + 1
  std::vector<std::vector<bool>> full_value_, full_diff_;  // by layer + 1: devices that need the whole batch's rows
  std::vector<RowTensor> values_, diffs_;                  // by layer + 1
  std::vector<std::vector<RowTensor>> diff_parts_;         // by layer + 1: what consumers gave
  // Inputs of which a layer needs more, or less, than its device has: by root and columns, since layers that need the
  // same share it; and by layer and input.
  std::map<std::pair<int, std::vector<Columns>>, RowTensor> brought_;
  std::map<std::pair<int, std::vector<Columns>>, std::vector<bool>> full_brought_;  // devices, as full_value_
  std::map<std::pair<int, std::size_t>, RowTensor> inputs_;
  std::vector<std::vector<int>> workspaces_;  // by layer, by device
  // Of batch_norm layers, by layer and device: the statistics of a pass, and the gradients of weight and bias.
  std::vector<std::vector<Range>> means_, variances_;
  std::vector<std::vector<std::pair<Range, Range>>> pass_gradients_;
  std::vector<std::vector<GradientPart>> gradients_;  // by layer
  RowTensor labels_;
  RowTensor counts_;  // of a divided loss: on each first partition, how many classes of each come before the label
};

// Adds to each step the fewest waits that order every two steps which touch the same data, one of them writing.
void synchronise(Plan& plan);

// Then adds waits by which more memory is known to be free, where devices hold a model together.
void wait_for_room(Plan& plan);

}  // namespace hadal
