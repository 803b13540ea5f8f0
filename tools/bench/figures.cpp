#include "tools/bench/figures.hpp"

#include <algorithm>
#include <array>

#include "host/record/csv_text.hpp"
#include "host/record/statistics.hpp"
#include "tools/bench/text.hpp"

namespace normlab::bench {

namespace {

double gigabytes(double bytes, double seconds) {
  return seconds > 0 ? bytes / seconds / 1e9 : 0;
}

/// Empty where there is nothing to say.
std::string cell(double value, int digits) {
  return value > 0 ? number(value, digits) : "";
}

std::string shape_of(const Figure& figure) {
  return fmt::format("{} x {}x{}x{}", figure.x.n, figure.x.c, figure.x.h, figure.x.w);
}

std::string norm_table(const DeviceResults& results) {
  std::vector<Row> rows{
      {"norm", "map", "precision", "pass", "us", "GB/s", "% of copy", "warm us", "% of copy"}};
  const double copy = results.copy_bandwidth();
  for (const Figure& f : results.figures) {
    if (f.section != "norm") continue;
    const double rate = gigabytes(f.bytes, f.seconds), warm = gigabytes(f.bytes, f.warm_seconds);
    rows.push_back({f.norm, shape_of(f), precision_name(f.type), f.pass, number(1e6 * f.seconds, 1),
                    number(rate), number(100 * rate / copy), number(1e6 * f.warm_seconds, 1),
                    number(100 * warm / copy)});
  }
  if (rows.size() == 1) return "";
  return "Norms with ReLU, alone. Bytes: forward reads x and writes y, backward reads x and dy and writes "
         "dx. The\n"
         "second pair of columns: x (or dy) has just been written, as by the layer before.\n\n" +
         aligned(rows, 4) + "\n";
}

std::string convolution_table(const DeviceResults& results) {
  std::vector<Row> rows{{"convolution", "x", "precision", "pass", "us", "TFLOP/s", "GB/s", "% of copy"}};
  for (const Figure& f : results.figures) {
    if (f.section != "convolution") continue;
    const double rate = gigabytes(f.bytes, f.seconds);
    rows.push_back({f.name, shape_of(f), precision_name(f.type), f.pass, number(1e6 * f.seconds, 1),
                    number(f.flops / f.seconds / 1e12, 2), number(rate),
                    number(100 * rate / results.copy_bandwidth())});
  }
  if (rows.size() == 1) return "";
  return "Convolutions, alone. Bytes: the two maps that a pass cannot do without.\n\n" + aligned(rows, 4) +
         "\n";
}

std::string layer_table(const DeviceResults& results, const Figure& whole) {
  std::vector<Row> rows{{"layer", "pass", "y", "us", "% of sum", "TFLOP/s", "GB/s", "% of copy"}};
  double sum = 0;
  const auto is_of = [&](const Figure& f) {
    return f.section == "layer" && f.norm == whole.norm && f.type == whole.type && f.x.n == whole.x.n;
  };
  for (const Figure& f : results.figures) sum += is_of(f) ? f.seconds : 0;
  for (const Figure& f : results.figures) {
    if (!is_of(f)) continue;
    const double rate = gigabytes(f.bytes, f.seconds);
    rows.push_back({f.name, f.pass, fmt::format("{}x{}x{}", f.x.c, f.x.h, f.x.w), number(1e6 * f.seconds, 1),
                    number(100 * f.seconds / sum, 1), cell(f.flops / f.seconds / 1e12, 2), cell(rate, 0),
                    cell(100 * rate / results.copy_bandwidth(), 0)});
  }
  if (rows.size() == 1) return "";
  return fmt::format(
      "{}, {}, batch {}: one step, layer by layer, by events between its kernels: {} us in all\n\n{}\n",
      whole.norm, precision_name(whole.type), whole.x.n, number(1e6 * sum, 1), aligned(rows, 3));
}

std::string training_table(const DeviceResults& results) {
  std::vector<Row> rows{{"norm", "batch", "precision", "what", "ms", "images/s"}};
  for (const Figure& f : results.figures) {
    if (f.section != "step" && f.section != "epoch") continue;
    const double images = f.section == "epoch" ? std::stod(f.name) : f.x.n;
    rows.push_back({f.norm, std::to_string(f.x.n), precision_name(f.type), f.section + ", " + f.pass,
                    number(1e3 * f.seconds, 3), number(images / f.seconds)});
  }
  return rows.size() == 1 ? "" : "Training\n\n" + aligned(rows, 4) + "\n";
}

}  // namespace

double DeviceResults::copy_bandwidth() const {
  return std::max(median(copy), median(kernel_copy));
}

std::string device_tables(const DeviceResults& results) {
  std::string text =
      fmt::format("{}; a copy moves {} GB/s, one by a kernel {} GB/s (read and written)\n\n", results.device,
                  number(median(results.copy)), number(median(results.kernel_copy)));
  text += norm_table(results) + convolution_table(results) + training_table(results);
  for (const Figure& f : results.figures) {
    if (f.section == "step" && f.pass == "direct") text += layer_table(results, f);
  }
  return text;
}

std::string device_csv(const DeviceResults& results) {
  const double copy = results.copy_bandwidth();
  std::string text =
      "section,name,norm,pass,n,c,h,w,precision,microseconds,gigabytes_per_second,teraflops,percent_of_copy,"
      "warm_microseconds,warm_percent_of_copy,copy_gigabytes_per_second\n";
  for (const Figure& f : results.figures) {
    const double rate = gigabytes(f.bytes, f.seconds), warm = gigabytes(f.bytes, f.warm_seconds);
    Row row{f.section, f.name, f.norm, f.pass};
    for (const int extent : {f.x.n, f.x.c, f.x.h, f.x.w}) row.push_back(std::to_string(extent));
    row.push_back(precision_name(f.type));
    for (const double value : {1e6 * f.seconds, rate, f.flops / f.seconds / 1e12, 100 * rate / copy,
                               1e6 * f.warm_seconds, 100 * warm / copy, copy}) {
      row.push_back(csv_number(value));
    }
    text += csv_line(row);
  }
  return text;
}

}  // namespace normlab::bench
