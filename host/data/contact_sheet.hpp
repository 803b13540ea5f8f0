#pragma once
// A contact sheet: some images of each class on one PNG, for a look at what a network gets to see.

#include <filesystem>

#include "host/data/dataset.hpp"

namespace normlab {

struct ContactSheetOptions {
  int columns = 16;        ///< images per class, the first ones of the set
  int magnification = 3;   ///< screen pixels per image pixel
  bool overwrite = false;  ///< replace an existing file
};

/// Writes the sheet to `path`: a row for each class in the order of the labels, on a dark ground. A class
/// with fewer images leaves the rest of its row empty. Throws Error when the file exists (and `overwrite` is
/// off) or cannot be written, UsageError for a sheet of no columns or of more than 10,000 screen pixels a
/// side.
void write_contact_sheet(const std::filesystem::path& path, const Images& images, int classes,
                         const ContactSheetOptions& options = {});

}  // namespace normlab
