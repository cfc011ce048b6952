#include "spec/machine_file.h"

#include <map>

#include "spec/keys.h"
#include "spec/write_yaml.h"

namespace hadal {

namespace {

struct DeviceEntry {
  std::string name;
  DeviceSpeed speed;
  double memory_bytes = 0;
  std::string memory;
  Position where;
};

struct LinkEntry {
  std::string a, b;
  LinkSpeed speed;
  bool full_duplex = true;
  Position where;
};

struct MachineEntry {
  std::string name;
  std::vector<DeviceEntry> devices;
  std::vector<std::string> switches;
  std::vector<Position> switches_where;
  std::vector<LinkEntry> links;
  std::string host;
  Position host_where;
};

constexpr RealRange kSpeed{1, 1e18};
constexpr std::size_t kMostDevices = 1024;

Keys<DeviceEntry> device_keys() {
  using D = DeviceEntry;
  return {
      text<D>("name", &D::name, "text", kRequired, "of this device"),
      real<D>(
          "flops_per_second", [](auto& d) -> auto& { return d.speed.flops_per_second; }, kSpeed, "50000000000",
          "of matrix products and convolutions, as fast as they really are in the job's precision; of one core where "
          "jobs run it as `cpu:N`"),
      real<D>(
          "memory_bytes_per_second", [](auto& d) -> auto& { return d.speed.memory_bytes_per_second; }, kSpeed,
          "10000000000", "of everything else: what kernels read and write"),
      real<D>(
          "kernel_seconds", [](auto& d) -> auto& { return d.speed.kernel_seconds; }, {0, 1}, "1e-06",
          "what every kernel takes, however small"),
      real<D>("memory_bytes", &D::memory_bytes, {0, 1e18}, "0",
              "of its memory, or of the one that it shares; 0: not said"),
      {"memory", "text", "its own",
       "devices with the same one read and write each other's where they lie; looked at by `plan --machine`",
       [](const Value& value, const std::string& path, D& into) { into.memory = read_text(value, path); },
       [](const D& from) { return from.memory.empty() ? std::nullopt : std::optional<Json>(from.memory); }},
  };
}

Keys<LinkEntry> link_keys() {
  using L = LinkEntry;
  return {
      {"between", "two names", kRequired, "devices or switches",
       [](const Value& value, const std::string& path, L& into) {
         if (value.kind != Value::Kind::list || value.items.size() != 2) {
           throw ConfigError(value.where, path + " must be two names, as [card0, switch0]");
         }
         into.a = read_text(value.items[0], path);
         into.b = read_text(value.items[1], path);
         into.where = value.where;
       },
       [](const L& from) {
         return Json(std::vector<std::string>{from.a, from.b});
       }},
      real<L>(
          "bytes_per_second", [](auto& l) -> auto& { return l.speed.bytes_per_second; }, kSpeed, "6000000000",
          "each way; of both ways together where `duplex` is half"),
      real<L>(
          "latency_seconds", [](auto& l) -> auto& { return l.speed.latency_seconds; }, {0, 10}, "5e-06",
          "what every copy takes before its first byte"),
      choice<L, bool>("duplex", &L::full_duplex, {{"full", true}, {"half", false}}, "full",
                      "whether both ways carry at once"),
  };
}

// A list of maps.
template <class T>
void read_list(const Value& value, const std::string& path, const Keys<T>& keys, std::vector<T>& into) {
  if (value.kind != Value::Kind::list) throw ConfigError(value.where, path + " must be a list, not " + shown(value));
  for (const Value& item : value.items) {
    T entry;
    entry.where = item.where;
    read_map(item, path, keys, entry);
    into.push_back(std::move(entry));
  }
}

template <class T>
Json write_list(const Keys<T>& keys, const std::vector<T>& entries) {
  Json list = Json::array();
  for (const T& entry : entries) list.push_back(write_map(keys, entry));
  return list;
}

const Keys<MachineEntry>& machine_table() {
  using M = MachineEntry;
  static const Keys<M> kTable = {
      text<M>("name", &M::name, "text", kRequired, "of the machine"),
      {"devices", "list of maps", kRequired, "in the order in which a job's devices are numbered",
       [](const Value& value, const std::string& path, M& into) {
         read_list(value, path, device_keys(), into.devices);
         if (into.devices.empty() || into.devices.size() > kMostDevices) {
           throw ConfigError(value.where, path + " must be 1 to " + std::to_string(kMostDevices));
         }
       },
       [](const M& from) { return write_list(device_keys(), from.devices); }, list_keys(device_keys())},
      {"switches", "list of names", "none", "what joins links and is no device: switches, roots, memories",
       [](const Value& value, const std::string& path, M& into) {
         if (value.kind != Value::Kind::list) throw ConfigError(value.where, path + " must be a list of names");
         for (const Value& item : value.items) {
           into.switches.push_back(read_text(item, path));
           into.switches_where.push_back(item.where);
         }
       },
       [](const M& from) { return from.switches.empty() ? std::nullopt : std::optional<Json>(from.switches); }},
      {"links", "list of maps", "none", "a copy goes by as few of them as it can",
       [](const Value& value, const std::string& path, M& into) { read_list(value, path, link_keys(), into.links); },
       [](const M& from) {
         return from.links.empty() ? std::nullopt : std::optional<Json>(write_list(link_keys(), from.links));
       },
       list_keys(link_keys())},
      {"host", "name", "none", "the device or switch at whose memory batches lie; none: they take no time to load",
       [](const Value& value, const std::string& path, M& into) {
         into.host = read_text(value, path);
         into.host_where = value.where;
       },
       [](const M& from) { return from.host.empty() ? std::nullopt : std::optional<Json>(from.host); }},
  };
  return kTable;
}

Machine build(const MachineEntry& entry) {
  Machine machine{.name = entry.name};
  std::map<std::string, int> nodes, memories;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, const Position& where) {
    if (!nodes.emplace(name, static_cast<int>(names.size())).second) {
      throw ConfigError(where, "the name " + shown(name) + " stands twice");
    }
    names.push_back(name);
  };
  const auto find = [&](const std::string& name, const Position& where) {
    const auto found = nodes.find(name);
    if (found != nodes.end()) return found->second;
    throw ConfigError(where, "there is no device or switch " + shown(name) + did_you_mean(name, names));
  };
  for (const DeviceEntry& device : entry.devices) {
    add(device.name, device.where);
    // Not the name of another's memory: each that names none has its own.
    const std::string memory = device.memory.empty() ? "\n" + device.name : device.memory;
    const int number = memories.emplace(memory, static_cast<int>(memories.size())).first->second;
    machine.devices.push_back({device.name, device.speed, device.memory_bytes, number});
  }
  for (std::size_t i = 0; i < entry.switches.size(); ++i) add(entry.switches[i], entry.switches_where[i]);
  machine.switches = entry.switches;
  for (const LinkEntry& link : entry.links) {
    const int a = find(link.a, link.where), b = find(link.b, link.where);
    if (a == b) throw ConfigError(link.where, "a link joins " + shown(link.a) + " to itself");
    machine.links.push_back({a, b, link.speed, link.full_duplex});
  }
  if (!entry.host.empty()) machine.host = find(entry.host, entry.host_where);
  for (std::size_t d = 1; d < machine.devices.size(); ++d) {
    if (!route(machine, static_cast<int>(d), 0).empty()) continue;
    throw ConfigError(entry.devices[d].where,
                      "no links lead from " + shown(entry.devices[d].name) + " to " + shown(entry.devices[0].name));
  }
  if (machine.host > 0 && route(machine, machine.host, 0).empty()) {
    throw ConfigError(entry.host_where, "no links lead from the host to " + shown(entry.devices[0].name));
  }
  return machine;
}

}  // namespace

Machine parse_machine(const std::string& text, const std::string& file) {
  const Value root = read_yaml(text, file);
  if (root.kind == Value::Kind::null) throw ConfigError({file, 0, 0}, "is empty; a machine needs name and devices");
  MachineEntry entry;
  read_map(root, "", machine_table(), entry, "machine.yaml");
  return build(entry);
}

Machine load_machine(const std::string& path) {
  return parse_machine(read_text_file(path, "a machine's description"), path);
}

std::string to_yaml(const Machine& machine) {
  MachineEntry entry{.name = machine.name, .switches = machine.switches};
  for (const MachineDevice& device : machine.devices) {
    std::string memory;
    for (const MachineDevice& other : machine.devices) {
      if (&other != &device && other.memory == device.memory) memory = "memory" + std::to_string(device.memory);
    }
    entry.devices.push_back({device.name, device.speed, device.memory_bytes, memory, {}});
  }
  for (const MachineLink& link : machine.links) {
    entry.links.push_back({machine.node_name(link.a), machine.node_name(link.b), link.speed, link.full_duplex, {}});
  }
  if (machine.host >= 0) entry.host = machine.node_name(machine.host);
  return write_yaml(write_map(machine_table(), entry));
}

std::vector<KeyInfo> machine_keys() { return list_keys(machine_table()); }

}  // namespace hadal
