// The diagnostics' reductions over plain floats (n, c, h, w), which unpack() made of activations. They run a
// few times an epoch, so they are simple: a warp reads 128 bytes in a row, 4 for each thread. Sums run in
// double (gram's in float over stretches of 1,024 elements), in an order that the shape alone decides; the
// host adds what the blocks found.

#include "layers/diagnostics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"
#include "layers/kernels/diagnostics.hpp"

namespace normlab::NORMLAB_PLATFORM {

inline constexpr unsigned kLookThreads = 256;
/// About as many blocks share a reduction over everything, whatever the device.
inline constexpr int kLookBlocks = 1024;

/// What a block found of one channel in some of the samples.
struct ChannelPart {
  double sum;    ///< of v - mean, or of its square
  double alive;  ///< how many values are not 0
};

/// Block (part, channel) takes `samples_each` samples.
__global__ void moments_kernel(const float* values, int samples, std::size_t channels, std::size_t pixels,
                               int samples_each, double mean, bool squares, ChannelPart* parts) {
  const int first = static_cast<int>(blockIdx.x) * samples_each;
  const int last = first + samples_each < samples ? first + samples_each : samples;
  const std::size_t count = static_cast<std::size_t>(last - first) * pixels;
  double sum = 0, alive = 0;
  for (std::size_t i = threadIdx.x; i < count; i += kLookThreads) {
    const std::size_t sample = static_cast<std::size_t>(first) + i / pixels;
    const float value = values[(sample * channels + blockIdx.y) * pixels + i % pixels];
    const double deviation = static_cast<double>(value) - mean;
    sum += squares ? deviation * deviation : deviation;
    alive += value != 0 ? 1 : 0;
  }
  sum = sum_block<kLookThreads>(sum);
  alive = sum_block<kLookThreads>(alive);
  if (threadIdx.x == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = {sum, alive};
}

struct ValueRange {
  float lo, hi;
};

/// The smallest and the largest finite value that a block saw; infinite the other way round if it saw none.
__global__ void range_kernel(const float* values, std::size_t count, ValueRange* ranges) {
  NORMLAB_SHARED(float, lows, kLookThreads);
  NORMLAB_SHARED(float, highs, kLookThreads);
  const unsigned thread = threadIdx.x;
  float lo = INFINITY, hi = -INFINITY;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kLookThreads + thread; i < count;
       i += static_cast<std::size_t>(gridDim.x) * kLookThreads) {
    const float value = values[i];
    if (!isfinite(value)) continue;
    lo = value < lo ? value : lo;
    hi = value > hi ? value : hi;
  }
  lows[thread] = lo;
  highs[thread] = hi;
  for (unsigned distance = kLookThreads / 2; distance > 0; distance /= 2) {
    __syncthreads();
    if (thread >= distance) continue;
    if (lows[thread + distance] < lows[thread]) lows[thread] = lows[thread + distance];
    if (highs[thread + distance] > highs[thread]) highs[thread] = highs[thread + distance];
  }
  if (thread == 0) ranges[blockIdx.x] = {lows[0], highs[0]};
}

/// Whole numbers: atomics may come in any order. Shared: `bins` counters of the block.
__global__ void histogram_kernel(const float* values, std::size_t count, double lo, double scale, int bins,
                                 unsigned* counts) {
  auto* mine = dynamic_shared<unsigned>();
  for (int bin = static_cast<int>(threadIdx.x); bin < bins; bin += static_cast<int>(kLookThreads))
    mine[bin] = 0;
  __syncthreads();
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kLookThreads + threadIdx.x; i < count;
       i += static_cast<std::size_t>(gridDim.x) * kLookThreads) {
    if (!isfinite(values[i])) continue;
    const int bin = static_cast<int>((static_cast<double>(values[i]) - lo) * scale);
    atomicAdd(&mine[bin < bins ? bin : bins - 1], 1U);
  }
  __syncthreads();
  for (int bin = static_cast<int>(threadIdx.x); bin < bins; bin += static_cast<int>(kLookThreads)) {
    if (mine[bin] > 0) atomicAdd(&counts[bin], mine[bin]);
  }
}

/// A block for each row.
__global__ void row_norms_kernel(const float* values, std::size_t size, double* norms) {
  const float* row = values + static_cast<std::size_t>(blockIdx.x) * size;
  double sum = 0;
  for (std::size_t i = threadIdx.x; i < size; i += kLookThreads) {
    sum += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  }
  sum = sum_block<kLookThreads>(sum);
  if (threadIdx.x == 0) norms[blockIdx.x] = sqrt(sum);
}

// A tile has 32 rows on either side; 16 x 16 threads have 2 x 2 products each.
inline constexpr int kTile = 32, kTileSide = 16, kGramThreads = 256;
static_assert(kGramThreads == kTileSide * kTileSide);
inline constexpr int kPitch = kTile + 1;       ///< so that a column of a tile lies in different banks
inline constexpr std::size_t kStretch = 1024;  ///< elements that are added in float

/// Block (x, y) computes products of 32 rows with 32 rows, for x <= y, and mirrors them. Reads of a tile
/// serve 32 times.
__global__ void gram_kernel(const float* values, int rows, std::size_t size, double* products) {
  if (blockIdx.x > blockIdx.y) return;
  NORMLAB_SHARED(float, left, kTile* kPitch);
  NORMLAB_SHARED(float, right, kTile* kPitch);
  const int thread = static_cast<int>(threadIdx.x);
  const int i = thread / kTileSide, j = thread % kTileSide;
  const int first_left = static_cast<int>(blockIdx.y) * kTile,
            first_right = static_cast<int>(blockIdx.x) * kTile;
  const auto fetch = [&](float* tile, int first, std::size_t begin) {
    for (int at = thread; at < kTile * kTile; at += kGramThreads) {
      const int row = first + at / kTile;
      const std::size_t element = begin + static_cast<std::size_t>(at % kTile);
      tile[at / kTile * kPitch + at % kTile] =
          row < rows && element < size ? values[static_cast<std::size_t>(row) * size + element] : 0.0F;
    }
  };
  double total[2][2] = {};
  for (std::size_t stretch = 0; stretch < size; stretch += kStretch) {
    const std::size_t end = stretch + kStretch < size ? stretch + kStretch : size;
    float sum[2][2] = {};
    for (std::size_t begin = stretch; begin < end; begin += kTile) {
      fetch(left, first_left, begin);
      fetch(right, first_right, begin);
      __syncthreads();
      for (int k = 0; k < kTile; ++k) {
        for (int a = 0; a < 2; ++a) {
          for (int b = 0; b < 2; ++b) {
            sum[a][b] = fmaf(left[(i + a * kTileSide) * kPitch + k], right[(j + b * kTileSide) * kPitch + k],
                             sum[a][b]);
          }
        }
      }
      __syncthreads();  // the tiles are read
    }
    for (int a = 0; a < 2; ++a) {
      for (int b = 0; b < 2; ++b) total[a][b] += static_cast<double>(sum[a][b]);
    }
  }
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 2; ++b) {
      const int row = first_left + i + a * kTileSide, column = first_right + j + b * kTileSide;
      if (row >= rows || column >= rows) continue;
      products[row * rows + column] = total[a][b];
      if (blockIdx.x != blockIdx.y) products[column * rows + row] = total[a][b];
    }
  }
}

namespace {

/// What `count` blocks left at the start of the workspace.
template <typename T>
std::vector<T> found_by(CudaBackend& backend, std::size_t count) {
  std::vector<T> found(count);
  backend.to_host(backend.workspace(count * sizeof(T)), found.data(), count * sizeof(T));
  return found;
}

unsigned look_blocks(std::size_t count) {
  return std::min(blocks_for(count, kLookThreads), static_cast<unsigned>(kLookBlocks));
}

}  // namespace

namespace {

class CudaDiagnostics final : public CudaKernels<DiagnosticKernels> {
 public:
  using CudaKernels::CudaKernels;
  [[nodiscard]] Moments moments(const float* values, Shape shape) override;
  [[nodiscard]] std::vector<float> histogram(const float* values, std::size_t count, int bins) override;
  [[nodiscard]] std::vector<double> row_norms(const float* values, int rows, std::size_t size) override;
  [[nodiscard]] std::vector<double> gram(const float* values, int rows, std::size_t size) override;
};

}  // namespace

Moments CudaDiagnostics::moments(const float* values, Shape shape) {
  const int wanted = std::max(1, kLookBlocks / shape.c);
  const int samples_each = divide_up(shape.n, std::min(shape.n, wanted));
  const dim3 grid(static_cast<unsigned>(divide_up(shape.n, samples_each)), static_cast<unsigned>(shape.c));
  const std::size_t blocks = static_cast<std::size_t>(grid.x) * grid.y;
  const auto look = [&](double mean, bool squares) {
    launch(moments_kernel, grid, kLookThreads, 0, stream(), values, shape.n, shape.c, shape.pixels(),
           samples_each, mean, squares, static_cast<ChannelPart*>(workspace(blocks * sizeof(ChannelPart))));
    return found_by<ChannelPart>(backend_, blocks);
  };
  const auto count = static_cast<double>(shape.count());
  Moments moments;
  const std::vector<ChannelPart> sums = look(0, false);
  for (const ChannelPart& part : sums) moments.mean += part.sum;
  moments.mean /= count;
  for (const ChannelPart& part : look(moments.mean, true)) moments.variance += part.sum;
  moments.variance /= count;
  int dead = 0;
  for (std::size_t channel = 0; channel < blocks; channel += grid.x) {
    double alive = 0;
    for (std::size_t part = 0; part < grid.x; ++part) alive += sums[channel + part].alive;
    dead += alive == 0 ? 1 : 0;
  }
  moments.dead_fraction = static_cast<double>(dead) / shape.c;
  return moments;
}

std::vector<float> CudaDiagnostics::histogram(const float* values, std::size_t count, int bins) {
  const unsigned blocks = look_blocks(count);
  launch(range_kernel, blocks, kLookThreads, 0, stream(), values, count,
         static_cast<ValueRange*>(workspace(blocks * sizeof(ValueRange))));
  ValueRange all{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  for (const ValueRange& range : found_by<ValueRange>(backend_, blocks)) {
    all = {std::min(all.lo, range.lo), std::max(all.hi, range.hi)};
  }
  if (all.lo > all.hi) all = {0, 0};
  const double lo = static_cast<double>(all.lo), width = static_cast<double>(all.hi) - lo;
  const auto counters = static_cast<std::size_t>(bins);
  auto* counts = static_cast<unsigned*>(workspace(counters * sizeof(unsigned)));
  backend_.clear(counts, counters * sizeof(unsigned));
  launch(histogram_kernel, blocks, kLookThreads, counters * sizeof(unsigned), stream(), values, count, lo,
         width > 0 ? bins / width : 0.0, bins, counts);
  std::vector<float> row{all.lo, all.hi};
  for (const unsigned values_there : found_by<unsigned>(backend_, counters)) {
    row.push_back(static_cast<float>(values_there));
  }
  return row;
}

std::vector<double> CudaDiagnostics::row_norms(const float* values, int rows, std::size_t size) {
  const auto count = static_cast<std::size_t>(rows);
  launch(row_norms_kernel, static_cast<unsigned>(rows), kLookThreads, 0, stream(), values, size,
         static_cast<double*>(workspace(count * sizeof(double))));
  return found_by<double>(backend_, count);
}

std::vector<double> CudaDiagnostics::gram(const float* values, int rows, std::size_t size) {
  const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(rows);
  const auto tiles = static_cast<unsigned>(divide_up(rows, kTile));
  launch(gram_kernel, dim3(tiles, tiles), kGramThreads, 0, stream(), values, rows, size,
         static_cast<double*>(workspace(count * sizeof(double))));
  return found_by<double>(backend_, count);
}

template <>
std::unique_ptr<DiagnosticKernels> make_cuda_kernels<DiagnosticKernels>(CudaBackend& backend) {
  return std::make_unique<CudaDiagnostics>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
