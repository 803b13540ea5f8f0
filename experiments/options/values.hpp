#pragma once
// What the options of a study can be set to, and how that is typed. All of this throws UsageError.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layers/data_type.hpp"
#include "layers/norms.hpp"

namespace normlab {

/// "bn,gn:4": at least one, no one twice.
[[nodiscard]] std::vector<Norm> parse_norms(const std::string& text);

/// "3" is 0, 1, 2; "4,7" are those seeds, and so is "7,".
[[nodiscard]] std::vector<std::uint64_t> parse_seeds(const std::string& text);

/// Peak learning rates by norm: --lr.
class LearningRates {
 public:
  /// From "0.1", "0.1,none=0.02,gn=0.05,gn:8=0.02" (gn stands for every G that is not named itself), or
  /// "auto".
  [[nodiscard]] static LearningRates parse(const std::string& text);

  /// Whether a range test is to find them.
  [[nodiscard]] bool are_found() const { return are_found_; }
  /// None where nothing is said about this norm.
  [[nodiscard]] std::optional<double> of(const Norm& norm) const;

 private:
  struct OfKind {
    const NormKind* kind;
    double rate;
  };
  struct OfNorm {
    Norm norm;
    double rate;
  };

  bool are_found_ = false;
  std::optional<double> general_;
  std::vector<OfKind> of_kinds_;
  std::vector<OfNorm> of_norms_;
};

struct Precision {
  DataType storage = DataType::f32;  ///< of activations and their gradients
  bool tf32 = false;                 ///< GPU: products of fp32 numbers have 10 bits
};
[[nodiscard]] Precision parse_study_precision(const std::string& text);

/// The first is the fastest, the second goes by the definition.
enum class ConvolutionMethod { automatic, direct };
[[nodiscard]] ConvolutionMethod parse_convolution_method(const std::string& text);

/// Who computes batch norm on a GPU.
enum class BatchNormSource { own, cudnn };
[[nodiscard]] BatchNormSource parse_batch_norm_source(const std::string& text);

/// "1,10,100": steps count from 1; none from "".
[[nodiscard]] std::vector<int> parse_diagnose_steps(const std::string& text);

/// Runs side by side, none for "auto".
[[nodiscard]] std::optional<int> parse_jobs(const std::string& text);

}  // namespace normlab
