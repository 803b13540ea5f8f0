#pragma once
// The report of a study: one page that holds everything, opens offline and prints.

#include <filesystem>
#include <string>

#include "host/report/pictures.hpp"

namespace normlab {

/// The page as HTML. The pictures lie in `drawn` as SVG. No name or number of the study can leave its place:
/// everything is escaped.
[[nodiscard]] std::string report_html(const StudyView& study, const Pictures& pictures,
                                      const std::filesystem::path& drawn);

/// Draws the pictures into the directory `plots` (or nowhere that lasts, if it is empty) and writes the page,
/// whole or not at all. What could not be drawn is added to study.notes. Throws Error.
void write_report(StudyView& study, const std::filesystem::path& page, const std::filesystem::path& plots);

}  // namespace normlab
