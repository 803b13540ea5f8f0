#pragma once
// What the channels of the laboratory say, in a sentence or two a topic, from the numbers of the pictures.

#include <string>
#include <vector>

#include "host/report/pictures.hpp"

namespace normlab {

/// The sentence that opens a section of the report; "" if the study has nothing for it. Gradients: the norm
/// at the first block's output over that at the last. Landscape: how far the loss varies along the gradient,
/// and the median beta-smoothness.
[[nodiscard]] std::string finding(const StudyView& study, Topic topic);

/// Of a study at initialization: growth against theory, which norm grows fastest and slowest, where samples
/// end most and least alike. Empty without laws.
[[nodiscard]] std::vector<std::string> laws_verdict(const StudyView& study);

}  // namespace normlab
