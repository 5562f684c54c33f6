#include "tests/http_answer.h"

#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::optional<std::string> FindField(absl::string_view head,
                                     absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(head, "\r\n")) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::EqualsIgnoreCase(parts.first, name)) {
      return std::string(absl::StripAsciiWhitespace(parts.second));
    }
  }
  return std::nullopt;
}

}  // namespace

std::string HttpAnswer::Field(absl::string_view name) const {
  return FindField(head, name).value_or("");
}

bool HttpAnswer::HasField(absl::string_view name) const {
  return FindField(head, name).has_value();
}

std::string ReceiveHead(TestClient& client) {
  std::string head;
  while (!absl::EndsWith(head, "\r\n\r\n")) {
    const std::string byte = client.Receive(1);
    if (byte.empty()) break;
    head += byte;
  }
  return head;
}

HttpAnswer ReceiveAnswer(TestClient& client, absl::string_view method) {
  HttpAnswer answer;
  answer.head = ReceiveHead(client);
  if (!absl::EndsWith(answer.head, "\r\n\r\n")) return answer;
  EXPECT_TRUE(absl::SimpleAtoi(answer.head.substr(9, 3), &answer.status))
      << answer.head;
  if (method == "HEAD" || answer.status == 204 || answer.status == 304) {
    return answer;
  }
  uint64_t size = 0;
  EXPECT_TRUE(absl::SimpleAtoi(answer.Field("Content-Length"), &size))
      << answer.head;
  answer.body = client.Receive(size);
  EXPECT_EQ(answer.body.size(), size) << answer.head;
  return answer;
}

std::string HttpRequestTo(absl::string_view path, absl::string_view fields,
                          absl::string_view method) {
  return absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: h\r\n", fields,
                      "\r\n");
}

}  // namespace baton
