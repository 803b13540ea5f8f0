// libFuzzer's main: NORMLAB_FUZZ_TARGET names the parser.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const normlab::fuzz::Target* const target = [] {
    const char* name = std::getenv("NORMLAB_FUZZ_TARGET");
    for (const normlab::fuzz::Target& each : normlab::fuzz::targets())
      if (name != nullptr && each.name == name) return &each;
    std::fprintf(stderr, "NORMLAB_FUZZ_TARGET: choose");
    for (const normlab::fuzz::Target& each : normlab::fuzz::targets())
      std::fprintf(stderr, " %s", std::string(each.name).c_str());
    std::fprintf(stderr, "\n");
    std::exit(2);
  }();
  target->run({data, size});
  return 0;
}
