#include "worker/http/testing/http_tester.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "worker/http/file_sender.h"
#include "worker/http/http_connection.h"

namespace baton::testing {
namespace {

// Cuts the text before `end` off `rest`. False if there is no such.
bool Cut(absl::string_view& rest, absl::string_view end,
         absl::string_view& text) {
  const size_t at = rest.find(end);
  if (at == absl::string_view::npos) return false;
  text = rest.substr(0, at);
  rest.remove_prefix(at + end.size());
  return true;
}

// False: the body is not whole.
bool TakeChunks(absl::string_view& rest, std::string& body) {
  absl::string_view line;
  while (Cut(rest, "\r\n", line)) {
    size_t size = 0;
    CHECK(absl::SimpleHexAtoi(line, &size)) << line;
    if (rest.size() < size + 2) return false;
    body.append(rest.data(), size);
    CHECK_EQ(rest.substr(size, 2), "\r\n");
    rest.remove_prefix(size + 2);
    if (size == 0) return true;
  }
  return false;
}

}  // namespace

std::string HttpAnswer::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

HttpTester::HttpTester(const HttpService& service, const HttpListener& options,
                       HttpWorker::Options worker)
    : worker_(std::move(worker)) {
  auto listener = std::make_shared<HttpListener>(options);
  listener->service = &service;
  settings_.service_data = std::move(listener);
  settings_.state_codec = TypedStateCodec<HttpRest>::Get();
  Open();
}

// What the listener has of the loop must end before that.
HttpTester::~HttpTester() { settings_ = {}; }

void HttpTester::Open() {
  // Before the old one ends, and their loop with it.
  auto pair = std::make_unique<Pair>(ServeHttp, &clock_, settings_);
  pair_ = std::move(pair);
}

std::string HttpTester::Exchange(absl::string_view bytes) {
  if (pair_->closed()) Open();
  pair_->Send(bytes);
  return pair_->Received();
}

HttpAnswer HttpTester::Request(absl::string_view method,
                               absl::string_view target,
                               absl::string_view fields,
                               absl::string_view body) {
  const std::string answers =
      Exchange(absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: test\r\n",
                            fields, "\r\n", body));
  std::vector<HttpAnswer> parsed = Parse(answers, method == "HEAD");
  CHECK_LE(parsed.size(), 1u) << answers;
  return parsed.empty() ? HttpAnswer() : std::move(parsed.front());
}

HttpAnswer HttpTester::First(absl::string_view bytes) {
  std::vector<HttpAnswer> answers = Parse(bytes);
  return answers.empty() ? HttpAnswer() : std::move(answers.front());
}

HttpAnswer HttpTester::Get(absl::string_view target, absl::string_view fields) {
  return Request("GET", target, fields, "");
}

HttpAnswer HttpTester::Post(absl::string_view target, absl::string_view body,
                            absl::string_view fields) {
  return Request("POST", target,
                 absl::StrCat("Content-Length: ", body.size(), "\r\n", fields),
                 body);
}

std::vector<HttpAnswer> HttpTester::Parse(absl::string_view bytes,
                                          bool head_only) {
  std::vector<HttpAnswer> answers;
  absl::string_view head;
  while (Cut(bytes, "\r\n\r\n", head)) {
    HttpAnswer answer;
    const std::vector<absl::string_view> lines = absl::StrSplit(head, "\r\n");
    const std::vector<absl::string_view> first =
        absl::StrSplit(lines[0], absl::MaxSplits(' ', 2));
    CHECK(first.size() == 3 && first[0] == "HTTP/1.1") << lines[0];
    CHECK(absl::SimpleAtoi(first[1], &answer.status)) << lines[0];
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<absl::string_view, absl::string_view> field =
          absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
      answer.headers.emplace_back(field.first, field.second);
    }
    const std::string length = answer.Header("Content-Length");
    const bool bodiless = head_only || answer.status < 200 ||
                          answer.status == 204 || answer.status == 304;
    bool whole = true;
    if (bodiless) {
    } else if (answer.Header("Transfer-Encoding") == "chunked") {
      whole = TakeChunks(bytes, answer.body);
    } else if (length.empty()) {
      answer.body = std::string(bytes);  // until the end of the connection
      bytes = {};
    } else {
      size_t size = 0;
      CHECK(absl::SimpleAtoi(length, &size)) << length;
      answer.body = std::string(bytes.substr(0, size));
      whole = answer.body.size() == size;
      bytes.remove_prefix(answer.body.size());
    }
    answers.push_back(std::move(answer));
    if (!whole) break;
  }
  return answers;
}

}  // namespace baton::testing
