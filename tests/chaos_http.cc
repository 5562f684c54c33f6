#include "tests/chaos_http.h"

#include <sys/types.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

// What a slow reader takes at once.
constexpr size_t kPiece = 16 * 1024;

// A line of a head that begins like that; the rest goes to `value`.
bool ExpectField(ChaosConnection& conn, absl::string_view name,
                 std::string* value) {
  std::string line;
  if (!conn.ReadLine(&line)) return false;
  absl::string_view rest = line;
  if (!absl::ConsumePrefix(&rest, name) || !absl::ConsumeSuffix(&rest, "\r")) {
    return conn.Wrong(absl::StrCat("not ", name, " but ", line));
  }
  *value = std::string(rest);
  return true;
}

// Up to the empty line. `length`: the field that says it.
bool ExpectHead(ChaosConnection& conn, absl::string_view length, pid_t* pid) {
  std::string date, who;
  if (!conn.Expect("HTTP/1.1 200 OK\r\n")) return false;
  if (!ExpectField(conn, "Date: ", &date)) return false;
  if (date.size() != 29 || !absl::EndsWith(date, " GMT")) {
    return conn.Wrong("a date: " + date);
  }
  if (!conn.Expect("Server: baton\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\n")) {
    return false;
  }
  if (!ExpectField(conn, "X-Pid: ", &who)) return false;
  if (!absl::SimpleAtoi(who, pid)) return conn.Wrong("a worker: " + who);
  return conn.Expect(absl::StrCat(length, "\r\n\r\n"));
}

}  // namespace

std::string ChaosGet(absl::string_view target) {
  return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: chaos\r\n\r\n");
}

std::string ChaosPostHead(absl::string_view target, size_t size) {
  return absl::StrCat("POST ", target,
                      " HTTP/1.1\r\nHost: chaos\r\nContent-Length: ", size,
                      "\r\n\r\n");
}

bool ExpectHttp(ChaosConnection& conn, absl::string_view body,
                absl::FunctionRef<void()> between) {
  pid_t pid = 0;
  if (!ExpectHead(conn, absl::StrCat("Content-Length: ", body.size()), &pid)) {
    return false;
  }
  while (!body.empty()) {
    const absl::string_view piece = body.substr(0, kPiece);
    if (!conn.Expect(piece)) return false;
    body.remove_prefix(piece.size());
    between();
  }
  conn.Answered(pid);
  return true;
}

bool ExpectChunkedHttp(ChaosConnection& conn, absl::string_view body) {
  pid_t pid = 0;
  if (!ExpectHead(conn, "Transfer-Encoding: chunked", &pid)) return false;
  while (true) {
    std::string line;
    uint32_t size = 0;
    if (!ExpectField(conn, "", &line)) return false;
    if (!absl::SimpleHexAtoi(line, &size) || size > body.size()) {
      return conn.Wrong("a chunk of " + line);
    }
    if (!conn.Expect(absl::StrCat(body.substr(0, size), "\r\n"))) return false;
    body.remove_prefix(size);
    if (size == 0) break;
  }
  if (!body.empty()) return conn.Wrong("the end of a stream, too early");
  conn.Answered(pid);
  return true;
}

}  // namespace baton
