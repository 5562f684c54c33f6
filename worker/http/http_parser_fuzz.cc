// The parser and the body decoder alone, some ten times as often in a second as
// http_fuzz: a head is taken or refused whichever way it comes, what it is made
// of stands within it, and a body is the same whole and in pieces.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "worker/http/http_body.h"
#include "worker/http/http_head.h"
#include "worker/http/http_parser.h"

namespace baton {
namespace {

using Kind = HttpParse::Kind;
using Step = HttpBodyDecoder::Step;

constexpr uint64_t kMaxBody = 1000;

// Empty ones may be literals.
void ExpectWithin(absl::string_view part, absl::string_view head) {
  CHECK(part.empty() ||
        (part.data() >= head.data() &&
         part.data() + part.size() <= head.data() + head.size()) ||
        part == "/");
}

void CheckHead(const HttpHead& head, absl::string_view bytes) {
  CHECK_GT(head.size, 0u);
  CHECK_LE(head.size, bytes.size());
  CHECK_LE(head.size, HttpHead::kMaxBytes);
  const absl::string_view own = bytes.substr(0, head.size);
  for (const absl::string_view part :
       {head.method_name, head.target, head.path, head.query, head.host}) {
    ExpectWithin(part, own);
  }
  CHECK_LE(head.fields.size(), size_t{HttpHead::kMaxFields});
  for (const HttpField& field : head.fields) {
    CHECK(!field.name.empty());
    ExpectWithin(field.name, own);
    ExpectWithin(field.value, own);
    CHECK_EQ(field.value.find_first_of("\r\n"), absl::string_view::npos);
    CHECK_EQ(field.value.find('\0'), absl::string_view::npos);
  }
  CHECK(!head.chunked || head.content_length == 0) << "smuggling";
  CHECK(!head.path.empty());
}

// What a body comes to: its data, and how it ends.
struct Body {
  std::string data;
  Step::Kind end = Step::Kind::kMore;
  int status = 0;
  size_t used = 0;

  bool operator==(const Body&) const = default;
};

// All of `bytes` as it comes: first the part before `cut`, then the rest.
Body Decode(HttpBodyDecoder decoder, absl::string_view bytes, size_t cut) {
  Body body;
  for (const size_t there : {cut, bytes.size()}) {
    while (true) {
      const absl::string_view unread =
          bytes.substr(body.used, there - body.used);
      const Step step = decoder.Decode(unread);
      CHECK_LE(step.consumed, unread.size());
      ExpectWithin(step.data, unread);
      body.used += step.consumed;
      body.data.append(step.data.data(), step.data.size());
      CHECK_LE(body.data.size(), kMaxBody);
      if (step.kind == Step::Kind::kData) continue;
      body.end = step.kind;
      body.status = step.status;
      break;
    }
    if (body.end != Step::Kind::kMore) break;
  }
  // One that is wrong twice is refused for what is seen first, and how much of
  // it was looked at is nobody's business.
  if (body.end == Step::Kind::kRejected) {
    body.status = 0;
    body.used = 0;
    body.data.clear();
  }
  // Nor what has been taken of framing that may go on.
  if (body.end == Step::Kind::kMore) body.used = 0;
  return body;
}

void Check(absl::string_view bytes, size_t cut) {
  static auto& parser = *new HttpParser;
  HttpHead head;
  const HttpParse whole = parser.Parse(bytes, 0, &head);
  if (whole.kind == Kind::kRejected) {
    CHECK(whole.status >= 400 && whole.status <= 505) << whole.status;
    return;
  }
  if (whole.kind == Kind::kIncomplete) return;
  CheckHead(head, bytes);
  const HttpBodyDecoder decoder(head, parser.state(), kMaxBody);
  const absl::string_view rest = bytes.substr(head.size);
  const Body body = Decode(decoder, rest, rest.size());
  CHECK(body == Decode(decoder, rest, rest.empty() ? 0 : cut % rest.size()));
  // A beginning of it is neither refused nor taken.
  const size_t size = head.size;
  const absl::string_view beginning = bytes.substr(0, cut % size);
  CHECK(parser.Probe(beginning).kind == Kind::kIncomplete) << cut % size;
  CHECK(parser.Parse(beginning, 0, &head).kind == Kind::kIncomplete);
  CHECK(parser.Parse(bytes, beginning.size(), &head).kind == Kind::kComplete);
  CHECK_EQ(head.size, size);
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  // The first two bytes say where it is cut.
  const size_t cut = data[0] | data[1] << 8;
  baton::Check({reinterpret_cast<const char*>(data) + 2, size - 2}, cut);
  return 0;
}
