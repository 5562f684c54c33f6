#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tools/loadgen/conversation.h"
#include "tools/loadgen/http_body.h"
#include "tools/loadgen/http_head.h"

namespace baton::loadgen {
namespace {

constexpr size_t kMaxHeadBytes = 65536;

// The head that was read last, in any connection: most are the same to the
// byte, and a comparison is a tenth of the work of reading one strictly.
struct KnownHead {
  std::string text;
  HttpHead head;
};

class HttpConversation final : public Conversation {
 public:
  HttpConversation(absl::string_view request, absl::string_view last_request,
                   KnownHead* known)
      : request_(request), last_request_(last_request), known_(known) {}

  void Begin(const Exchange& exchange) override {
    pending_ = exchange.last ? last_request_ : request_;
    in_head_ = true;
    head_text_.clear();
  }

  absl::string_view Pending() override { return pending_; }
  Verdict Sent(int64_t bytes) override {
    pending_.remove_prefix(bytes);
    return Verdict::kMore;
  }

  Verdict Received(absl::string_view bytes) override {
    if (!pending_.empty()) return Wrong("an answer before the request's end");
    while (in_head_) {
      if (bytes.empty()) return Verdict::kMore;
      const std::string wrong = TakeHead(&bytes);
      if (!wrong.empty()) return Wrong(wrong);
      // An interim response: the real one follows (RFC 9110 15.2).
      if (!in_head_ && head_.status < 200) in_head_ = true;
    }
    switch (body_.Feed(&bytes)) {
      case HttpBody::Result::kMore:
        return Verdict::kMore;
      case HttpBody::Result::kBad:
        return Wrong("malformed chunk");
      case HttpBody::Result::kDone:
        break;
    }
    if (!bytes.empty()) {
      return Wrong(absl::StrCat(bytes.size(), " bytes after the response"));
    }
    return Finish();
  }

  Verdict Ended() override {
    if (in_head_ || !body_.ends_with_connection()) return Verdict::kMore;
    head_.close = true;
    return Finish();
  }

  bool peer_closes() const override { return head_.close; }
  std::string complaint() const override { return complaint_; }

 private:
  // Takes the head, or as much of it as is there; what is wrong, or "".
  std::string TakeHead(absl::string_view* bytes) {
    if (head_text_.empty() && !known_->text.empty() &&
        absl::StartsWith(*bytes, known_->text)) {
      bytes->remove_prefix(known_->text.size());
      EndHead(known_->head);
      return "";
    }
    const size_t before = head_text_.size();
    const size_t room = kMaxHeadBytes - before;
    head_text_.append(bytes->data(), std::min(room, bytes->size()));
    const size_t end = head_text_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    if (end == std::string::npos) {
      bytes->remove_prefix(head_text_.size() - before);
      return head_text_.size() < kMaxHeadBytes ? "" : "a head without end";
    }
    bytes->remove_prefix(end + 4 - before);
    head_text_.resize(end + 4);
    HttpHead head;
    std::string wrong = ParseHttpHead(head_text_, &head);
    if (!wrong.empty()) return wrong;
    known_->text.swap(head_text_);
    known_->head = head;
    head_text_.clear();
    EndHead(head);
    return "";
  }

  void EndHead(const HttpHead& head) {
    head_ = head;
    body_.Begin(head);
    in_head_ = false;
  }

  Verdict Finish() {
    if (head_.status >= 200 && head_.status < 300) return Verdict::kDone;
    complaint_ = absl::StrCat("status ", head_.status);
    return Verdict::kRefused;
  }

  Verdict Wrong(absl::string_view what) {
    complaint_ = std::string(what);
    return Verdict::kWrong;
  }

  const absl::string_view request_;
  const absl::string_view last_request_;
  KnownHead* const known_;
  absl::string_view pending_;
  bool in_head_ = true;
  HttpHead head_;
  HttpBody body_;
  std::string head_text_;  // while it is not complete
  std::string complaint_;
};

class HttpProtocol final : public Protocol {
 public:
  explicit HttpProtocol(const LoadTarget& target) {
    const std::string head =
        absl::StrCat("GET ", target.path, " HTTP/1.1\r\nHost: ", target.host,
                     "\r\nUser-Agent: baton-loadgen\r\n");
    request_ = absl::StrCat(head, "\r\n");
    last_request_ = absl::StrCat(head, "Connection: close\r\n\r\n");
  }

  std::unique_ptr<Conversation> NewConversation() override {
    return std::make_unique<HttpConversation>(request_, last_request_, &known_);
  }

 private:
  std::string request_;
  std::string last_request_;
  KnownHead known_;
};

}  // namespace

std::unique_ptr<Protocol> MakeHttpProtocol(const LoadTarget& target) {
  return std::make_unique<HttpProtocol>(target);
}

}  // namespace baton::loadgen
