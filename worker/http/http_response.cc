#include "worker/http/http_response.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "net/quote.h"

namespace baton {
namespace {

// RFC 9110 section 15, and what is registered with IANA beside.
struct Reason {
  int status;
  absl::string_view text;
};
constexpr Reason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a Teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {511, "Network Authentication Required"},
};

constexpr absl::string_view kTextType = "text/plain; charset=utf-8";

bool IsFieldName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
           c == '_' || c == '.';
  });
}

bool IsFieldValue(absl::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
  });
}

bool IsServersOwn(absl::string_view name) {
  constexpr std::array<absl::string_view, 5> kOwn = {
      "Connection", "Content-Length", "Date", "Server", "Transfer-Encoding"};
  return std::any_of(kOwn.begin(), kOwn.end(), [name](absl::string_view own) {
    return absl::EqualsIgnoreCase(name, own);
  });
}

int StatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kFailedPrecondition:
      return 412;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

HttpResponse::HttpResponse(const absl::Status& status)
    : status_(StatusOf(status.code())) {
  known_type_ = kTextType;
  if (status_ == 503) Header("Retry-After", "1");
  if (status_ < 500) {
    body_ = absl::StrCat(status.message(), "\n");
  } else {
    body_ = absl::StrCat(HttpReason(status_), "\n");
    failure_ = status.ToString();
  }
}

HttpResponse HttpResponse::Text(std::string body) {
  return {kTextType, std::move(body)};
}

HttpResponse HttpResponse::Html(std::string body) {
  return {"text/html; charset=utf-8", std::move(body)};
}

HttpResponse HttpResponse::Json(std::string body) {
  return {"application/json", std::move(body)};
}

HttpResponse HttpResponse::Redirect(absl::string_view location, int status) {
  return HttpResponse(status).Header("Location", location);
}

HttpResponse& HttpResponse::Status(int status) & {
  if (broken_) return *this;
  if (status < 200 || status > 599) {
    Fail(absl::StrCat("a handler answers with the status ", status));
    return *this;
  }
  status_ = status;
  return *this;
}

HttpResponse& HttpResponse::Header(absl::string_view name,
                                   absl::string_view value) & {
  if (broken_) return *this;
  if (absl::EqualsIgnoreCase(name, "Content-Type")) return ContentType(value);
  if (!IsFieldName(name) || !IsFieldValue(value) || IsServersOwn(name)) {
    Fail(absl::StrCat("a handler sets the field ", Quote(name), " to ",
                      Quote(value)));
    return *this;
  }
  absl::StrAppend(&fields_, name, ": ", value, "\r\n");
  return *this;
}

HttpResponse& HttpResponse::ContentType(absl::string_view type) & {
  if (broken_) return *this;
  if (!IsFieldValue(type)) {
    Fail(absl::StrCat("a handler sets the content type to ", Quote(type)));
    return *this;
  }
  type_ = std::string(type);
  return *this;
}

HttpResponse& HttpResponse::Body(std::string body) & {
  if (broken_) return *this;
  body_ = std::move(body);
  shared_ = nullptr;
  file_ = nullptr;
  return *this;
}

HttpResponse& HttpResponse::SharedBody(
    std::shared_ptr<const std::string> body) & {
  if (broken_) return *this;
  shared_ = std::move(body);
  file_ = nullptr;
  return *this;
}

HttpResponse& HttpResponse::File(FileBody body) & {
  if (broken_) return *this;
  file_ = std::make_unique<FileBody>(std::move(body));
  return *this;
}

void HttpResponse::Fail(const std::string& why) {
  *this = HttpResponse(absl::InternalError(why));
  broken_ = true;
}

absl::string_view HttpReason(int status) {
  const auto* const it = std::lower_bound(
      std::begin(kReasons), std::end(kReasons), status,
      [](const Reason& reason, int code) { return reason.status < code; });
  return it != std::end(kReasons) && it->status == status ? it->text
                                                          : "Unknown";
}

}  // namespace baton
