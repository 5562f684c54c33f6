#include "worker/http/http_exchange.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "net/connection_table.h"
#include "net/event_loop.h"
#include "net/sleep.h"
#include "net/with_deadline.h"
#include "worker/log_event.h"

namespace baton::internal {
namespace {

// So much of a body that nobody wants is read for the sake of the connection.
constexpr uint64_t kMaxSkippedBody = 64 * 1024;
constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr uint64_t kMaxLingerBytes = 1024 * 1024;

// It has run out: ReadOptions::timeout.
constexpr absl::Duration kNow = absl::Nanoseconds(-1);
// How fast a body must come on the whole, beside body_timeout.
constexpr uint64_t kMinBodyBytesPerSecond = 1024;

constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

OwnedHead::OwnedHead(const HttpHead& head, absl::string_view bytes)
    : bytes_(bytes.substr(0, head.size)), head_(head) {
  const auto move = [this, bytes](absl::string_view& view) {
    // What does not point there is a literal.
    if (view.data() < bytes.data() || view.data() > bytes.data() + head_.size)
      return;
    view = {bytes_.data() + (view.data() - bytes.data()), view.size()};
  };
  for (absl::string_view* view : {&head_.method_name, &head_.target,
                                  &head_.path, &head_.query, &head_.host}) {
    move(*view);
  }
  fields_.assign(head.fields.begin(), head.fields.end());
  for (HttpField& field : fields_) {
    move(field.name);
    move(field.value);
  }
  head_.fields = fields_;
}

HttpExchange::HttpExchange(Connection* conn, const HttpHead& head,
                           absl::string_view bytes)
    : conn_(conn),
      listener_(*static_cast<const HttpListener*>(conn->service_data())),
      worker_(HttpWorker::Current()),
      since_(EventLoop::Current().now_nanos()),
      owned_(head, bytes),
      match_(listener_.Find(owned_.head().method, owned_.head().path,
                            &parameters_)),
      max_body_(listener_.MaxBody(match_.route)),
      decoder_(owned_.head(), worker_.parser().state(), max_body_),
      request_(owned_.head(), parameters_, {}, *conn_),
      body_memory_(ConnectionTable::Current().buffers()),
      body_ended_(!head.has_body()),
      says_continue_(head.expects_continue && head.has_body()) {
  conn_->Consume(static_cast<uint32_t>(head.size));
}

Task<bool> HttpExchange::Run() {
  if (match_.HasNothing() && listener_.files != nullptr) {
    HttpResponse response = co_await listener_.files->AnswerSlowly(
        &owned_.head(), HttpWorker::WallSeconds());
    const bool goes_on = co_await Respond(std::move(response));
    co_return goes_on;
  }
  if (match_.route == nullptr) {
    HttpResponse response = ErrorResponse(match_.allow == nullptr ? 404 : 405);
    if (match_.allow != nullptr) response.Header("Allow", *match_.allow);
    if (owned_.head().path == "*") {
      response = HttpResponse(204);
    }
    const bool goes_on = co_await Respond(std::move(response));
    co_return goes_on;
  }
  const HttpRoute& route = *match_.route;
  if (std::holds_alternative<HttpStreamer>(route.handler)) {
    const bool goes_on = co_await Stream();
    co_return goes_on;
  }
  const auto* const function = std::get_if<HttpFunction>(&route.handler);
  Task<HttpResponse> task =
      function != nullptr
          ? CallFunction(*function)
          : std::get<HttpCoroutine>(route.handler)(HttpCall(this));
  std::optional<HttpResponse> response;
  if (route.options.timeout == absl::InfiniteDuration()) {
    response = co_await std::move(task);
  } else {
    response = co_await WithDeadline(route.options.timeout, std::move(task));
  }
  if (!response.has_value()) {
    worker_.counters().handler_failures.Add(1);
    response = ErrorResponse(503, "the handler took too long");
  }
  CHECK(!begun_) << "a handler that sends parts returns Task<>";
  ReportFailure(request_, *response, worker_);
  const bool goes_on = co_await Respond(*std::move(response));
  co_return goes_on;
}

Task<HttpResponse> HttpExchange::CallFunction(HttpFunction function) {
  absl::StatusOr<std::string> body = co_await ReadBody();
  if (!body.ok()) co_return body.status();
  body_text_ = *std::move(body);
  request_.SetBody(body_text_);
  co_return function(request_);
}

Task<bool> HttpExchange::Stream() {
  const HttpRoute& route = *match_.route;
  Task<> task = std::get<HttpStreamer>(route.handler)(HttpCall(this));
  bool in_time = true;
  if (route.options.timeout == absl::InfiniteDuration()) {
    co_await std::move(task);
  } else {
    in_time = co_await WithDeadline(route.options.timeout, std::move(task));
  }
  if (!in_time) worker_.counters().handler_failures.Add(1);
  if (!begun_) {
    HttpResponse response =
        in_time ? HttpResponse(absl::InternalError("the handler sent nothing"))
                : ErrorResponse(503, "the handler took too long");
    if (in_time && rejected_ == 0 && !lost_) {
      ReportFailure(request_, response, worker_);
    }
    const bool goes_on = co_await Respond(std::move(response));
    co_return goes_on;
  }
  access_.Log(*conn_);
  if (lost_) co_return false;
  if (!in_time || rejected_ != 0) {
    // Without its last chunk the client knows that it has not got everything;
    // where the close is the end, by the reset.
    if (owned_.head().minor_version == 0) conn_->ResetOnClose();
    co_return false;
  }
  if (owned_.head().minor_version > 0 && !bodiless_) {
    const IoError sent = co_await conn_->Write("0\r\n\r\n");
    if (sent != IoError::kOk) co_return false;
  }
  const bool goes_on = co_await Finish(close_);
  co_return goes_on;
}

// The response is out.
Task<bool> HttpExchange::Finish(bool close) {
  answered_ = true;
  if (!close) {
    while (!body_ended_) {
      const ReadResult part = co_await ReadSome();
      if (!part && !body_ended_) break;
    }
  }
  if (body_ended_ && !close) co_return true;
  if (!body_ended_ || rejected_ != 0 || !conn_->unread().empty()) {
    co_await LingeringClose(conn_);
  }
  co_return false;
}

HttpFraming HttpExchange::Framing() const {
  HttpFraming framing = FramingFor(
      owned_.head(), conn_->draining() || rejected_ != 0 || !MaySkipBody(),
      listener_.server_header);
  framing.request_ended = body_ended_;
  return framing;
}

Task<bool> HttpExchange::Respond(HttpResponse response) {
  GlanceAtBody();
  if (lost_) co_return false;
  if (rejected_ != 0) response = ErrorResponse(rejected_, why_rejected_);
  const HttpFraming framing = Framing();
  CountResponse(response, since_, worker_);
  access_ = PendingAccess(listener_, request_, response.status(), since_);
  const IoError sent =
      co_await SendResponse(conn_, &response, framing, &access_);
  if (sent != IoError::kOk) co_return false;
  const bool goes_on = co_await Finish(framing.close);
  co_return goes_on;
}

// A client that waits for `100 Continue` may or may not send its body after
// another answer: the stream would be in doubt - RFC 9110 section 10.1.1.
bool HttpExchange::MaySkipBody() const {
  const HttpHead& head = owned_.head();
  return body_ended_ ||
         (!says_continue_ && !head.chunked &&
          head.content_length <= std::min(kMaxSkippedBody, max_body_));
}

// What is here of a chunked body that nobody has asked for: it may show that
// the request is none, and once it has ended the connection can go on.
void HttpExchange::GlanceAtBody() {
  if (!owned_.head().chunked || says_continue_) return;
  while (!body_ended_ && rejected_ == 0 && !lost_ &&
         decoder_.received() <= kMaxSkippedBody) {
    const HttpBodyDecoder::Step step = decoder_.Decode(conn_->unread());
    conn_->Consume(static_cast<uint32_t>(step.consumed));
    if (step.kind == HttpBodyDecoder::Step::Kind::kMore) return;
    Take(step);
  }
}

// What follows from a step of the decoder.
void HttpExchange::Take(const HttpBodyDecoder::Step& step) {
  if (step.kind == HttpBodyDecoder::Step::Kind::kEnd) body_ended_ = true;
  if (step.kind == HttpBodyDecoder::Step::Kind::kRejected) {
    Reject(step.status, step.reason);
  }
}

void HttpExchange::Reject(int status, absl::string_view reason) {
  rejected_ = status;
  if (answered_) return;  // nobody is told
  why_rejected_ = std::string(reason);
  (status == 408 ? worker_.counters().timeouts : worker_.counters().rejected)
      .Add(1);
}

void HttpExchange::RejectReadError(IoError error) {
  switch (error) {
    case IoError::kTimeout:
      return Reject(408, "the body took too long");
    case IoError::kOverload:
      return Reject(503, "");
    case IoError::kCancelled:
      return;  // the handler's time is over, not the client
    default:
      lost_ = true;  // nobody is there to be told
  }
}

// A client that sends a byte now and then would hold its worker's memory as
// long as it likes.
absl::Duration HttpExchange::TimeLeftForBody() {
  const int64_t now = EventLoop::Current().now_nanos();
  if (body_since_ == 0) body_since_ = now;
  const absl::Duration due =
      listener_.body_timeout +
      absl::Seconds(decoder_.received() / kMinBodyBytesPerSecond);
  const absl::Duration left = due - absl::Nanoseconds(now - body_since_);
  return std::max(std::min(left, listener_.body_timeout), kNow);
}

Task<ReadResult> HttpExchange::ReadSome() {
  if (lost_) co_return IoError::kReset;
  if (rejected_ != 0) co_return IoError::kTooLong;
  if (body_ended_) co_return IoError::kEof;
  HttpBodyDecoder::Step step = decoder_.Decode({});
  if (step.kind == HttpBodyDecoder::Step::Kind::kMore &&
      std::exchange(says_continue_, false)) {
    continuing_ = true;
    const IoError sent =
        co_await conn_->Write({kContinue, sizeof(kContinue) - 1});
    continuing_ = false;
    if (sent != IoError::kOk) {
      lost_ = true;
      co_return sent;
    }
  }
  uint32_t at_least = 1;
  while (step.kind == HttpBodyDecoder::Step::Kind::kMore) {
    const ReadResult there =
        co_await conn_->Peek(at_least, {.timeout = TimeLeftForBody()});
    if (!there) {
      RejectReadError(there.error());
      co_return there.error();
    }
    step = decoder_.Decode(*there);
    conn_->Consume(static_cast<uint32_t>(step.consumed));
    at_least = there.size() - static_cast<uint32_t>(step.consumed) + 1;
  }
  if (step.kind == HttpBodyDecoder::Step::Kind::kData) {
    co_return ReadResult(step.data.data(),
                         static_cast<uint32_t>(step.data.size()));
  }
  Take(step);
  co_return body_ended_ ? IoError::kEof : IoError::kTooLong;
}

Task<absl::StatusOr<std::string>> HttpExchange::ReadBody() {
  std::string body;
  while (true) {
    const ReadResult part = co_await ReadSome();
    if (part && !body_memory_.GrowTo(body.size() + part.size())) {
      Reject(503, "");
    } else if (part) {
      body.append(part.bytes().data(), part.bytes().size());
      continue;
    } else if (part.error() == IoError::kEof && body_ended_) {
      break;
    }
    if (rejected_ != 0) co_return absl::InvalidArgumentError(why_rejected_);
    if (lost_) co_return absl::UnavailableError("the client has gone");
    co_return absl::CancelledError("the task was asked to stop");
  }
  co_return std::move(body);
}

// The head of a stream, as bytes that are still to be sent.
std::string HttpExchange::StartStream(HttpResponse& head) {
  CHECK(!begun_) << "a response is begun once";
  begun_ = true;
  HttpFraming framing = Framing();
  if (owned_.head().minor_version > 0) {
    framing.length = HttpFraming::Length::kChunked;
  } else {
    framing.length = HttpFraming::Length::kUntilClose;
    framing.close = true;
    framing.says_keep_alive = false;
  }
  close_ = framing.close;
  // Whatever the client waits for: it would stand in the midst of a response.
  says_continue_ = false;
  bodiless_ = framing.head_only || !HttpStatusHasBody(head.status());
  failed_ = !head.failure().empty();
  ReportFailure(request_, head, worker_);
  CountResponse(head.status(), since_, worker_);
  std::string text = HeadText(head, 0, framing, worker_);
  access_ = PendingAccess(listener_, request_, head.status(), since_);
  access_.OnHead(*conn_, text.size());
  return text;
}

// `head`, if it is still to be sent, and a part of the body, in one piece: what
// is borrowed is moved when that has to wait.
Task<IoError> HttpExchange::WritePart(std::string head,
                                      absl::string_view bytes) {
  // Of a coroutine beside the one that reads.
  while (continuing_) {
    const IoError slept = co_await Sleep(absl::ZeroDuration());
    if (slept != IoError::kOk) co_return slept;
  }
  if (lost_) co_return IoError::kReset;
  std::array<char, 18> size{};
  std::array<absl::string_view, 4> parts;
  size_t count = 0;
  if (!head.empty()) parts[count++] = head;
  if (!bytes.empty() && !bodiless_) {
    if (owned_.head().minor_version > 0) {
      char* end =
          std::to_chars(size.data(), size.data() + 16, bytes.size(), 16).ptr;
      *end++ = '\r';
      *end++ = '\n';
      parts[count++] = absl::string_view(
          size.data(), static_cast<size_t>(end - size.data()));
      parts[count++] = bytes;
      parts[count++] = "\r\n";
    } else {
      parts[count++] = bytes;
    }
  }
  if (count == 0) co_return IoError::kOk;
  const IoError sent =
      co_await conn_->WriteParts(absl::MakeConstSpan(parts.data(), count));
  if (sent != IoError::kOk) lost_ = true;
  co_return sent;
}

IoError HttpExchange::WhyNotToSend() const {
  if (lost_) return IoError::kReset;
  if (rejected_ != 0) return IoError::kCancelled;
  return IoError::kOk;
}

Task<IoError> HttpExchange::Begin(HttpResponse head) {
  const IoError no = WhyNotToSend();
  if (no != IoError::kOk) co_return no;
  std::string text = StartStream(head);
  const IoError sent = co_await WritePart(std::move(text), head.body());
  // Nothing is added to an error's text.
  if (sent == IoError::kOk && failed_) co_return IoError::kCancelled;
  co_return sent;
}

Task<IoError> HttpExchange::Send(absl::string_view bytes) {
  HttpResponse head;
  const IoError sent = co_await SendBehind(std::move(head), bytes);
  co_return sent;
}

// Begins with `head` unless that is done.
Task<IoError> HttpExchange::SendBehind(HttpResponse head,
                                       absl::string_view bytes) {
  const IoError no = failed_ ? IoError::kCancelled : WhyNotToSend();
  if (no != IoError::kOk) co_return no;
  std::string text;
  if (!begun_) text = StartStream(head);
  const IoError sent = co_await WritePart(std::move(text), bytes);
  // Nobody waits for a body.
  if (sent == IoError::kOk && bodiless_) co_return IoError::kEof;
  co_return sent;
}

Task<IoError> HttpExchange::SendEvent(HttpEvent event) {
  std::string text;
  const auto add = [&text](absl::string_view name, absl::string_view value) {
    absl::StrAppend(&text, name, ": ",
                    value.substr(0, value.find_first_of("\r\n")), "\n");
  };
  if (!event.id.empty()) add("id", event.id);
  if (!event.type.empty()) add("event", event.type);
  absl::string_view rest = event.data;
  while (true) {
    const size_t end = rest.find_first_of("\r\n");
    add("data", rest.substr(0, end));
    if (end == absl::string_view::npos) break;
    const bool crlf = rest[end] == '\r' && rest.substr(end + 1, 1) == "\n";
    rest.remove_prefix(end + (crlf ? 2 : 1));
  }
  text += '\n';
  HttpResponse head;
  head.ContentType("text/event-stream").Header("Cache-Control", "no-cache");
  const IoError sent = co_await SendBehind(std::move(head), text);
  co_return sent;
}

Task<> LingeringClose(Connection* conn) {
  conn->ShutdownWrite();
  EventLoop& loop = EventLoop::Current();
  const int64_t end = loop.now_nanos() + absl::ToInt64Nanoseconds(kLinger);
  const uint64_t most = conn->bytes_in() + kMaxLingerBytes;
  while (loop.now_nanos() < end && conn->bytes_in() < most) {
    const ReadResult dropped = co_await conn->ReadSome(
        {.timeout = absl::Nanoseconds(end - loop.now_nanos())});
    if (!dropped) break;
  }
}

void ReportThatItFailed(const HttpRequest& request, HttpResponse& response,
                        HttpWorker& worker) {
  if (response.status() == 500) worker.counters().handler_failures.Add(1);
  // Overload is counted with the responses; a line for each would add to it.
  if (response.status() == 503) return;
  const std::string& id = request.id();
  if (worker.MayLog()) {
    LogEvent("http_handler_failed", google::GLOG_WARNING)
        .Field("request_id", id)
        .Field("method", request.method_name())
        .Field("path", request.path())
        .Field("status", response.status())
        .Field("reason", response.failure());
  }
  response.Header("X-Request-Id", id);
}

}  // namespace baton::internal

namespace baton {

const HttpRequest& HttpCall::request() const { return exchange_->request(); }
Task<absl::StatusOr<std::string>> HttpCall::ReadBody() {
  return exchange_->ReadBody();
}
Task<ReadResult> HttpCall::ReadSome() { return exchange_->ReadSome(); }
Task<IoError> HttpCall::Begin(HttpResponse head) {
  return exchange_->Begin(std::move(head));
}
Task<IoError> HttpCall::Send(absl::string_view bytes) {
  return exchange_->Send(bytes);
}
Task<IoError> HttpCall::SendEvent(HttpEvent event) {
  return exchange_->SendEvent(event);
}
bool HttpCall::leaving() const { return exchange_->leaving(); }

}  // namespace baton
