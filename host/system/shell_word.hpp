#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace normlab {

/// A text as one word of a POSIX shell, quoted if it must be: every command that is printed can be pasted.
[[nodiscard]] std::string shell_word(std::string_view text);
/// The same of a path: one that begins with a dash would be an option.
[[nodiscard]] std::string shell_path(const std::filesystem::path& path);

}  // namespace normlab
