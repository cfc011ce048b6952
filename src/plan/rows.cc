// Which rows each device has, pass by pass, and where they lie.

#include <algorithm>
#include <numeric>

#include "plan/builder.h"

namespace hadal {

// Consecutive rows of the batch, divided among the devices; with fixed shards each device's own, in as many parts as
// there are passes, since shards stay whole.
void PlanBuilder::divide_into_passes() {
  const bool many = training() && options_.pass_rows > 0;
  const std::int64_t count = many ? (options_.rows + options_.pass_rows - 1) / options_.pass_rows : 1;
  plan_.passes.resize(static_cast<std::size_t>(count));
  if (options_.reproducible_shards == 0) {
    const std::vector<std::int64_t> bounds = even_bounds(options_.rows, count);
    for (RowSpan& all : plan_.device_rows) all.count = 0;
    for (std::size_t pass = 0; pass < plan_.passes.size(); ++pass) {
      const std::vector<RowSpan> spans = partition_rows(bounds[pass + 1] - bounds[pass], groups(), 0);
      for (int d = 0; d < device_count(); ++d) {
        plan_.passes[pass].push_back(spans[d / split()]);
        plan_.passes[pass][d].first += bounds[pass];
        plan_.device_rows[d].count += plan_.passes[pass][d].count;
      }
    }
    return;
  }
  for (const RowSpan& all : plan_.device_rows) {
    const std::vector<std::int64_t> bounds = even_bounds(static_cast<std::int64_t>(all.units.size()), count);
    std::int64_t first = all.first;
    for (std::size_t pass = 0; pass < plan_.passes.size(); ++pass) {
      RowSpan span{first, 0, {all.units.begin() + bounds[pass], all.units.begin() + bounds[pass + 1]}};
      span.count = std::accumulate(span.units.begin(), span.units.end(), std::int64_t{0});
      first += span.count;
      plan_.passes[pass].push_back(std::move(span));
    }
  }
  std::erase_if(plan_.passes, [](const std::vector<RowSpan>& pass) {
    return std::all_of(pass.begin(), pass.end(), [](const RowSpan& span) { return span.count == 0; });
  });
}

void PlanBuilder::begin_pass(int pass) {
  pass_ = pass;
  for (auto* rows : {&values_, &diffs_}) rows->assign(rows->size(), {});
  for (std::vector<RowTensor>& parts : diff_parts_) parts.clear();
  brought_.clear();
  inputs_.clear();
  counts_ = {};
}

// The devices that need the whole batch's rows of a fully-connected layer's factors: its owners, and those that factors
// pass on their way.
std::vector<bool> PlanBuilder::full_rows_for(int layer) const {
  std::vector<bool> full(options_.devices.size());
  if (training() && plan_.content[layer] == ExchangeContent::factors) {
    for (const OwnerSpan& owner : owners_[layer]) full[owner.device] = true;
    if (relays()) full.assign(full.size(), true);
  }
  return full;
}

void PlanBuilder::find_full_rows() {
  const std::vector<bool> none(options_.devices.size());
  full_value_.assign(network_.layers.size() + 1, none);
  full_diff_ = full_value_;
  const auto add = [](std::vector<bool>& to, const std::vector<bool>& from) {
    for (std::size_t d = 0; d < to.size(); ++d) to[d] = to[d] || from[d];
  };
  for (std::size_t l = 0; l < network_.layers.size(); ++l) {
    const Layer& layer = network_.layers[l];
    const std::vector<bool> full = full_rows_for(static_cast<int>(l));
    const int below = root(layer.inputs[0]);
    if (needs_more(static_cast<int>(l), 0)) {
      std::vector<bool>& brought = full_brought_[{below, needed(static_cast<int>(l), 0).columns}];
      brought.resize(full.size());
      add(brought, full);
    } else {
      add(full_value_[below + 1], full);
    }
    add(full_diff_[l + 1], full);
    if (!passes_diff(layer) && !diff_in_place(static_cast<int>(l))) continue;
    for (const int input : layer.inputs) add(full_diff_[l + 1], full_diff_[input + 1]);
  }
}

// As many rows as `device` has of them.
int PlanBuilder::add_part(const std::string& name, int place, TensorKind kind, DType type, std::int64_t rows,
                          const RowShape& shape, int device) {
  const Columns& columns = shape.columns[device];
  const int tensor = add_tensor(name, place, kind, rows * columns.count, type, shape.layout);
  plan_.tensors[tensor].width = columns.count / shape.lines;
  plan_.tensors[tensor].first_column = columns.first / shape.lines;
  return tensor;
}

RowTensor PlanBuilder::add_rows(int layer, const std::string& name, TensorKind kind, DType type, const RowShape& shape,
                                const std::vector<bool>& full) {
  RowTensor rows{std::vector<int>(options_.devices.size(), -1), std::vector<std::int64_t>(options_.devices.size()),
                 shape};
  std::vector<int>& whole_batch = whole_batches_[{layer, name}];
  whole_batch.resize(options_.devices.size(), -1);
  const bool one_for_all = shared() && std::any_of(full.begin(), full.end(), [](bool f) { return f; });
  for (int d = 0; d < device_count(); ++d) {
    const RowSpan& own = span_of(d);
    if (shape.columns[d].count == 0) continue;
    const auto add = [&](int device, std::int64_t count) {
      return add_part(name, device, kind, type, count, shape, d);
    };
    if (one_for_all || full[d]) {
      int& tensor = whole_batch[one_for_all ? keeper_of(d) : d];
      if (tensor < 0) tensor = add(one_for_all ? keeper_of(d) : d, options_.rows);
      rows.tensor[d] = tensor;
    } else if (own.count > 0) {
      rows.first_row[d] = own.first;
      rows.tensor[d] = add(d, own.count);
    }
  }
  return rows;
}

Rows PlanBuilder::rows_of(int device) const {
  const RowSpan& span = span_of(device);
  return {span.first, span.count, span.units};
}

Range PlanBuilder::own_rows(const RowTensor& rows, int device) const {
  const RowSpan& span = span_of(device);
  return rows.rows(device, span.first, span.count);
}

}  // namespace hadal
