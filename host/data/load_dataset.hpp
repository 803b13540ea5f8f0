#pragma once
// Where sets of images come from.

#include <string>

#include "host/data/dataset.hpp"

namespace normlab {

/// Loads the set that `spec` names:
///   "synthetic" or "synthetic:SEED"  the embedded set, drawn on the spot (10,000 and 2,000 images);
///   a directory                      data_batch_1.bin ... data_batch_5.bin and test_batch.bin, or a
///                                    cifar-10-batches-bin/ that holds them; or train.bin and test.bin of
///                                    CIFAR-100 (its 100 fine classes), or a cifar-100-binary/ with them;
///                                    note.txt beside them says what is special about these images;
///   a file                           cifar-10-binary.tar.gz or cifar-100-binary.tar.gz itself.
/// Throws Error (what, file, record, byte offset, remedy) when data are missing or damaged, UsageError when
/// the spec makes no sense.
Dataset load_dataset(const std::string& spec);

/// The same spec, from wherever it is read: a path from the root.
std::string place_of(const std::string& spec);

}  // namespace normlab
