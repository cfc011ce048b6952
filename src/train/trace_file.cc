#include "train/trace_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/file.h"
#include "plan/json.h"

namespace hadal {

void write_trace(const std::string& path, const LocalRunner& runner) {
  AtomicFile file(path);
  file.write("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
  const Plan& first_plan = runner.plan(0);
  for (std::size_t d = 0; d < first_plan.devices.size(); ++d) {
    file.write(
        fmt::format("{{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": {}, \"args\": {{\"name\": \"{}\"}}}},\n", d,
                    first_plan.devices[d].name));
    for (int kind = 0; kind < kStreamKinds; ++kind) {
      file.write(fmt::format(
          "{{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": {}, \"tid\": {}, \"args\": {{\"name\": \"{}\"}}}},\n",
          d, kind, to_string(static_cast<StreamKind>(kind))));
    }
  }
  std::int64_t start = std::numeric_limits<std::int64_t>::max();
  for (const TraceEvent& event : runner.trace()) start = std::min(start, event.span.begin_ns);
  const char* separator = "";
  for (const TraceEvent& event : runner.trace()) {
    const Step& step = runner.plan(event.plan).steps[event.step];
    const bool wait = event.kind == Item::Kind::wait;
    file.write(
        fmt::format("{}{{\"ph\": \"X\", \"name\": \"{}{}\", \"cat\": \"{}\", \"pid\": {}, \"tid\": {}, \"ts\": {:.3f}, "
                    "\"dur\": {:.3f}, "
                    "\"args\": {{\"round\": {}}}}}",
                    separator, wait ? "wait for " : "", step.name, wait ? "wait" : "work", event.stream / kStreamKinds,
                    event.stream % kStreamKinds, static_cast<double>(event.span.begin_ns - start) / 1e3,
                    static_cast<double>(event.span.end_ns - event.span.begin_ns) / 1e3, event.round));
    separator = ",\n";
  }
  file.write("\n]}\n");
  file.commit();
}

}  // namespace hadal
