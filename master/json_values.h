#ifndef BATON_MASTER_JSON_VALUES_H_
#define BATON_MASTER_JSON_VALUES_H_

// How the values that our state is made of stand in JSON, for
// NLOHMANN_DEFINE_TYPE_... . Reading one throws, as the library does, whatever
// is not of the right type: to be caught where a whole document is read.

#include <cstdint>
#include <limits>
#include <optional>

#include "absl/time/time.h"
#include "master/backoff.h"
#include "master/exit_status.h"
#include "nlohmann/json.hpp"

namespace nlohmann {

// Nanoseconds; for ever is the largest number.
template <>
struct adl_serializer<absl::Duration> {
  static constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

  static void to_json(json& json, absl::Duration value) {
    json = value == absl::InfiniteDuration() ? kForever
                                             : absl::ToInt64Nanoseconds(value);
  }
  static void from_json(const json& json, absl::Duration& value) {
    const auto nanos = json.get<int64_t>();
    value =
        nanos == kForever ? absl::InfiniteDuration() : absl::Nanoseconds(nanos);
  }
};

// Nothing is null.
template <typename T>
struct adl_serializer<std::optional<T>> {
  static void to_json(json& json, const std::optional<T>& value) {
    if (value.has_value()) {
      json = *value;
    } else {
      json = nullptr;
    }
  }
  static void from_json(const json& json, std::optional<T>& value) {
    value = json.is_null() ? std::optional<T>() : json.get<T>();
  }
};

template <>
struct adl_serializer<baton::ExitStatus> {
  static void to_json(json& json, const baton::ExitStatus& value) {
    json = {{"code", value.code()},
            {"signal", value.signal()},
            {"core_dumped", value.core_dumped()}};
  }
  static baton::ExitStatus from_json(const json& json) {
    const int signal = json.value("signal", 0);
    return signal == 0 ? baton::ExitStatus::Exited(json.value("code", 0))
                       : baton::ExitStatus::Signalled(
                             signal, json.value("core_dumped", false));
  }
};

template <>
struct adl_serializer<baton::Backoff> {
  static void to_json(json& json, const baton::Backoff& value) {
    json = {{"faults", value.faults()}, {"early_kills", value.early_kills()}};
  }
  static void from_json(const json& json, baton::Backoff& value) {
    value =
        baton::Backoff(json.value("faults", 0), json.value("early_kills", 0));
  }
};

}  // namespace nlohmann

#endif  // BATON_MASTER_JSON_VALUES_H_
