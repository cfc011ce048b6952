#pragma once
// A trained network as an acoustic model: the posteriors of the states, divided by how frequent these are (Bourlard and
// Morgan, "Connectionist speech recognition", 1994).

#include <memory>
#include <string>
#include <vector>

#include "spec/job.h"
#include "speech/acoustic_model.h"
#include "train/trained_model.h"

namespace hadal {

// What a network's folder has beside the network: priors.json.
struct NetworkInput {
  std::int64_t feature_dim = 0;
  Splice splice;
  std::vector<float> log_priors;  // natural logarithms, by state
};

void write_network_input(const std::string& folder, const NetworkInput& input);  // throws StorageError
NetworkInput read_network_input(const std::string& folder);                      // ConfigError, DataError

class NetworkModel : public AcousticModel {
 public:
  // Of a run's folder. `threads`: cores that it may use. Throws ConfigError where the folder has no trained network,
  // DataError where its files are damaged or do not fit each other.
  explicit NetworkModel(const std::string& folder, int threads = 1);

  std::int64_t states() const override { return static_cast<std::int64_t>(input_.log_priors.size()); }
  std::int64_t feature_dim() const { return input_.feature_dim; }

  FeatureMatrix score_part(const FeatureMatrix& features, std::int64_t begin, std::int64_t all) override;

 private:
  NetworkInput input_;
  TrainedModel trained_;
  std::unique_ptr<Engine> engine_;
  std::vector<float> batch_;
};

}  // namespace hadal
