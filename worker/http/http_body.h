#ifndef BATON_WORKER_HTTP_HTTP_BODY_H_
#define BATON_WORKER_HTTP_HTTP_BODY_H_

// The body of a request, taken out of the stream piece by piece: of a known
// length, or in chunks, whose framing is llhttp's. Trailer fields are checked
// like those of a head and dropped: RFC 9110 section 6.5.1 lets a server.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "llhttp.h"
#include "worker/http/http_head.h"
#include "worker/http/http_parser.h"

namespace baton {

class HttpBodyDecoder {
 public:
  // Chunk sizes and extensions between two pieces of data, and the trailer
  // section.
  static constexpr size_t kMaxFramingBytes = 4 * 1024;
  static constexpr size_t kMaxTrailerBytes = 8 * 1024;

  struct Step {
    enum class Kind : uint8_t {
      kData,  // some of the body; there is more, or the end still to come
      kMore,  // nothing yet: come again with more than `bytes` less `consumed`
      kEnd,
      kRejected,
    };
    Kind kind;
    size_t consumed = 0;
    absl::string_view data = {};  // within the bytes consumed
    int status = 0;               // kRejected, as HttpParse
    const char* reason = "";
  };

  // `state`: HttpParser's after that head.
  HttpBodyDecoder(const HttpHead& head, const llhttp_t& state,
                  uint64_t max_body);

  // `bytes` is what stands unread in the stream.
  Step Decode(absl::string_view bytes);

  uint64_t received() const { return received_; }

 private:
  static const llhttp_settings_t& Settings();
  Step DecodeSized(absl::string_view bytes);
  Step DecodeChunks(absl::string_view bytes);
  Step DecodeTrailers(absl::string_view bytes);
  Step TooLarge() const;

  const bool chunked_;
  bool in_trailers_ = false;
  bool ended_ = false;
  const uint64_t max_body_;
  uint64_t left_;  // sized: to come
  uint64_t received_ = 0;
  size_t framing_ = 0;
  size_t scanned_ = 0;  // of the trailers
  absl::string_view piece_;
  llhttp_t llhttp_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_BODY_H_
