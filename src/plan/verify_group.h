#pragma once
// Proves that the devices of a group bring each other what they should. Internal to src/plan.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "plan/contents.h"
#include "plan/plan.h"
#include "plan/verify_values.h"

namespace hadal {

// Follows copies between devices of a group, and on a device: of channels of all rows that it works on. Where rows have
// got all their channels, what they hold is as if written by the last of these copies. Functions return what is wrong.
class GroupVerifier {
 public:
  GroupVerifier(const Plan& plan, const Network& network) : plan_(plan), network_(network), sources_(plan, network) {}

  static bool brings(const Step& step) {
    const auto* transfer = std::get_if<Transfer>(&step.body);
    return transfer && (step.stream == StreamKind::transfer || transfer->to == step.device);
  }

  // Forgets what it has followed.
  void begin();

  // Step `i` brings channels to where they belong, of rows that one step computed.
  std::string bring(int i, std::vector<Contents>& contents);

  // Step `i`, a kernel, reads no rows of which something is not there, takes no part of a diff for all of it, and of
  // its layer's inputs and diff none for another.
  std::string use(int i, const std::vector<Contents>& contents);

 private:
  // Columns [first, first + width) of `count` lines from `line` on.
  struct Lines {
    std::int64_t line = 0, count = 0, first = 0, width = 0;
  };

  // Where the rows of a tensor come from.
  struct Origin {
    std::string name;       // of what the steps that computed them wrote
    std::set<int> devices;  // of these
    bool addend = false;    // each is a part of a sum over the group
    std::int64_t first_row = 0, elements = 0;
    std::map<std::int64_t, std::int64_t> columns;  // of a line, that are there: from and past
    Producer by;                                   // one of these steps
  };

  Origin origin_of(const Producer& producer) const;
  std::string arrive(int i, const Origin& origin, const Lines& at, std::vector<Contents>& contents);
  bool right_rows(const Step& step, const PlanTensor& to, const Lines& at) const;
  bool adds_up(const Step& step) const;
  bool is_product_of_factors(const Step& step) const;
  std::string takes_its_own(int i, const std::vector<Contents>& contents) const;
  std::string use_in_loss(int i, const std::vector<Contents>& contents) const;
  std::string has_classes(int i, std::int64_t first, std::int64_t count) const;
  template <class By>
  std::string has_all_parts(int i, std::size_t read, int write, const std::vector<Contents>& contents) const;
  void note_addend(int i);
  static std::string name_of(const Step& step, std::size_t write);
  bool covers(int addend, int sum) const;
  std::multiset<int> devices_with(const Producer& addend, const std::string& name, int sum, int first) const;
  std::string add_up(int i, const std::vector<std::pair<Origin, bool>>& terms);

  const Plan& plan_;
  const Network& network_;
  const ValueSources sources_;
  std::map<std::pair<int, std::int64_t>, Origin> arriving_;    // by tensor and its first line
  std::map<int, Origin> brought_;                              // by the copy that completed them
  std::set<int> addends_;                                      // steps whose results are parts of sums
  std::map<std::pair<std::string, int>, int> addend_tensors_;  // what these wrote, by name and device
};

}  // namespace hadal
