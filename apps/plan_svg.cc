#include "apps/plan_svg.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/terminal.h"

namespace hadal {

namespace {

constexpr double kSlot = 160, kLevel = 130, kMargin = 24, kHead = 64, kBoxWidth = 126, kBoxHeight = 58;
constexpr double kBusy = 0.6;  // share of the step from which on a link is drawn as a bottleneck

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

struct Place {
  double x = 0, y = 0;  // of the middle, in slots and levels
};

// A tree of the machine's nodes with the host at the top, or else what has the most links; leaves side by side.
class TreeLayout {
 public:
  explicit TreeLayout(const Machine& machine) : places(static_cast<std::size_t>(machine.nodes())) {
    neighbours_.resize(places.size());
    for (const MachineLink& link : machine.links) {
      neighbours_[static_cast<std::size_t>(link.a)].push_back(link.b);
      neighbours_[static_cast<std::size_t>(link.b)].push_back(link.a);
    }
    int top = machine.host;
    for (int node = 0; top < 0 || (machine.host < 0 && node < machine.nodes()); ++node) {
      if (top < 0 || degree(node) > degree(top)) top = node;
    }
    place(top, 0);
    for (int node = 0; node < machine.nodes(); ++node) {
      if (!is_placed(node)) place(node, 0);  // a switch that leads nowhere
    }
  }

  std::vector<Place> places;
  double slots = 0, levels = 0;

 private:
  std::size_t degree(int node) const { return neighbours_[static_cast<std::size_t>(node)].size(); }
  bool is_placed(int node) const { return std::find(order_.begin(), order_.end(), node) != order_.end(); }

  void place(int node, int level) {
    order_.push_back(node);
    Place& at = places[static_cast<std::size_t>(node)];
    at.y = level;
    levels = std::max(levels, level + 1.0);
    double sum = 0;
    int children = 0;
    for (const int other : neighbours_[static_cast<std::size_t>(node)]) {
      if (is_placed(other)) continue;
      place(other, level + 1);
      sum += places[static_cast<std::size_t>(other)].x;
      ++children;
    }
    places[static_cast<std::size_t>(node)].x = children > 0 ? sum / children : slots++;
  }

  std::vector<std::vector<int>> neighbours_;
  std::vector<int> order_;
};

double pixel_x(const Place& place) { return kMargin + (place.x + 0.5) * kSlot; }
double pixel_y(const Place& place) { return kHead + (place.y + 0.5) * kLevel; }

std::string text_at(double x, double y, int size, const char* colour, const std::string& text) {
  return fmt::format("  <text x=\"{:.0f}\" y=\"{:.0f}\" font-size=\"{}\" fill=\"{}\">{}</text>\n", x, y, size, colour,
                     escaped(text));
}

}  // namespace

std::string plan_svg(const std::string& title, const Plan& plan, const MemoryPlan& memory,
                     const Prediction& prediction) {
  const Machine& machine = prediction.machine;
  const Simulation& simulation = prediction.simulation;
  const TreeLayout layout(machine);
  const double width = 2 * kMargin + std::max(layout.slots, 4.0) * kSlot, height = kHead + layout.levels * kLevel;
  const auto ms = [](double seconds) { return fmt::format("{:.2f} ms", seconds * 1e3); };

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "font-family=\"DejaVu Sans, Verdana, sans-serif\" text-anchor=\"middle\">\n"
      "  <rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n",
      width, height);
  svg += "<g text-anchor=\"start\">\n";
  svg += text_at(kMargin, 26, 16, "#0f172a", fmt::format("{} on {}", title, machine.name));
  svg += text_at(
      kMargin, 48, 12, "#475569",
      fmt::format(
          "{} a step, bound by {}; exchange: {}, {}{}", ms(simulation.step_seconds), simulation.bound_by(),
          to_string(plan.topology), format_bytes(static_cast<double>(plan.exchange_bytes())),
          plan.split > 1 ? "; within groups: " + format_bytes(static_cast<double>(plan.transfer_bytes())) : ""));
  svg += "</g>\n";

  for (std::size_t l = 0; l < machine.links.size(); ++l) {
    const MachineLink& link = machine.links[l];
    const Place &a = layout.places[static_cast<std::size_t>(link.a)],
                &b = layout.places[static_cast<std::size_t>(link.b)];
    const double share =
        std::max(simulation.port_seconds[2 * l], simulation.port_seconds[2 * l + 1]) / simulation.step_seconds;
    svg += fmt::format(
        "  <line x1=\"{:.0f}\" y1=\"{:.0f}\" x2=\"{:.0f}\" y2=\"{:.0f}\" stroke=\"{}\" stroke-width=\"{:.1f}\"/>\n",
        pixel_x(a), pixel_y(a), pixel_x(b), pixel_y(b), share > kBusy ? "#b91c1c" : "#94a3b8", 1.5 + 4 * share);
  }
  // Labels stand over the lines: beside the lower end, where lines are apart from each other.
  for (std::size_t l = 0; l < machine.links.size(); ++l) {
    const MachineLink& link = machine.links[l];
    const bool a_is_lower =
        layout.places[static_cast<std::size_t>(link.a)].y > layout.places[static_cast<std::size_t>(link.b)].y;
    const Place &low = layout.places[static_cast<std::size_t>(a_is_lower ? link.a : link.b)],
                &high = layout.places[static_cast<std::size_t>(a_is_lower ? link.b : link.a)];
    const double x = 0.8 * pixel_x(low) + 0.2 * pixel_x(high), y = 0.62 * pixel_y(low) + 0.38 * pixel_y(high);
    const std::size_t up = 2 * l + (link.full_duplex && !a_is_lower ? 1 : 0), down = 2 * l + (a_is_lower ? 1 : 0);
    const auto label = [&](const char* arrow, std::size_t port) {
      return fmt::format("{} {}, {:.0f} %", arrow, format_bytes(static_cast<double>(simulation.port_bytes[port])),
                         100 * simulation.port_seconds[port] / simulation.step_seconds);
    };
    svg += fmt::format(
        "  <rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"104\" height=\"{}\" fill=\"#ffffff\" opacity=\"0.85\"/>\n", x - 52,
        y - 12, link.full_duplex ? 30 : 16);
    svg += text_at(x, y, 11, "#334155", label(link.full_duplex ? "\u2191" : "\u2195", up));
    if (link.full_duplex) svg += text_at(x, y + 14, 11, "#334155", label("\u2193", down));
  }
  for (int node = 0; node < machine.nodes(); ++node) {
    const Place& place = layout.places[static_cast<std::size_t>(node)];
    const auto d = static_cast<std::size_t>(node);
    const bool is_device = d < machine.devices.size();
    const double x = pixel_x(place), y = pixel_y(place), box_height = is_device ? kBoxHeight : 30;
    svg += fmt::format(
        "  <rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" rx=\"6\" fill=\"{}\" "
        "stroke=\"#334155\"/>\n",
        x - kBoxWidth / 2, y - box_height / 2, kBoxWidth, box_height, is_device ? "#dbeafe" : "#f1f5f9");
    if (!is_device) {
      svg += text_at(x, y + 4, 12, "#0f172a", machine.node_name(node) + (node == machine.host ? " (host)" : ""));
      continue;
    }
    const std::string part = plan.split > 1 ? fmt::format(" ({}, part {})", node / plan.split, node % plan.split) : "";
    svg += text_at(x, y - 12, 13, "#0f172a", machine.node_name(node) + part);
    svg += text_at(x, y + 4, 11, "#475569", fmt::format("kernels {}", ms(simulation.compute_seconds[d])));
    svg += text_at(
        x, y + 19, 11, "#475569",
        fmt::format("{} rows, {}", plan.device_rows[d].count, format_bytes(static_cast<double>(memory.use[d].peak))));
  }
  return svg + "</svg>\n";
}

}  // namespace hadal
