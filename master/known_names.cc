#include "master/known_names.h"

#include <sys/socket.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

using nlohmann::json;

// Base64 of CBOR: JSON's text could not hold all bytes, nor be told from
// others' lines.
constexpr absl::string_view kLineBegin = "known names: ";

json UserToJson(const KnownNames::User& user) {
  const RunAs& run_as = user.run_as;
  json out = {{"user", user.user},
              {"group", user.group},
              {"name", run_as.user},
              {"gid", run_as.gid},
              {"groups", run_as.groups}};
  if (run_as.uid.has_value()) out["uid"] = *run_as.uid;
  return out;
}

KnownNames::User UserFromJson(const json& from) {
  KnownNames::User user{from.at("user").get<std::string>(),
                        from.at("group").get<std::string>(),
                        {}};
  if (from.contains("uid")) user.run_as.uid = from.at("uid").get<uid_t>();
  user.run_as.user = from.at("name").get<std::string>();
  user.run_as.gid = from.at("gid").get<gid_t>();
  user.run_as.groups = from.at("groups").get<std::vector<gid_t>>();
  return user;
}

KnownNames FromCbor(const std::string& bytes) {
  return KnownNames::FromJson(json::from_cbor(bytes, /*strict=*/true,
                                              /*allow_exceptions=*/false));
}

}  // namespace

json KnownNames::ToJson() const {
  json out = {{"hosts", json::object()}};
  for (const auto& [address, endpoint] : hosts) {
    out["hosts"][address] = endpoint.ToString();
  }
  if (user.has_value()) out["user"] = UserToJson(*user);
  return out;
}

KnownNames KnownNames::FromJson(const json& from) {
  KnownNames names;
  if (!from.is_object()) return names;
  try {
    const json addresses = from.value("hosts", json::object());
    for (const auto& [address, text] : addresses.items()) {
      const absl::StatusOr<Endpoint> endpoint =
          Endpoint::Parse(text.get<std::string>());
      const bool known = endpoint.ok() && endpoint->family() != AF_UNIX;
      if (known) names.hosts.emplace(address, *endpoint);
    }
    if (from.contains("user")) names.user = UserFromJson(from.at("user"));
  } catch (const json::exception&) {  // the library's only way
    return KnownNames();
  }
  return names;
}

absl::Status Resolve(const KnownNames& known, ListenUrl& url,
                     KnownNames& used) {
  if (url.endpoint.family() != AF_UNSPEC) return absl::OkStatus();
  if (const auto host = known.hosts.find(url.address);
      host != known.hosts.end()) {
    url.endpoint = host->second;
  } else if (absl::Status status = Resolve(url); !status.ok()) {
    return status;
  }
  used.hosts[url.address] = url.endpoint;
  return absl::OkStatus();
}

std::string NamesLine(const KnownNames& names) {
  const std::vector<uint8_t> bytes = json::to_cbor(names.ToJson());
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()),
                               bytes.size());
  std::string line = absl::StrCat(kLineBegin, absl::Base64Escape(text), "\n");
  return line.size() <= kMaxNamesLine ? line : std::string();
}

KnownNames TakeNamesLine(std::string& printed) {
  KnownNames names;
  bool found = false;
  std::string rest;
  for (absl::string_view line : absl::StrSplit(printed, '\n')) {
    if (!absl::ConsumePrefix(&line, kLineBegin)) {
      absl::StrAppend(&rest, line, "\n");
      continue;
    }
    std::string bytes;
    if (!found && absl::Base64Unescape(line, &bytes)) names = FromCbor(bytes);
    found = true;
  }
  // The last line of them had no end, or was empty.
  if (!rest.empty()) rest.pop_back();
  printed = std::move(rest);
  return names;
}

}  // namespace baton
