#include "worker/http/http_compose.h"

#include <string.h>

#include <array>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "net/connection_table.h"
#include "worker/http/file_sender.h"

namespace baton {
namespace {

// A body up to here is copied behind its head and sent in one piece.
constexpr size_t kMaxCopiedBody = 16 * 1024;

constexpr absl::string_view kServer = "Server: baton\r\n";

char* Put(char* to, absl::string_view text) {
  memcpy(to, text.data(), text.size());
  return to + text.size();
}

// What becomes of the connection, and the empty line.
char* PutEnd(const HttpFraming& framing, char* to) {
  if (framing.close) {
    to = Put(to, "Connection: close\r\n");
  } else if (framing.says_keep_alive) {
    to = Put(to, "Connection: keep-alive\r\n");
  }
  return Put(to, "\r\n");
}

}  // namespace

char* ComposeHead(const HttpResponse& response, uint64_t body_size,
                  const HttpFraming& framing, HttpWorker& worker, char* to) {
  constexpr size_t kDigits = 20;
  if (response.status() == 200) {
    to = Put(to, worker.OkAndDate());
  } else {
    to = Put(to, "HTTP/1.1 ");
    to = std::to_chars(to, to + kDigits, response.status()).ptr;
    *to++ = ' ';
    to = Put(to, HttpReason(response.status()));
    to = Put(to, "\r\n");
    to = Put(to, worker.DateField());
  }
  if (framing.server_header) to = Put(to, kServer);
  if (!response.content_type().empty()) {
    to = Put(to, "Content-Type: ");
    to = Put(to, response.content_type());
    to = Put(to, "\r\n");
  }
  to = Put(to, response.fields());
  if (HttpStatusHasBody(response.status())) {
    switch (framing.length) {
      case HttpFraming::Length::kKnown:
        to = Put(to, "Content-Length: ");
        to = std::to_chars(to, to + kDigits, body_size).ptr;
        to = Put(to, "\r\n");
        break;
      case HttpFraming::Length::kChunked:
        to = Put(to, "Transfer-Encoding: chunked\r\n");
        break;
      case HttpFraming::Length::kUntilClose:
        break;
    }
  }
  return PutEnd(framing, to);
}

char* ComposeOkHead(absl::string_view fields, const HttpFraming& framing,
                    HttpWorker& worker, char* to) {
  to = Put(to, worker.OkAndDate());
  if (framing.server_header) to = Put(to, kServer);
  to = Put(to, fields);
  return PutEnd(framing, to);
}

std::string HeadText(const HttpResponse& response, uint64_t body_size,
                     const HttpFraming& framing, HttpWorker& worker) {
  std::string text(ComposedHeadBound(response), '\0');
  char* const end =
      ComposeHead(response, body_size, framing, worker, text.data());
  text.resize(end - text.data());
  return text;
}

Task<IoError> SendResponse(Connection* conn, const HttpResponse* response,
                           HttpFraming framing, PendingAccess* access) {
  absl::string_view body = response->body();
  std::string head = HeadText(*response, response->body_size(), framing,
                              HttpWorker::Current());
  access->OnHead(*conn, head.size());
  if (response->file() != nullptr && !framing.head_only &&
      HttpStatusHasBody(response->status()) && response->body_size() > 0) {
    const IoError sent_file =
        co_await SendFileBody(conn, head, response->file(), framing, access);
    co_return sent_file;
  }
  if (framing.head_only || !HttpStatusHasBody(response->status())) body = {};
  IoError sent = IoError::kOk;
  if (body.size() <= kMaxCopiedBody) {
    head.append(body.data(), body.size());
    sent = co_await conn->Write(head);
  } else {
    const std::array<absl::string_view, 2> parts = {head, body};
    sent = co_await conn->WriteParts(parts);
  }
  access->Log(*conn);
  co_return sent;
}

void CountResponse(int status, int64_t since, HttpWorker& worker) {
  ConnectionTable& table = ConnectionTable::Current();
  table.counters().requests.Add(1);
  HttpCounters& counters = worker.counters();
  const int64_t now = table.loop().now_nanos();
  if (now == since) {
    worker.AnsweredInThisTurn();
  } else {
    counters.request_nanos.Add(static_cast<uint64_t>(now - since));
  }
  if (status < 300) {
    counters.responses_2xx.Add(1);
  } else if (status < 400) {
    counters.responses_3xx.Add(1);
  } else if (status < 500) {
    counters.responses_4xx.Add(1);
  } else {
    counters.responses_5xx.Add(1);
  }
}

HttpResponse ErrorResponse(int status, absl::string_view reason) {
  HttpResponse response = HttpResponse::Text(
      absl::StrCat(reason.empty() ? HttpReason(status) : reason, "\n"));
  response.Status(status);
  if (status == 503) response.Header("Retry-After", "1");
  return response;
}

}  // namespace baton
