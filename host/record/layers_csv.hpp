#pragma once
// The lines of layers.csv: what was seen inside the network, one value a line, columns
// run,norm,seed,epoch,step,layer,metric,value.
//
//   a vector layer.<metric>         layer: its label, metric: <metric>
//   a histogram before.<block>      layer: <block>, metric: before_lo, before_hi, before_0, before_1, ...
//   (and after.<block>)
//   a scalar <figure>.<name>        layer: empty, metric: <figure>.<name>; figures of a whole network:
//                                   landscape, law, train_mode, reestimated

#include <string>
#include <string_view>

#include "host/record/log_reader.hpp"

namespace normlab {

/// Whether any channel of the log belongs into layers.csv.
[[nodiscard]] bool has_layer_channels(const Log& log);

/// Appends the lines of one row to `text`, each beginning with `run` ("run,norm,seed"); none if its channel
/// does not belong there.
void append_layer_lines(std::string& text, std::string_view run, const Log& log, const Row& row);

}  // namespace normlab
