#ifndef BATON_MASTER_INQUIRY_H_
#define BATON_MASTER_INQUIRY_H_

// What the admin and the control child ask of their master, and its answers.
//
// These children serve HTTP to strangers so that the master need not: it reads
// one of a few fixed questions, each of which is a number, and no byte of
// theirs. Their master may become another binary while they live: no message
// ever changes its meaning or its form.
//
// One message is one packet of a SOCK_SEQPACKET pair (net/fd_channel.h). An
// answer that does not fit into a packet comes as a descriptor of a memfd.
//
// Pure functions, thread-safe.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

enum class Question : uint8_t {
  // Anybody may ask.
  kHealth = 1,  // does a worker serve?
  kReadiness = 2,
  kStatus = 3,   // JSON
  kMetrics = 4,  // Prometheus text
  // The control child only.
  kReload = 16,
  kScale = 17,  // to `argument` workers
  kStop = 18,
  kUpgrade = 19,
};

// Whether it changes something.
inline bool IsCommand(Question question) {
  return question >= Question::kReload;
}

struct Inquiry {
  uint64_t ticket = 0;  // comes back with the answer
  Question question = Question::kHealth;
  uint32_t argument = 0;

  bool operator==(const Inquiry&) const = default;
};

struct Answer {
  uint64_t ticket = 0;
  uint16_t status = 200;  // as HTTP has them
  std::string text;

  bool operator==(const Answer&) const = default;
};

std::string EncodeInquiry(const Inquiry& inquiry);
absl::StatusOr<Inquiry> DecodeInquiry(absl::string_view packet);

// The text of an answer that is larger is left to a memfd.
inline constexpr size_t kMaxAnswerTextBytes = 60 * 1024;

// With an empty text for one that is too large.
std::string EncodeAnswer(const Answer& answer);
absl::StatusOr<Answer> DecodeAnswer(absl::string_view packet);

}  // namespace baton

#endif  // BATON_MASTER_INQUIRY_H_
