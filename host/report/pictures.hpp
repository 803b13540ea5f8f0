#pragma once
// Every picture of a study. To add one, write a maker and put it into the table in pictures.cpp.

#include <optional>
#include <vector>

#include "host/report/picture.hpp"
#include "host/report/study_view.hpp"

namespace normlab {

/// What a picture belongs to: the report has a section for each.
enum class Topic {
  sweep,
  laws,
  comparison,
  norms,
  gradients,
  activations,
  weights,
  landscape,
  steps,
  confusion,
  mistakes
};

struct TopicPicture {
  Topic topic;
  Picture picture;
};

using Pictures = std::vector<TopicPicture>;

/// Appends pictures, as many as the study has data for; what is missing for a reason worth telling goes to
/// `notes`, one sentence each.
using PictureMaker = void (*)(const StudyView& study, Pictures& pictures, std::vector<std::string>& notes);

void make_epoch_curves(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_norm_curves(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_step_curves(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_learning_rates(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_final_accuracies(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_sweeps(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_modes(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_laws(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_layer_heat_maps(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_layer_curves(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_distributions(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_landscapes(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_confusion_matrices(const StudyView&, Pictures&, std::vector<std::string>& notes);
void make_misclassified(const StudyView&, Pictures&, std::vector<std::string>& notes);

/// The 5x2 grid of one run, `name` being that of its files; none without test images or without a mistake.
[[nodiscard]] std::optional<Picture> misclassified_picture(const StudyView& study, const ArmView& arm,
                                                           const RunView& run, const std::string& name);

/// All of them, in the order of the report.
[[nodiscard]] Pictures make_pictures(const StudyView& study, std::vector<std::string>& notes);

}  // namespace normlab
