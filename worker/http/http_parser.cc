#include "worker/http/http_parser.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "worker/http/head_scan.h"

namespace baton {

using internal::HttpElements;

namespace {

using Kind = HttpParse::Kind;

constexpr HttpParse kOk = {Kind::kComplete};

constexpr HttpParse Bad(const char* reason) {
  return {Kind::kRejected, 400, reason};
}

HttpElements& ElementsOf(llhttp_t* parser) {
  return *static_cast<HttpElements*>(parser->data);
}

// A head is given to llhttp in one piece, so each element comes in one.

int OnUrl(llhttp_t* parser, const char* at, size_t size) {
  ElementsOf(parser).target = {at, size};
  return 0;
}

int OnField(llhttp_t* parser, const char* at, size_t size) {
  HttpElements& elements = ElementsOf(parser);
  if (elements.field_count == elements.fields.size()) return HPE_USER;
  elements.fields[elements.field_count++] = {{at, size}, {}};
  return 0;
}

int OnValue(llhttp_t* parser, const char* at, size_t size) {
  while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t')) --size;
  HttpElements& elements = ElementsOf(parser);
  elements.fields[elements.field_count - 1].value = {at, size};
  return 0;
}

int OnHeadersComplete(llhttp_t* parser) {
  // An upgrade is declined by going on with HTTP/1.1: RFC 9110 section 7.8.
  parser->upgrade = 0;
  return HPE_PAUSED;
}

const llhttp_settings_t& Settings() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_url = OnUrl;
    made.on_header_field = OnField;
    made.on_header_value = OnValue;
    made.on_headers_complete = OnHeadersComplete;
    return made;
  }();
  return settings;
}

HttpMethod MethodOf(uint8_t llhttp_method) {
  switch (llhttp_method) {
    case HTTP_GET:
      return HttpMethod::kGet;
    case HTTP_HEAD:
      return HttpMethod::kHead;
    case HTTP_POST:
      return HttpMethod::kPost;
    case HTTP_PUT:
      return HttpMethod::kPut;
    case HTTP_PATCH:
      return HttpMethod::kPatch;
    case HTTP_DELETE:
      return HttpMethod::kDelete;
    case HTTP_OPTIONS:
      return HttpMethod::kOptions;
    default:
      return HttpMethod::kOther;
  }
}

// tchar of RFC 9110 section 5.6.2.
bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         (c != '\0' && absl::string_view("!#$%&'*+-.^_`|~").find(c) !=
                           absl::string_view::npos);
}

size_t TokenSize(absl::string_view bytes) {
  size_t size = 0;
  while (size < bytes.size() && IsTokenChar(bytes[size])) ++size;
  return size;
}

// Characters of a registered name: RFC 3986 section 3.2.2.
constexpr std::array<bool, 256> kHostChars = [] {
  std::array<bool, 256> allowed{};
  for (const char* c =
           "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
           "-._~!$&'()*+,;=%";
       *c != '\0'; ++c) {
    allowed[static_cast<unsigned char>(*c)] = true;
  }
  return allowed;
}();

// The size of an address in brackets at the beginning of `host`; 0 if it is
// none.
size_t BracketedSize(absl::string_view host) {
  const size_t end = host.find(']');
  if (end == absl::string_view::npos || end < 3) return 0;
  for (char c : host.substr(1, end - 1)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c)) && c != ':' &&
        c != '.') {
      return 0;
    }
  }
  return end + 1;
}

// uri-host [":" port] of RFC 9110 section 7.2, by its characters; empty is
// allowed.
bool IsHost(absl::string_view host) {
  size_t size = 0;
  if (absl::StartsWith(host, "[")) {
    size = BracketedSize(host);
  } else {
    while (size < host.size() &&
           kHostChars[static_cast<unsigned char>(host[size])]) {
      ++size;
    }
  }
  if (size == host.size()) return true;
  if (size == 0 || host[size] != ':') return false;
  const absl::string_view port = host.substr(size + 1);
  return port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) {
           return c >= '0' && c <= '9';
         });
}

// `lower` has small letters and '-' only, and `name` is a token of its length:
// so a bit tells small from capital, and nothing else has the same others.
template <size_t kSize>
bool IsNamed(absl::string_view name, const char (&lower)[kSize]) {
  unsigned difference = 0;
  for (size_t i = 0; i < kSize - 1; ++i) {
    difference |= static_cast<unsigned>((name[i] | 0x20) ^ lower[i]);
  }
  return difference == 0;
}

// RFC 9112 section 9.3. `close` goes before `keep-alive`, wherever they stand.
void TakeConnection(absl::string_view value, HttpHead& head) {
  for (absl::string_view option : absl::StrSplit(value, ',')) {
    option = absl::StripAsciiWhitespace(option);
    if (absl::EqualsIgnoreCase(option, "close")) head.says_close = true;
    if (absl::EqualsIgnoreCase(option, "keep-alive")) {
      head.says_keep_alive = true;
    }
  }
}

// What a field means for the message itself.
HttpParse TakeField(const HttpField& field, HttpHead& head, bool& has_host) {
  switch (field.name.size()) {
    case 0:
      return Bad("a field without a name");
    case 4:
      if (!IsNamed(field.name, "host")) break;
      if (has_host) return Bad("more than one Host field");
      if (!IsHost(field.value)) return Bad("bad Host field");
      has_host = true;
      head.host = field.value;
      break;
    case 6:
      // RFC 9110 section 10.1.1: to be ignored in HTTP/1.0.
      if (!IsNamed(field.name, "expect") || head.minor_version == 0) break;
      if (!absl::EqualsIgnoreCase(field.value, "100-continue")) {
        return {Kind::kRejected, 417, "only 100-continue can be expected"};
      }
      head.expects_continue = true;
      break;
    case 10:
      if (IsNamed(field.name, "connection")) TakeConnection(field.value, head);
      break;
    case 14:
      if (IsNamed(field.name, "content-length") && field.value.empty()) {
        return Bad("Content-Length without a number");
      }
      break;
    case 17:
      if (!IsNamed(field.name, "transfer-encoding")) break;
      if (head.chunked) return Bad("more than one Transfer-Encoding field");
      if (!absl::EqualsIgnoreCase(field.value, "chunked")) {
        return Bad("the transfer coding must be chunked");
      }
      if (head.minor_version == 0) return Bad("HTTP/1.0 has no chunked bodies");
      head.chunked = true;
      break;
    default:
      break;
  }
  return kOk;
}

// Whether a request line ends with a version, if one that is not served.
bool EndsWithVersion(absl::string_view bytes) {
  const absl::string_view line = bytes.substr(0, bytes.find("\r\n"));
  const absl::string_view version = line.substr(line.rfind(' ') + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return version.size() == 8 && absl::StartsWith(version, "HTTP/") &&
         is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
}

// RFC 9112 section 3.2.
HttpParse TakeTarget(HttpHead& head) {
  absl::string_view rest = head.target;
  if (rest == "*") {
    if (head.method != HttpMethod::kOptions) {
      return Bad("the target * is for OPTIONS");
    }
    head.path = rest;
    return kOk;
  }
  size_t question = rest.size();
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '#') return Bad("a fragment in the target");
    if (rest[i] == '?' && question == rest.size()) question = i;
  }
  if (rest[0] != '/') {
    if (head.method_name == "CONNECT") {
      return {Kind::kRejected, 501, "this server is no tunnel"};
    }
    for (absl::string_view scheme : {"http://", "https://"}) {
      if (!absl::StartsWithIgnoreCase(rest, scheme)) continue;
      rest.remove_prefix(scheme.size());
      break;
    }
    if (rest.size() == head.target.size()) {
      return Bad("the target must be a path or an http URL");
    }
    const absl::string_view host = rest.substr(0, rest.find_first_of("/?"));
    if (host.empty() || !IsHost(host)) return Bad("bad host in the target");
    head.host = host;  // instead of the field's: section 3.2.2
    rest.remove_prefix(host.size());
    question -= head.target.size() - rest.size();
  }
  head.path = rest.substr(0, question);
  if (head.path.empty()) head.path = "/";
  if (question < rest.size()) head.query = rest.substr(question + 1);
  return kOk;
}

// One space on either side of the target, and nothing behind the version.
bool RequestLineIsTight(absl::string_view bytes, const HttpHead& head) {
  constexpr size_t kVersion = sizeof(" HTTP/1.1\r\n") - 1;
  const char* const end = head.target.data() + head.target.size() + kVersion;
  return head.method_name.back() != ' ' && head.target.data()[-1] == ' ' &&
         end <= bytes.data() + bytes.size() && end[-1] == '\n' &&
         end[-static_cast<ptrdiff_t>(kVersion) + 1] == 'H';
}

}  // namespace

HttpParser::HttpParser() { llhttp_init(&llhttp_, HTTP_REQUEST, &Settings()); }

llhttp_errno HttpParser::Execute(absl::string_view bytes) {
  llhttp_init(&llhttp_, HTTP_REQUEST, &Settings());
  llhttp_.data = &elements_;
  elements_.target = {};
  elements_.field_count = 0;
  return llhttp_execute(&llhttp_, bytes.data(), bytes.size());
}

HttpParse HttpParser::Rejected(llhttp_errno error,
                               absl::string_view bytes) const {
  switch (error) {
    case HPE_USER:
      return {Kind::kRejected, 431, "too many header fields"};
    case HPE_INVALID_METHOD: {
      const size_t size = TokenSize(bytes);
      // It may yet become one that is not known, which has another answer.
      if (size == bytes.size()) return {Kind::kIncomplete};
      if (size > 0 && size < bytes.size() && bytes[size] == ' ') {
        return {Kind::kRejected, 501, "unknown method"};
      }
      return Bad("no method at the beginning");
    }
    case HPE_INVALID_VERSION:
      if (!EndsWithVersion(bytes)) return Bad("no version");
      return {Kind::kRejected, 505, "the version must be HTTP/1.1 or 1.0"};
    default:
      return Bad(llhttp_.reason != nullptr ? llhttp_.reason : "malformed");
  }
}

HttpParse HttpParser::TooLarge(absl::string_view bytes) {
  if (bytes.substr(0, HttpHead::kMaxBytes).find('\n') ==
      absl::string_view::npos) {
    return {Kind::kRejected, 414, "the request line is too long"};
  }
  return {Kind::kRejected, 431, "the head is too large"};
}

HttpParse HttpParser::Parse(absl::string_view bytes, size_t scanned,
                            HttpHead* head) {
  // llhttp would skip line ends here, whole or in part.
  if (!bytes.empty() && !IsTokenChar(bytes[0])) {
    return Bad("no method at the beginning");
  }
  const HeadScan scan = ScanHead(bytes, scanned);
  switch (scan.kind) {
    case HeadScan::Kind::kComplete:
      break;
    case HeadScan::Kind::kIncomplete:
      return {Kind::kIncomplete};
    case HeadScan::Kind::kBadLineEnd:
      return Bad("a line must end with CRLF");
    case HeadScan::Kind::kFolded:
      return Bad("a field must not be folded");
  }
  if (scan.size > HttpHead::kMaxBytes) return TooLarge(bytes);
  bytes = bytes.substr(0, scan.size);
  const llhttp_errno error = Execute(bytes);
  if (error != HPE_PAUSED) {
    return error == HPE_OK ? Bad("malformed") : Rejected(error, bytes);
  }
  if (llhttp_.error_pos != bytes.data() + bytes.size()) return Bad("malformed");
  // As llhttp has read it, or it would not have gone beyond.
  if (llhttp_.http_major != 1 || llhttp_.http_minor > 1) {
    return {Kind::kRejected, 505, "the version must be HTTP/1.1 or 1.0"};
  }
  head->size = scan.size;
  head->target = elements_.target;
  head->fields = {elements_.fields.data(), elements_.field_count};
  head->method = MethodOf(llhttp_.method);
  head->minor_version = llhttp_.http_minor;
  // A space stands before the target; RequestLineIsTight sees to the rest.
  head->method_name =
      bytes.substr(0, elements_.target.data() - bytes.data() - 1);
  head->content_length = llhttp_.content_length;
  head->chunked = head->expects_continue = false;
  head->says_close = head->says_keep_alive = false;
  head->host = head->path = head->query = {};
  if (!RequestLineIsTight(bytes, *head)) {
    return Bad("one space must stand between the parts of the request line");
  }
  bool has_host = false;
  for (const HttpField& field : head->fields) {
    const HttpParse taken = TakeField(field, *head, has_host);
    if (taken.kind != Kind::kComplete) return taken;
  }
  if (!has_host && head->minor_version > 0) return Bad("no Host field");
  head->keep_alive =
      !head->says_close && (head->minor_version > 0 || head->says_keep_alive);
  return TakeTarget(*head);
}

HttpParse HttpParser::Probe(absl::string_view bytes) {
  if (bytes.size() > HttpHead::kMaxBytes) return TooLarge(bytes);
  const llhttp_errno error = Execute(bytes);
  if (error == HPE_OK) return {Kind::kIncomplete};
  return error == HPE_PAUSED ? Bad("malformed") : Rejected(error, bytes);
}

absl::string_view HttpMethodName(HttpMethod method) {
  switch (method) {
    case HttpMethod::kGet:
      return "GET";
    case HttpMethod::kHead:
      return "HEAD";
    case HttpMethod::kPost:
      return "POST";
    case HttpMethod::kPut:
      return "PUT";
    case HttpMethod::kPatch:
      return "PATCH";
    case HttpMethod::kDelete:
      return "DELETE";
    case HttpMethod::kOptions:
      return "OPTIONS";
    case HttpMethod::kOther:
      break;
  }
  return "";
}

absl::string_view HttpHead::Field(absl::string_view name) const {
  for (const HttpField& field : fields) {
    if (absl::EqualsIgnoreCase(field.name, name)) return field.value;
  }
  return {};
}

}  // namespace baton
