#include "tools/bench/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>

#include "host/record/csv_text.hpp"
#include "host/record/statistics.hpp"
#include "layers/as_size.hpp"
#include "tools/bench/text.hpp"
#include "tools/bench/work.hpp"

namespace normlab::bench {

namespace {

std::string range(std::span<const double> values, int digits = 0) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return fmt::format("({} - {})", number(*low, digits), number(*high, digits));
}

/// The median over rounds of a / b: what both saw of a slow minute cancels.
double median_ratio(std::span<const double> a, std::span<const double> b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  return median(ratios);
}

/// GFLOP that one image needs in training.
double gflop(const Subject& subject) {
  return 2 * training_multiply_adds(subject.graph) / 1e9;
}

const Limits& limits_of(const Results& results, const Subject& subject) {
  return results.limits.at(subject.cell.threads);
}

double percent_of_peak(const Results& results, const Subject& subject) {
  return 100 * gflop(subject) * median_ratio(subject.training, limits_of(results, subject).fma);
}

int reference_batch(const Plan& plan) {
  const std::vector<int>& sizes = plan.batch_sizes;
  return std::find(sizes.begin(), sizes.end(), 128) != sizes.end() ? 128 : sizes.front();
}

int fewest_threads(const Plan& plan) {
  return *std::min_element(plan.threads.begin(), plan.threads.end());
}

double batch_ratio(const Results& results, const Subject& subject) {
  Cell base = subject.cell;
  base.batch_size = reference_batch(results.plan);
  return median_ratio(subject.training, results.at(base).training);
}

/// Faster than with the fewest threads by this factor; and the share of it that the machine's peak gained.
struct SpeedUp {
  double factor, percent_of_peak;
};

SpeedUp speed_up(const Results& results, const Subject& subject) {
  Cell base = subject.cell;
  base.threads = fewest_threads(results.plan);
  const double factor = median_ratio(subject.training, results.at(base).training);
  const double peak = median_ratio(limits_of(results, subject).fma, limits_of(results, results.at(base)).fma);
  return {factor, 100 * factor / peak};
}

std::string threads_of(int count) {
  return fmt::format("{} thread{}", count, count == 1 ? "" : "s");
}

/// Norm, and what else differs from row to row.
Row label(const Results& results, const Cell& cell) {
  Row row{cell.norm.str()};
  if (results.plan.batch_sizes.size() > 1) row.push_back(std::to_string(cell.batch_size));
  if (results.plan.threads.size() > 1) row.push_back(std::to_string(cell.threads));
  if (results.plan.precisions.size() > 1) row.push_back(precision_name(cell.precision));
  return row;
}

Row label_heading(const Results& results) {
  Row row{"norm"};
  if (results.plan.batch_sizes.size() > 1) row.push_back("batch");
  if (results.plan.threads.size() > 1) row.push_back("threads");
  if (results.plan.precisions.size() > 1) row.push_back("precision");
  return row;
}

}  // namespace

std::string heading(const Results& results) {
  const Plan& plan = results.plan;
  const int most = *std::max_element(plan.threads.begin(), plan.threads.end());
  std::vector<std::string> precisions;
  for (const DataType precision : plan.precisions) precisions.push_back(precision_name(precision));
  std::string text = fmt::format("{}, {}, {}, batch {}, {} thread{}, {}; medians of {} interleaved rounds\n",
                                 cpu_model(), results.subjects.front()->backend->isa(), plan.net.str(),
                                 fmt::join(plan.batch_sizes, " and "), fmt::join(plan.threads, " and "),
                                 most == 1 ? "" : "s", fmt::join(precisions, " and "), results.rounds);
  for (const int threads : plan.threads) {
    const Limits& limits = results.limits.at(threads);
    text +=
        fmt::format("{}FMA peak {} GFLOP/s {}, second-level cache {} GB/s, main memory {} GB/s\n",
                    plan.threads.size() == 1 ? "" : threads_of(threads) + ": ", number(median(limits.fma)),
                    range(limits.fma), number(median(limits.cache)), number(median(limits.memory)));
  }
  return text + "\n";
}

std::string notes(const Results& results) {
  std::string text;
  std::set<std::string> seen;
  for (const auto& subject : results.subjects) {
    for (const std::string& note : subject->backend->notes()) {
      if (seen.insert(note).second) text += fmt::format("note: {}\n", note);
    }
  }
  return text;
}

std::string cell_table(const Results& results) {
  const bool batches = results.plan.batch_sizes.size() > 1, threads = results.plan.threads.size() > 1;
  Row head = label_heading(results);
  append(head, {"images/s", "(min - max)", "GFLOP/s", "% of peak", "evaluation/s", "MB"});
  if (batches) head.push_back(fmt::format("vs batch {}", reference_batch(results.plan)));
  if (threads) append(head, {"vs " + threads_of(fewest_threads(results.plan)), "% of peak's"});
  std::vector<Row> rows{head};
  for (const auto& subject : results.subjects) {
    const Subject& s = *subject;
    Row row = label(results, s.cell);
    const double rate = median(s.training);
    append(row,
           {number(rate), range(s.training), number(rate * gflop(s)), number(percent_of_peak(results, s), 1),
            number(median(s.evaluation)), number(static_cast<double>(s.graph.memory_bytes()) / 1e6, 1)});
    if (batches) row.push_back(number(batch_ratio(results, s), 3));
    if (threads) {
      const SpeedUp gain = speed_up(results, s);
      append(row, {number(gain.factor, 2), number(gain.percent_of_peak)});
    }
    rows.push_back(row);
  }
  return aligned(rows, 1);
}

std::string cell_csv(const Results& results) {
  std::string text =
      "norm,batch_size,threads,precision,isa,images_per_second,images_per_second_min,images_per_second_max,"
      "gflops,"
      "fma_peak_gflops,percent_of_peak,evaluated_per_second,megabytes,batch_ratio,speed_up,"
      "speed_up_percent_of_peak,cache_gigabytes_per_second,memory_gigabytes_per_second\n";
  for (const auto& subject : results.subjects) {
    const Subject& s = *subject;
    const Limits& limits = limits_of(results, s);
    const auto [low, high] = std::minmax_element(s.training.begin(), s.training.end());
    const SpeedUp gain = speed_up(results, s);
    Row row{s.cell.norm.str(), std::to_string(s.cell.batch_size), std::to_string(s.cell.threads),
            precision_name(s.cell.precision), s.backend->isa()};
    for (const double value :
         {median(s.training), *low, *high, median(s.training) * gflop(s), median(limits.fma),
          percent_of_peak(results, s), median(s.evaluation),
          static_cast<double>(s.graph.memory_bytes()) / 1e6, batch_ratio(results, s), gain.factor,
          gain.percent_of_peak, median(limits.cache), median(limits.memory)}) {
      row.push_back(csv_number(value));
    }
    text += csv_line(row);
  }
  return text;
}

namespace {

Work work_of(const Subject& subject, int index, Phase phase) {
  return bench::work_of(subject.graph, *subject.profile, index, phase, subject.profiled_images,
                        subject.cell.precision);
}

Work operator+(const Work& a, const Work& b) {
  return {a.seconds + b.seconds, a.flops + b.flops, a.bytes + b.bytes};
}

/// GFLOP/s of what computes, GB/s of what moves memory, and how much of the machine's that is.
struct Rate {
  double gflops = 0, gigabytes = 0, percent = 0;
};

Rate rate_of(const Results& results, const Subject& subject, const Work& work) {
  if (work.seconds == 0) return {};
  const Limits& limits = limits_of(results, subject);
  const double wall = work.seconds / subject.cell.threads;
  Rate rate{work.flops / wall / 1e9, work.bytes / wall / 1e9};
  rate.percent =
      100 * (rate.gflops > 0 ? rate.gflops / median(limits.fma) : rate.gigabytes / median(limits.cache));
  return rate;
}

double microseconds(const Subject& subject, double seconds) {
  return 1e6 * seconds / subject.profiled_images;
}

std::string layer_table(const Results& results, const Subject& subject) {
  std::vector<Row> rows{{"layer", "kind", "output", "forward", "bwd data", "bwd weights", "rate", "",
                         "% forward", "bwd data", "bwd weights", "all"}};
  for (int i = 0; i < subject.profile->layers(); ++i) {
    const Layer& layer = *subject.graph.nodes()[as_size(i)].layer;
    const Phase way = layer.is_norm() ? Phase::norm_forward : Phase::forward;
    const Phase back = layer.is_norm() ? Phase::norm_backward : Phase::backward_data;
    const std::array<Work, 3> works{work_of(subject, i, way), work_of(subject, i, back),
                                    work_of(subject, i, Phase::backward_weights)};
    const Shape& y = layer.y_shape();
    Row row{layer.name(), layer.kind(), fmt::format("{}x{}x{}", y.c, y.h, y.w)};
    for (const Work& work : works) {
      row.push_back(work.seconds > 0 ? number(microseconds(subject, work.seconds), 2) : "");
    }
    const Rate all = rate_of(results, subject, works[0] + works[1] + works[2]);
    const bool computes = all.gflops > 0, moves = all.gigabytes > 0;
    append(row, {computes ? number(all.gflops)
                 : moves  ? number(all.gigabytes)
                          : "",
                 computes ? "GFLOP/s"
                 : moves  ? "GB/s"
                          : ""});
    for (const Work& work : works) {
      const double percent = rate_of(results, subject, work).percent;
      row.push_back(percent > 0 ? number(percent) : "");
    }
    row.push_back(all.percent > 0 ? number(all.percent) : "");
    rows.push_back(row);
  }
  return aligned(rows, 2);
}

}  // namespace

std::string layer_tables(const Results& results) {
  std::string text =
      "Microseconds of one thread for one image; % of the FMA peak or the cache's bandwidth\n\n";
  for (const auto& subject : results.subjects) {
    const Cell& cell = subject->cell;
    text += fmt::format("{}, batch {}, {}\n{}\n", cell.norm.str(), cell.batch_size, threads_of(cell.threads),
                        layer_table(results, *subject));
  }
  Row head = label_heading(results);
  append(head, {"microseconds"});
  for (const Phase phase : kPhases) {
    std::string words = phase_name(phase);
    std::replace(words.begin(), words.end(), '_', ' ');
    head.push_back(words);
  }
  head.push_back("clock");
  std::vector<Row> rows{head};
  for (const auto& subject : results.subjects) {
    const Profile& profile = *subject->profile;
    const double all = profile.workers() * profile.wall_seconds();
    Row row = label(results, subject->cell);
    row.push_back(number(microseconds(*subject, all), 1));
    for (const Phase phase : kPhases) row.push_back(number(100 * profile.seconds(phase) / all, 1));
    row.push_back(fmt::format("{:+.1f}", 100 * (median_ratio(subject->training, subject->profiled) - 1)));
    rows.push_back(row);
  }
  return text + "Percent of the step by phase, and what reading the clock added to it\n\n" + aligned(rows, 1);
}

std::string layer_csv(const Results& results) {
  std::string text =
      "norm,batch_size,threads,precision,layer,kind,c,h,w,phase,microseconds_per_image,percent_of_step,"
      "gflops,"
      "gigabytes_per_second,percent_of_limit\n";
  for (const auto& subject : results.subjects) {
    const Subject& s = *subject;
    const double all = s.profile->workers() * s.profile->wall_seconds();
    for (int i = Profile::kStep; i < s.profile->layers(); ++i) {
      const Layer* layer = i == Profile::kStep ? nullptr : s.graph.nodes()[as_size(i)].layer.get();
      for (const Phase phase : kPhases) {
        Work work = work_of(s, i, phase);
        if (layer == nullptr && phase == Phase::wait) work.seconds = s.profile->seconds(phase);
        if (work.seconds == 0) continue;
        const Rate rate = rate_of(results, s, work);
        Row row{s.cell.norm.str(),
                std::to_string(s.cell.batch_size),
                std::to_string(s.cell.threads),
                precision_name(s.cell.precision),
                layer == nullptr ? "step" : layer->name(),
                layer == nullptr ? "" : layer->kind()};
        const Shape y = layer == nullptr ? s.graph.sample() : layer->y_shape();
        append(row, {std::to_string(y.c), std::to_string(y.h), std::to_string(y.w), phase_name(phase)});
        for (const double value : {microseconds(s, work.seconds), 100 * work.seconds / all, rate.gflops,
                                   rate.gigabytes, rate.percent}) {
          row.push_back(csv_number(value));
        }
        text += csv_line(row);
      }
    }
  }
  return text;
}

}  // namespace normlab::bench
