#include "host/data/batches.hpp"

#include <algorithm>
#include <numeric>

#include "layers/as_size.hpp"
#include "layers/error.hpp"
#include "layers/philox.hpp"

namespace normlab {
namespace {

/// A permutation of 0 ... count - 1 (Fisher and Yates, from the end).
std::vector<std::uint32_t> permutation(Philox random, int count) {
  std::vector<std::uint32_t> order(as_size(count));
  std::iota(order.begin(), order.end(), 0U);
  for (std::size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[random.below(static_cast<std::uint32_t>(left))]);
  }
  return order;
}

}  // namespace

std::vector<std::uint32_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, int count) {
  if (count < 0) throw UsageError("cannot order {} images", count);
  return permutation(Philox(seed, Purpose::order, epoch), count);
}

std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>> hold_out(std::uint64_t seed, int count,
                                                                           int held_out) {
  if (held_out < 0 || held_out >= count) {
    throw UsageError("cannot hold out {} of {} training images: choose 0 to {}", held_out, count,
                     std::max(count - 1, 0));
  }
  std::vector<std::uint32_t> kept = permutation(Philox(seed, Purpose::validation), count);
  std::vector<std::uint32_t> held(kept.end() - held_out, kept.end());
  kept.resize(kept.size() - held.size());
  std::sort(kept.begin(), kept.end());
  std::sort(held.begin(), held.end());
  return {std::move(kept), std::move(held)};
}

std::vector<std::uint32_t> probe_indices(std::uint64_t seed, const std::vector<std::uint32_t>& images,
                                         int count) {
  std::vector<std::uint32_t> chosen =
      permutation(Philox(seed, Purpose::probe), static_cast<int>(images.size()));
  chosen.resize(std::min(chosen.size(), as_size(std::max(count, 0))));
  for (std::uint32_t& index : chosen) index = images[index];
  return chosen;
}

}  // namespace normlab
