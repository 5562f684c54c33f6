#include "worker/http/http_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "net/cidr.h"
#include "net/percent.h"
#include "worker/http/forwarded.h"
#include "worker/http/http_worker.h"

namespace baton {
namespace {

constexpr size_t kMaxIdBytes = 128;

// What may stand in a log line and a header.
bool IsRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isgraph(static_cast<unsigned char>(c)) &&
                  c != '"' && c != '\\';
         });
}

// All fields of a name, as one.
std::string Joined(const HttpHead& head, absl::string_view name) {
  std::string joined;
  for (const HttpField& field : head.fields) {
    if (!absl::EqualsIgnoreCase(field.name, name)) continue;
    absl::StrAppend(&joined, joined.empty() ? "" : ", ", field.value);
  }
  return joined;
}

}  // namespace

std::string HttpRequest::Param(absl::string_view name) const {
  for (int i = 0; i < parameters_.count; ++i) {
    const auto& one = parameters_.all[i];
    if (one.name != name) continue;
    const absl::StatusOr<std::string> decoded = PercentDecode(one.value);
    return decoded.ok() ? *decoded : std::string(one.value);
  }
  return "";
}

std::optional<std::string> HttpRequest::Query(absl::string_view name) const {
  const HttpParameters parameters = query();
  const std::optional<absl::string_view> value = parameters.Get(name);
  if (!value.has_value()) return std::nullopt;
  return std::string(*value);
}

HttpParameters HttpRequest::form() const {
  absl::string_view type = Header("Content-Type");
  type = absl::StripAsciiWhitespace(type.substr(0, type.find(';')));
  const bool is_form =
      absl::EqualsIgnoreCase(type, "application/x-www-form-urlencoded");
  return HttpParameters::Parse(is_form ? body_ : absl::string_view());
}

bool HttpRequest::PeerIsTrusted() const {
  const auto& trusted = HttpWorker::Current().forwarded_from();
  return !trusted.empty() && AnyContains(trusted, connection_.peer());
}

std::string HttpRequest::client() const {
  return ClientAddress(connection_.peer(), Joined(head_, "Forwarded"),
                       Joined(head_, "X-Forwarded-For"),
                       HttpWorker::Current().forwarded_from());
}

const std::string& HttpRequest::id() const {
  if (!id_.empty()) return id_;
  const absl::string_view given = Header("X-Request-Id");
  id_ = IsRequestId(given) && PeerIsTrusted()
            ? std::string(given)
            : HttpWorker::Current().NewRequestId();
  return id_;
}

}  // namespace baton
