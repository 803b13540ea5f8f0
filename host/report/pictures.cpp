#include "host/report/pictures.hpp"

namespace normlab {

Pictures make_pictures(const StudyView& study, std::vector<std::string>& notes) {
  constexpr PictureMaker makers[]{
      make_sweeps,
      make_modes,
      make_laws,
      make_final_accuracies,
      make_epoch_curves,
      make_norm_curves,
      make_layer_curves,
      make_layer_heat_maps,
      make_distributions,
      make_landscapes,
      make_step_curves,
      make_learning_rates,
      make_confusion_matrices,
      make_misclassified,
  };
  Pictures pictures;
  for (const PictureMaker make : makers) make(study, pictures, notes);
  return pictures;
}

}  // namespace normlab
