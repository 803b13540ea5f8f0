#pragma once
// The lines of layers.csv and histograms.csv: what was seen inside the network.
//
// layers.csv, one value a line, columns run,norm,seed,epoch,step,layer,block,metric,value:
//
//   a vector layer.<metric>         layer: its label, block: that layer's (block_of), metric: <metric>
//   a scalar <figure>.<name>        layer and block: empty, metric: <figure>.<name>; figures of a whole
//                                   network: landscape, law, train_mode, reestimated
//
// histograms.csv, one bin a line, columns run,norm,seed,epoch,step,block,place,bin,low,high,count, of
// histograms before.<block> and after.<block>: place is before or after (the norm), bins count from 0 and
// share their edges, count is how many values lie there.

#include <string>
#include <string_view>

#include "host/record/log_reader.hpp"

namespace normlab {

/// Whether any channel of the log belongs into layers.csv, or into histograms.csv.
[[nodiscard]] bool has_layer_channels(const Log& log);
[[nodiscard]] bool has_histograms(const Log& log);

/// Appends the lines of one row to `text`, each beginning with `run` ("run,norm,seed"); none if its channel
/// does not belong there.
void append_layer_lines(std::string& text, std::string_view run, const Log& log, const Row& row);
void append_histogram_lines(std::string& text, std::string_view run, const Log& log, const Row& row);

}  // namespace normlab
