#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tools/loadgen/conversation.h"
#include "tools/loadgen/pattern.h"

namespace baton::loadgen {
namespace {

// An exchange is over when the kernel has taken the message.
class DiscardConversation final : public Conversation {
 public:
  DiscardConversation(const Pattern* pattern, int64_t bytes)
      : pattern_(pattern), bytes_(bytes) {}

  void Begin(const Exchange& exchange) override {
    begin_ = Pattern::Begin(exchange.connection, exchange.sequence);
    sent_ = 0;
  }

  absl::string_view Pending() override {
    return pattern_->At(begin_, sent_, bytes_ - sent_);
  }

  Verdict Sent(int64_t bytes) override {
    sent_ += bytes;
    return sent_ == bytes_ ? Verdict::kDone : Verdict::kMore;
  }

  Verdict Received(absl::string_view bytes) override {
    complaint_ = absl::StrCat(bytes.size(), " bytes came from a discard port");
    return Verdict::kWrong;
  }

  std::string complaint() const override { return complaint_; }

 private:
  const Pattern* const pattern_;
  const int64_t bytes_;
  int64_t sent_ = 0;
  uint32_t begin_ = 0;
  std::string complaint_;
};

class DiscardProtocol final : public Protocol {
 public:
  explicit DiscardProtocol(const MessageShape& shape) : bytes_(shape.bytes) {}

  std::unique_ptr<Conversation> NewConversation() override {
    return std::make_unique<DiscardConversation>(&pattern_, bytes_);
  }
  bool ends_by_half_close() const override { return true; }

 private:
  const Pattern pattern_;
  const int64_t bytes_;
};

}  // namespace

std::unique_ptr<Protocol> MakeDiscardProtocol(const MessageShape& shape) {
  return std::make_unique<DiscardProtocol>(shape);
}

}  // namespace baton::loadgen
