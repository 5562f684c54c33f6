#include "master/inquiry.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "net/wire.h"

namespace baton {
namespace {

bool IsQuestion(uint8_t number) {
  switch (static_cast<Question>(number)) {
    case Question::kHealth:
    case Question::kReadiness:
    case Question::kStatus:
    case Question::kMetrics:
    case Question::kReload:
    case Question::kScale:
    case Question::kStop:
    case Question::kUpgrade:
      return true;
  }
  return false;
}

absl::Status Malformed(absl::string_view what, size_t bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat("a malformed ", what, " of ", bytes, " bytes"));
}

}  // namespace

std::string EncodeInquiry(const Inquiry& inquiry) {
  std::string packet;
  PutInt(packet, inquiry.ticket);
  PutInt(packet, static_cast<uint8_t>(inquiry.question));
  PutInt(packet, inquiry.argument);
  return packet;
}

absl::StatusOr<Inquiry> DecodeInquiry(absl::string_view packet) {
  WireReader fields(packet);
  Inquiry inquiry;
  inquiry.ticket = fields.TakeInt<uint64_t>();
  const auto question = fields.TakeInt<uint8_t>();
  inquiry.question = static_cast<Question>(question);
  inquiry.argument = fields.TakeInt<uint32_t>();
  if (fields.failed() || !fields.rest().empty() || !IsQuestion(question)) {
    return Malformed("inquiry", packet.size());
  }
  return inquiry;
}

std::string EncodeAnswer(const Answer& answer) {
  std::string packet;
  PutInt(packet, answer.ticket);
  PutInt(packet, answer.status);
  PutText(packet, answer.text.size() > kMaxAnswerTextBytes
                      ? absl::string_view()
                      : absl::string_view(answer.text));
  return packet;
}

absl::StatusOr<Answer> DecodeAnswer(absl::string_view packet) {
  WireReader fields(packet);
  Answer answer;
  answer.ticket = fields.TakeInt<uint64_t>();
  answer.status = fields.TakeInt<uint16_t>();
  answer.text = fields.TakeText();
  if (fields.failed() || !fields.rest().empty() || answer.status < 200 ||
      answer.status > 599) {
    return Malformed("answer", packet.size());
  }
  return answer;
}

}  // namespace baton
