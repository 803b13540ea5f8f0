#include "host/record/log_format.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/record/file.hpp"
#include "layers/as_size.hpp"

namespace normlab {

std::string_view name_of(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::scalar:
      return "scalar";
    case ChannelKind::vector:
      return "vector";
    case ChannelKind::histogram:
      return "histogram";
    case ChannelKind::prediction:
      return "prediction";
    case ChannelKind::time:
      return "time";
  }
  return "unknown";
}

std::string_view name_of(RunStatus status) {
  switch (status) {
    case RunStatus::done:
      return "done";
    case RunStatus::diverged:
      return "diverged";
    case RunStatus::interrupted:
      return "interrupted";
    case RunStatus::failed:
      return "failed";
  }
  return "unknown";
}

}  // namespace normlab

namespace normlab::log_format {

namespace {

bool has_shape(ChannelKind kind) {
  return kind == ChannelKind::vector || kind == ChannelKind::histogram;
}

void put_text(std::vector<std::byte>& to, const std::string& text) {
  put(to, static_cast<std::uint16_t>(text.size()));
  const auto bytes = bytes_of(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::string take_text(Cursor& cursor) {
  const auto bytes = cursor.take_bytes(cursor.take<std::uint16_t>());
  return bytes.empty() ? std::string()
                       : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

std::size_t elements_of(const Channel& channel) {
  if (channel.kind == ChannelKind::prediction) return 0;
  std::size_t elements = 1;
  for (const int extent : channel.shape) elements *= as_size(extent);
  return elements;
}

std::string fault_of(const Channel& channel) {
  if (channel.name.empty()) return "it has no name";
  if (channel.name.size() > text_limit || channel.unit.size() > text_limit)
    return fmt::format("its name or unit is longer than {} bytes", text_limit);
  if (has_shape(channel.kind) && channel.shape.empty())
    return fmt::format("a {} needs a shape", name_of(channel.kind));
  if (!has_shape(channel.kind) && channel.kind != ChannelKind::prediction && !channel.shape.empty())
    return fmt::format("a {} has no shape", name_of(channel.kind));
  if (channel.shape.size() > axis_limit) return fmt::format("it has more than {} axes", axis_limit);
  std::size_t elements = 1;
  for (const int extent : channel.shape) {
    if (extent < 1) return "an extent of its shape is below 1";
    elements *= as_size(extent);
    if (channel.kind != ChannelKind::prediction && elements > float_limit)
      return fmt::format("a row of it has more than {} elements; make several channels of it", float_limit);
  }
  if (!channel.labels.empty() &&
      (channel.shape.empty() || channel.labels.size() != as_size(channel.shape[0])))
    return fmt::format("it has {} labels, which is not the first extent of its shape", channel.labels.size());
  std::size_t size = 2 * (sizeof(std::uint32_t) * (2 + axis_limit) + text_limit);
  for (const std::string& label : channel.labels) size += sizeof(std::uint16_t) + label.size();
  if (size > payload_limit) return "its labels are too long for one block";
  return {};
}

std::vector<std::byte> encode_channel(const Channel& channel, std::uint32_t index, std::uint32_t count) {
  std::vector<std::byte> payload;
  put(payload, index);
  put(payload, count);
  put(payload, channel.kind);
  put(payload, static_cast<std::uint8_t>(channel.shape.size()));
  put(payload, static_cast<std::uint16_t>(channel.labels.size()));
  for (const int extent : channel.shape) put(payload, static_cast<std::uint32_t>(extent));
  put_text(payload, channel.name);
  put_text(payload, channel.unit);
  for (const std::string& label : channel.labels) put_text(payload, label);
  return payload;
}

bool decode_channel(std::span<const std::byte> payload, ChannelRecord& record) {
  Cursor cursor(payload);
  record.index = cursor.take<std::uint32_t>();
  record.count = cursor.take<std::uint32_t>();
  Channel& channel = record.channel;
  channel = {};
  channel.kind = cursor.take<ChannelKind>();
  const auto axes = cursor.take<std::uint8_t>();
  const auto labels = cursor.take<std::uint16_t>();
  if (channel.kind < ChannelKind::scalar || channel.kind > ChannelKind::time || axes > axis_limit)
    return false;
  for (std::uint8_t axis = 0; axis < axes; ++axis)
    channel.shape.push_back(static_cast<int>(std::min(cursor.take<std::uint32_t>(), 0x7FFFFFFFU)));
  channel.name = take_text(cursor);
  channel.unit = take_text(cursor);
  for (std::uint16_t label = 0; label < labels && cursor.good(); ++label)
    channel.labels.push_back(take_text(cursor));
  return cursor.good() && cursor.left() == 0 && record.count <= channel_limit &&
         record.index < record.count && fault_of(channel).empty();
}

}  // namespace normlab::log_format
