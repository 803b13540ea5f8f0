#include "experiments/options/values.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/options/lists.hpp"
#include "layers/error.hpp"

namespace normlab {

std::vector<Norm> parse_norms(const std::string& text) {
  std::vector<Norm> norms;
  check_not_empty("--norms", text);
  for (const std::string& name : split_list(text)) {
    const Norm norm = Norm::parse(name);
    if (std::ranges::find(norms, norm) != norms.end())
      throw UsageError("--norms: '{}' stands there twice", name);
    norms.push_back(norm);
  }
  return norms;
}

std::vector<std::uint64_t> parse_seeds(const std::string& text) {
  std::vector<std::uint64_t> seeds;
  check_not_empty("--seeds", text);
  for (const std::string& part : split_list(text)) {
    const auto seed = parse_number<std::uint32_t>(part);
    if (!seed) {
      throw UsageError(
          "--seeds: '{}' is no seed; say how many (3) or which (4,7), a single one with a comma (7,)", part);
    }
    if (std::ranges::find(seeds, *seed) != seeds.end())
      throw UsageError("--seeds: {} stands there twice", part);
    seeds.push_back(*seed);
  }
  if (text.find(',') != std::string::npos) return seeds;
  const std::uint64_t count = seeds.front();
  if (count < 1 || count > 1000)
    throw UsageError("--seeds: {} seeds are too few or too many; say 1 to 1000, or {}, for that one seed",
                     count, count);
  seeds.resize(count);
  std::iota(seeds.begin(), seeds.end(), 0U);
  return seeds;
}

LearningRates LearningRates::parse(const std::string& text) {
  LearningRates rates;
  rates.are_found_ = split_list(text) == std::vector<std::string>{"auto"};
  if (rates.are_found_) return rates;
  for (const std::string& part : split_list(text)) {
    const std::size_t equals = part.find('=');
    const auto rate = parse_number<double>(equals == std::string::npos ? part : part.substr(equals + 1));
    if (!rate || !(*rate > 0) || !std::isfinite(*rate)) {
      throw UsageError("--lr: '{}' is no positive learning rate; write 0.1 or 0.1,none=0.02", part);
    }
    if (equals == std::string::npos) {
      rates.general_ = rate;
      continue;
    }
    const std::string name = part.substr(0, equals);
    if (const NormKind* kind = norm_kind(name); kind != nullptr && kind->name == name) {
      rates.of_kinds_.push_back({kind, *rate});
    } else {
      rates.of_norms_.push_back({Norm::parse(name), *rate});
    }
  }
  return rates;
}

std::optional<double> LearningRates::of(const Norm& norm) const {
  std::optional<double> rate = general_;
  for (const OfKind& named : of_kinds_)
    if (named.kind == &norm.kind()) rate = named.rate;
  for (const OfNorm& named : of_norms_)
    if (named.norm == norm) rate = named.rate;
  return rate;
}

Precision parse_study_precision(const std::string& text) {
  if (text == "tf32") return {DataType::f32, true};
  return {parse_precision(text), false};
}

ConvolutionMethod parse_convolution_method(const std::string& text) {
  if (text == "auto") return ConvolutionMethod::automatic;
  if (text == "direct") return ConvolutionMethod::direct;
  throw UsageError("--conv: must be auto or direct");
}

BatchNormSource parse_batch_norm_source(const std::string& text) {
  if (text == "own") return BatchNormSource::own;
  if (text == "cudnn") return BatchNormSource::cudnn;
  throw UsageError("--bn: must be own or cudnn");
}

std::vector<int> parse_diagnose_steps(const std::string& text) {
  if (text.empty()) return {};
  std::vector<int> steps = number_list("--diagnose-steps", text);
  if (std::ranges::any_of(steps, [](int step) { return step < 1; }))
    throw UsageError("--diagnose-steps: steps count from 1, such as 1,10,100");
  return steps;
}

std::optional<int> parse_jobs(const std::string& text) {
  if (text == "auto") return std::nullopt;
  const auto count = parse_number<int>(text);
  if (!count || *count < 1) {
    throw UsageError("--jobs: '{}' must be auto, or how many runs may go on side by side, at least 1", text);
  }
  return count;
}

}  // namespace normlab
