#ifndef BATON_NET_WIRE_H_
#define BATON_NET_WIRE_H_

// Fields of messages between processes: integers little-endian, texts behind
// their length. A reader trusts nothing: once a field is missing it stays
// failed and gives zeros. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace baton {

// `T`: an unsigned integer.
template <typename T>
void PutInt(std::string& out, T value) {
  static_assert(std::is_unsigned_v<T>);
  for (size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
}

inline void PutText(std::string& out, absl::string_view text) {
  PutInt(out, static_cast<uint32_t>(text.size()));
  out.append(text.data(), text.size());
}

// Takes fields off the front.
class WireReader {
 public:
  explicit WireReader(absl::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T TakeInt() {
    static_assert(std::is_unsigned_v<T>);
    if (bytes_.size() < sizeof(T)) failed_ = true;
    if (failed_) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value |= uint64_t{static_cast<unsigned char>(bytes_[i])} << (8 * i);
    }
    bytes_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }
  // A text; valid as long as the bytes that are read.
  absl::string_view TakeBytes() {
    const auto size = TakeInt<uint32_t>();
    if (bytes_.size() < size) failed_ = true;
    if (failed_) return "";
    const absl::string_view text = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return text;
  }
  std::string TakeText() { return std::string(TakeBytes()); }

  bool failed() const { return failed_; }
  // What was taken makes no sense.
  void Fail() { failed_ = true; }
  absl::string_view rest() const { return bytes_; }

 private:
  absl::string_view bytes_;
  bool failed_ = false;
};

}  // namespace baton

#endif  // BATON_NET_WIRE_H_
