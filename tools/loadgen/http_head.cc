#include "tools/loadgen/http_head.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "net/quote.h"

namespace baton::loadgen {
namespace {

bool IsTokenChar(char c) {  // RFC 9110 5.6.2
  return absl::ascii_isalnum(c) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) !=
             absl::string_view::npos;
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

// RFC 9110 5.5: visible characters, obs-text, space and tab.
bool IsFieldText(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\t' || (c >= ' ' && c != '\x7f') || (c & 0x80) != 0;
  });
}

bool IsDigits(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

std::string ParseStatusLine(absl::string_view line, HttpHead* result) {
  // "HTTP/1.1 200 OK"; the blank after the status stays without a reason.
  if (!absl::ConsumePrefix(&line, "HTTP/1.1 ") || line.size() < 4 ||
      !IsDigits(line.substr(0, 3)) || line[3] != ' ' || line[0] == '0' ||
      !IsFieldText(line)) {
    return absl::StrCat("status line ", Quote(line));
  }
  return absl::SimpleAtoi(line.substr(0, 3), &result->status)
             ? ""
             : absl::StrCat("status ", Quote(line));
}

std::string ParseContentLength(absl::string_view value, HttpHead* result) {
  int64_t length = 0;
  if (result->length >= 0) return "a second Content-Length";
  if (!IsDigits(value) || !absl::SimpleAtoi(value, &length)) {
    return absl::StrCat("Content-Length ", Quote(value));
  }
  result->length = length;
  return "";
}

std::string ParseField(absl::string_view line, HttpHead* result) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon)) ||
      !IsFieldText(line)) {
    return absl::StrCat("field line ", Quote(line));
  }
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value =
      absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "Content-Length")) {
    return ParseContentLength(value, result);
  }
  if (absl::EqualsIgnoreCase(name, "Transfer-Encoding")) {
    if (result->chunked || !absl::EqualsIgnoreCase(value, "chunked")) {
      return absl::StrCat("Transfer-Encoding ", Quote(value));
    }
    result->chunked = true;
  } else if (absl::EqualsIgnoreCase(name, "Connection")) {
    for (const absl::string_view option : absl::StrSplit(value, ',')) {
      if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(option), "close")) {
        result->close = true;
      }
    }
  }
  return "";
}

}  // namespace

std::string ParseHttpHead(absl::string_view head, HttpHead* result) {
  *result = HttpHead();
  if (!absl::ConsumeSuffix(&head, "\r\n\r\n")) return "no end of the head";
  bool first = true;
  // A bare CR or LF is left in its line, where it is no field text.
  for (const absl::string_view line : absl::StrSplit(head, "\r\n")) {
    const std::string wrong =
        first ? ParseStatusLine(line, result) : ParseField(line, result);
    if (!wrong.empty()) return wrong;
    first = false;
  }
  if (result->chunked && result->length >= 0) {
    return "both Content-Length and Transfer-Encoding";
  }
  const bool no_body = result->status < 200 || result->status == 204;
  if (no_body && (result->chunked || result->length >= 0)) {  // RFC 9110 8.6
    return absl::StrCat("a body announced with status ", result->status);
  }
  return "";
}

}  // namespace baton::loadgen
