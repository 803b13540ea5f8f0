#include "host/record/checkpoint_files.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "host/record/file.hpp"
#include "host/system/paths.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

constexpr std::string_view kNewest = "checkpoint.safetensors", kStem = "checkpoint-",
                           kSuffix = ".safetensors";

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_system_error(errno, "rename", from);
}

/// N of checkpoint-N.safetensors.
std::optional<std::int64_t> steps_of(std::string_view name) {
  if (!name.starts_with(kStem) || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_prefix(kStem.size());
  name.remove_suffix(kSuffix.size());
  std::int64_t steps = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), steps);
  if (name.empty() || error != std::errc{} || end != name.data() + name.size() || steps < 0)
    return std::nullopt;
  return steps;
}

/// The older ones by falling steps.
std::vector<std::filesystem::path> older(const std::filesystem::path& directory) {
  std::vector<std::pair<std::int64_t, std::filesystem::path>> found;
  if (is_a_directory(directory)) {
    for (const std::filesystem::path& entry : entries_of(directory)) {
      if (const auto steps = steps_of(entry.filename().string())) found.emplace_back(-*steps, entry);
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<std::filesystem::path> paths;
  for (auto& [steps, path] : found) paths.push_back(std::move(path));
  return paths;
}

}  // namespace

std::vector<std::filesystem::path> CheckpointFiles::newest_first() const {
  std::vector<std::filesystem::path> paths = older(directory_);
  if (is_there(directory_ / kNewest)) paths.insert(paths.begin(), directory_ / kNewest);
  return paths;
}

void CheckpointFiles::add(const TensorFile& file, std::int64_t steps, int keep) {
  const std::filesystem::path newest = directory_ / kNewest;
  AtomicFile next(newest);
  next.write(encode_safetensors(file));
  next.sync();  // a full disk shows here, before anything is renamed
  const bool is_another = newest_steps_ && *newest_steps_ != steps;
  if (keep > 1 && is_another && is_there(newest)) {
    rename_file(newest, directory_ / fmt::format("{}{}{}", kStem, *newest_steps_, kSuffix));
  }
  next.commit();
  newest_steps_ = steps;
  remove_older(keep);
}

void CheckpointFiles::go_on(std::int64_t steps, int keep) {
  newest_steps_ = steps;
  remove_older(keep);
}

void CheckpointFiles::remove_older(int keep) const {
  const std::vector<std::filesystem::path> all = newest_first();
  for (std::size_t i = as_size(std::max(keep, 1)); i < all.size(); ++i) {
    if (::unlink(all[i].c_str()) != 0 && errno != ENOENT) throw_system_error(errno, "remove", all[i]);
  }
}

void CheckpointFiles::set_aside(const std::filesystem::path& checkpoint) {
  for (int number = 1;; ++number) {
    const std::filesystem::path aside = fmt::format("{}.damaged-{}", checkpoint.string(), number);
    if (is_taken(aside)) continue;
    rename_file(checkpoint, aside);
    return;
  }
}

}  // namespace normlab
