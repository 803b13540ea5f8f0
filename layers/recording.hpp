#pragma once

namespace normlab {

/// While one lives on this thread, work is recorded to be replayed, not done: nothing may be sent to the
/// device or waited for.
class RecordingScope {
 public:
  RecordingScope() { ++depth_; }
  ~RecordingScope() { --depth_; }
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

  [[nodiscard]] static bool is_going_on() { return depth_ > 0; }

 private:
  static inline thread_local int depth_ = 0;
};

}  // namespace normlab
