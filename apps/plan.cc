// hadal plan: what a job would do, before it does it.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/job_flags.h"
#include "apps/plan_svg.h"
#include "apps/plan_table.h"
#include "apps/verbs.h"
#include "base/file.h"
#include "data/sample_source.h"
#include "spec/value.h"
#include "train/engine.h"

namespace hadal {

namespace {

// A batch, or all samples where they are fewer. The data may be on another machine: then a batch.
std::int64_t rows_of_a_step(const JobSpec& job, const Network& network) {
  try {
    return std::min(job.samples_per_step(),
                    open_data(job.data.train, data_options(job, network.input, 0, Split::train))->size());
  } catch (const Error&) {
    return job.samples_per_step();
  }
}

struct PlanCommand {
  std::string job, svg;
  bool json = false, steps = false, memory = false;
  JobFlags flags;

  void run() const {
    if (!svg.empty()) check_writable(svg);
    const JobSpec spec = flags.load(job);
    const Network network = build_network(spec.network);
    RunnerOptions options;
    options.plan_only = true;
    const Engine engine(spec, network, {{PlanMode::train, rows_of_a_step(spec, network)}}, options);
    const BoundPlan& bound = engine.runner().bound(0);
    if (!svg.empty()) {
      if (std::filesystem::exists(svg) && !read_text_file(svg, "a drawing").starts_with("<svg")) {
        throw ConfigError("--svg " + svg + ": is there already and is no drawing; name another file");
      }
      write_file(svg, plan_svg(spec.name, bound.plan(), bound.memory(), engine.prediction()));
    }
    if (json) {
      auto out = plan_to_json(bound.plan(), network, bound.memory(), engine.prediction());
      if (steps) out["steps"] = steps_to_json(bound.plan());
      fmt::print("{}\n", out.dump());
      return;
    }
    fmt::print("{}: {}\n", job, spec.name);
    fmt::print("{}", plan_table({bound.plan(), network, bound.memory(), engine.prediction(),
                                 engine.runner().backend_name(), threads_of_each_device(spec)},
                                true));
    if (memory) {
      fmt::print("{}", memory_rows({bound.plan(), network, bound.memory(), engine.prediction(),
                                    engine.runner().backend_name(), threads_of_each_device(spec)}));
    }
    if (!steps) return;
    for (std::size_t i = 0; i < bound.plan().steps.size(); ++i) {
      const Step& step = bound.plan().steps[i];
      std::string waits;
      for (const auto* list : {&step.waits, &step.room_waits}) {
        for (const int wait : *list) waits += fmt::format(" {}", wait);
      }
      fmt::print("  {:>4}  {:<7} {:<15} {:<32} {}{}{}\n", i, bound.plan().devices[step.device].name,
                 to_string(step.stream), step.name,
                 bound.kernel(static_cast<int>(i)) ? bound.kernel(static_cast<int>(i))->implementation() : "copy",
                 step.deferred ? ", of the step before"
                 : step.again  ? ", again"
                               : "",
                 waits.empty() ? "" : "  waits for" + waits);
    }
  }
};

}  // namespace

void add_plan(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("plan", "Show what a job would do: layers, memory, exchange");
  auto command = std::make_shared<PlanCommand>();
  verb->add_option("job", command->job, "The job file")->required();
  verb->add_flag("--json", command->json, "As JSON");
  verb->add_flag("--steps", command->steps, "List every step of every device too");
  verb->add_flag("--memory", command->memory, "List what each device holds when it is fullest");
  verb->add_option("--svg", command->svg, "Draw devices, links and what they carry into this file")->check(not_empty());
  command->flags.add_to(*verb);
  command->flags.add_machine_to(*verb);
  verb->footer(
      "Examples: hadal plan examples/mnist_lenet.yaml --devices cpu:0,cpu:1\n"
      "          hadal plan examples/acoustic_mlp.yaml --machine examples/machines/reference_server.yaml --svg "
      "plan.svg");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
