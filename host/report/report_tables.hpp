#pragma once
// The tables of the report, as HTML.

#include <string>
#include <string_view>

#include "host/report/sweep.hpp"

namespace normlab {

/// One row for each arm: accuracies with intervals, paired differences, speed. `best` is the arm with the
/// highest final accuracy, nullptr if no run finished. The heads sort it, where scripts run.
[[nodiscard]] std::string norms_table(const StudyView& study, const ArmSummary* best);

/// What its columns mean.
extern const std::string norms_table_notes;

/// One table for each setting of the other swept keys: a row for each value of the axis, a column for each
/// norm, final test accuracy with intervals, the highest of a row marked.
[[nodiscard]] std::string sweep_tables(const Sweep& sweep);

/// Growth, cosine and stable rank of each norm at each setting, with standard errors; "" without laws.
[[nodiscard]] std::string laws_table(const StudyView& study);

}  // namespace normlab
