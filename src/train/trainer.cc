#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/thousands.h"
#include "plan/json.h"
#include "train/first_bad_layer.h"
#include "train/host.h"
#include "train/trace_file.h"

namespace hadal {

using nlohmann::ordered_json;

namespace {

constexpr std::int64_t kWarmUpSteps = 5;  // not in samples_per_second

// A line of metrics.jsonl every so many steps: about twenty an epoch.
std::int64_t report_interval(std::int64_t steps_per_epoch) {
  return std::clamp<std::int64_t>(steps_per_epoch / 20, 1, 100);
}

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// The first key in which two identities of jobs differ.
std::string difference(const std::string& before, const std::string& now) {
  const auto patch =
      ordered_json::diff(ordered_json::parse(before, nullptr, false), ordered_json::parse(now, nullptr, false));
  if (patch.empty()) return "";
  std::string path = patch[0].value("path", "");
  std::replace(path.begin(), path.end(), '/', '.');
  return path.empty() ? "the job" : path.substr(1);
}

std::string epochs_in_words(std::int64_t epochs) {
  return epochs == 1 ? "an epoch" : std::to_string(epochs) + " epochs";
}

// State names[index] of a parameter, from a checkpoint of the same job. Where devices had states of their own, and
// those of now are not as many, their mean.
std::vector<float> state_of(const Checkpoint& checkpoint, const std::vector<std::string>& names, std::size_t index,
                            int parameter) {
  const auto& [first, of_first] = *checkpoint.states.begin();
  const bool by_device = first.starts_with("squares.");
  if (by_device == names[index].starts_with("squares.") && checkpoint.states.size() == names.size()) {
    return checkpoint.states.at(names[index])[parameter];
  }
  std::vector<float> mean(of_first[parameter].size());
  for (const auto& [name, values] : checkpoint.states) {
    for (std::size_t i = 0; i < mean.size(); ++i) {
      mean[i] += values[parameter][i] / static_cast<float>(checkpoint.states.size());
    }
  }
  return mean;
}

}  // namespace

// Some training steps in a row, with the waits for their batches; nothing else.
struct Trainer::Part {
  std::int64_t steps = 0, samples = 0;
  double wait_seconds = 0, step_seconds = 0;
  std::vector<DeviceUse> before;  // of the devices, when it began

  double seconds() const { return wait_seconds + step_seconds; }
  double samples_per_second() const { return static_cast<double>(samples) / std::max(seconds(), 1e-9); }
};

struct Trainer::Meter {
  std::int64_t steps = 0;
  Part all, warm, since_report;  // warm: without the first steps

  void count(std::int64_t rows, double wait, double duration) {
    ++steps;
    for (Part* part : {&all, &warm, &since_report}) {
      if (part == &warm && steps <= kWarmUpSteps) continue;
      ++part->steps;
      part->samples += rows;
      part->wait_seconds += wait;
      part->step_seconds += duration;
    }
  }
  // By what the last of the steps left.
  void prolong(double duration) {
    for (Part* part : {&all, &warm, &since_report}) part->step_seconds += part->samples > 0 ? duration : 0;
  }
  const Part& best() const { return warm.samples > 0 ? warm : all; }
  double samples_per_second() const { return best().samples_per_second(); }
};

Trainer::Trainer(const JobSpec& job, bool trace, const BackendMaker& backend_of)
    : job_(job), network_(build_network(job.network)) {
  if (network_.parameters.empty()) {
    throw ConfigError(job.network.where,
                      "the network has nothing to learn: it needs a conv or a fully_connected layer");
  }
  const std::int64_t classes = elements(network_.layers.back().output);
  train_ = open_data(job.data.train, data_options(job, network_.input, classes, Split::train));
  if (job.data.test) test_ = open_data(*job.data.test, data_options(job, network_.input, classes, Split::test));
  const std::int64_t batch = job.samples_per_step(), samples = train_->size();
  steps_per_epoch_ = (samples + batch - 1) / batch;
  std::vector<PlanKey> keys{{PlanMode::train, std::min(batch, samples)}, {PlanMode::train, samples % batch}};
  if (test_) {
    for (const PlanKey& key : evaluation_keys(job.data.batch, *test_)) keys.push_back(key);
  }
  RunnerOptions options;
  options.trace = trace;
  engine_ = std::make_unique<Engine>(job_, network_, keys, options, backend_of);
  engine_->initialise(job.seed);
}

Trainer::~Trainer() = default;

void Trainer::start_loader(std::int64_t epochs) {
  BatchLoaderOptions options;
  options.batch = job_.samples_per_step();
  options.seed = job_.seed;
  options.order = job_.data.order;
  options.epochs = epochs;
  options.first_epoch = position_.epoch;
  options.first_batch = position_.batch_in_epoch;
  loader_ = std::make_unique<BatchLoader>(*train_, options);
}

double Trainer::rate_of(std::int64_t step, std::int64_t epoch) const {
  return rate_at(job_.solver.rule.rate, epoch, position_.stalls) * job_.solver.warm_up.share(step);
}

namespace {

DataError diverged(std::uint64_t step, const std::string& where) {
  return DataError("training diverged at step " + std::to_string(step) + ": " + where +
                   "; a smaller rate or clip_norm may help");
}

}  // namespace

BatchResult Trainer::step(const StagedBatch& batch) {
  const double rate = rate_of(position_.step, position_.epoch);
  BatchResult result;
  try {
    result =
        engine_->run({PlanMode::train, batch.rows()}, batch.data(), static_cast<std::uint64_t>(position_.step), rate);
  } catch (const Diverged& error) {
    // Where the loss is bad, its step has updated no parameter: the layers can be computed again to find the first.
    std::string layer;
    try {
      if (error.in_loss()) layer = first_bad_layer(job_, engine_->runner(), batch.rows(), batch.data());
    } catch (const DeviceError&) {  // no memory for a second copy of everything
    }
    throw diverged(error.step(), layer.empty() ? error.what() : layer);
  }
  ++position_.step;
  if (const std::int64_t every = engine_->prediction().average_every; every > 0 && position_.step % every == 0) {
    settle();
    engine_->average_states(static_cast<std::uint64_t>(position_.step));
  }
  if (++position_.batch_in_epoch == steps_per_epoch_) {
    ++position_.epoch;
    position_.batch_in_epoch = 0;
  }
  position_.loss_sum += result.loss_sum;
  position_.loss_rows += result.rows;
  last_gradient_norm_ = result.gradient_norm;
  return result;
}

void Trainer::settle() {
  const auto start = Clock::now();
  try {
    engine_->settle();
  } catch (const Diverged& error) {
    throw diverged(error.step(), error.what());
  }
  settled_seconds_ += seconds(Clock::now() - start);
}

BatchResult Trainer::run_steps(std::int64_t count) {
  BatchResult sum;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!loader_) start_loader(std::numeric_limits<std::uint32_t>::max());
    const auto batch = loader_->next();
    HADAL_CHECK(batch.has_value());
    const BatchResult result = step(*batch);
    sum.loss_sum += result.loss_sum;
    sum.rows += result.rows;
    sum.correct += result.correct;
    sum.correct_top5 += result.correct_top5;
  }
  return sum;
}

// Returns whether there is a checkpoint to go on from.
bool Trainer::resume_from(const TrainOptions& options, const RunFolder& folder) {
  const auto found = load_newest_checkpoint(folder.checkpoints(), network_, options.notice);
  if (!found) return false;
  if (found->identity != identity(job_)) {
    throw ConfigError(options.out +
                      ": its checkpoint is of another job: " + difference(found->identity, identity(job_)) +
                      " differs; only devices, machine, groups, split, topology, deferred_layers, out and max-steps "
                      "may change on --resume");
  }
  if (const std::string& data = train_fingerprint(); found->data != data) {
    throw ConfigError(options.out + ": its checkpoint was trained on other data: " + found->data +
                      "; data.train now has " + data + ": give it its data again, or name another folder with --out");
  }
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    engine_->runner().write_parameter(p, found->parameters[p]);
    for (std::size_t s = 0; s < states().size() && network_.parameters[p].learned; ++s) {
      engine_->runner().write_state(p, s, state_of(*found, states(), s, p));
    }
  }
  position_ = found->position;
  options.notice("resuming " + options.out + " at step " + std::to_string(position_.step));
  return true;
}

void Trainer::init_from(const TrainOptions& options) {
  Values values;
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    values.push_back(engine_->runner().read_parameter(p));
  }
  const int taken = init_from_model(*options.init, network_, options.init_partial, values);
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    engine_->runner().write_parameter(p, values[p]);
  }
  options.notice("started from " + std::to_string(taken) + " parameters of " + *options.init);
}

// What an earlier run left in the folder makes room for this one.
void Trainer::clear(const TrainOptions& options, RunFolder& folder, bool resumes) {
  if (resumes) {
    std::error_code absent;  // they would call the run done
    std::filesystem::remove(folder.summary(), absent);
    std::filesystem::remove(folder.model(), absent);
    return;
  }
  const std::string kept = folder.start_anew(options.resume);
  if (options.resume) {
    options.notice(options.out + " has no checkpoint to resume from: starting anew" +
                   (kept.empty() ? "" : "; what was there is kept as " + kept));
  } else if (!kept.empty()) {
    options.notice("an unfinished run was in " + options.out + ": it is kept as " + kept +
                   " (--resume would continue it)");
  }
}

void Trainer::begin(const TrainOptions& options, RunFolder& folder, bool resumes) {
  clear(options, folder, resumes);
  for (const SampleSource* source : {train_.get(), test_.get()}) {
    if (source == nullptr) continue;
    for (const std::string& line : lines_of_left_out(source->skipped())) options.notice(line);
  }
  if (job_.samples_per_step() > train_->size()) {
    const std::string what = job_.solver.accumulate > 1 ? "data.batch x solver.accumulate" : "data.batch";
    options.notice(what + " is " + std::to_string(job_.samples_per_step()) + ", but there are " +
                   std::to_string(train_->size()) + " samples: each step takes them all");
  }
  const BoundPlan& bound = engine_->runner().bound(0);
  ordered_json plan = plan_to_json(bound.plan(), network_, bound.memory(), engine_->prediction());
  plan["steps"] = steps_to_json(bound.plan());
  // A folder with a job but no plan is not a run's (RunFolder::lock), so the plan comes first.
  write_file(folder.plan(), plan.dump(1) + "\n");
  write_file(folder.job(), to_yaml(job_));
}

// An update may overflow in the step before its loss shows it: that is never kept.
Values Trainer::finite_parameters() {
  settle();
  Values parameters;
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    parameters.push_back(engine_->runner().read_parameter(p));
    bool finite = all_finite(parameters.back());
    for (std::size_t s = 0; s < states().size(); ++s) finite = finite && all_finite(engine_->runner().read_state(p, s));
    if (finite) continue;
    throw diverged(static_cast<std::uint64_t>(position_.step) - 1,
                   "the first NaN or infinity is in the update of " + network_.parameters[p].name);
  }
  return parameters;
}

const std::string& Trainer::train_fingerprint() {
  if (train_fingerprint_.empty()) train_fingerprint_ = train_->fingerprint();
  return train_fingerprint_;
}

// Once of the first sample of each source, and at the end of how many there were.
void Trainer::tell_skipped(const TrainOptions& options, bool at_end) {
  const auto tell = [&](const SampleSource* source, const std::string& name, bool& told) {
    if (source == nullptr) return;
    const LeftOut skipped = source->skipped().samples;
    if (skipped.count == 0) return;
    if (!std::exchange(told, true)) {
      options.notice(name + ": bad samples are skipped, and others stand for them; the first: " + skipped.named.at(0));
    }
    if (at_end) {
      options.notice(fmt::format("{}: samples skipped in all: {}", name,
                                 with_thousands(static_cast<std::uint64_t>(skipped.count))));
      for (std::size_t i = 1; i < skipped.named.size(); ++i) options.notice("  also skipped: " + skipped.named[i]);
    }
  };
  tell(train_.get(), "data.train", told_of_train_);
  tell(test_.get(), "data.test", told_of_test_);
}

void Trainer::save(const TrainOptions& options) {
  Checkpoint checkpoint{position_, identity(job_), train_fingerprint(), finite_parameters(), {}};
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    for (std::size_t s = 0; s < states().size(); ++s) {
      checkpoint.states[states()[s]].push_back(engine_->runner().read_state(p, s));
    }
  }
  save_checkpoint(RunFolder(options.out).checkpoints(), network_, checkpoint, job_.checkpoint.keep);
}

template <class Read>
auto Trainer::reading(const TrainOptions& options, const Read& read) {
  try {
    return read();
  } catch (const DataError&) {
    if (position_.step > first_step_) save(options);
    throw;
  } catch (const std::bad_alloc&) {  // an image that is too large for this machine
    if (position_.step > first_step_) save(options);
    throw;
  }
}

void Trainer::report(const BatchResult& result, Meter& meter, MetricsLog& metrics, const TrainOptions& options) {
  const bool epoch_ended = position_.batch_in_epoch == 0;
  const std::int64_t steps = std::min(total_steps(), options.max_steps.value_or(total_steps()));
  const std::int64_t epoch = epoch_ended ? position_.epoch - 1 : position_.epoch;
  const double rate = rate_of(position_.step - 1, epoch);
  const double speed = meter.samples_per_second();
  const double left = static_cast<double>((steps - position_.step) * job_.samples_per_step()) / speed;
  options.progress({position_.step, steps, epoch, job_.solver.epochs, result.loss(), rate, speed, std::max(left, 0.0)});
  if (position_.batch_in_epoch % report_interval(steps_per_epoch_) != 0) return;
  ordered_json line{{"step", position_.step},
                    {"epoch", epoch},
                    {"loss", position_.loss_sum / static_cast<double>(position_.loss_rows)},
                    {"rate", rate},
                    {"samples_per_second", meter.since_report.samples_per_second()}};
  line["verdict"] = to_json(judge(measured(meter.since_report)));
  if (job_.solver.clip_norm) line["gradient_norm"] = last_gradient_norm_;
  position_.loss_sum = 0;
  position_.loss_rows = 0;
  meter.since_report = {};
  const bool is_tested = position_.epoch % job_.solver.test_every == 0 || position_.epoch == job_.solver.epochs;
  if (epoch_ended && test_ && is_tested) {
    settle();  // not while reading: what diverges there is not bad data
    const Evaluation evaluation = *reading(options, [this] { return test(); });
    if (!std::isfinite(evaluation.loss())) {
      finite_parameters();
      throw DataError("training diverged: the test loss after step " + std::to_string(position_.step) +
                      " is not a number; a smaller rate or clip_norm may help");
    }
    line["test_loss"] = evaluation.loss();
    line["test_accuracy"] = evaluation.accuracy();
    options.evaluated(epoch, evaluation);
    watch(evaluation.loss(), epoch, options);
  }
  metrics.write(line);
  meter.since_report.before = engine_->runner().use();
}

void Trainer::watch(double test_loss, std::int64_t epoch, const TrainOptions& options) {
  position_.stopping.take(test_loss, job_.solver.early_stopping.threshold);
  const auto* plateau = std::get_if<PlateauRate>(&job_.solver.rule.rate);
  if (plateau == nullptr) return;
  position_.plateau.take(test_loss, plateau->threshold);
  if (position_.plateau.epochs <= plateau->patience) return;
  position_.plateau.epochs = 0;
  ++position_.stalls;
  options.notice(fmt::format(
      "epoch {}: for {} the test loss has not been below the best by {:.3g} %: the rate is now {:.4g}", epoch + 1,
      epochs_in_words(plateau->patience + 1), 100 * plateau->threshold, rate_at(*plateau, epoch, position_.stalls)));
}

std::optional<Straggler> Trainer::straggler() const {
  return find_straggler(engine_->runner().plan(0), engine_->runner().use(), position_.step - first_step_);
}

Measured Trainer::measured(const Part& part) const {
  Measured measured{.steps = part.steps, .wait_seconds = part.wait_seconds, .step_seconds = part.step_seconds};
  measured.devices = engine_->runner().use();
  for (std::size_t d = 0; d < part.before.size(); ++d) {
    measured.devices[d].compute_seconds -= part.before[d].compute_seconds;
    measured.devices[d].load_seconds -= part.before[d].load_seconds;
    measured.devices[d].wait_seconds -= part.before[d].wait_seconds;
  }
  if (loader_) measured.stages = loader_->stages();
  return measured;
}

Verdict Trainer::verdict(const Meter& meter) const {
  Measured measured = this->measured(meter.best());
  measured.cores = describe_host().cores;
  measured.device_cores = threads_of_each_device(job_) * static_cast<int>(job_.parallel.devices.size());
  return judge(measured, job_, network_, engine_->runner().plan(0));
}

bool Trainer::has_stalled() const {
  const EarlyStopping& stopping = job_.solver.early_stopping;
  return stopping.patience > 0 && position_.stopping.epochs >= stopping.patience;
}

std::optional<Evaluation> Trainer::test() {
  if (!test_) return std::nullopt;
  if (!tested_ || tested_at_ != position_.step) {
    settle();
    tested_ = evaluate(*engine_, *test_, job_.data.batch);
    tested_at_ = position_.step;
  }
  return tested_;
}

ordered_json Trainer::run(const TrainOptions& options) {
  RunFolder folder(options.out);
  folder.lock();
  const bool resumes = options.resume && resume_from(options, folder);
  if (options.init && position_.step > 0) {
    options.notice("the run goes on from its checkpoint, not from " + *options.init);
  } else if (options.init) {
    init_from(options);
  }
  if (!options.trace.empty()) check_writable(options.trace);  // better to fail now than after the training
  const std::int64_t last = std::min(total_steps(), options.max_steps.value_or(total_steps()));
  std::int64_t saved = position_.step;
  first_step_ = position_.step;
  // An earlier run is not touched before this one has all that it needs for its first step.
  auto asked = Clock::now();
  std::optional<StagedBatch> first;
  if (position_.step < last && !has_stalled()) {
    start_loader(job_.solver.epochs);
    first.emplace(*loader_->next());
  }
  begin(options, folder, resumes);
  MetricsLog metrics(folder.metrics(), position_.step);
  Meter meter;
  try {
    while (position_.step < last && !has_stalled()) {
      if (options.stop && options.stop->load()) {
        settle();
        throw Stopped("");
      }
      if (meter.steps > 0) asked = Clock::now();
      const std::optional<StagedBatch> read =
          first ? std::nullopt : reading(options, [this] { return loader_->next(); });
      HADAL_CHECK(first || read);
      const auto start = Clock::now();
      const BatchResult result = step(first ? *first : *read);
      first.reset();
      const double settled = std::exchange(settled_seconds_, 0);
      meter.count(result.rows, seconds(start - asked), seconds(Clock::now() - start) + settled);
      if (meter.steps == kWarmUpSteps) meter.warm.before = engine_->runner().use();
      report(result, meter, metrics, options);
      if (options.tell != nullptr && options.tell->exchange(false)) {
        options.notice(fmt::format("step {}: {}", position_.step, describe(verdict(meter))));
      }
      if (job_.data.on_bad_sample == BadSample::skip) tell_skipped(options, false);
      if (job_.checkpoint.every_steps > 0 && position_.step % job_.checkpoint.every_steps == 0) {
        save(options);
        saved = position_.step;
      }
    }
    settle();
    meter.prolong(std::exchange(settled_seconds_, 0));
  } catch (const Stopped&) {
    meter.prolong(std::exchange(settled_seconds_, 0));
    save(options);
    tell_skipped(options, true);
    write_file(folder.summary(), summary(meter, std::nullopt, "").dump(2) + "\n");
    end_trace(options);
    throw Stopped("stopped at step " + std::to_string(position_.step) + " of " + std::to_string(last) +
                  "; the same command with --resume goes on from there");
  } catch (...) {
    try {
      end_trace(options);
    } catch (const Error& error) {
      options.notice(error.what());
    }
    throw;
  }
  if (has_stalled() && position_.step < last) {
    options.notice(fmt::format(
        "stopped early, after epoch {}: for {} the test loss has not been below the best by {:.3g} %", position_.epoch,
        epochs_in_words(position_.stopping.epochs), 100 * job_.solver.early_stopping.threshold));
  }
  if (saved != position_.step && (job_.checkpoint.every_steps > 0 || position_.step < total_steps())) save(options);

  if (const auto slow = straggler()) options.notice(describe(*slow, engine_->runner().plan(0)));
  if (meter.steps > 0) options.judged(verdict(meter));
  const Values parameters = finite_parameters();
  const std::optional<Evaluation> tested = test();
  tell_skipped(options, true);
  const ImageSpec* image = job_.data.test ? image_spec(*job_.data.test) : nullptr;
  if (image == nullptr) image = image_spec(job_.data.train);
  const std::string sha256 = save_model(folder.model(), job_.network, network_, parameters, image);
  ordered_json result = summary(meter, tested, sha256);
  write_file(folder.summary(), result.dump(2) + "\n");
  end_trace(options);
  return result;
}

void Trainer::end_trace(const TrainOptions& options) const {
  if (options.trace.empty()) return;
  if (engine_->runner().trace_is_full()) {
    options.notice(options.trace + ": holds the first steps only: a timeline has room for " +
                   std::to_string(engine_->runner().trace().size()) + " events");
  }
  write_trace(options.trace, engine_->runner());
}

ordered_json Trainer::summary(const Meter& meter, const std::optional<Evaluation>& tested,
                              const std::string& sha256) const {
  const Plan& plan = engine_->runner().plan(0);
  ordered_json json{{"job", job_.name}, {"status", sha256.empty() ? "stopped" : "done"}, {"steps", position_.step}};
  json["total_steps"] = total_steps();
  if (!sha256.empty() && has_stalled() && position_.step < total_steps()) json["stopped_early"] = true;
  json["samples"] = position_.epoch * train_->size() + position_.batch_in_epoch * job_.samples_per_step();
  json["train_seconds"] = meter.all.seconds();
  if (meter.steps > 0) json["samples_per_second"] = meter.samples_per_second();
  if (tested) json["test"] = to_json(*tested);
  if (!sha256.empty()) json["model_sha256"] = sha256;

  const InputCounters input = loader_ ? loader_->counters() : InputCounters{};
  const std::vector<DeviceUse> uses = engine_->runner().use();
  json["devices"] = ordered_json::array();
  for (std::size_t d = 0; d < uses.size(); ++d) {
    json["devices"].push_back({{"name", plan.devices[d].name},
                               {"peak_bytes", uses[d].arena_bytes},
                               {"parameter_bytes", uses[d].memory.parameters},
                               {"state_bytes", uses[d].memory.state},
                               {"gradient_bytes", uses[d].memory.gradients},
                               {"activation_bytes", uses[d].memory.activations},
                               {"scratch_bytes", uses[d].memory.scratch},
                               {"input_bytes_per_step", plan.load_bytes[d]},
                               {"compute_seconds", uses[d].compute_seconds},
                               {"load_seconds", uses[d].load_seconds},
                               {"exchange_wait_seconds", uses[d].wait_seconds},
                               {"input_wait_seconds", input.consumer_wait_seconds}});
  }
  const auto groups = static_cast<int>(plan.devices.size()) / plan.split;
  json["parallel"] = {{"groups", groups}, {"split", plan.split}};
  json["parallel"]["split_is_auto"] = engine_->prediction().automatic_split;
  json["parallel"]["kept_whole"] = ordered_json::array();
  for (const int layer : plan.whole) json["parallel"]["kept_whole"].push_back(network_.layers[layer].name);
  if (const auto slow = straggler()) {
    json["straggler"] = {{"device", plan.devices[slow->device].name},
                         {"slowdown", slow->slowdown},
                         {"step_seconds", slow->step_seconds}};
  }
  if (meter.steps > 0) json["verdict"] = to_json(verdict(meter));
  ordered_json links = ordered_json::array();
  for (const LinkBytes& link : plan.links) {
    links.push_back(
        {{"from", plan.devices[link.from].name}, {"to", plan.devices[link.to].name}, {"bytes_per_step", link.bytes}});
  }
  json["exchange"] = {{"bytes_per_step", plan.exchange_bytes()},
                      {"transfer_bytes_per_step", plan.transfer_bytes()},
                      {"copied_bytes", engine_->runner().copied_bytes()},
                      {"remote_read_bytes_per_step", plan.remote_read_bytes},
                      {"state_bytes_per_step", engine_->prediction().state_bytes_per_step()},
                      {"waits_per_step", plan.waits()},
                      {"links", links}};
  json["input"] = {{"stages", ordered_json::array()}};
  for (const InputCounters& stage : loader_ ? loader_->stages() : std::vector{input}) {
    json["input"]["stages"].push_back({{"name", stage.name},
                                       {"threads", stage.threads},
                                       {"samples", stage.samples},
                                       {"busy_seconds", stage.busy_seconds},
                                       {"starved_seconds", stage.starved_seconds},
                                       {"wait_seconds", stage.wait_seconds},
                                       {"queue_mean", stage.queue_mean}});
  }
  if (job_.data.on_bad_sample == BadSample::skip) {
    const Skipped skipped = train_->skipped();
    json["input"]["skipped_samples"] = skipped.samples.count;
    json["input"]["skipped_files"] = skipped.files.count;
    json["input"]["incomplete_samples"] = skipped.incomplete.count;
  }
  return json;
}

}  // namespace hadal
