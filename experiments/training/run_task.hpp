#pragma once
// What a run is given.

#include <functional>

#include "experiments/progress/progress.hpp"
#include "experiments/training/run_spec.hpp"
#include "host/record/run_directory.hpp"

namespace normlab {

/// All that a run is made of; it must outlive the run.
struct RunTask {
  Backend& backend;  ///< nobody else uses it
  const StudyOptions& options;
  const RunSpec& spec;
  const Dataset& data;
  const std::function<int()>& processors;  ///< how many of them may work at the run now
  const RunDirectory& directory;
  Progress& progress;
  int run;  ///< its number there

  /// Between two passes a run may take over processors that another run left. Returns how many it has.
  int take_processors() const {
    backend.set_active_workers(processors());
    return backend.active_workers();
  }
  [[nodiscard]] RunConfig settings() const { return settings_of(options, spec, data); }
};

}  // namespace normlab
