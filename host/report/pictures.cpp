#include "host/report/pictures.hpp"

namespace normlab {

Pictures make_pictures(const StudyView& study, std::vector<std::string>& notes) {
  constexpr PictureMaker makers[]{
      make_final_accuracies, make_epoch_curves,       make_norm_curves,   make_step_curves,
      make_learning_rates,   make_confusion_matrices, make_misclassified,
  };
  Pictures pictures;
  for (const PictureMaker make : makers) make(study, pictures, notes);
  return pictures;
}

}  // namespace normlab
