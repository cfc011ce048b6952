// Concatenation along the first dimension of a sample: a row of the result is the rows of the inputs, one after
// another.

#include <algorithm>
#include <numeric>

#include "ops/reference/loops.h"

namespace hadal::reference {

namespace {

// Calls visit(input, first element of its row in the joint row, row, elements) for every piece of every row.
template <class Visit>
void for_each_piece(const std::vector<std::int64_t>& row_elements, std::int64_t rows, const Visit& visit) {
  for (std::int64_t n = 0; n < rows; ++n) {
    std::int64_t first = 0;
    for (std::size_t input = 0; input < row_elements.size(); ++input) {
      visit(input, first, n, row_elements[input]);
      first += row_elements[input];
    }
  }
}

std::int64_t joint_elements(const std::vector<std::int64_t>& row_elements) {
  return std::accumulate(row_elements.begin(), row_elements.end(), std::int64_t{0});
}

}  // namespace

template <class Real>
void run(const ConcatForward& op, const Call& call) {
  Real* destination = call.written<Real>(op.row_elements.size());
  const std::int64_t joint = joint_elements(op.row_elements);
  for_each_piece(op.row_elements, op.rows.count,
                 [&](std::size_t input, std::int64_t first, std::int64_t n, std::int64_t elements) {
                   const Real* row = call.read<Real>(input) + n * elements;
                   std::copy_n(row, elements, destination + n * joint + first);
                 });
}

template <class Real>
void run(const ConcatBackward& op, const Call& call) {
  const Real* diff_destination = call.read<Real>(0);
  const std::int64_t joint = joint_elements(op.row_elements);
  for_each_piece(op.row_elements, op.rows.count,
                 [&](std::size_t input, std::int64_t first, std::int64_t n, std::int64_t elements) {
                   Real* row = call.written<Real>(1 + input) + n * elements;
                   std::copy_n(diff_destination + n * joint + first, elements, row);
                 });
}

template void run<float>(const ConcatForward&, const Call&);
template void run<double>(const ConcatForward&, const Call&);
template void run<float>(const ConcatBackward&, const Call&);
template void run<double>(const ConcatBackward&, const Call&);

}  // namespace hadal::reference
