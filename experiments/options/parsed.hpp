#pragma once
// The value of an option: as people typed it, for the record, and what it means, for everything else.

#include <string>
#include <type_traits>
#include <utility>

namespace normlab {

/// `parse` makes the value of the text and throws UsageError for text that means nothing.
template <auto parse>
class Parsed {
 public:
  using Value = std::invoke_result_t<decltype(parse), const std::string&>;

  Parsed(const char* text) : Parsed(std::string(text)) {}
  Parsed(std::string text) : text_(std::move(text)), value_(parse(text_)) {}

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const Value& operator*() const { return value_; }
  [[nodiscard]] const Value* operator->() const { return &value_; }

 private:
  std::string text_;
  Value value_;
};

}  // namespace normlab
