#ifndef BATON_TOOLS_LOADGEN_HTTP_BODY_H_
#define BATON_TOOLS_LOADGEN_HTTP_BODY_H_

// Problem: where a response ends decides whose bytes the next ones are.
//
// HttpBody finds the end of one body: nothing, a length, chunks (RFC 9112 7.1,
// strictly: CRLF only) or the end of the connection.
//
// Contract: Feed() takes from the front of `*bytes` what belongs to the body,
// in any pieces, and leaves the rest. Contents are not looked at.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "tools/loadgen/http_head.h"

namespace baton::loadgen {

class HttpBody {
 public:
  enum class Result { kMore, kDone, kBad };

  void Begin(const HttpHead& head);
  Result Feed(absl::string_view* bytes);
  // The peer has closed: true when the body may end so, and ends here.
  bool ends_with_connection() const { return state_ == State::kUntilClose; }

 private:
  enum class State : uint8_t {
    kLength,
    kUntilClose,
    kChunkSize,
    kChunkExtension,
    kChunkSizeLf,
    kChunkData,
    kChunkDataCr,
    kChunkDataLf,
    kTrailerStart,
    kTrailer,
    kTrailerLf,
    kLastLf,
    kDone,
    kBad,
  };

  State OnSizeChar(char c);
  State OnFramingChar(char c);
  void TakeData(absl::string_view* bytes, State then);

  State state_ = State::kDone;
  int size_digits_ = 0;
  int64_t left_ = 0;  // of the body (kLength) or of the chunk
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_HTTP_BODY_H_
