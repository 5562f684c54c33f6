#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tools/loadgen/conversation.h"
#include "tools/loadgen/pattern.h"

namespace baton::loadgen {
namespace {

class EchoConversation final : public Conversation {
 public:
  EchoConversation(const Pattern* pattern, const MessageShape& shape)
      : pattern_(pattern), shape_(shape) {}

  void Begin(const Exchange& exchange) override {
    exchange_ = exchange;
    begin_ = Pattern::Begin(exchange.connection, exchange.sequence);
    sent_ = received_ = 0;
    urgent_ = shape_.urgent ? Urgent::kToSend : Urgent::kNone;
  }

  absl::string_view Pending() override {
    const int64_t end =
        urgent_ == Urgent::kToSend ? UrgentPosition() : shape_.bytes;
    return pattern_->At(begin_, sent_, end - sent_);
  }

  Verdict Sent(int64_t bytes) override {
    sent_ += bytes;
    return Verdict::kMore;
  }

  Verdict Received(absl::string_view bytes) override {
    const auto size = static_cast<int64_t>(bytes.size());
    if (received_ + size > sent_) {
      complaint_ = absl::StrFormat("%d bytes came back for %d sent",
                                   received_ + size, sent_);
      return Verdict::kWrong;
    }
    const int64_t at = pattern_->FirstDifference(begin_, received_, bytes);
    if (at >= 0) {
      const uint8_t wanted = pattern_->At(begin_, received_ + at, 1)[0];
      complaint_ =
          absl::StrFormat("byte %d is 0x%02x, not 0x%02x", received_ + at,
                          static_cast<uint8_t>(bytes[at]), wanted);
      return Verdict::kWrong;
    }
    received_ += size;
    return Progress();
  }

  bool UrgentDue() const override {
    return urgent_ == Urgent::kToSend && sent_ == UrgentPosition();
  }
  // One past the message's end: neither a byte of it nor always the same.
  char UrgentByte() const override {
    return pattern_->At(begin_, shape_.bytes, 1)[0];
  }
  void UrgentSent() override { urgent_ = Urgent::kAwaited; }
  bool UrgentAwaited() const override { return urgent_ == Urgent::kAwaited; }

  Verdict UrgentReceived(char byte) override {
    if (urgent_ != Urgent::kAwaited || byte != UrgentByte()) {
      complaint_ = absl::StrFormat("urgent byte 0x%02x, not 0x%02x",
                                   static_cast<uint8_t>(byte),
                                   static_cast<uint8_t>(UrgentByte()));
      return Verdict::kWrong;
    }
    urgent_ = Urgent::kNone;
    return Progress();
  }

  std::string complaint() const override { return complaint_; }

 private:
  enum class Urgent : uint8_t { kNone, kToSend, kAwaited };

  int64_t UrgentPosition() const { return shape_.bytes / 2; }

  Verdict Progress() const {
    return received_ == shape_.bytes && urgent_ == Urgent::kNone
               ? Verdict::kDone
               : Verdict::kMore;
  }

  const Pattern* const pattern_;
  const MessageShape shape_;
  Exchange exchange_;
  int64_t sent_ = 0;
  int64_t received_ = 0;
  uint32_t begin_ = 0;
  Urgent urgent_ = Urgent::kNone;
  std::string complaint_;
};

class EchoProtocol final : public Protocol {
 public:
  explicit EchoProtocol(const MessageShape& shape) : shape_(shape) {}

  std::unique_ptr<Conversation> NewConversation() override {
    return std::make_unique<EchoConversation>(&pattern_, shape_);
  }

 private:
  const Pattern pattern_;
  const MessageShape shape_;
};

}  // namespace

std::unique_ptr<Protocol> MakeEchoProtocol(const MessageShape& shape) {
  return std::make_unique<EchoProtocol>(shape);
}

}  // namespace baton::loadgen
