#include "worker/http/http_body.h"

#include <algorithm>

#include "worker/http/head_scan.h"

namespace baton {

using Kind = HttpBodyDecoder::Step::Kind;

HttpBodyDecoder::HttpBodyDecoder(const HttpHead& head, const llhttp_t& state,
                                 uint64_t max_body)
    : chunked_(head.chunked),
      max_body_(max_body),
      left_(head.content_length),
      llhttp_(state) {
  llhttp_.settings = const_cast<llhttp_settings_t*>(&Settings());
}

// Each callback pauses: one piece of data, or one turn of the framing, a call.
const llhttp_settings_t& HttpBodyDecoder::Settings() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_body = [](llhttp_t* parser, const char* at, size_t size) -> int {
      static_cast<HttpBodyDecoder*>(parser->data)->piece_ = {at, size};
      return HPE_PAUSED;
    };
    made.on_chunk_header = [](llhttp_t* parser) -> int {
      auto* const self = static_cast<HttpBodyDecoder*>(parser->data);
      self->in_trailers_ = parser->content_length == 0;
      return HPE_PAUSED;
    };
    made.on_message_complete = [](llhttp_t* parser) -> int {
      static_cast<HttpBodyDecoder*>(parser->data)->ended_ = true;
      return HPE_PAUSED;
    };
    return made;
  }();
  return settings;
}

HttpBodyDecoder::Step HttpBodyDecoder::TooLarge() const {
  return {.kind = Kind::kRejected,
          .status = 413,
          .reason = "the body is larger than max_body"};
}

HttpBodyDecoder::Step HttpBodyDecoder::Decode(absl::string_view bytes) {
  if (!chunked_) return DecodeSized(bytes);
  return in_trailers_ ? DecodeTrailers(bytes) : DecodeChunks(bytes);
}

HttpBodyDecoder::Step HttpBodyDecoder::DecodeSized(absl::string_view bytes) {
  if (received_ + left_ > max_body_) return TooLarge();
  if (left_ == 0) return {.kind = Kind::kEnd};
  if (bytes.empty()) return {.kind = Kind::kMore};
  const absl::string_view data =
      bytes.substr(0, std::min<uint64_t>(left_, bytes.size()));
  left_ -= data.size();
  received_ += data.size();
  return {.kind = Kind::kData, .consumed = data.size(), .data = data};
}

HttpBodyDecoder::Step HttpBodyDecoder::DecodeChunks(absl::string_view bytes) {
  size_t consumed = 0;
  while (consumed < bytes.size()) {
    const absl::string_view rest = bytes.substr(consumed);
    // It may have been moved since.
    llhttp_.data = this;
    piece_ = {};
    if (llhttp_.error == HPE_PAUSED) llhttp_resume(&llhttp_);
    const llhttp_errno error =
        llhttp_execute(&llhttp_, rest.data(), rest.size());
    if (error != HPE_OK && error != HPE_PAUSED) {
      return {.kind = Kind::kRejected,
              .status = 400,
              .reason = llhttp_.reason != nullptr ? llhttp_.reason
                                                  : "malformed chunk"};
    }
    const size_t taken =
        error == HPE_OK ? rest.size()
                        : static_cast<size_t>(llhttp_.error_pos - rest.data());
    consumed += taken;
    framing_ += taken - piece_.size();
    if (framing_ > kMaxFramingBytes) {
      return {.kind = Kind::kRejected,
              .status = 400,
              .reason = "too long a chunk extension"};
    }
    if (!piece_.empty()) {
      framing_ = 0;
      received_ += piece_.size();
      if (received_ > max_body_) return TooLarge();
      return {.kind = Kind::kData, .consumed = consumed, .data = piece_};
    }
    // Announced counts as received: or it would be found out only at the end.
    if (llhttp_.content_length > max_body_ - received_) return TooLarge();
    if (in_trailers_) {
      Step step = DecodeTrailers(bytes.substr(consumed));
      step.consumed += consumed;
      return step;
    }
  }
  return {.kind = Kind::kMore, .consumed = consumed};
}

HttpBodyDecoder::Step HttpBodyDecoder::DecodeTrailers(absl::string_view bytes) {
  const auto rejected = [](int status, const char* reason) {
    return Step{.kind = Kind::kRejected, .status = status, .reason = reason};
  };
  if (ended_) return {.kind = Kind::kEnd};
  if (bytes.empty()) return {.kind = Kind::kMore};
  const HeadScan scan = ScanHead(bytes, scanned_);
  const bool is_whole = scan.kind == HeadScan::Kind::kComplete;
  if ((is_whole ? scan.size : bytes.size()) > kMaxTrailerBytes) {
    return rejected(431, "too large a trailer section");
  }
  if (scan.kind == HeadScan::Kind::kIncomplete) {
    scanned_ = bytes.size();
    return {.kind = Kind::kMore};
  }
  if (scan.kind != HeadScan::Kind::kComplete) {
    return rejected(400, "bad line end in the trailer section");
  }
  llhttp_.data = this;
  if (llhttp_.error == HPE_PAUSED) llhttp_resume(&llhttp_);
  const llhttp_errno error = llhttp_execute(&llhttp_, bytes.data(), scan.size);
  if (error != HPE_PAUSED || !ended_ ||
      llhttp_.error_pos != bytes.data() + scan.size) {
    return rejected(400, "malformed trailer section");
  }
  return {.kind = Kind::kEnd, .consumed = scan.size};
}

}  // namespace baton
