#include "train/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "train/straggler.h"

namespace hadal {

namespace {

// Whoever waits so long for batches gains nothing from computing faster.
constexpr double kInputShare = 0.1;

// The stage whose threads work the largest share of their time.
const InputCounters* busiest(const std::vector<InputCounters>& stages) {
  const auto load = [](const InputCounters& stage) {
    const double all = stage.busy_seconds + stage.starved_seconds + stage.wait_seconds;
    return all > 0 ? stage.busy_seconds / all : 0;
  };
  const auto most = std::max_element(stages.begin(), stages.end(),
                                     [&](const InputCounters& a, const InputCounters& b) { return load(a) < load(b); });
  return most == stages.end() ? nullptr : &*most;
}

void say_input(const Measured& measured, const JobSpec& job, Verdict& verdict) {
  const InputCounters* const stage = busiest(measured.stages);
  if (stage == nullptr) return;
  verdict.stage = stage->name;
  const ImageSpec* const image = image_spec(job.data.train);
  verdict.at_most = 1 / (1 - verdict.input_share);
  if (stage->name == "read") {
    verdict.change = std::holds_alternative<ImageFolderData>(job.data.train)
                         ? "pack the files into tar shards, which are read in large pieces, or use a faster disk"
                         : "a faster disk, or one of this machine";
  } else if (image == nullptr) {
    verdict.change = is_streamed(job.data.train) ? "binary files instead of text, or smaller types in them"
                                                 : "a faster memory: samples are only copied";
  } else if (stage->name == "decode") {
    verdict.change = "store the images smaller: they are decoded anew in each epoch";
    if (static_cast<unsigned>(stage->threads) >= std::thread::hardware_concurrency()) {
      verdict.change += fmt::format("; {} threads decode already, as many as run at once here", stage->threads);
    }
  } else {
    verdict.change = "more cores, or fewer for the devices";
  }
}

void say_exchange(const JobSpec& job, const Plan& plan, Verdict& verdict) {
  const auto most = std::max_element(plan.links.begin(), plan.links.end(),
                                     [](const LinkBytes& a, const LinkBytes& b) { return a.bytes < b.bytes; });
  verdict.stage = most == plan.links.end()
                      ? "reading what other devices computed"
                      : "the link from " + plan.devices[most->from].name + " to " + plan.devices[most->to].name;
  verdict.at_most = 1 / (1 - verdict.exchange_share);
  if (plan.transfer_bytes() > plan.exchange_bytes()) {
    verdict.change =
        "a smaller parallel.split, where the model fits: what a group's devices bring each other grows with the batch";
  } else if (job.exchange.topology != Topology::automatic && most != plan.links.end()) {
    verdict.change = "exchange.topology: auto, which takes the fastest of all";
  } else if (job.exchange.content == Content::gradients) {
    verdict.change = "exchange.content: auto, which sends factors where they are smaller";
  } else {
    verdict.change = "a larger data.batch: what a step exchanges does not grow with it";
  }
}

// Whether one device makes the others wait.
bool say_straggler(const Measured& measured, const Plan& plan, Verdict& verdict) {
  const double all = measured.wait_seconds + measured.step_seconds;
  const auto slow = find_straggler(plan, measured.devices, measured.steps);
  if (!slow) return false;
  verdict.stage = plan.devices[slow->device].name;
  verdict.change = "find what slows " + verdict.stage + " down, or leave it out: the others wait for it";
  verdict.at_most = all / (all - slow->step_seconds * static_cast<double>(measured.steps));
  return true;
}

// Whether the job is in fp32, and is not refused in bf16.
bool may_be_bf16(const JobSpec& job, const Plan& plan) {
  return job.precision == Precision::fp32 && job.solver.rule.exchange == StateExchange::owner &&
         !(job.reproducible && plan.split > 1);
}

void say_compute(const Measured& measured, const JobSpec& job, const Network& network, const Plan& plan,
                 Verdict& verdict) {
  const auto layer = std::max_element(network.layers.begin(), network.layers.end(),
                                      [](const Layer& a, const Layer& b) { return a.forward_flops < b.forward_flops; });
  verdict.stage = layer->name;
  const bool real = plan.devices[0].name.starts_with("cpu");
  if (real && !job.reproducible && measured.device_cores < measured.cores) {
    verdict.change = fmt::format("more cores: the devices have {} of {}", measured.device_cores, measured.cores);
    const double saved = 1 - static_cast<double>(measured.device_cores) / measured.cores;
    verdict.at_most = 1 / (1 - verdict.compute_share * saved);
  } else if (may_be_bf16(job, plan)) {
    verdict.change = "precision: bf16 where the processor has instructions for it (hadal doctor), else more devices";
  } else {
    verdict.change = "more devices";
  }
}

// Not where nothing but what would go was measured.
bool knows_gain(const Verdict& verdict) { return verdict.at_most > 0 && std::isfinite(verdict.at_most); }

}  // namespace

Verdict judge(const Measured& measured) {
  Verdict verdict;
  const double all = measured.wait_seconds + measured.step_seconds;
  const auto longest =
      std::max_element(measured.devices.begin(), measured.devices.end(),
                       [](const DeviceUse& a, const DeviceUse& b) { return a.compute_seconds < b.compute_seconds; });
  if (all > 0) verdict.input_share = measured.wait_seconds / all;
  if (all > 0 && longest != measured.devices.end()) {
    verdict.exchange_share = std::min(longest->wait_seconds / all, 1 - verdict.input_share);
  }
  verdict.compute_share = 1 - verdict.input_share - verdict.exchange_share;
  const double others = std::max(verdict.compute_share, verdict.input_share);
  verdict.bound_by = verdict.exchange_share > others      ? "exchange"
                     : verdict.input_share >= kInputShare ? "input"
                                                          : "compute";
  return verdict;
}

Verdict judge(const Measured& measured, const JobSpec& job, const Network& network, const Plan& plan) {
  Verdict verdict = judge(measured);
  if (verdict.bound_by == "input") {
    say_input(measured, job, verdict);
  } else if (say_straggler(measured, plan, verdict)) {
    return verdict;
  } else if (verdict.bound_by == "exchange") {
    say_exchange(job, plan, verdict);
  } else {
    say_compute(measured, job, network, plan, verdict);
  }
  return verdict;
}

std::string describe(const Verdict& verdict) {
  const auto percent = [](double share) { return fmt::format("{:.0f} %", 100 * share); };
  std::string text = verdict.bound_by + "-bound: ";
  if (verdict.bound_by == "input") {
    text += fmt::format("devices wait for batches {} of the time, compute {}, exchange {}",
                        percent(verdict.input_share), percent(verdict.compute_share), percent(verdict.exchange_share));
  } else if (verdict.bound_by == "exchange") {
    text += fmt::format("devices wait for each other {} of the time, compute {}, wait for batches {}",
                        percent(verdict.exchange_share), percent(verdict.compute_share), percent(verdict.input_share));
  } else {
    text += fmt::format("devices compute {} of the time, exchange {}, wait for batches {}",
                        percent(verdict.compute_share), percent(verdict.exchange_share), percent(verdict.input_share));
  }
  if (!verdict.stage.empty()) text += "; most of it: " + verdict.stage;
  if (!verdict.change.empty()) text += "; what would help: " + verdict.change;
  if (knows_gain(verdict)) text += fmt::format(" (at most {:.1f} times as fast)", verdict.at_most);
  return text;
}

nlohmann::ordered_json to_json(const Verdict& verdict) {
  const auto short_number = [](double share) { return std::round(1e4 * share) / 1e4; };
  nlohmann::ordered_json json{{"bound_by", verdict.bound_by},
                              {"compute_share", short_number(verdict.compute_share)},
                              {"exchange_share", short_number(verdict.exchange_share)},
                              {"input_share", short_number(verdict.input_share)}};
  if (!verdict.stage.empty()) json["stage"] = verdict.stage;
  if (!verdict.change.empty()) json["change"] = verdict.change;
  if (knows_gain(verdict)) json["change_at_most"] = short_number(verdict.at_most);
  return json;
}

}  // namespace hadal
