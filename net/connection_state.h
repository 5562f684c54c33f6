#ifndef BATON_NET_CONNECTION_STATE_H_
#define BATON_NET_CONNECTION_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

// What a service remembers of a connection from one message to the next (a
// login, a cursor) and that must go along when the connection is passed to
// another worker. T is default-constructible and has
//
//   static constexpr uint32_t kVersion;  // of the encoding; grows with it
//   std::string Encode() const;
//   static absl::StatusOr<T> Decode(uint32_t version, absl::string_view bytes);
//
// Decode may meet any version, older or newer (a roll-back goes back), and
// refuses one it can't read: the connection then stays where it is. A worker
// decodes before it accepts a connection from another.

// A T whose type the connection does not know: its service's codec does.
class ConnectionState {
 public:
  virtual ~ConnectionState() = default;
  virtual std::string Encode() const = 0;
};

class StateCodec {
 public:
  virtual ~StateCodec() = default;
  virtual uint32_t version() const = 0;
  virtual std::unique_ptr<ConnectionState> Create() const = 0;
  virtual absl::StatusOr<std::unique_ptr<ConnectionState>> Decode(
      uint32_t version, absl::string_view bytes) const = 0;
};

template <typename T>
class TypedState final : public ConnectionState {
 public:
  explicit TypedState(T value) : value(std::move(value)) {}
  std::string Encode() const override { return value.Encode(); }

  T value;
};

template <typename T>
class TypedStateCodec final : public StateCodec {
 public:
  static const TypedStateCodec* Get() {
    static const TypedStateCodec codec;
    return &codec;
  }
  uint32_t version() const override { return T::kVersion; }
  std::unique_ptr<ConnectionState> Create() const override {
    return std::make_unique<TypedState<T>>(T());
  }
  absl::StatusOr<std::unique_ptr<ConnectionState>> Decode(
      uint32_t version, absl::string_view bytes) const override {
    absl::StatusOr<T> value = T::Decode(version, bytes);
    if (!value.ok()) return value.status();
    return std::make_unique<TypedState<T>>(*std::move(value));
  }
};

}  // namespace baton

#endif  // BATON_NET_CONNECTION_STATE_H_
