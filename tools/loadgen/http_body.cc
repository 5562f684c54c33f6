#include "tools/loadgen/http_body.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace baton::loadgen {
namespace {

// So that a size never overflows: 15 digits are 2^60 - 1 at most.
constexpr int kMaxSizeDigits = 15;

int HexValue(char c) {
  if (absl::ascii_isdigit(c)) return c - '0';
  return absl::ascii_tolower(c) - 'a' + 10;
}

}  // namespace

void HttpBody::Begin(const HttpHead& head) {
  size_digits_ = 0;
  left_ = 0;
  if (head.status < 200 || head.status == 204 || head.status == 304) {
    state_ = State::kDone;
  } else if (head.chunked) {
    state_ = State::kChunkSize;
  } else if (head.length >= 0) {
    state_ = head.length == 0 ? State::kDone : State::kLength;
    left_ = head.length;
  } else {
    state_ = State::kUntilClose;
  }
}

HttpBody::Result HttpBody::Feed(absl::string_view* bytes) {
  while (!bytes->empty() && state_ != State::kDone && state_ != State::kBad) {
    switch (state_) {
      case State::kUntilClose:
        bytes->remove_prefix(bytes->size());
        break;
      case State::kLength:
        TakeData(bytes, State::kDone);
        break;
      case State::kChunkData:
        TakeData(bytes, State::kChunkDataCr);
        break;
      case State::kChunkSize:
        state_ = OnSizeChar(bytes->front());
        bytes->remove_prefix(1);
        break;
      default:
        state_ = OnFramingChar(bytes->front());
        bytes->remove_prefix(1);
    }
  }
  if (state_ == State::kDone) return Result::kDone;
  return state_ == State::kBad ? Result::kBad : Result::kMore;
}

void HttpBody::TakeData(absl::string_view* bytes, State then) {
  const int64_t taken = std::min<int64_t>(bytes->size(), left_);
  bytes->remove_prefix(taken);
  left_ -= taken;
  if (left_ == 0) state_ = then;
}

HttpBody::State HttpBody::OnSizeChar(char c) {
  if (absl::ascii_isxdigit(c)) {
    if (++size_digits_ > kMaxSizeDigits) return State::kBad;
    left_ = left_ * 16 + HexValue(c);
    return State::kChunkSize;
  }
  if (size_digits_ == 0) return State::kBad;
  if (c == '\r') return State::kChunkSizeLf;
  return c == ';' ? State::kChunkExtension : State::kBad;
}

HttpBody::State HttpBody::OnFramingChar(char c) {
  const auto want_lf = [c](State then) {
    return c == '\n' ? then : State::kBad;
  };
  switch (state_) {
    case State::kChunkExtension:
      if (c == '\n') return State::kBad;
      return c == '\r' ? State::kChunkSizeLf : State::kChunkExtension;
    case State::kChunkSizeLf:
      size_digits_ = 0;
      return want_lf(left_ == 0 ? State::kTrailerStart : State::kChunkData);
    case State::kChunkDataCr:
      return c == '\r' ? State::kChunkDataLf : State::kBad;
    case State::kChunkDataLf:
      return want_lf(State::kChunkSize);
    case State::kTrailerStart:
      if (c == '\r') return State::kLastLf;
      [[fallthrough]];
    case State::kTrailer:
      if (c == '\n') return State::kBad;
      return c == '\r' ? State::kTrailerLf : State::kTrailer;
    case State::kTrailerLf:
      return want_lf(State::kTrailerStart);
    case State::kLastLf:
      return want_lf(State::kDone);
    default:
      return State::kBad;
  }
}

}  // namespace baton::loadgen
