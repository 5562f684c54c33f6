#include "net/connection_image.h"

#include <algorithm>
#include <limits>

namespace baton {
namespace {

constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();

uint64_t NanosToWire(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return kForever;
  return static_cast<uint64_t>(
      std::max(absl::ToInt64Nanoseconds(duration), int64_t{0}));
}

absl::Duration NanosFromWire(uint64_t nanos) {
  if (nanos > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return absl::InfiniteDuration();
  }
  return absl::Nanoseconds(static_cast<int64_t>(nanos));
}

}  // namespace

void AppendImage(std::string& out, const ConnectionImage& image) {
  const size_t start = out.size();
  PutInt<uint32_t>(out, 0);
  PutInt<uint64_t>(out, image.bytes_in);
  PutInt<uint64_t>(out, image.bytes_out);
  PutInt<uint64_t>(out, NanosToWire(image.age));
  PutInt<uint64_t>(out, NanosToWire(image.idle_left));
  PutText(out, image.unread);
  PutInt<uint8_t>(out, image.state.has_value() ? 1 : 0);
  PutInt<uint32_t>(out, image.state_version);
  PutText(out, image.state.value_or(""));
  if (image.file.has_value()) {
    PutInt<uint8_t>(out, 1);
    PutInt<uint64_t>(out, image.file->offset);
    PutInt<uint64_t>(out, image.file->size);
  }
  std::string length;
  PutInt(length, static_cast<uint32_t>(out.size() - start - sizeof(uint32_t)));
  out.replace(start, length.size(), length);
}

ConnectionImage TakeImage(WireReader& reader) {
  WireReader fields(reader.TakeBytes());
  ConnectionImage image;
  image.bytes_in = fields.TakeInt<uint64_t>();
  image.bytes_out = fields.TakeInt<uint64_t>();
  image.age = NanosFromWire(fields.TakeInt<uint64_t>());
  image.idle_left = NanosFromWire(fields.TakeInt<uint64_t>());
  image.unread = fields.TakeText();
  const bool has_state = fields.TakeInt<uint8_t>() != 0;
  image.state_version = fields.TakeInt<uint32_t>();
  std::string state = fields.TakeText();
  if (has_state) image.state = std::move(state);
  if (!fields.rest().empty() && fields.TakeInt<uint8_t>() != 0) {
    auto& file = image.file.emplace();
    file.offset = fields.TakeInt<uint64_t>();
    file.size = fields.TakeInt<uint64_t>();
  }
  if (fields.failed()) reader.Fail();
  return image;
}

}  // namespace baton
