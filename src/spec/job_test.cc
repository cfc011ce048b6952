#include "spec/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/nearest.h"
#include "nn/network.h"
#include "spec/value.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Lines of the smallest job; cases replace one of them, or add one after the last (indented: to the solver).
const std::vector<std::string> kTiny = {
    "name: tiny",                                      // 1
    "network:",                                        // 2
    "  input: [4]",                                    // 3
    "  layers:",                                       // 4
    "    - fully_connected: {out: 2}",                 // 5
    "data:",                                           // 6
    "  train: {synthetic: {samples: 8, classes: 2}}",  // 7
    "  batch: 4",                                      // 8
    "solver:",                                         // 9
    "  rule: {sgd: {rate: 0.1}}",                      // 10
};
constexpr int kEnd = 11;

std::string tiny_with(int line, const std::string& replacement) {
  std::vector<std::string> lines = kTiny;
  lines.resize(kEnd);
  lines[static_cast<std::size_t>(line - 1)] = replacement;
  std::string text;
  for (const std::string& l : lines) text += l + "\n";
  return text;
}

JobSpec tiny(int line = kEnd, const std::string& replacement = "") {
  return parse_job(tiny_with(line, replacement), "job.yaml");
}

JobSpec tiny_set(const std::vector<std::string>& sets) {
  std::vector<Override> overrides;
  for (const std::string& set : sets) overrides.push_back(parse_override(set));
  return parse_job(tiny_with(kEnd, ""), "job.yaml", overrides);
}

template <class Call>
std::string config_error(Call&& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

struct BadLine {
  int line;
  std::string text, message;
};

const std::string kIntegerRange = "must be a whole number from 1 to 1000000";

const BadLine kBadLines[] = {
    // keys
    {2, "netwrok:", "2:1: job.yaml has no key 'netwrok'; did you mean 'network'?"},
    {5, "    - fully_connected: {out: 2, kernal: 3}", "5:33: fully_connected has no option 'kernal'"},
    {5, "    - conv: {out: 2, kernal: 3}", "5:22: conv has no option 'kernal'; did you mean 'kernel'?"},
    {5, "    - conv: {out: 2, kernel: 3, init: {wieght: 0}}",
     "5:40: conv.init has no option 'wieght'; did you mean 'weight'?"},
    {8, "  bacth: 4", "8:3: data has no option 'bacth'; did you mean 'batch'?"},
    {8, "  <<: {batch: 4}", "8:3: data has no option '<<'"},
    {10, "  rule: {sgd: {rate: 0.1, momentun: 0.9}}",
     "10:27: solver.rule.sgd has no option 'momentun'; did you mean 'momentum'?"},
    {kEnd, "name: again", "11:1: 'name' is given twice; the first is at line 1"},
    {5, "    - fully_connected: {out: 2, out: 3}", "5:33: 'out' is given twice; the first is at line 5"},
    {7, "  train: {synthetic: {samples: 8, classes: 2, \"samples\": 8}}",
     "7:47: 'samples' is given twice; the first is at line 7"},
    {kEnd, "[a, b]: 1", "11:1: a key must be a word, not a list"},
    {kEnd, "? {a: b}\n: 1", "11:3: a key must be a word, not a map"},
    {kEnd, "~: 1", "11:1: a key must be a word, not nothing"},
    {1, "", "2:1: job.yaml needs 'name'"},
    {8, "", "7:3: data needs 'batch'"},
    {3, "", "4:3: network needs 'input'"},
    {10, "  epochs: 3", "10:3: solver needs 'rule'"},
    {5, "    - conv: {out: 2}", "5:13: conv needs 'kernel'"},
    {5, "    - conv", "5:7: conv needs 'out'"},
    {7, "  train: {idx: {images: a}}", "7:16: data.train.idx needs 'labels'"},
    {10, "  rule: sgd", "10:9: solver.rule.sgd needs 'rate'"},
    {10, "  rule: {sgd: {rate: {plateau: {base: 1}}}}",
     "10:22: a plateau rate follows the loss of data.test, which the job does not have"},
    // types
    {1, "name: [a]", "1:7: name must be a text, not a list"},
    {1, "name:", "1:1: name must be a text, not nothing"},
    {1, "name: ~", "1:7: name must be a text, not nothing"},
    {1, "name: ''", "1:7: name must not be empty"},
    {1, "name: \"a\\tb\"", "1:7: name has a control character in it"},
    {kEnd, "checkpoint: [3]", "11:13: checkpoint must be a map, not a list"},
    {8, "  batch: \"4\"", "8:10: data.batch must be a whole number from 1 to 1048576, not the text '4'"},
    {8, "  batch: 4.0", "8:10: data.batch must be a whole number from 1 to 1048576, not '4.0'"},
    {8, "  batch: 1e2", "8:10: data.batch must be a whole number from 1 to 1048576, not '1e2'"},
    {8, "  batch: 010", "8:10: data.batch must be a whole number from 1 to 1048576, not '010'"},
    {8, "  batch: 0x10", "8:10: data.batch must be a whole number from 1 to 1048576, not '0x10'"},
    {8, "  batch: [4]", "8:10: data.batch must be a whole number from 1 to 1048576, not a list"},
    {8, "  batch: !!int 4", "8:10: tags are not supported"},
    {kEnd, "reproducible: yes", "11:15: reproducible must be true or false, not 'yes'"},
    {kEnd, "reproducible: \"true\"", "11:15: reproducible must be true or false, not the text 'true'"},
    {3, "  input: 4", "3:10: network.input must be a list of 1 to 8 sizes, as [1, 28, 28]"},
    {3, "  input: []", "3:10: network.input must be a list of 1 to 8 sizes, as [1, 28, 28]"},
    {5, "    - [relu]", "5:7: network.layers needs a layer, not a list"},
    {5, "    - {}", "5:7: network.layers needs a layer, not an empty map"},
    {5, "    -", "5:5: network.layers needs a layer, not nothing"},
    // ranges
    {kEnd, "seed: -1", "11:7: seed must be a whole number from 0 to 18446744073709551615, not '-1'"},
    {kEnd, "seed: 18446744073709551616",
     "11:7: seed must be a whole number from 0 to 18446744073709551615, not '18446744073709551616'"},
    {8, "  batch: 0", "8:10: data.batch must be a whole number from 1 to 1048576, not '0'"},
    {8, "  batch: 1048577", "8:10: data.batch must be a whole number from 1 to 1048576, not '1048577'"},
    {3, "  input: [3, 0]", "3:14: a size of network.input must be a whole number from 1 to 16777216, not '0'"},
    {3, "  input: [65536, 65536]", "3:10: network.input has more than 2^30 elements"},
    {5, "    - conv: {out: 2, kernel: 1025}", "5:30: conv.kernel must be a whole number from 1 to 1024, not '1025'"},
    {5, "    - conv: {out: 2, kernel: [3, 0]}",
     "5:34: conv.kernel width must be a whole number from 1 to 1024, not '0'"},
    {5, "    - conv: {out: 2, kernel: 3, pad: [-1, 0]}",
     "5:39: conv.pad height must be a whole number from 0 to 1024, not '-1'"},
    {5, "    - max_pool: {kernel: 2, stride: [1, 2, 3]}",
     "5:37: max_pool.stride must be a number or [height, width], not a list of 3"},
    {5, "    - conv: {out: 2, kernel: {height: 3}}",
     "5:30: conv.kernel must be a whole number from 1 to 1024, not a map"},
    {5, "    - dropout: {p: 1}", "5:20: dropout.p must be a number from 0 to below 1, not '1'"},
    {5, "    - dropout: {p: 0.99999999999}", "5:20: dropout.p must be a number from 0 to below 1, not '0.99999999999'"},
    {10, "  rule: {sgd: {rate: .nan}}", "10:22: solver.rule.sgd.rate must be a number from 0 to 1000000, not '.nan'"},
    {10, "  rule: {sgd: {rate: nan}}", "10:22: solver.rule.sgd.rate must be a number from 0 to 1000000, not 'nan'"},
    {10, "  rule: {sgd: {rate: .inf}}", "10:22: solver.rule.sgd.rate must be a number from 0 to 1000000, not '.inf'"},
    {10, "  rule: {sgd: {rate: 1e999}}", "10:22: solver.rule.sgd.rate must be a number from 0 to 1000000, not '1e999'"},
    {10, "  rule: {sgd: {rate: -0.1}}", "10:22: solver.rule.sgd.rate must be a number from 0 to 1000000, not '-0.1'"},
    {10, "  rule: {sgd: {rate: 0.1, momentum: 1}}",
     "10:37: solver.rule.sgd.momentum must be a number from 0 to below 1, not '1'"},
    {kEnd, "  clip_norm: 0", "11:14: solver.clip_norm must be a number above 0, at most 1000000000, not '0'"},
    {kEnd, "  clip_norm: nnoe",
     "11:14: solver.clip_norm must be none, or a number above 0, at most 1000000000, not 'nnoe'"},
    {kEnd, "  epochs: x", "11:11: solver.epochs " + kIntegerRange + ", not 'x'"},
    {kEnd, "reproducible: {shards: 12, chunks: 65}",
     "11:36: reproducible.chunks must be a whole number from 1 to 64, not '65'"},
    // names
    {1, "name: ../x",
     "1:7: name: '../x' names no folder: a letter or digit, then letters, digits, '.', '_' or '-', no "
     "'..', at most 128 in all"},
    {1, "name: a..b",
     "1:7: name: 'a..b' names no folder: a letter or digit, then letters, digits, '.', '_' or '-', no "
     "'..', at most 128 in all"},
    {1, "name: -x",
     "1:7: name: '-x' names no folder: a letter or digit, then letters, digits, '.', '_' or '-', no "
     "'..', at most 128 in all"},
    {5, "    - relu: {name: 1a}",
     "5:20: relu.name: '1a' is no layer name: a letter, then letters, digits, '_', '-' or "
     "'.', at most 128 in all"},
    {5, "    - relu: {name: input}", "5:20: relu.name: 'input' names the network's input"},
    {5, "    - relu: {name: a}\n    - tanh: {name: a}", "6:7: this layer and the relu at line 5 are both named 'a'"},
    {5, "    - relu\n    - tanh: {name: relu1}", "6:7: this layer and the relu at line 5 are both named 'relu1'"},
    {5, "    - tanh: {name: relu1}\n    - relu", "6:7: this layer and the tanh at line 5 are both named 'relu1'"},
    {5, "    - add: {from: []}", "5:19: add.from must name 1 to 1024 layers, not 0"},
    {5, "    - add", "5:7: add needs 'from'"},
    // alternatives
    {5, "    - cnov: {out: 2}", "5:7: there is no layer 'cnov'; did you mean 'conv'?"},
    {5, "    - fully_conected", "5:7: there is no layer 'fully_conected'; did you mean 'fully_connected'?"},
    {5, "    - conv:\n      out: 20", "6:7: a layer has one key, and its options inside; here are 'conv' and 'out'"},
    {7, "  train: {}", "7:10: data.train needs a data source, not an empty map"},
    {7, "  train: {idxx: {}}", "7:11: there is no data source 'idxx'; did you mean 'idx'?"},
    {7, "  train: {idx: {}, synthetic: {}}",
     "7:20: a data source has one key, and its options inside; here are 'idx' and 'synthetic'"},
    {10, "  rule: {sdg: {rate: 1}}", "10:10: there is no rule 'sdg'; did you mean 'sgd'?"},
    {10, "  rule: {sgd: {rate: {setp: {}}}}", "10:23: there is no rate schedule 'setp'; did you mean 'step'?"},
    {10, "  rule: {sgd: {rate: {step: {base: 1}}}}", "10:29: solver.rule.sgd.rate.step needs 'every_epochs'"},
    {5, "    - fully_connected: {out: 2, init: {weight: xaveir}}",
     "5:48: there is no initializer 'xaveir'; did you mean 'xavier'?"},
    {5, "    - fully_connected: {out: 2, init: {weight: gaussian}}",
     "5:48: fully_connected.init.weight.gaussian must be a number from 0 to 1000000, not nothing"},
    {5, "    - fully_connected: {out: 2, init: {weight: {xavier: 3}}}",
     "5:57: fully_connected.init.weight.xavier must be a map, not '3'"},
    {kEnd, "exchange: {topology: dierct}",
     "11:22: exchange.topology must be auto, shared, direct, line, tree or ring, not 'dierct'; did you mean 'direct'?"},
    {kEnd, "backend: gpu", "11:10: backend must be auto, cpu or reference, not 'gpu'; did you mean 'cpu'?"},
    {kEnd, "precision: fp64", "11:12: precision must be fp32 or bf16, not 'fp64'; did you mean 'fp32'?"},
    {3, "  input: [4]\n  loss: softmax", "4:9: network.loss must be softmax_cross_entropy, not 'softmax'"},
    // known to the language, not to this version
    {kEnd, "memory: {limit: 4}", "11:17: memory.limit must be none or a size, as 900 MB or 1.5 GB, not '4'"},
    {kEnd, "memory: {limit: 4gb}", "11:17: memory.limit must be none or a size, as 900 MB or 1.5 GB, not '4gb'"},
    {kEnd, "memory: {limit: 0.5 B}", "11:17: memory.limit must be none or a size, as 900 MB or 1.5 GB, not '0.5 B'"},
    {kEnd, "memory: {limit: 1e3 MB}", "11:17: memory.limit must be none or a size, as 900 MB or 1.5 GB, not '1e3 MB'"},
    {kEnd, "memory: {limit: -1 MB}", "11:17: memory.limit must be none or a size, as 900 MB or 1.5 GB, not '-1 MB'"},
    {kEnd, "memory: {limit: 2000 TB}",
     "11:17: memory.limit must be none or a size, as 900 MB or 1.5 GB, not '2000 TB'"},
    {kEnd, "memory: {recompute: all}", "11:21: memory.recompute must be auto, never or always, not 'all'"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1], split: 0}",
     "11:44: parallel.split must be a whole number from 1 to 1024, not '0'"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], split: 3}",
     "11:58: parallel.split: groups of 3 cannot be made of 4 devices; use split: 1, 2 or 4"},
    {kEnd, "parallel: {split: 2}", "11:19: parallel.split: groups of 2 cannot be made of 1 device; use split: 1"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1], split: 2}\nreproducible: true\nprecision: bf16",
     "11:44: parallel.split: 2 with reproducible is supported for precision: fp32 only; use split: 1, or reproducible: "
     "false"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1], split: 2}\nreproducible: {chunks: 1}",
     "11:44: parallel.split: 2 is more than reproducible.chunks, the parts that results are made of then; use a "
     "smaller "
     "split, or more chunks (which is another result)"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1], split: atuo}",
     "11:44: parallel.split must be auto or a whole number from 1 to 1024, not 'atuo'; did you mean 'auto'?"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1], split: [2]}",
     "11:44: parallel.split must be auto or a whole number from 1 to 1024, not a list"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], split: auto, groups: 3}",
     "11:72: parallel.groups: 3 groups cannot be made of 4 devices; use groups: 1, 2 or 4"},
    {8, "  batch: 1\nparallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], split: auto, groups: 2}",
     "8:10: data.batch 1 is smaller than the 2 groups; each needs a sample"},
    {5, "    - fully_connected: {out: 2, split: hole}",
     "5:40: fully_connected.split must be auto, whole or divide, not 'hole'; did you mean 'whole'?"},
    {5, "    - fully_connected: {out: 2, splti: whole}",
     "5:33: fully_connected has no option 'splti'; did you mean 'split'?"},
    {5, "    - relu: {split: whole}\n    - fully_connected: {out: 2}",
     "5:21: relu.split: whole: relu is divided as the layer is that it takes its input from; set split of the conv or "
     "fully_connected below it"},
    {5, "    - batch_norm: {split: divide}\n    - fully_connected: {out: 2}",
     "5:27: batch_norm.split: divide: batch_norm is divided as the layer is that it takes its input from; set split of "
     "the conv or fully_connected below it"},
    {5, "    - concat: {from: [input, input], split: divide}\n    - fully_connected: {out: 2}",
     "5:45: concat.split: divide: concat cannot be divided: what comes after it mostly needs all channels, so each "
     "device has all of it; use auto or whole"},
    {10, "  rule: {adagrad: {rate: 0.1, exchange: full}}\nparallel: {devices: [cpu:0, cpu:1], split: 2}",
     "11:44: parallel.split: 2 with adagrad's exchange: approximate or full is not supported; use exchange: owner"},
    {8, "  batch: 1\nparallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], split: 2}",
     "8:10: data.batch 1 is smaller than the 2 groups; each needs a sample"},
    {kEnd, "exchange: {deferred_layers: all}",
     "11:29: exchange.deferred_layers must be auto or a whole number from 0 to 1024, not 'all'"},
    {kEnd, "  accumulate: 0", "11:15: solver.accumulate must be a whole number from 1 to 1024, not '0'"},
    {8, "  batch: 4\n  on_bad_sample: skip",
     "9:18: data.on_bad_sample skip is for sources that are streamed: npy, safetensors, libsvm, csv, image_folder and "
     "tar; use fail"},
    {7, "  train: {image_folder: {path: a, resize: big}}",
     "7:43: data.train.image_folder.resize must be fit, stretch or none, not 'big'"},
    {7, "  train: {image_folder: {path: a, resize: 0}}",
     "7:43: data.train.image_folder.resize must be a whole number from 1 to 16384, not '0'"},
    {7, "  train: {image_folder: {list: a}}", "7:25: data.train.image_folder needs 'path'"},
    {7, "  train: {tar: {files: a, crop: middle}}", "7:33: data.train.tar.crop must be center or random, not 'middle'"},
    {7, "  train: {tar: {files: a, crops: 3}}", "7:34: data.train.tar.crops must be 1, 2, 5 or 10, not 3"},
    {7, "  train: {tar: {files: a, crops: 10}}",
     "7:11: crops: 10 is for data.test, where probabilities are averaged over them; in training a sample is one crop: "
     "use crop: random"},
    {7, "  train: {tar: {files: a, area: [0.1, 1]}}", "7:11: data.train: area needs crop: random"},
    {7, "  train: {tar: {files: a, crop: random, area: 0.5}}",
     "7:47: data.train.tar.area must be a list of two numbers, the least and the most"},
    {7, "  train: {tar: {files: a, crop: random, area: [1, 0.5]}}",
     "7:47: data.train.tar.area: the least is above the most"},
    {7, "  train: {tar: {files: a, crop: random, area: [0, 1]}}",
     "7:48: the least of data.train.tar.area must be a number above 0, at most 1, not '0'"},
    {7, "  train: {tar: {files: a, aspect: [0.5, 2]}}", "7:11: data.train: aspect needs area, the size of its crops"},
    {7, "  train: {tar: {files: a, crop: random, area: [0.5, 1], resize: 256}}",
     "7:11: data.train: area cuts its crops from the image as it is: it goes without resize and pad"},
    {7, "  train: {synthetic: {samples: 8, classes: 2}}\n  test: {tar: {files: a, crops: 5, mirror: true}}",
     "8:10: data.test: evaluation changes nothing at random: data.test goes without crop: random, mirror, area and "
     "pca"},
    {7, "  train: {tar: {files: a, pca: 0.1}}\n  test: {tar: {files: a, pca: 0.1}}",
     "8:10: data.test: evaluation changes nothing at random: data.test goes without crop: random, mirror, area and "
     "pca"},
    {7, "  train: {tar: {files: a, mean: [1, 2]}}", "7:33: data.train.tar.mean must have 1 or 3 numbers, not 2"},
    {7, "  train: {tar: {files: a, std: 0}}",
     "7:32: data.train.tar.std must be a number above 0, at most 1000000, not '0'"},
    {7, "  train: {npy: {features: [], labels: a}}", "7:27: data.train.npy.features must name a file"},
    {7, "  train: {npy: {features: a}}", "7:16: data.train.npy needs 'labels'"},
    {7, "  train: {csv: {files: a, delimiter: ';'}}",
     "7:38: data.train.csv.delimiter must be comma, semicolon or tab, not ';'"},
    {7, "  train: {npy: {features: a, labels: b, splice: {left: 101}}}",
     "7:56: data.train.npy.splice.left must be a whole number from 0 to 100, not '101'"},
    {10, "  rule: {adam: {rate: 0.1, beta1: 1}}",
     "10:35: solver.rule.adam.beta1 must be a number from 0 to below 1, not '1'"},
    {10, "  rule: {adagrad: {rate: 0.1, exchange: fulll}}",
     "10:41: solver.rule.adagrad.exchange must be owner, approximate or full, not 'fulll'; did you mean 'full'?"},
    {10, "  rule: {adagrad: {rate: 0.1, exchange: full}}\nreproducible: true",
     "10:41: solver.rule.adagrad.exchange: full depends on the number of devices, and the job is reproducible; use "
     "exchange: owner"},
    {10, "  rule: {adagrad: {rate: 0.1, exchange: approximate}}\n  clip_norm: 1",
     "10:41: solver.rule.adagrad.exchange: approximate scales gradients before their norm is known: it cannot be "
     "clipped; use exchange: owner"},
    {10, "  rule: {adagrad: {rate: 0.1, exchange: approximate}}\nprecision: bf16",
     "10:41: solver.rule.adagrad.exchange: approximate needs precision: fp32; use exchange: owner"},
    {10, "  rule: {adagrad: {rate: 0.1, exchange: approximate}}\nexchange: {content: factors}",
     "10:41: solver.rule.adagrad.exchange: approximate scales gradients before they are sent: exchange.content cannot "
     "be factors; use exchange: owner"},
    {10, "  rule: {adagrad: {rate: 0.1, average_every: 0}}",
     "10:46: solver.rule.adagrad.average_every must be a whole number from 1 to 1000000, not '0'"},
    {5, "    - batch_norm: {epsilon: 0}", "5:29: batch_norm.epsilon must be a number above 0, at most 1, not '0'"},
    {5, "    - batch_norm: {momentum: 2}", "5:30: batch_norm.momentum must be a number from 0 to 1, not '2'"},
    {5, "    - fully_connected: {out: 2, rate_mult: {bais: 2}}",
     "5:45: fully_connected.rate_mult has no option 'bais'; did you mean 'bias'?"},
    {5, "    - fully_connected: {out: 2, decay_mult: {bias: -1}}",
     "5:52: fully_connected.decay_mult.bias must be a number from 0 to 1000000, not '-1'"},
    {kEnd, "parallel: {devices: []}", "11:21: parallel.devices must be a list of devices, as [cpu:0, cpu:1]"},
    {kEnd, "parallel: {devices: cpu:0}", "11:21: parallel.devices must be a list of devices, as [cpu:0, cpu:1]"},
    {kEnd, "parallel: {devices: [gpu:0]}",
     "11:22: parallel.devices: there is no device 'gpu:0'; devices are cpu:0, cpu:1, ... or fake:0, ..."},
    {kEnd, "parallel: {devices: [cpu]}",
     "11:22: parallel.devices: there is no device 'cpu'; devices are cpu:0, cpu:1, ... or fake:0, ..."},
    {kEnd, "parallel: {devices: [cpu:00]}",
     "11:22: the number of device 'cpu:00' must be a whole number from 0 to 1023, not '00'"},
    {kEnd, "parallel: {devices: [cpu:1024]}",
     "11:22: the number of device 'cpu:1024' must be a whole number from 0 to 1023, not '1024'"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:0]}", "11:29: parallel.devices: cpu:0 stands here twice"},
    {kEnd, "parallel: {devices: [cpu:0, fake:1]}",
     "11:29: parallel.devices: fake:1 and cpu:0 are of two kinds; a job runs on one"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1], groups: 3}",
     "11:45: parallel.groups: 3 groups cannot be made of 2 devices; use groups: 1 or 2"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], groups: 4, split: 2}",
     "11:59: groups: 4 x split: 2 must be the number of devices, 4; use groups: 2"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], groups: 2, split: 3}",
     "11:59: groups: 2 x split: 3 must be the number of devices, 4; use split: 2"},
    {kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], groups: 3, split: 3}",
     "11:59: groups: 3 x split: 3 must be the number of devices, 4; use split: 1, 2 or 4, and no groups"},
    {8, "  batch: 1\nparallel: {devices: [cpu:0, cpu:1]}",
     "8:10: data.batch 1 is smaller than the 2 devices; each needs a sample"},
    // YAML
    {kEnd, "checkpoint: {keep: 3", "12:1: this is not YAML: end of map flow not found"},
    {kEnd, "---\nname: b", "11:1: a second document begins here; a job is one document"},
    {kEnd, "checkpoint: &a {keep: 3}", "11:13: anchors and aliases (&a, *a) are not supported; write the value out"},
    {kEnd, "checkpoint: *a", "11:13: this is not YAML: the referenced anchor is not defined"},
    {kEnd, "x: \x01", "11:4: a control character stands here; a job is plain text"},
    {kEnd, "x: \x04", "11:4: a control character stands here; a job is plain text"},
    {kEnd, "x: \xff", "11:4: this is not UTF-8"},
    {kEnd, "x: \xed\xa0\x80", "11:4: this is not UTF-8"},
    {kEnd, "\"a\\nb\": 1", "11:1: job.yaml has no key 'a?b'"},
};

TEST(ParseJob, refuses_with_position) {
  for (const BadLine& bad : kBadLines) {
    EXPECT_EQ(config_error([&] { tiny(bad.line, bad.text); }), "job.yaml:" + bad.message) << bad.text;
  }
}

TEST(ParseJob, refuses_batch_norm_in_passes_where_the_model_may_not_depend_on_devices) {
  const std::string normalised = "    - batch_norm: {name: norm}\n    - fully_connected: {out: 2}";
  const std::vector<Override> passes{{"solver.accumulate", "2"}};
  EXPECT_EQ(parse_job(tiny_with(5, normalised), "job.yaml", passes).solver.accumulate, 2);
  EXPECT_EQ(
      config_error([&] {
        parse_job(tiny_with(5, normalised), "job.yaml", {passes[0], {"reproducible", "true"}});
      }),
      "--set solver.accumulate=2: solver.accumulate: 2 with reproducible: true, and 'norm' normalises each pass by "
      "itself: use accumulate: 1 and a larger batch");
}

TEST(ParseJob, refuses_to_leave_to_the_next_step_what_must_be_done_at_once) {
  const auto error = [](const std::string& key, const std::string& value) {
    return config_error([&] { tiny_set({"exchange.deferred_layers=2", key + "=" + value}); });
  };
  const std::string start = "--set exchange.deferred_layers=2: exchange.deferred_layers: 2 with ";
  EXPECT_EQ(error("solver.clip_norm", "1"),
            start + "solver.clip_norm: the norm is of all layers' gradients; use 0 or auto");
  EXPECT_EQ(error("solver.accumulate", "2"), start + "solver.accumulate: passes are exchanged at once; use 0 or auto");
}

TEST(ParseJob, refuses_a_step_of_too_many_samples) {
  EXPECT_EQ(config_error([] {
              parse_job(tiny_with(8, "  batch: 1048576"), "job.yaml", {{"solver.accumulate", "2"}});
            }),
            "--set solver.accumulate=2: solver.accumulate: a step of 1048576 x 2 samples is more than 1048576");
}

TEST(ParseJob, refuses_whole_texts) {
  const auto error = [](const std::string& text) { return config_error([&] { parse_job(text, "job.yaml"); }); };
  const std::string empty = "job.yaml: is empty; a job needs name, network, data, solver";
  EXPECT_EQ(error(""), empty);
  EXPECT_EQ(error("# nothing\n"), empty);
  EXPECT_EQ(error("---\n"), empty);
  EXPECT_EQ(error("- name\n"), "job.yaml:1:1: job.yaml must be a map, not a list");
  EXPECT_EQ(error("name\n"), "job.yaml:1:1: job.yaml must be a map, not 'name'");
  EXPECT_EQ(error("data: 3\n"), "job.yaml:1:7: data must be a map, not '3'");
  EXPECT_EQ(error("network: {layers: relu}\n"),
            "job.yaml:1:19: network.layers must be a list of 1 to 10000 layers, not 'relu'");
  EXPECT_EQ(error("name: a\n...\nname: b\n"), "job.yaml:3:1: a second document begins here; a job is one document");
  EXPECT_EQ(error(std::string(kMaxTextBytes + 1, 'a')), "job.yaml: larger than 4 MiB");
}

// Each of these could cost the parser its stack, its memory or its time.
TEST(ParseJob, survives_hostile_texts) {
  const auto repeated = [](const std::string& piece) {
    std::string text;
    while (text.size() < 500'000) text += piece;
    return text;
  };
  const auto error = [](const std::string& text) { return config_error([&] { parse_job(text, "job.yaml"); }); };
  EXPECT_EQ(error(repeated("[")), "job.yaml:1:33: nested deeper than 64 levels");
  EXPECT_EQ(error(repeated("{a: ")), "job.yaml:1:253: nested deeper than 64 levels");
  EXPECT_EQ(error(repeated("- ")), "job.yaml:1:129: nested deeper than 64 levels");
  EXPECT_EQ(error(repeated("? ")), "job.yaml:1:129: nested deeper than 64 levels");
  EXPECT_EQ(error(std::string("[") += repeated("a,")), "job.yaml:1:400002: more than 200000 values");
}

TEST(ParseJob, fills_in_defaults) {
  const JobSpec job = tiny();
  EXPECT_EQ(job.name, "tiny");
  EXPECT_EQ(job.seed, 1u);
  EXPECT_EQ(job.network.input, Shape{4});
  ASSERT_EQ(job.network.layers.size(), 1u);
  EXPECT_EQ(job.network.layers[0].name, "fully_connected1");
  const auto& layer = std::get<FullyConnectedOptions>(job.network.layers[0].options);
  EXPECT_EQ(layer.out, 2);
  EXPECT_EQ(layer.init, InitOptions{});
  EXPECT_EQ(std::get<SyntheticData>(job.data.train).samples, 8);
  EXPECT_FALSE(job.data.test);
  EXPECT_EQ(job.data.order, SampleOrder::shuffled);
  EXPECT_EQ(std::get<ConstantRate>(job.solver.rule.rate).base, 0.1);
  EXPECT_EQ(job.solver.rule.update.momentum, 0);
  EXPECT_FALSE(job.solver.clip_norm);
  EXPECT_THAT(job.parallel.devices, ElementsAre("cpu:0"));
  EXPECT_FALSE(job.parallel.groups);
  EXPECT_FALSE(job.reproducible);
}

TEST(ParseJob, groups_alone_say_how_a_model_is_split) {
  const auto split_of = [](const std::string& parallel) {
    return parse_job(
               "name: a\n"
               "network: {input: [4], layers: [fully_connected: {out: 2}]}\n"
               "data: {train: {synthetic: {samples: 8, classes: 2}}, batch: 4}\n"
               "solver: {rule: {sgd: {rate: 0.1}}}\n"
               "parallel: {devices: [fake:0, fake:1, fake:2, fake:3]" +
                   parallel + "}\n",
               "job.yaml")
        .parallel.split;
  };
  EXPECT_EQ(split_of(""), 1);
  EXPECT_EQ(split_of(", groups: 2"), 2);
  EXPECT_EQ(split_of(", groups: 4"), 1);
  EXPECT_EQ(split_of(", groups: 1"), 4);
  EXPECT_EQ(split_of(", split: 2"), 2);
}

TEST(ParseJob, keeps_positions) {
  const JobSpec job = parse_job(
      "name: a\n"
      "network: {input: [4], layers: [relu, conv: {out: 1, kernel: 1}]}\n"
      "data:\n"
      "  train: {idx: {images: i, labels: l}}\n"
      "  batch: 4\n"
      "solver: {rule: {sgd: {rate: 1}}}\n"
      "exchange: {topology: shared}\n"
      "parallel: {devices: [cpu:3]}\n",
      "jobs/a.yaml");
  EXPECT_EQ(job.network.where.to_string(), "jobs/a.yaml:2:10");
  EXPECT_EQ(job.network.layers[0].where.to_string(), "jobs/a.yaml:2:32");
  EXPECT_EQ(job.network.layers[1].where.to_string(), "jobs/a.yaml:2:38");
  EXPECT_EQ(std::get<IdxData>(job.data.train).where.to_string(), "jobs/a.yaml:4:11");
  EXPECT_EQ(job.data.batch_where.to_string(), "jobs/a.yaml:5:10");
  EXPECT_EQ(job.exchange.topology_where.to_string(), "jobs/a.yaml:7:22");
  EXPECT_EQ(job.exchange.content_where.to_string(), "jobs/a.yaml");
  EXPECT_EQ(job.parallel.where.to_string(), "jobs/a.yaml:8:11");
}

TEST(ParseJob, reads_windows_that_are_not_square) {
  const JobSpec job = tiny(5,
                           "    - conv: {out: 6, kernel: [3, 40], stride: [1, 2], pad: [1, 0], dilation: [2, 1]}\n"
                           "    - conv: {out: 6, kernel: [3, 3], stride: 2, dilation: [1, 1]}\n"
                           "    - max_pool: {kernel: [3, 1]}\n"
                           "    - average_pool: {kernel: 2, stride: [2, 1]}\n");
  const auto& conv = std::get<ConvOptions>(job.network.layers[0].options);
  EXPECT_EQ(conv.kernel, Extent(3, 40));
  EXPECT_EQ(conv.stride, Extent(1, 2));
  EXPECT_EQ(conv.pad, Extent(1, 0));
  EXPECT_EQ(conv.dilation, Extent(2, 1));
  EXPECT_EQ(std::get<PoolOptions>(job.network.layers[2].options).stride, Extent(3, 1));  // as the kernel
  const std::string yaml = to_yaml(job);
  EXPECT_THAT(yaml, HasSubstr("kernel: [3, 40], stride: [1, 2], pad: [1, 0], groups: 1, dilation: [2, 1], init"));
  EXPECT_THAT(yaml, HasSubstr("kernel: 3, stride: 2, pad: 0, groups: 1, init"));
  EXPECT_THAT(yaml, HasSubstr("max_pool: {name: max_pool1, kernel: [3, 1], stride: [3, 1], pad: 0, ceil: false}"));
  EXPECT_THAT(yaml, HasSubstr("kernel: 2, stride: [2, 1], pad: 0"));
  EXPECT_EQ(to_yaml(parse_job(yaml, "again.yaml")), yaml);
  const std::string json = network_to_json(job.network);
  EXPECT_THAT(json, HasSubstr(R"("kernel":[3,40],"stride":[1,2],"pad":[1,0],"groups":1,"dilation":[2,1])"));
  EXPECT_EQ(network_to_json(network_from_json(json, "model")), json);
}

TEST(ParseJob, names_layers_by_type_and_number) {
  const JobSpec job = tiny(5,
                           "    - relu\n"
                           "    - relu: {name: middle}\n"
                           "    - tanh:\n"
                           "    - relu: {from: middle}\n"
                           "    - add: {from: [tanh1, input], name: a.b-c_1}\n");
  std::vector<std::string> names;
  for (const LayerSpec& layer : job.network.layers) names.push_back(layer.name);
  EXPECT_THAT(names, ElementsAre("relu1", "middle", "tanh1", "relu3", "a.b-c_1"));
  EXPECT_THAT(job.network.layers[0].from, testing::IsEmpty());
  EXPECT_THAT(job.network.layers[3].from, ElementsAre("middle"));
  EXPECT_THAT(job.network.layers[4].from, ElementsAre("tanh1", "input"));
}

TEST(ParseJob, reads_layer_options) {
  const JobSpec job = tiny(5,
                           "    - conv: {out: 6, kernel: 3, stride: 2, pad: 1, groups: 2}\n"
                           "    - max_pool: {kernel: 3}\n"
                           "    - average_pool: {kernel: 3, stride: 1, pad: 1, ceil: true}\n"
                           "    - dropout: {p: 0.25}\n");
  const auto& layers = job.network.layers;
  const auto& conv = std::get<ConvOptions>(layers[0].options);
  EXPECT_THAT((std::vector{conv.out, conv.groups}), ElementsAre(6, 2));
  EXPECT_THAT((std::vector{conv.kernel, conv.stride, conv.pad, conv.dilation}), ElementsAre(3, 2, 1, 1));
  const auto& max_pool = std::get<PoolOptions>(layers[1].options);
  EXPECT_EQ(max_pool.kind, PoolKind::max);
  EXPECT_EQ(max_pool.stride, 3);  // as the kernel
  EXPECT_FALSE(max_pool.ceil);
  const auto& average_pool = std::get<PoolOptions>(layers[2].options);
  EXPECT_EQ(average_pool.kind, PoolKind::average);
  EXPECT_EQ(average_pool.stride, 1);
  EXPECT_EQ(average_pool.pad, 1);
  EXPECT_TRUE(average_pool.ceil);
  EXPECT_EQ(std::get<DropoutOptions>(layers[3].options).p, 0.25f);
}

TEST(ParseJob, reads_initializers) {
  const std::map<std::string, Initializer> forms = {
      {"xavier", {Initializer::Kind::xavier, 0}},
      {"\"msra\"", {Initializer::Kind::msra, 0}},
      {"{gaussian: 0.01}", {Initializer::Kind::gaussian, 0.01f}},
      {"{constant: -0.5}", {Initializer::Kind::constant, -0.5f}},
      {"1e-3", {Initializer::Kind::constant, 1e-3f}},
      {"-0.0", {Initializer::Kind::constant, 0}},
  };
  for (const auto& [text, expected] : forms) {
    const JobSpec job = tiny(5, "    - fully_connected: {out: 2, init: {weight: " + text + ", bias: " + text + "}}");
    const auto& init = std::get<FullyConnectedOptions>(job.network.layers[0].options).init;
    EXPECT_EQ(init.weight, expected) << text;
    EXPECT_EQ(init.bias, expected) << text;
    EXPECT_FALSE(std::signbit(init.weight.value) && init.weight.value == 0) << text;
  }
}

TEST(ParseJob, reads_everything_else) {
  const JobSpec job =
      tiny(10,
           "  rule: {sgd: {rate: {step: {base: 0.5, every_epochs: 3}}, momentum: 0.9, weight_decay: 1.e-4}}\n"
           "  clip_norm: +.5\n"
           "  epochs: 7\n"
           "seed: 18446744073709551615\n"
           "checkpoint: {every_steps: 0}\n"
           "reproducible: {chunks: 2}\n"
           "exchange: {topology: direct, content: factors}\n"
           "backend: reference\n"
           "precision: bf16\n"
           "parallel: {devices: [fake:3, fake:1], groups: 2}");
  const auto& step = std::get<StepRate>(job.solver.rule.rate);
  EXPECT_EQ(step.base, 0.5);
  EXPECT_EQ(step.every_epochs, 3);
  EXPECT_EQ(step.factor, 0.1);
  EXPECT_EQ(job.solver.rule.update.momentum, 0.9);
  EXPECT_EQ(job.solver.rule.update.weight_decay, 1e-4);
  EXPECT_EQ(job.solver.clip_norm, 0.5);
  EXPECT_EQ(job.solver.epochs, 7);
  EXPECT_EQ(job.seed, UINT64_MAX);
  EXPECT_EQ(job.checkpoint.every_steps, 0);
  EXPECT_EQ(job.checkpoint.keep, 3);
  EXPECT_EQ(job.reproducible.value().shards, 12);
  EXPECT_EQ(job.reproducible.value().chunks, 2);
  EXPECT_EQ(job.exchange.topology, Topology::direct);
  EXPECT_EQ(job.exchange.content, Content::factors);
  EXPECT_EQ(job.backend, BackendKind::reference);
  EXPECT_EQ(job.precision, Precision::bf16);
  EXPECT_THAT(job.parallel.devices, ElementsAre("fake:3", "fake:1"));
  EXPECT_EQ(job.parallel.groups, 2);
}

TEST(ParseJob, reads_json) {
  const JobSpec job = parse_job(
      R"({"name":"j","network":{"input":[4],"layers":["relu",{"dropout":{"p":0.5}}]},)"
      R"("data":{"train":{"idx":{"images":"a b","labels":"é"}},"batch":2},"solver":{"rule":{"sgd":{"rate":1e-2}}}})",
      "job.json");
  EXPECT_EQ(job.network.layers.size(), 2u);
  EXPECT_EQ(std::get<IdxData>(job.data.train).images, "a b");
  EXPECT_EQ(std::get<IdxData>(job.data.train).labels, "é");
  EXPECT_EQ(std::get<ConstantRate>(job.solver.rule.rate).base, 0.01);
}

TEST(LoadJob, names_the_file) {
  const std::string folder = testing::TempDir();
  EXPECT_EQ(config_error([&] { load_job(folder + "/none.yaml"); }),
            folder + "/none.yaml: cannot be read: No such file or directory");
  EXPECT_EQ(config_error([&] { load_job(folder); }), folder + ": this is a folder; a job is a file");
  const std::string path = folder + "/load_job_test.yaml";
  std::ofstream(path) << tiny_with(8, "  batch: none");
  EXPECT_EQ(config_error([&] { load_job(path); }),
            path + ":8:10: data.batch must be a whole number from 1 to 1048576, not 'none'");
  std::ofstream(path) << tiny_with(8, "  batch: 4");
  EXPECT_EQ(load_job(path, {{"data.batch", "6"}}).data.batch, 6);
  std::ofstream(path) << std::string(kMaxTextBytes + 1, '#');
  EXPECT_EQ(config_error([&] { load_job(path); }), path + ": larger than 4 MiB");
  std::filesystem::remove(path);
}

TEST(ParseOverride, splits_at_the_first_equals_sign) {
  const Override override = parse_override("data.train={idx: {images: a=b}}");
  EXPECT_EQ(override.key, "data.train");
  EXPECT_EQ(override.value, "{idx: {images: a=b}}");
  EXPECT_EQ(config_error([] { parse_override("solver.epochs"); }),
            "--set solver.epochs: write KEY=VALUE, as in --set solver.epochs=3");
  EXPECT_EQ(config_error([] { parse_override("=3"); }), "--set =3: write KEY=VALUE, as in --set solver.epochs=3");
}

TEST(Overrides, replace_and_add) {
  EXPECT_EQ(tiny_set({"solver.epochs=3"}).solver.epochs, 3);
  EXPECT_EQ(tiny_set({"solver.epochs=3", "solver.epochs=4"}).solver.epochs, 4);
  EXPECT_EQ(tiny_set({"checkpoint.every_steps=7"}).checkpoint.every_steps, 7);
  EXPECT_EQ(tiny_set({"solver.rule.sgd.rate={step: {base: 1, every_epochs: 2}}"}).solver.rule.rate.index(), 1u);
  const JobSpec job =
      tiny_set({"network.layers.0.fully_connected.out=30", "network.layers.0.fully_connected.init.bias=1",
                "data.train={idx: {images: a, labels: b}}"});
  EXPECT_EQ(std::get<FullyConnectedOptions>(job.network.layers[0].options).out, 30);
  EXPECT_EQ(std::get<FullyConnectedOptions>(job.network.layers[0].options).init.bias.value, 1);
  EXPECT_EQ(std::get<IdxData>(job.data.train).images, "a");
  const std::vector<Override> dropout = {{"network.layers.0.dropout.p", "0.25"}};
  const JobSpec worded = parse_job(tiny_with(5, "    - dropout"), "job.yaml", dropout);
  EXPECT_EQ(std::get<DropoutOptions>(worded.network.layers[0].options).p, 0.25f);
}

TEST(Overrides, of_devices_compute_groups_again) {
  const std::string text = tiny_with(kEnd, "parallel: {devices: [cpu:0, cpu:1], groups: 2}");
  EXPECT_FALSE(parse_job(text, "job.yaml", {{"parallel.devices", "[cpu:0]"}}).parallel.groups);
  EXPECT_EQ(parse_job(text, "job.yaml", {{"parallel.devices", "[cpu:0]"}, {"parallel.groups", "1"}}).parallel.groups,
            1);
  EXPECT_EQ(parse_job(text, "job.yaml", {{"solver.epochs", "1"}}).parallel.groups, 2);
  EXPECT_EQ(parse_job(text, "job.yaml", {{"parallel.groups", "1"}}).parallel.split, 2);
  EXPECT_EQ(config_error([&] {
              parse_job(text, "job.yaml", {{"parallel.groups", "1"}, {"parallel.split", "1"}});
            }),
            "--set parallel.groups=1: groups: 1 x split: 1 must be the number of devices, 2; use groups: 2");
}

TEST(ParseJob, leaves_the_split_open) {
  const JobSpec job = tiny(kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], split: auto}");
  EXPECT_TRUE(job.parallel.automatic_split);
  EXPECT_EQ(job.parallel.split, 1);
  EXPECT_FALSE(job.parallel.groups);
  const std::string written = to_yaml(job);
  const JobSpec again = parse_job(written, "job.yaml");
  EXPECT_TRUE(again.parallel.automatic_split);
  EXPECT_FALSE(again.parallel.groups);
  EXPECT_EQ(to_yaml(again), written);
  // As many groups as are asked for leave one.
  const JobSpec groups = tiny(kEnd, "parallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], groups: 2, split: auto}");
  EXPECT_TRUE(groups.parallel.automatic_split);
  EXPECT_EQ(groups.parallel.split, 2);
  EXPECT_EQ(parse_job(to_yaml(groups), "job.yaml").parallel.groups, 2);
  // Fewer samples than devices: some split may do.
  EXPECT_TRUE(
      tiny(8, "  batch: 2\nparallel: {devices: [cpu:0, cpu:1, cpu:2, cpu:3], split: auto}").parallel.automatic_split);
  // A number takes it away again.
  EXPECT_FALSE(parse_job(written, "job.yaml", {{"parallel.split", "2"}}).parallel.automatic_split);
}

TEST(ParseJob, reads_how_layers_are_divided) {
  const JobSpec job = tiny(5,
                           "    - fully_connected: {out: 8, split: divide}\n"
                           "    - fully_connected: {out: 8, split: auto}\n"
                           "    - concat: {from: fully_connected2, split: whole}\n"
                           "    - fully_connected: {out: 2, split: whole}");
  EXPECT_EQ(job.network.layers[0].split, LayerSplit::divide);
  EXPECT_EQ(job.network.layers[0].split_where.to_string(), "job.yaml:5:40");
  EXPECT_EQ(job.network.layers[1].split, LayerSplit::automatic);
  EXPECT_EQ(job.network.layers[2].split, LayerSplit::whole);
  EXPECT_EQ(job.network.layers[3].split, LayerSplit::whole);
  EXPECT_EQ(to_yaml(parse_job(to_yaml(job), "job.yaml")), to_yaml(job));
  EXPECT_EQ(build_network(job.network).layers[3].split, LayerSplit::whole);
  // A model says nothing of it, and a checkpoint is that of any division.
  const JobSpec plain = tiny(5,
                             "    - fully_connected: {out: 8}\n"
                             "    - fully_connected: {out: 8}\n"
                             "    - concat: {from: fully_connected2}\n"
                             "    - fully_connected: {out: 2}");
  EXPECT_EQ(network_to_json(job.network), network_to_json(plain.network));
  EXPECT_EQ(identity(job), identity(plain));
}

TEST(Overrides, refuse_with_the_argument) {
  const std::pair<std::string, std::string> cases[] = {
      {"solver.epochs=x", "solver.epochs must be a whole number from 1 to 1000000, not 'x'"},
      {"solver.epochs=", "solver.epochs must be a whole number from 1 to 1000000, not nothing"},
      {"solver.epoch=3", "solver has no option 'epoch'; did you mean 'epochs'?"},
      {"solvr.epochs=3", "job.yaml has no key 'solvr'; did you mean 'solver'?"},
      {"checkpoint={keep: 1, kep: 2}", "checkpoint has no option 'kep'; did you mean 'keep'?"},
      {"checkpoint={keep: 1, keep: 2}", "'keep' is given twice"},
      {"checkpoint=[1", "this is not YAML: end of sequence flow not found"},
      {"checkpoint=&a 1", "anchors and aliases (&a, *a) are not supported; write the value out"},
      {"network.layers.0.conv=3", "a layer has one key, and its options inside; here are 'fully_connected' and 'conv'"},
      {"network.layers.1.relu=3", "network.layers is a list of 1; it has no entry '1' (they count from 0)"},
      {"network.layers.x.relu=3", "network.layers is a list of 1; it has no entry 'x' (they count from 0)"},
      {"network.layers.0.fully_connected.otu=3", "fully_connected has no option 'otu'; did you mean 'out'?"},
      {"name.first=x", "name is 'tiny', which has no 'first' in it"},
      {"solver.rule.sgd.rate.step.base=1", "solver.rule.sgd.rate is '0.1', which has no 'step' in it"},
      {"solver..epochs=1", "a key is words joined by dots, as in solver.epochs"},
      {"parallel.devices=[cpu:0, cpu:0]", "parallel.devices: cpu:0 stands here twice"},
  };
  for (const auto& [set, message] : cases) {
    EXPECT_EQ(config_error([&] { tiny_set({set}); }), "--set " + set + ": " + message);
  }
  EXPECT_EQ(config_error([] { tiny_set({"name=\x01"}); }),
            "--set name=?: a control character stands here; a job is plain text");
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  EXPECT_THAT(config_error([&] { tiny_set({deep + "=1"}); }), testing::HasSubstr("a key has at most 64 words"));
}

// Texts of jobs that between them write every kind of key.
std::vector<std::string> good_jobs() {
  return {
      tiny_with(kEnd, ""),
      tiny_with(5,
                "    - conv: {name: a, out: 4, kernel: 3, pad: 1, init: {weight: msra, bias: {constant: -0.5}}}\n"
                "    - average_pool: {name: b, kernel: 3, stride: 1, pad: 1, ceil: true, from: input}\n"
                "    - concat: {from: [a, b]}\n"
                "    - sigmoid\n"
                "    - tanh\n"
                "    - dropout: {p: 0.1}\n"
                "    - flatten\n"
                "    - fully_connected: {out: 16777216, init: {weight: {gaussian: 0.1}, bias: 999999.9375}}\n"
                "    - add: {from: [flatten1, fully_connected1]}"),
      tiny_with(7,
                "  train: {idx: {images: \"a: b, {c} # é 'x' \\\"y\\\" \\\\z\", labels: 'null'}}\n"
                "  test: {idx: {images: ' a', labels: 'b '}}\n"
                "  order: sequential"),
      tiny_with(
          7,
          "  train: {npy: {features: [a*.npy, b.npy], labels: '*c?', utterances: d, splice: {left: 5, right: 4}}}\n"
          "  test: {safetensors: {files: [x, y], features: f, labels: l, utterances: u}}\n"
          "  buffer: 100\n"
          "  on_bad_sample: skip"),
      tiny_with(
          7,
          "  train: {image_folder: {path: a, list: b, crop: random, mirror: true, area: [0.08, 1], aspect: [0.75, "
          "1.25], pca: 0.1, scale: 1, mean: [1, 2, 3.5], std: 0.5}}\n"
          "  test: {tar: {files: 's-{0..9}.tar', resize: 256, pad: 4, crops: 10}}\n"
          "  on_bad_sample: skip"),
      tiny_with(7,
                "  train: {libsvm: {files: a, first_index: 0}}\n"
                "  test: {csv: {files: b, label: '3', header: none, delimiter: tab}}"),
      tiny_with(kEnd,
                "  clip_norm: 0.1\n"
                "  epochs: 1000000\n"
                "seed: 18446744073709551615\n"
                "reproducible: true\n"
                "exchange: {topology: shared, content: gradients}\n"
                "backend: cpu\n"
                "parallel: {devices: [fake:0, fake:12], groups: 2}"),
      tiny_with(10, "  rule: {sgd: {rate: {step: {base: 0.30000000000000004, every_epochs: 2, factor: 1e-300}}}}"),
      tiny_with(1, "name: 'null'"),
  };
}

TEST(ToYaml, reads_back_to_the_same_job) {
  for (const std::string& text : good_jobs()) {
    const JobSpec job = parse_job(text, "job.yaml");
    const std::string yaml = to_yaml(job);
    const JobSpec again = parse_job(yaml, "again.yaml");
    EXPECT_EQ(to_yaml(again), yaml);
    EXPECT_EQ(identity(again), identity(job));
  }
  const JobSpec exact = parse_job(to_yaml(tiny(10, "  rule: {sgd: {rate: 0.30000000000000004}}")), "again.yaml");
  EXPECT_EQ(std::get<ConstantRate>(exact.solver.rule.rate).base, 0.30000000000000004);
  const JobSpec path = parse_job(to_yaml(parse_job(good_jobs()[2], "job.yaml")), "again.yaml");
  EXPECT_EQ(std::get<IdxData>(path.data.train).images, "a: b, {c} # é 'x' \"y\" \\z");
}

TEST(ToYaml, writes_every_default_out) {
  EXPECT_EQ(
      to_yaml(tiny(5, "    - max_pool: {kernel: 2}\n    - fully_connected: {out: 2, from: max_pool1}")),
      "name: tiny\n"
      "seed: 1\n"
      "network:\n"
      "  input: [4]\n"
      "  layers:\n"
      "    - max_pool: {name: max_pool1, kernel: 2, stride: 2, pad: 0, ceil: false}\n"
      "    - fully_connected: {name: fully_connected1, from: [max_pool1], out: 2, init: {weight: xavier, bias: 0}, "
      "rate_mult: {weight: 1, bias: 1}, decay_mult: {weight: 1, bias: 1}}\n"
      "  loss: softmax_cross_entropy\n"
      "data:\n"
      "  train: {synthetic: {samples: 8, classes: 2}}\n"
      "  batch: 4\n"
      "  order: shuffled\n"
      "  buffer: 262144\n"
      "  on_bad_sample: fail\n"
      "solver:\n"
      "  epochs: 1\n"
      "  rule: {sgd: {rate: 0.1, momentum: 0, weight_decay: 0}}\n"
      "  warm_up: {steps: 0, from: 0}\n"
      "  early_stopping: {patience: 0, threshold: 0}\n"
      "  test_every: 1\n"
      "  accumulate: 1\n"
      "  clip_norm: none\n"
      "checkpoint:\n"
      "  every_steps: 1000\n"
      "  keep: 3\n"
      "parallel:\n"
      "  devices: [cpu:0]\n"
      "  groups: 1\n"
      "  split: 1\n"
      "  machine: none\n"
      "exchange:\n"
      "  topology: auto\n"
      "  content: auto\n"
      "  deferred_layers: auto\n"
      "reproducible: false\n"
      "backend: auto\n"
      "precision: fp32\n"
      "memory:\n"
      "  limit: none\n"
      "  recompute: auto\n");
}

TEST(Memory, limits_are_sizes) {
  const auto limit = [](const std::string& text) { return tiny_set({"memory.limit=" + text}).memory.limit; };
  EXPECT_EQ(limit("900 MB"), 900'000'000u);
  EXPECT_EQ(limit("1.5GB"), 1'500'000'000u);
  EXPECT_EQ(limit("2 GiB"), 2'147'483'648u);
  EXPECT_EQ(limit("17 B"), 17u);
  EXPECT_FALSE(limit("none"));
  for (const char* text : {"900 MB", "1500 MB", "2 GB", "17 B", "12345 kB"}) {
    EXPECT_THAT(to_yaml(tiny_set({std::string("memory.limit=") + text})),
                testing::HasSubstr("  limit: \"" + std::string(text) + "\"\n"));
  }
}

TEST(ToYaml, writes_the_defaults_of_images_out) {
  EXPECT_THAT(
      to_yaml(tiny(7, "  train: {image_folder: {path: a}}")),
      testing::HasSubstr("  train: {image_folder: {path: a, list: none, resize: fit, pad: 0, crop: center, crops: 1, "
                         "mirror: false, area: none, aspect: [1, 1], scale: 0.00392156862745098, mean: 0, std: 1, "
                         "pca: 0}}\n"));
}

TEST(Examples, are_read) {
  int count = 0;
  for (const char* folder : {"/examples", "/examples/images"}) {
    for (const auto& file : std::filesystem::directory_iterator(std::string(HADAL_SOURCE_DIR) + folder)) {
      if (!file.is_regular_file()) continue;
      EXPECT_NO_THROW(load_job(file.path().string())) << file.path();
      ++count;
    }
  }
  EXPECT_GE(count, 7);
}

TEST(Identity, ignores_where_a_job_runs_and_nothing_else) {
  const std::string base = identity(tiny());
  EXPECT_EQ(identity(tiny_set({"parallel.devices=[fake:0, fake:1]"})), base);
  EXPECT_EQ(identity(tiny_set({"exchange.topology=direct"})), base);
  EXPECT_EQ(identity(tiny_set({"parallel.devices=[fake:0, fake:1]", "parallel.split=auto"})), base);
  EXPECT_EQ(identity(tiny_set({"exchange.deferred_layers=2"})), base);
  EXPECT_EQ(identity(tiny_set({"memory.limit=1 GB", "memory.recompute=always"})), base);
  EXPECT_EQ(identity(tiny(10, "  rule: {sgd: {momentum: 0.0, rate: 1e-1}}")), base);  // written otherwise
  for (const char* set :
       {"name=b", "seed=2", "data.buffer=9", "network.layers.0.fully_connected.out=3", "data.batch=5",
        "solver.epochs=2", "solver.rule.sgd.rate=0.2", "exchange.content=factors", "reproducible=true",
        "reproducible={shards: 6}", "backend=reference", "checkpoint.every_steps=1"}) {
    EXPECT_NE(identity(tiny_set({set})), base) << set;
  }
}

TEST(NetworkJson, reads_back) {
  for (const std::string& text : good_jobs()) {
    const NetworkSpec network = parse_job(text, "job.yaml").network;
    const std::string json = network_to_json(network);
    const NetworkSpec again = network_from_json(json, "model");
    EXPECT_EQ(network_to_json(again), json);
    EXPECT_EQ(again.where.to_string(), "model");
  }
}

TEST(NetworkJson, refuses_what_is_no_network) {
  const auto error = [](const std::string& json) -> std::string {
    try {
      network_from_json(json, "model.safetensors");
    } catch (const DataError& wrong) {
      EXPECT_EQ(wrong.exit_code(), 3);
      return wrong.what();
    }
    return "no error";
  };
  const std::string not_json = "model.safetensors: the network in it is not JSON, or larger than 4 MiB";
  EXPECT_EQ(error(""), not_json);
  EXPECT_EQ(error("input: [4]"), not_json);
  EXPECT_EQ(error(std::string(kMaxTextBytes, '[')), not_json);
  EXPECT_EQ(error(std::string(100'000, '[') + std::string(100'000, ']')),
            "model.safetensors: nested deeper than 64 levels");
  EXPECT_EQ(error("[]"), "model.safetensors: network must be a map, not a list");
  EXPECT_EQ(error("{}"), "model.safetensors: network needs 'input'");
  EXPECT_EQ(error(R"({"input": [4], "input": [4], "layers": ["relu"]})"), "model.safetensors: 'input' is given twice");
  EXPECT_EQ(error(R"({"input": ["4"], "layers": ["relu"]})"),
            "model.safetensors: a size of network.input must be a whole number from 1 to 16777216, not the text '4'");
  EXPECT_EQ(error(R"({"input": [4], "layers": [{"conv": {"out": 1, "kernel": 1e9}}]})"),
            "model.safetensors: conv.kernel must be a whole number from 1 to 1024, not '1e9'");
  EXPECT_EQ(error(R"({"input": [4], "layers": ["relu", {"tanh": {"name": "relu1"}}]})"),
            "model.safetensors: this layer and the relu above it are both named 'relu1'");
}

TEST(Nearest, forgives_small_slips_only) {
  const std::vector<std::string> known = {"kernel", "stride", "pad", "out", "p"};
  EXPECT_EQ(nearest("kernal", known), "kernel");
  EXPECT_EQ(nearest("krenel", known), "kernel");
  EXPECT_EQ(nearest("kernels", known), "kernel");
  EXPECT_EQ(nearest("strde", known), "stride");
  EXPECT_EQ(nearest("otu", known), "out");
  EXPECT_EQ(nearest("epochs", known), "");
  EXPECT_EQ(nearest("q", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest(std::string(100'000, 'k'), known), "");
}

}  // namespace
}  // namespace hadal
