#include "tests/support/places.hpp"

namespace normlab::test {

std::string source_dir() {
  return NORMLAB_SOURCE_DIR;
}

std::string bin_dir() {
  return NORMLAB_BIN_DIR;
}

}  // namespace normlab::test
