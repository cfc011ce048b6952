#pragma once
// Trains a job from its first or last known step to its end.

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "data/batch_loader.h"
#include "train/checkpoint.h"
#include "train/engine.h"
#include "train/evaluate.h"
#include "train/run_folder.h"
#include "train/straggler.h"
#include "train/verdict.h"

namespace hadal {

struct TrainProgress {
  std::int64_t step = 0, steps = 0, epoch = 0, epochs = 0;
  double loss = 0, rate = 0, samples_per_second = 0, seconds_left = 0;
};

struct TrainOptions {
  std::string out;  // the run's folder
  bool resume = false;
  std::optional<std::string> init;  // start from these parameters
  bool init_partial = false;
  std::optional<std::int64_t> max_steps;
  std::string trace;                                                                 // file, or empty
  std::function<void(const TrainProgress&)> progress = [](const TrainProgress&) {};  // each step
  std::function<void(std::int64_t epoch, const Evaluation&)> evaluated = [](std::int64_t, const Evaluation&) {};
  std::function<void(const std::string&)> notice = [](const std::string&) {};  // one line each
  std::function<void(const Verdict&)> judged = [](const Verdict&) {};          // at the end: what limited the run
  const std::atomic<bool>* stop = nullptr;  // set from anywhere: finish the step, write a checkpoint, throw Stopped
  std::atomic<bool>* tell = nullptr;        // set from anywhere: a notice, after the step, of what limits the run
};

// Whether steps may be timed and counted without a folder: `bench` and tests use run_steps() alone.
class Trainer {
 public:
  // Opens the data and binds the plans. Throws ConfigError, DataError or DeviceError where the job cannot run.
  explicit Trainer(const JobSpec& job, bool trace = false, const BackendMaker& backend_of = make_backend);
  ~Trainer();

  // The whole run, with its folder: returns summary.json. Throws Stopped on options.stop after writing a checkpoint,
  // DataError when the loss is not a number (the last checkpoint stays), StorageError when the folder cannot be
  // written.
  nlohmann::ordered_json run(const TrainOptions& options);

  // `count` further steps, wrapping around epochs, with nothing written: for measurements. Returns their results
  // together.
  BatchResult run_steps(std::int64_t count);

  Engine& engine() { return *engine_; }
  const Network& network() const { return network_; }
  std::int64_t total_steps() const { return steps_per_epoch_ * job_.solver.epochs; }

 private:
  struct Meter;

  void begin(const TrainOptions& options, RunFolder& folder, bool resumes);
  void clear(const TrainOptions& options, RunFolder& folder, bool resumes);
  bool resume_from(const TrainOptions& options, const RunFolder& folder);
  void init_from(const TrainOptions& options);
  void start_loader(std::int64_t epochs);
  BatchResult step(const StagedBatch& batch);
  void report(const BatchResult& result, Meter& meter, MetricsLog& metrics, const TrainOptions& options);
  void save(const TrainOptions& options);
  // Of data that are read while it trains: where they are bad, what was trained so far is saved before the error goes
  // on.
  template <class Read>
  auto reading(const TrainOptions& options, const Read& read);
  void tell_skipped(const TrainOptions& options, bool at_end);
  void end_trace(const TrainOptions& options) const;
  const std::string& train_fingerprint();  // made when it is first asked for: it reads files, or every label
  void settle();                           // engine_'s, timed, told as divergence is
  Values finite_parameters();
  double rate_of(std::int64_t step, std::int64_t epoch) const;                                  // `step` counts from 0
  std::vector<std::string> states() const { return engine_->states(job_.solver.rule.update); }  // of each parameter
  std::optional<Evaluation> test();
  void watch(double test_loss, std::int64_t epoch, const TrainOptions& options);
  std::optional<Straggler> straggler() const;
  struct Part;
  Measured measured(const Part& part) const;
  Verdict verdict(const Meter& meter) const;
  bool has_stalled() const;  // for so long that early stopping ends the run
  nlohmann::ordered_json summary(const Meter& meter, const std::optional<Evaluation>& test,
                                 const std::string& sha256) const;

  JobSpec job_;
  Network network_;
  std::unique_ptr<SampleSource> train_, test_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<BatchLoader> loader_;
  std::int64_t steps_per_epoch_ = 0;
  TrainPosition position_;
  std::int64_t first_step_ = 0;  // of this process
  std::string train_fingerprint_;
  bool told_of_train_ = false, told_of_test_ = false;  // that samples are skipped
  double last_gradient_norm_ = 0;
  double settled_seconds_ = 0;  // since they were last counted as training
  std::optional<Evaluation> tested_;
  std::int64_t tested_at_ = 0;
};

}  // namespace hadal
