#include "worker/http/file_sender.h"

#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "net/connection_image.h"
#include "net/wire.h"
#include "worker/http/http_exchange.h"
#include "worker/http/http_service.h"

namespace baton {
namespace {

// What of `body` is left from that part on.
struct Rest {
  const FileBody* body;
  bool close = false;
  const PendingAccess* access;
  size_t next = 0;

  bool HasMore() const {
    return close || access->wanted() || next < body->parts.size() ||
           !body->after.empty();
  }
};

void Remember(Connection& conn, const Rest& rest) {
  HttpRest& state = conn.state<HttpRest>();
  state.close = rest.close;
  state.parts.assign(
      rest.body->parts.begin() + static_cast<std::ptrdiff_t>(rest.next),
      rest.body->parts.end());
  state.after = rest.body->after;
  state.access = rest.access;
}

// An offset or size of a file; what is none fails the reader.
int64_t TakeOffset(WireReader& reader) {
  const auto value = reader.TakeInt<uint64_t>();
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    reader.Fail();
    return 0;
  }
  return static_cast<int64_t>(value);
}

}  // namespace

std::string HttpRest::Encode() const {
  std::string out;
  PutInt(out, static_cast<uint8_t>(close ? 1 : 0));
  PutInt(out, static_cast<uint32_t>(parts.size()));
  for (const FileBody::Part& part : parts) {
    PutText(out, part.before);
    PutInt(out, static_cast<uint64_t>(part.offset));
    PutInt(out, static_cast<uint64_t>(part.size));
  }
  PutText(out, after);
  PutText(out, access == nullptr ? access_blob : access->Encode());
  return out;
}

absl::StatusOr<HttpRest> HttpRest::Decode(uint32_t version,
                                          absl::string_view bytes) {
  if (version != kVersion) {
    return absl::InvalidArgumentError("an HTTP state of another build");
  }
  WireReader reader(bytes);
  HttpRest rest;
  rest.close = reader.TakeInt<uint8_t>() != 0;
  const auto count = reader.TakeInt<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    FileBody::Part part;
    part.before = reader.TakeText();
    part.offset = TakeOffset(reader);
    part.size = TakeOffset(reader);
    // No file goes on beyond that.
    if (part.size > std::numeric_limits<int64_t>::max() - part.offset) {
      reader.Fail();
    }
    rest.parts.push_back(std::move(part));
  }
  rest.after = reader.TakeText();
  rest.access_blob = reader.TakeText();
  if (reader.failed()) {
    return absl::InvalidArgumentError("an HTTP state that is cut");
  }
  return rest;
}

Task<IoError> SendFileBody(Connection* conn, absl::string_view head,
                           const FileBody* body, HttpFraming framing,
                           PendingAccess* access) {
  Rest rest = {.body = body, .close = framing.close, .access = access};
  IoError sent = IoError::kOk;
  if (!head.empty()) sent = co_await conn->WriteMore(head);
  std::string text;
  bool remembered = false;
  while (sent == IoError::kOk && rest.next < body->parts.size()) {
    const FileBody::Part& part = body->parts[rest.next++];
    text += part.before;
    if (part.size == 0) continue;
    if (!text.empty()) {
      sent = co_await conn->WriteMore(text);
      if (sent != IoError::kOk) break;
      text.clear();
    }
    if (framing.request_ended && rest.HasMore()) {
      Remember(*conn, rest);
      remembered = true;
    } else if (std::exchange(remembered, false)) {
      conn->ForgetState();
    }
    sent = co_await conn->WriteFile(body->file->get(), part.offset, part.size,
                                    {.movable = framing.request_ended});
  }
  // Who has the connection now logs it.
  if (sent == IoError::kDraining) co_return sent;
  if (remembered) conn->ForgetState();
  text += body->after;
  if (sent == IoError::kOk && !text.empty()) sent = co_await conn->Write(text);
  access->Log(*conn);
  co_return sent;
}

Task<bool> SendRestOfFile(Connection* conn) {
  std::optional<UnsentFile> unsent = conn->TakeUnsentFile();
  if (!unsent.has_value()) co_return true;
  HttpRest state = std::move(conn->state<HttpRest>());
  conn->ForgetState();
  FileBody body;
  body.file = std::make_shared<const UniqueFd>(std::move(unsent->fd));
  body.parts.push_back(
      {.before = {}, .offset = unsent->offset, .size = unsent->size});
  for (FileBody::Part& part : state.parts)
    body.parts.push_back(std::move(part));
  body.after = std::move(state.after);
  PendingAccess access = PendingAccess::Decode(
      *static_cast<const HttpListener*>(conn->service_data()),
      state.access_blob);
  const HttpFraming framing = {.close = state.close};
  const IoError sent =
      co_await SendFileBody(conn, absl::string_view(), &body, framing, &access);
  // More may have come, or be on its way: that would make the close a reset.
  if (sent == IoError::kOk && state.close) {
    co_await internal::LingeringClose(conn);
  }
  co_return sent == IoError::kOk && !state.close;
}

}  // namespace baton
