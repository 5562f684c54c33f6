#ifndef BATON_TOOLS_LOADGEN_HTTP_HEAD_H_
#define BATON_TOOLS_LOADGEN_HTTP_HEAD_H_

// Problem: a load generator that looks for "Content-Length" in what comes back
// also accepts what no client should.
//
// The head of an HTTP/1.1 response, read strictly after RFC 9112: no bare CR or
// LF, no folded lines, no blank before a colon, no second or malformed length,
// not both a length and a transfer coding.
//
// Contract: pure; the result borrows nothing. Written apart from the server's
// parser, on purpose.

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace baton::loadgen {

struct HttpHead {
  int status = 0;
  bool close = false;    // the Connection field says so
  bool chunked = false;  // else `length` says how long the body is
  int64_t length = -1;   // -1: not given
};

// `head` is the whole head with the empty line that ends it. Returns what is
// wrong with it, or "" and fills `*result`.
std::string ParseHttpHead(absl::string_view head, HttpHead* result);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_HTTP_HEAD_H_
