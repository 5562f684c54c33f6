#include "worker/http/access_entry.h"

#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "glog/logging.h"
#include "net/event_loop.h"
#include "net/wire.h"
#include "worker/http/access_line.h"
#include "worker/http/access_log.h"
#include "worker/http/http_worker.h"

namespace baton {
namespace {

AccessLogs& Logs() {
  AccessLogs* const logs = HttpWorker::Current().access_logs();
  CHECK(logs != nullptr) << "a listener has a log of no worker";
  return *logs;
}

// What there is to say of a request, but who sent it. Views into it.
AccessRecord RecordOf(const HttpRequest& request, int status, uint64_t bytes) {
  AccessRecord record;
  record.method = request.method_name();
  record.target = request.target();
  record.host = request.host();
  record.request_id = request.known_id();
  record.minor_version = static_cast<int8_t>(request.minor_version());
  record.status = status;
  record.bytes = bytes;
  for (const HttpField& field : request.headers()) {
    constexpr absl::string_view kReferer = "Referer";
    constexpr absl::string_view kUserAgent = "User-Agent";
    // The first of each counts; most names differ in size already.
    if (field.name.size() == kReferer.size()) {
      if (record.referer.empty() &&
          absl::EqualsIgnoreCase(field.name, kReferer)) {
        record.referer = field.value;
      }
    } else if (field.name.size() == kUserAgent.size()) {
      if (record.user_agent.empty() &&
          absl::EqualsIgnoreCase(field.name, kUserAgent)) {
        record.user_agent = field.value;
      }
    }
  }
  return record;
}

// Adds what is the same for all, and the line.
void Add(const HttpListener& listener, AccessRecord& record, int64_t since,
         AccessLogs& logs) {
  // Of the last tick, without a look at the hardware: clock_gettime(2).
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const AccessFormat format = listener.access.format;
  if (format == AccessFormat::kJson) {
    record.duration_nanos = EventLoop::Current().FreshNowNanos() - since;
    record.pid = logs.pid();
  }
  listener.access_log->Add(format, record, now);
}

// The client as the request's own client() gives it; `storage` is for what has
// to be made for this request.
absl::string_view ClientOf(const HttpRequest& request, AccessLogs& logs,
                           std::string& storage) {
  const PeerNames::Peer& peer = logs.peers().Of(
      request.connection(), HttpWorker::Current().forwarded_from());
  if (!peer.trusted) return peer.name();
  storage = request.client();
  return storage;
}

std::string Cut(absl::string_view text, size_t max) {
  return std::string(text.substr(0, max));
}

}  // namespace

void LogAccessNow(const HttpListener& listener, const HttpRequest& request,
                  int status, uint64_t bytes, int64_t since) {
  AccessLogs& logs = Logs();
  std::string storage;
  AccessRecord record = RecordOf(request, status, bytes);
  record.client = ClientOf(request, logs, storage);
  Add(listener, record, since, logs);
}

void LogAccess(const HttpListener& listener, const OwnedAccessRecord& owned) {
  if (listener.access_log == nullptr) return;
  AccessRecord record;
  record.client = owned.client;
  record.method = owned.method;
  record.target = owned.target;
  record.host = owned.host;
  record.referer = owned.referer;
  record.user_agent = owned.user_agent;
  record.request_id = owned.request_id;
  record.minor_version = owned.minor_version;
  record.status = owned.status;
  record.bytes = owned.bytes;
  Add(listener, record, owned.since, Logs());
}

void PendingAccess::Remember(const HttpListener& listener,
                             const HttpRequest& request, int status,
                             int64_t since) {
  std::string storage;
  const AccessRecord record = RecordOf(request, status, 0);
  listener_ = &listener;
  record_ = std::make_unique<OwnedAccessRecord>();
  record_->client =
      Cut(ClientOf(request, Logs(), storage), AccessBounds::kClient);
  record_->method = Cut(record.method, AccessBounds::kMethod);
  record_->target = Cut(record.target, AccessBounds::kTarget);
  record_->host = Cut(record.host, AccessBounds::kHost);
  record_->referer = Cut(record.referer, AccessBounds::kReferer);
  record_->user_agent = Cut(record.user_agent, AccessBounds::kUserAgent);
  record_->request_id = Cut(record.request_id, AccessBounds::kRequestId);
  record_->minor_version = record.minor_version;
  record_->status = static_cast<uint16_t>(status);
  record_->since = since;
}

PendingAccess PendingAccess::OfRefused(const HttpListener& listener,
                                       const Connection& conn,
                                       absl::string_view received, int status,
                                       int64_t since) {
  PendingAccess access;
  if (listener.access_log == nullptr) return access;
  access.listener_ = &listener;
  access.record_ = std::make_unique<OwnedAccessRecord>();
  access.record_->client = std::string(
      Logs().peers().Of(conn, HttpWorker::Current().forwarded_from()).name());
  access.record_->target =
      Cut(received.substr(0, received.find_first_of("\r\n")),
          AccessBounds::kTarget);
  access.record_->status = static_cast<uint16_t>(status);
  access.record_->since = since;
  return access;
}

void PendingAccess::Log(const Connection& conn) {
  if (record_ == nullptr) return;
  const uint64_t out = conn.bytes_out();
  if (out > body_begins_) record_->bytes = out - body_begins_;
  LogAccess(*listener_, *record_);
  record_ = nullptr;
}

std::string PendingAccess::Encode() const {
  std::string blob;
  if (record_ == nullptr) return blob;
  PutInt(blob, body_begins_);
  blob += record_->Encode();
  return blob;
}

PendingAccess PendingAccess::Decode(const HttpListener& listener,
                                    absl::string_view blob) {
  PendingAccess access;
  WireReader reader(blob);
  access.body_begins_ = reader.TakeInt<uint64_t>();
  std::optional<OwnedAccessRecord> record =
      OwnedAccessRecord::Decode(reader.rest());
  if (reader.failed() || !record.has_value()) return access;
  access.listener_ = &listener;
  access.record_ = std::make_unique<OwnedAccessRecord>(*std::move(record));
  return access;
}

std::string OwnedAccessRecord::Encode() const {
  std::string blob;
  for (const std::string* text :
       {&client, &method, &target, &host, &referer, &user_agent, &request_id}) {
    PutText(blob, *text);
  }
  PutInt<uint8_t>(blob, static_cast<uint8_t>(minor_version));
  PutInt<uint16_t>(blob, status);
  PutInt<uint64_t>(blob, bytes);
  PutInt<uint64_t>(blob, static_cast<uint64_t>(since));
  return blob;
}

std::optional<OwnedAccessRecord> OwnedAccessRecord::Decode(
    absl::string_view blob) {
  WireReader fields(blob);
  OwnedAccessRecord record;
  for (std::string* text :
       {&record.client, &record.method, &record.target, &record.host,
        &record.referer, &record.user_agent, &record.request_id}) {
    *text = fields.TakeText();
  }
  record.minor_version = static_cast<int8_t>(fields.TakeInt<uint8_t>());
  record.status = fields.TakeInt<uint16_t>();
  record.bytes = fields.TakeInt<uint64_t>();
  record.since = static_cast<int64_t>(fields.TakeInt<uint64_t>());
  if (fields.failed()) return std::nullopt;
  return record;
}

}  // namespace baton
