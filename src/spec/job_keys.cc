#include "spec/job_keys.h"

#include <type_traits>

#include "spec/data_keys.h"
#include "spec/network_keys.h"

namespace hadal {

namespace {

constexpr const char* kOfItsKeys = "of its keys";
constexpr WholeRange kEpochs{1, 1'000'000};
constexpr RealRange kRate{0, 1e6};

const auto kItself = [](auto& map) -> auto& { return map; };

// The name of the job is the name of its run's folder.
void read_job_name(const Value& value, const std::string& path, JobSpec& into) {
  constexpr std::size_t kLongest = 128;
  into.name = read_text(value, path);
  const auto is_alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool fits = std::all_of(into.name.begin(), into.name.end(),
                                [&](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
  if (!fits || !is_alnum(into.name[0]) || into.name.size() > kLongest || into.name.find("..") != std::string::npos) {
    throw ConfigError(value.where, path + ": " + shown(into.name) +
                                       " names no folder: a letter or digit, then letters, digits, '.', '_' or '-', no "
                                       "'..', at most 128 in all");
  }
}

// A row of an alternative of RateSchedule.
template <class Schedule>
Key<RateSchedule> schedule_row(const char* name, const Keys<Schedule>& keys, std::string meaning) {
  const auto held = [](auto& schedule) -> auto& { return std::get<Schedule>(schedule); };
  Key<RateSchedule> row = section<RateSchedule>(name, held, keys, "", std::move(meaning));
  row.read = [read = row.read](const Value& value, const std::string& path, RateSchedule& into) {
    into = Schedule{};
    read(value, path, into);
  };
  row.write = [write = row.write](const RateSchedule& from) -> std::optional<Json> {
    return std::holds_alternative<Schedule>(from) ? write(from) : std::nullopt;
  };
  return row;
}

Key<MultistepRate> at_epochs_key() {
  return {"at_epochs",
          "list of rising whole numbers",
          kRequired,
          "epochs at which the rate changes, counted from 0",
          [](const Value& value, const std::string& path, MultistepRate& into) {
            if (value.kind != Value::Kind::list || value.items.empty()) {
              throw ConfigError(value.where,
                                path + " must be a list of rising whole numbers, as [30, 60], not " + shown(value));
            }
            into.at_epochs.clear();
            for (const Value& item : value.items) {
              const std::int64_t epoch = read_whole(item, path, kEpochs);
              if (!into.at_epochs.empty() && epoch <= into.at_epochs.back()) {
                throw ConfigError(item.where, path + " must rise: " + item.text + " comes after " +
                                                  std::to_string(into.at_epochs.back()));
              }
              into.at_epochs.push_back(epoch);
            }
          },
          [](const MultistepRate& from) { return Json(from.at_epochs); }};
}

const Keys<RateSchedule>& rate_schedules() {
  const auto base = [](auto place) {
    using S = typename decltype(place)::type;
    return real<S>("base", &S::base, kRate, kRequired, "rate of the first epochs");
  };
  const auto factor = [](auto place, const char* fallback) {
    using S = typename decltype(place)::type;
    return real<S>("factor", &S::factor, kRate, fallback, "what the rate is multiplied by at each change");
  };
  const auto end = [](auto place) {
    using S = typename decltype(place)::type;
    return real<S>("end", &S::end, kRate, "0", "rate at the end of the way, and after it");
  };
  const auto epochs = [](auto place) {
    using S = typename decltype(place)::type;
    return whole<S>("epochs", &S::epochs, kEpochs, kRequired, "length of the way");
  };
  constexpr std::type_identity<StepRate> kStep;
  constexpr std::type_identity<MultistepRate> kMultistep;
  constexpr std::type_identity<ExponentialRate> kExponential;
  constexpr std::type_identity<PolynomialRate> kPolynomial;
  constexpr std::type_identity<CosineRate> kCosine;
  constexpr std::type_identity<PlateauRate> kPlateau;
  static const Keys<RateSchedule> kSchedules = {
      schedule_row<StepRate>(
          "step",
          {base(kStep),
           whole<StepRate>("every_epochs", &StepRate::every_epochs, kEpochs, kRequired, "epochs between two changes"),
           factor(kStep, "0.1")},
          "a rate that falls in steps"),
      schedule_row<MultistepRate>("multistep", {base(kMultistep), at_epochs_key(), factor(kMultistep, "0.1")},
                                  "a rate that falls at given epochs"),
      schedule_row<ExponentialRate>("exponential", {base(kExponential), factor(kExponential, "0.9")},
                                    "a rate that falls at each epoch"),
      schedule_row<PolynomialRate>(
          "polynomial",
          {base(kPolynomial), end(kPolynomial), epochs(kPolynomial),
           real<PolynomialRate>("power", &PolynomialRate::power, {.most = 100, .above_least = true}, "1",
                                "1: along a straight line")},
          "a rate that falls along a power"),
      schedule_row<CosineRate>("cosine", {base(kCosine), end(kCosine), epochs(kCosine)},
                               "a rate that falls along half a cosine"),
      schedule_row<PlateauRate>(
          "plateau",
          {base(kPlateau),
           real<PlateauRate>("factor", &PlateauRate::factor, {.most = 1, .below_most = true}, "0.5",
                             "what the rate is multiplied by at each change"),
           whole<PlateauRate>("patience", &PlateauRate::patience, {0, 1'000'000}, "0",
                              "epochs that it waits for a better loss before it falls"),
           real<PlateauRate>("threshold", &PlateauRate::threshold, {.most = 1, .below_most = true}, "0.001",
                             "share by which a loss must be below the best to be better")},
          "a rate that falls where the loss of `data.test` no longer does"),
  };
  return kSchedules;
}

Key<RuleSpec> rate_key() {
  return {"rate",
          describe(kRate) + ", or a schedule",
          kRequired,
          "learning rate; a number is constant",
          [](const Value& value, const std::string& path, RuleSpec& into) {
            into.rate_where = value.where;
            if (value.kind == Value::Kind::map) {
              read_one_of(value, path, "rate schedule", rate_schedules(), into.rate);
            } else {
              into.rate = ConstantRate{read_double(value, path, kRate)};
            }
          },
          [](const RuleSpec& from) {
            const auto* constant = std::get_if<ConstantRate>(&from.rate);
            return constant ? number_json(constant->base) : write_map(rate_schedules(), from.rate);
          },
          list_keys(rate_schedules())};
}

// A row of a rule whose other keys are those of its update; `defaults`: their values where a job does not give them.
Key<RuleSpec> rule_row(UpdateRule defaults, const Keys<UpdateRule>& update_keys, std::string meaning,
                       const Keys<RuleSpec>& more = {}) {
  Keys<RuleSpec> keys{rate_key()};
  if (defaults.kind != RuleKind::sgd) keys[0].below.clear();  // listed once
  for (const Key<UpdateRule>& key : update_keys) {
    keys.push_back({key.name, key.type, key.fallback, key.meaning,
                    [read = key.read](const Value& value, const std::string& path, RuleSpec& into) {
                      read(value, path, into.update);
                    },
                    [write = key.write](const RuleSpec& from) { return write(from.update); }});
  }
  keys.insert(keys.end(), more.begin(), more.end());
  Key<RuleSpec> row = section<RuleSpec>(to_string(defaults.kind), kItself, keys, "", std::move(meaning));
  row.read = [=, read = row.read](const Value& value, const std::string& path, RuleSpec& into) {
    into.update = defaults;
    read(value, path, into);
  };
  row.write = [=, write = row.write](const RuleSpec& from) -> std::optional<Json> {
    return from.update.kind == defaults.kind ? write(from) : std::nullopt;
  };
  return row;
}

const Keys<RuleSpec>& rules() {
  using U = UpdateRule;
  using R = RuleSpec;
  constexpr RealRange kShare{.most = 1, .below_most = true};
  constexpr RealRange kEpsilon{.most = 1, .above_least = true};
  const auto momentum = [=](const char* fallback, const char* meaning) {
    return real<U>("momentum", &U::momentum, kShare, fallback, meaning);
  };
  const auto epsilon = [=](const char* fallback) {
    return real<U>("epsilon", &U::epsilon, kEpsilon, fallback, "added to the root that the step is divided by");
  };
  const auto beta = [=](const char* name, double U::*place, const char* fallback, const char* of) {
    return real<U>(name, place, kShare, fallback, std::string("how much of the mean of ") + of + " stays at each step");
  };
  const auto decay = real<U>("weight_decay", &U::weight_decay, kRate, "0", "adds `weight_decay w` to the gradient");
  const auto decoupled = real<U>("weight_decay", &U::weight_decay, kRate, "0.01", "first `w -= rate weight_decay w`");
  const auto mean = beta("beta1", &U::beta1, "0.9", "gradients"),
             squares = beta("beta2", &U::beta2, "0.999", "squares");
  static const Keys<RuleSpec> kRules = {
      rule_row({RuleKind::sgd}, {momentum("0", "`v = momentum v + g; w -= rate v`"), decay},
               "stochastic gradient descent"),
      rule_row({RuleKind::nesterov, 0.9}, {momentum("0.9", "`v = momentum v + g; w -= rate (g + momentum v)`"), decay},
               "the same with Nesterov's momentum"),
      rule_row({.kind = RuleKind::adagrad, .epsilon = 1e-10}, {epsilon("1e-10"), decay},
               "`s += g g; w -= rate g / (sqrt(s) + epsilon)`",
               {at(&R::exchange_where,
                   choice<R, StateExchange>("exchange", &R::exchange,
                                            {{"owner", StateExchange::owner},
                                             {"approximate", StateExchange::approximate},
                                             {"full", StateExchange::full}},
                                            "owner",
                                            "where the sums of squares are: with the owner of each parameter; or on "
                                            "each device, of its own rows, averaged now and then or after each step")),
                whole<R>("average_every", &R::average_every, {1, 1'000'000}, "10",
                         "steps between two averages of `approximate`")}),
      rule_row({.kind = RuleKind::rmsprop, .beta2 = 0.99, .epsilon = 1e-8},
               {beta("alpha", &U::beta2, "0.99", "squares"), epsilon("1e-8"), momentum("0", "of the scaled gradients"),
                decay},
               "as adagrad, by a moving mean of squares"),
      rule_row({.kind = RuleKind::adam, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
               {mean, squares, epsilon("1e-8"), decay},
               "moving means of gradients and squares, corrected for their start"),
      rule_row({.kind = RuleKind::adamw, .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
               {mean, squares, epsilon("1e-8"), decoupled}, "adam with decay apart from the gradient"),
  };
  return kRules;
}

Key<SolverSpec> clip_norm_key() {
  constexpr RealRange kRange{.most = 1e9, .above_least = true};
  return {"clip_norm",
          "none, or a " + describe(kRange),
          "none",
          "scales the gradients down where the norm of all together is larger",
          [=](const Value& value, const std::string& path, SolverSpec& into) {
            if (is_number(value)) {
              into.clip_norm = read_double(value, path, kRange);
            } else if (value.kind == Value::Kind::scalar && value.text == "none") {
              into.clip_norm.reset();
            } else {
              throw ConfigError(value.where,
                                path + " must be none, or a " + describe(kRange) + ", not " + shown(value));
            }
          },
          [](const SolverSpec& from) { return from.clip_norm ? number_json(*from.clip_norm) : Json("none"); }};
}

Keys<SolverSpec> solver_keys() {
  using S = SolverSpec;
  return {
      whole<S>("epochs", &S::epochs, kEpochs, "1", "times that every sample is seen"),
      {"rule", "update rule", kRequired, "how gradients change the parameters",
       [](const Value& value, const std::string& path, S& into) {
         read_one_of(value, path, "rule", rules(), into.rule);
       },
       [](const S& from) { return write_map(rules(), from.rule); }, list_keys(rules())},
      section<S>(
          "warm_up", [](auto& solver) -> auto& { return solver.warm_up; },
          Keys<WarmUp>{
              whole<WarmUp>("steps", &WarmUp::steps, {0, 1'000'000'000}, "0",
                            "first steps, whose rate grows evenly to that of the schedule; 0: none"),
              real<WarmUp>("from", &WarmUp::from, {.most = 1}, "0", "share of the rate that it grows from"),
          },
          "of its keys", "a slow start"),
      section<S>(
          "early_stopping", [](auto& solver) -> auto& { return solver.early_stopping; },
          Keys<EarlyStopping>{
              whole<EarlyStopping>("patience", &EarlyStopping::patience, {0, 1'000'000}, "0",
                                   "epochs without a better loss of `data.test` that end the run; 0: it goes on"),
              real<EarlyStopping>("threshold", &EarlyStopping::threshold, {.most = 1, .below_most = true}, "0",
                                  "share by which a loss must be below the best to be better"),
          },
          "of its keys", "an end before the last epoch"),
      at(&S::test_every_where, whole<S>("test_every", &S::test_every, {1, 1'000'000}, "1",
                                        "epochs between two evaluations on `data.test`; one follows the last epoch")),
      at(&S::accumulate_where, whole<S>("accumulate", &S::accumulate, {1, 1024}, "1",
                                        "batches of a step: they are computed one after the other, for one update")),
      clip_norm_key(),
  };
}

Keys<CheckpointSpec> checkpoint_keys() {
  using C = CheckpointSpec;
  return {
      whole<C>("every_steps", &C::every_steps, {0, 1'000'000'000}, "1000", "steps between two checkpoints; 0: none"),
      whole<C>("keep", &C::keep, {1, 1'000'000}, "3", "how many of the newest stay"),
  };
}

// "cpu:0" or "fake:12": its kind.
std::string device_kind(const Value& value, const std::string& path) {
  const std::string name = read_text(value, path);
  const std::size_t colon = name.find(':');
  std::string kind = name.substr(0, colon);
  Value index{
      .kind = Value::Kind::scalar, .where = value.where, .text = colon < name.size() ? name.substr(colon + 1) : ""};
  const bool fits = (kind == "cpu" || kind == "fake") && is_number(index);
  if (!fits) {
    throw ConfigError(value.where,
                      path + ": there is no device " + shown(name) + "; devices are cpu:0, cpu:1, ... or fake:0, ...");
  }
  read_whole(index, "the number of device " + shown(name), {0, 1023});
  return kind;
}

void read_devices(const Value& value, const std::string& path, ParallelSpec& into) {
  if (value.kind != Value::Kind::list || value.items.empty()) {
    throw ConfigError(value.where, path + " must be a list of devices, as [cpu:0, cpu:1]");
  }
  into.devices.clear();
  for (const Value& item : value.items) {
    if (device_kind(item, path) != device_kind(value.items[0], path)) {
      throw ConfigError(
          item.where, path + ": " + item.text + " and " + value.items[0].text + " are of two kinds; a job runs on one");
    }
    if (std::find(into.devices.begin(), into.devices.end(), item.text) != into.devices.end()) {
      throw ConfigError(item.where, path + ": " + item.text + " stands here twice");
    }
    into.devices.push_back(item.text);
  }
}

Keys<ParallelSpec> parallel_keys() {
  using P = ParallelSpec;
  constexpr WholeRange kParts{1, 1024};
  return {
      {"devices", "list of devices", "[cpu:0]", "`cpu:N` or `fake:N`, N from 0 to 1023, all of one kind", read_devices,
       [](const P& from) { return Json(from.devices); }},
      {"groups", describe(kParts), "devices / split",
       "worker groups, each with its part of the batch; groups x split is the number of devices",
       [=](const Value& value, const std::string& path, P& into) {
         into.groups = static_cast<std::int64_t>(read_whole(value, path, kParts));
         into.where = value.where;
       },
       [](const P& from) -> std::optional<Json> {
         if (from.automatic_split && !from.groups) return std::nullopt;
         return Json(from.group_count());
       }},
      {"split", "auto or " + describe(kParts), "1, or devices / groups",
       "devices of a group, which hold one model together: each computes a part of its layers; `auto`: what is "
       "predicted to be the fastest",
       [=](const Value& value, const std::string& path, P& into) {
         into.split_where = value.where;
         into.split_said = true;
         into.automatic_split = value.kind == Value::Kind::scalar && value.text == "auto";
         if (is_number(value)) {
           into.split = static_cast<std::int64_t>(read_whole(value, path, kParts));
         } else if (!into.automatic_split) {
           throw ConfigError(value.where, path + " must be auto or a " + describe(kParts) + ", not " + shown(value) +
                                              did_you_mean(value.text, {"auto"}));
         }
       },
       [](const P& from) { return from.automatic_split ? Json("auto") : Json(from.split); }},
      {"machine", "file, or none", "none",
       "the devices and links that plans are made for, and that fake devices keep to: see machine.md",
       [](const Value& value, const std::string& path, P& into) {
         const std::string file = read_text(value, path);
         into.machine = file == "none" ? std::nullopt : std::optional(file);
         into.machine_where = value.where;
       },
       [](const P& from) { return Json(from.machine.value_or("none")); }},
  };
}

Keys<ExchangeSpec> exchange_keys() {
  using E = ExchangeSpec;
  constexpr WholeRange kDeferred{0, 1024};
  return {
      at(&E::topology_where,
         choice<E, Topology>(
             "topology", &E::topology,
             {{"auto", Topology::automatic},
              {"shared", Topology::shared},
              {"direct", Topology::direct},
              {"line", Topology::line},
              {"tree", Topology::tree},
              {"ring", Topology::ring}},
             "auto", "how gradients and parameters travel: read where they lie, or sent from device to device")),
      at(&E::content_where,
         choice<E, Content>(
             "content", &E::content,
             {{"auto", Content::automatic}, {"gradients", Content::gradients}, {"factors", Content::factors}}, "auto",
             "what travels to the owner of a fully-connected layer: its gradients, or the inputs and output gradients "
             "they are the product of")),
      {"deferred_layers", "auto or " + describe(kDeferred), "auto",
       "layers, from the first, whose exchange is left to the next step, where each is done before its own forward "
       "pass",
       [=](const Value& value, const std::string& path, E& into) {
         into.deferred_where = value.where;
         if (is_number(value)) {
           into.deferred_layers = static_cast<std::int64_t>(read_whole(value, path, kDeferred));
         } else if (value.kind == Value::Kind::scalar && value.text == "auto") {
           into.deferred_layers.reset();
         } else {
           throw ConfigError(value.where, path + " must be auto or a " + describe(kDeferred) + ", not " + shown(value));
         }
       },
       [](const E& from) { return from.deferred_layers ? Json(*from.deferred_layers) : Json("auto"); }},
  };
}

Keys<MemorySpec> memory_keys() {
  using M = MemorySpec;
  return {
      {"limit", "size, as 900 MB, or none", "none",
       "most memory of a device, its parameters included: what does not fit is refused before anything starts",
       [](const Value& value, const std::string& path, M& into) {
         into.limit_where = value.where;
         into.limit = value.kind == Value::Kind::scalar && value.text == "none" ? std::nullopt
                                                                                : std::optional(read_size(value, path));
       },
       [](const M& from) { return from.limit ? Json(size_text(*from.limit)) : Json("none"); }},
      choice<M, Recompute>(
          "recompute", &M::recompute,
          {{"auto", Recompute::automatic}, {"never", Recompute::never}, {"always", Recompute::always}}, "auto",
          "whether backward computes values again rather than that they are kept since forward: as far as a device "
          "could not hold them; never; or always where that is cheap"),
  };
}

Key<JobSpec> reproducible_key() {
  using R = ReproducibleSpec;
  const Keys<R> keys = {
      whole<R>("shards", &R::shards, {1, 1024}, "12", "parts of the batch that sums over samples are made of"),
      whole<R>("chunks", &R::chunks, {1, 64}, "4",
               "parts of the channels that sums over channels are made of; without effect until models are split"),
  };
  return {"reproducible",
          "true, false or a map",
          "false",
          "the same model, bit for bit, on any number of devices; `true` is a map with its defaults",
          [=](const Value& value, const std::string& path, JobSpec& into) {
            into.reproducible.reset();
            if (value.kind == Value::Kind::map) {
              read_map(value, path, keys, into.reproducible.emplace());
            } else if (read_bool(value, path)) {
              into.reproducible.emplace();
            }
          },
          [=](const JobSpec& from) { return from.reproducible ? write_map(keys, *from.reproducible) : Json(false); },
          list_keys(keys)};
}

}  // namespace

const Keys<JobSpec>& job_table() {
  using J = JobSpec;
  static const Keys<J> kTable = {
      {"name", "text", kRequired, "name of the job, and of its folder under `runs/`", read_job_name,
       [](const J& from) { return Json(from.name); }},
      whole<J>("seed", &J::seed, {0, UINT64_MAX}, "1", "what every random number follows from"),
      section<J>("network", &J::network, network_keys(), kRequired, "the layers"),
      section<J>("data", &J::data, data_keys(), kRequired, "the samples"),
      section<J>("solver", &J::solver, solver_keys(), kRequired, "how long and by which rule it is trained"),
      section<J>("checkpoint", &J::checkpoint, checkpoint_keys(), kOfItsKeys, "what is kept while it is trained"),
      section<J>("parallel", &J::parallel, parallel_keys(), kOfItsKeys, "the devices"),
      section<J>("exchange", &J::exchange, exchange_keys(), kOfItsKeys,
                 "how devices exchange gradients and parameters"),
      reproducible_key(),
      choice<J, BackendKind>(
          "backend", &J::backend,
          {{"auto", BackendKind::automatic}, {"cpu", BackendKind::cpu}, {"reference", BackendKind::reference}}, "auto",
          "whose kernels run; `reference` is plain loops, slow"),
      choice<J, Precision>("precision", &J::precision, {{"fp32", Precision::fp32}, {"bf16", Precision::bf16}}, "fp32",
                           "numbers between layers, and in their products; sums and parameters are fp32"),
      section<J>("memory", &J::memory, memory_keys(), kOfItsKeys, "how the memory of the devices is used"),
  };
  return kTable;
}

std::vector<KeyInfo> job_keys() {
  std::vector<KeyInfo> list = list_keys(job_table());
  const std::vector<KeyInfo> of_layers = layer_key_list();
  list.insert(list.end(), of_layers.begin(), of_layers.end());
  return list;
}

}  // namespace hadal
