#include "worker/http/http_connection.h"

#include <string.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "net/event_loop.h"
#include "net/listen_url.h"
#include "worker/files/preconditions.h"
#include "worker/files/served_file.h"
#include "worker/http/access_entry.h"
#include "worker/http/file_sender.h"
#include "worker/http/http_compose.h"
#include "worker/http/http_exchange.h"
#include "worker/http/http_parser.h"
#include "worker/http/http_request.h"
#include "worker/http/http_service.h"
#include "worker/http/http_worker.h"

namespace baton {
namespace {

using internal::HttpExchange;
using internal::LingeringClose;

// A batch of responses is sent when it has less room than this left.
// A file from memory fits in.
constexpr size_t kRoomForOne = 20 * 1024;
static_assert(kRoomForOne >=
              ServedFile::kMaxInMemory + kMaxListenUrlBytes + kMaxOwnFields);

// What does not fit in: a response, or a file whose head does.
struct LargeResponse {
  std::optional<HttpResponse> response;
  FileBody file;
  HttpFraming framing;
  PendingAccess access;

  bool IsFile() const { return !response.has_value(); }
};

struct Batch {
  enum class Next : uint8_t {
    kRead,
    kRequest,  // one that has to wait for something, or is none
    kClose,
    kLinger,
  };
  Next next = Next::kRead;
  uint32_t size = 0;  // of what is to be written, in the table's scratch
  std::unique_ptr<LargeResponse> large;  // after that

  // What is to be written ends with the head of a file.
  bool BeginsFile() const { return large != nullptr && large->IsFile(); }
};

// The short way: requests that are here as a whole and whose handlers return at
// once.
class BatchAnswerer {
 public:
  BatchAnswerer(Connection& conn, absl::string_view bytes)
      : conn_(conn),
        listener_(*static_cast<const HttpListener*>(conn.service_data())),
        worker_(HttpWorker::Current()),
        now_(ConnectionTable::Current().loop().now_nanos()),
        rest_(bytes),
        begin_(ConnectionTable::Current().scratch()),
        at_(begin_) {}

  Batch Answer() {
    const size_t size = rest_.size();
    Batch batch;
    while (!rest_.empty() && batch.next == Batch::Next::kRead &&
           batch.large == nullptr && Room() >= kRoomForOne) {
      batch.next = AnswerOne(batch);
    }
    if (batch.next == Batch::Next::kClose && !rest_.empty()) {
      batch.next = Batch::Next::kLinger;
    }
    conn_.Consume(static_cast<uint32_t>(size - rest_.size()));
    batch.size = static_cast<uint32_t>(at_ - begin_);
    return batch;
  }

 private:
  size_t Room() const { return begin_ + ConnectionTable::kScratchBytes - at_; }

  Batch::Next AnswerOne(Batch& batch) {
    HttpHead& head = worker_.scratch_head();
    if (worker_.parser().Parse(rest_, 0, &head).kind !=
            HttpParse::Kind::kComplete ||
        head.chunked || head.expects_continue ||
        rest_.size() - head.size < head.content_length) {
      return Batch::Next::kRequest;
    }
    HttpPathParameters& parameters = worker_.scratch_parameters();
    const HttpRouter::Match match =
        listener_.Find(head.method, head.path, &parameters);
    const HttpRoute* const route = match.route;
    if (match.HasNothing() && listener_.files != nullptr) {
      return AnswerWithFile(HttpRequest(head, parameters, {}, conn_), head,
                            batch);
    }
    if (route == nullptr ||
        !std::holds_alternative<HttpFunction>(route->handler) ||
        head.content_length > listener_.MaxBody(route)) {
      return Batch::Next::kRequest;
    }
    const absl::string_view body = rest_.substr(head.size, head.content_length);
    const HttpRequest request(head, parameters, body, conn_);
    HttpResponse response = std::get<HttpFunction>(route->handler)(request);
    internal::ReportFailure(request, response, worker_);
    const HttpFraming framing =
        FramingFor(head, conn_.draining(), listener_.server_header);
    rest_.remove_prefix(head.size + body.size());
    Append(request, response, framing, batch);
    return framing.close ? Batch::Next::kClose : Batch::Next::kRead;
  }

  Batch::Next AnswerWithFile(const HttpRequest& request, const HttpHead& head,
                             Batch& batch) {
    if (head.has_body()) return Batch::Next::kRequest;
    const FileConditions conditions = FileConditions::Collect(head.fields);
    const HttpFraming framing =
        FramingFor(head, conn_.draining(), listener_.server_header);
    if (const std::shared_ptr<const ServedFile>* const file =
            listener_.files->FindSimple(head, conditions);
        file != nullptr) {
      rest_.remove_prefix(head.size);
      AppendFile(request, *file, framing, batch);
    } else {
      std::optional<HttpResponse> response =
          listener_.files->Answer(head, conditions, HttpWorker::WallSeconds());
      if (!response.has_value()) return Batch::Next::kRequest;
      rest_.remove_prefix(head.size);
      Append(request, *response, framing, batch);
    }
    return framing.close ? Batch::Next::kClose : Batch::Next::kRead;
  }

  void AppendFile(const HttpRequest& request,
                  const std::shared_ptr<const ServedFile>& file,
                  const HttpFraming& framing, Batch& batch) {
    CountResponse(200, now_, worker_);
    worker_.counters().response_bytes.Add(static_cast<uint64_t>(file->size()));
    at_ = ComposeOkHead(file->ok_fields, framing, worker_, at_);
    if (!framing.head_only && !file->in_memory()) {
      batch.large = std::make_unique<LargeResponse>();
      batch.large->framing = framing;
      batch.large->access = {listener_, request, 200, now_};
      batch.large->access.OnHead(conn_, static_cast<size_t>(at_ - begin_));
      batch.large->file.file = {file, &file->fd};
      batch.large->file.parts.emplace_back().size = file->size();
      return;
    }
    const size_t size = framing.head_only ? 0 : file->content.size();
    memcpy(at_, file->content.data(), size);
    at_ += size;
    LogAccess(listener_, request, 200, size, now_);
  }

  void Append(const HttpRequest& request, HttpResponse& response,
              const HttpFraming& framing, Batch& batch) {
    CountResponse(response, now_, worker_);
    const absl::string_view body = response.body();
    if (response.file() != nullptr ||
        ComposedHeadBound(response) + body.size() > Room()) {
      PendingAccess access(listener_, request, response.status(), now_);
      batch.large = std::make_unique<LargeResponse>(
          LargeResponse{.response = std::move(response),
                        .file = {},
                        .framing = framing,
                        .access = std::move(access)});
      return;
    }
    at_ = ComposeHead(response, body.size(), framing, worker_, at_);
    const bool has_body =
        !framing.head_only && HttpStatusHasBody(response.status());
    const size_t size = has_body ? body.size() : 0;
    memcpy(at_, body.data(), size);
    at_ += size;
    LogAccess(listener_, request, response.status(), size, now_);
  }

  Connection& conn_;
  const HttpListener& listener_;
  HttpWorker& worker_;
  const int64_t now_;
  absl::string_view rest_;  // what has not been answered
  char* const begin_;
  char* at_;
};

// A request that is against the rules: its answer, and the end.
Task<> Refuse(Connection* conn, HttpParse why, int64_t since) {
  HttpWorker& worker = HttpWorker::Current();
  const auto& listener =
      *static_cast<const HttpListener*>(conn->service_data());
  (why.status == 408 ? worker.counters().timeouts : worker.counters().rejected)
      .Add(1);
  PendingAccess access = PendingAccess::OfRefused(
      listener, *conn, conn->unread(), why.status, since);
  const HttpResponse response = ErrorResponse(why.status, why.reason);
  CountResponse(response, since, worker);
  const HttpFraming framing = {.close = true,
                               .server_header = listener.server_header};
  const IoError sent = co_await SendResponse(conn, &response, framing, &access);
  if (sent == IoError::kOk) co_await LingeringClose(conn);
}

// Looks at a head as it grows; keeps what need not be looked at again.
class HeadReceiver {
 public:
  // What to do with the bytes that are there.
  HttpParse Look(absl::string_view bytes, HttpWorker& worker) {
    HttpParse parsed =
        worker.parser().Parse(bytes, scanned_, &worker.scratch_head());
    if (parsed.kind != HttpParse::Kind::kIncomplete) return parsed;
    if (bytes.size() > HttpHead::kMaxBytes) return HttpParser::TooLarge(bytes);
    scanned_ = bytes.size();
    // What can't become a request is refused before its end, however it comes,
    // for less than three times the work of one that comes whole.
    if (bytes.size() >= 2 * probed_) {
      probed_ = bytes.size();
      parsed = worker.parser().Probe(bytes);
    }
    return parsed;
  }

 private:
  size_t scanned_ = 0;
  size_t probed_ = 0;
};

// A request the general way. False: the connection is to be closed.
Task<bool> ServeRequest(Connection* conn) {
  HttpWorker& worker = HttpWorker::Current();
  EventLoop& loop = EventLoop::Current();
  const auto& listener =
      *static_cast<const HttpListener*>(conn->service_data());
  const int64_t since = loop.now_nanos();
  const int64_t end = since + absl::ToInt64Nanoseconds(listener.header_timeout);
  HeadReceiver receiver;
  uint32_t at_least = 1;
  bool nothing_yet = false;  // but an empty line
  while (true) {
    const ReadResult there = co_await conn->Peek(
        at_least, {.timeout = absl::Nanoseconds(
                       end > loop.now_nanos() ? end - loop.now_nanos() : -1)});
    HttpParse parsed = {HttpParse::Kind::kRejected, 408,
                        "the request took too long"};
    if (there) {
      // Robust towards clients that end a body with a line end too many: RFC
      // 9112 section 2.2.
      if (*there == "\r") {
        at_least = 2;
        continue;
      }
      if (absl::StartsWith(*there, "\r\n")) {
        conn->Consume(2);
        nothing_yet = there.size() == 2;
        at_least = 1;
        continue;
      }
      nothing_yet = false;
      parsed = receiver.Look(*there, worker);
      if (parsed.kind == HttpParse::Kind::kIncomplete) {
        at_least = there.size() + 1;
        continue;
      }
    } else if (there.error() != IoError::kTimeout || nothing_yet) {
      co_return false;
    }
    if (parsed.kind == HttpParse::Kind::kRejected) {
      co_await Refuse(conn, parsed, since);
      co_return false;
    }
    HttpExchange exchange(conn, worker.scratch_head(), *there);
    const bool goes_on = co_await exchange.Run();
    co_return goes_on;
  }
}

// Not part of the coroutine: what it needs would be in the frame of every idle
// connection.
ABSL_ATTRIBUTE_NOINLINE Batch AnswerBatch(Connection& conn,
                                          absl::string_view bytes) {
  return BatchAnswerer(conn, bytes).Answer();
}

// What is seldom in a batch or behind it. False: the connection is to be
// closed.
Task<bool> GoOn(Connection* conn, Batch batch) {
  if (batch.large != nullptr) {
    LargeResponse& large = *batch.large;
    IoError sent = IoError::kOk;
    if (large.IsFile()) {
      sent = co_await SendFileBody(
          conn, {ConnectionTable::Current().scratch(), batch.size}, &large.file,
          large.framing, &large.access);
    } else {
      sent = co_await SendResponse(conn, &*large.response, large.framing,
                                   &large.access);
    }
    if (sent != IoError::kOk) co_return false;
  }
  const Batch::Next next = batch.next;
  if (next == Batch::Next::kRead) co_return true;
  if (next == Batch::Next::kRequest) {
    const bool goes_on = co_await ServeRequest(conn);
    co_return goes_on;
  }
  if (next == Batch::Next::kLinger) co_await LingeringClose(conn);
  co_return false;
}

}  // namespace

Task<> ServeHttp(Connection conn) {
  if (conn.resumed()) {
    const bool goes_on = co_await SendRestOfFile(&conn);
    if (!goes_on) co_return;
  }
  while (auto chunk = co_await conn.Peek(1, {.idle = true})) {
    Batch batch = AnswerBatch(conn, *chunk);
    if (batch.size > 0 && !batch.BeginsFile()) {
      const IoError sent = co_await conn.Write(
          {ConnectionTable::Current().scratch(), batch.size});
      if (sent != IoError::kOk) {
        // It is counted, too.
        if (batch.large != nullptr) batch.large->access.Log(conn);
        co_return;
      }
    }
    if (batch.large == nullptr) {
      if (batch.next == Batch::Next::kRead) continue;
      if (batch.next == Batch::Next::kClose) co_return;
    }
    const bool goes_on = co_await GoOn(&conn, std::move(batch));
    if (!goes_on) co_return;
  }
}

}  // namespace baton
