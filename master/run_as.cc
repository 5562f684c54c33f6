#include "master/run_as.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <limits>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "net/errno_status.h"
#include "net/quote.h"

namespace baton {
namespace {

// An entry is small but for a group with many members.
constexpr size_t kFirstBuffer = 4096;
constexpr size_t kLastBuffer = size_t{1} << 22;

constexpr size_t kMostGroups = 65536;  // NGROUPS_MAX - setgroups(2)

// Calls one of the get*_r functions with a buffer that grows until the entry
// fits. Returns the errno; 0 with `found` false: there is no such entry.
template <typename Entry, typename Call>
int Look(Call call, Entry& entry, std::vector<char>& buffer, bool& found) {
  for (size_t size = kFirstBuffer; size <= kLastBuffer; size *= 4) {
    buffer.resize(size);
    Entry* result = nullptr;
    const int error = call(&entry, buffer.data(), buffer.size(), &result);
    if (error == ERANGE) continue;
    found = result != nullptr;
    // "Not found" has many errnos on many systems - getpwnam(3).
    const bool missing =
        error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
    return missing ? 0 : error;
  }
  return ERANGE;
}

// The value -1 means "leave as it is" to setuid's family - setresuid(2).
bool ParseId(absl::string_view text, uint32_t& id) {
  return absl::c_all_of(text, absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &id) &&
         id != std::numeric_limits<uint32_t>::max();
}

absl::Status Unknown(absl::string_view what, absl::string_view name) {
  return absl::InvalidArgumentError(
      absl::StrCat("bad ", what, " ", Quote(name), ": a ", what,
                   " of this machine, by name or number"));
}

// As initgroups(3) has them.
std::vector<gid_t> GroupsOf(const char* user, gid_t gid) {
  // It says how many there are when they do not fit; not so all name services.
  for (size_t room = 32; room <= kMostGroups; room *= 2) {
    std::vector<gid_t> groups(room);
    int count = static_cast<int>(room);
    if (getgrouplist(user, gid, groups.data(), &count) < 0) continue;
    groups.resize(static_cast<size_t>(count));
    return groups;
  }
  return {gid};
}

absl::Status LookupFailed(absl::string_view name, int error) {
  return absl::InvalidArgumentError(
      absl::StrCat("looking up ", Quote(name), ": ", ErrnoText(error)));
}

}  // namespace

absl::StatusOr<gid_t> ResolveGroup(absl::string_view group) {
  const std::string name(group);
  struct group entry = {};
  std::vector<char> buffer;
  bool found = false;
  const int error =
      Look([&name](auto... rest) { return getgrnam_r(name.c_str(), rest...); },
           entry, buffer, found);
  if (error != 0) return LookupFailed(group, error);
  if (found) return entry.gr_gid;
  uint32_t id = 0;
  if (!ParseId(group, id)) return Unknown("group", group);
  return id;
}

absl::StatusOr<RunAs> ResolveUser(absl::string_view user,
                                  std::optional<gid_t> group) {
  const std::string name(user);
  passwd entry = {};
  std::vector<char> buffer;
  bool found = false;
  int error =
      Look([&name](auto... rest) { return getpwnam_r(name.c_str(), rest...); },
           entry, buffer, found);
  uint32_t id = 0;
  const bool number = !found && error == 0 && ParseId(user, id);
  if (number) {
    error = Look([id](auto... rest) { return getpwuid_r(id, rest...); }, entry,
                 buffer, found);
  }
  if (error != 0) return LookupFailed(user, error);
  if (found) {
    const gid_t gid = group.value_or(entry.pw_gid);
    return RunAs{.uid = entry.pw_uid,
                 .user = entry.pw_name,
                 .gid = gid,
                 .groups = GroupsOf(entry.pw_name, gid)};
  }
  if (!number) return Unknown("user", user);
  if (!group) {
    return absl::InvalidArgumentError(absl::StrCat(
        "user ", Quote(user), " has no entry in the user database, and so no ",
        "group: give --group as well"));
  }
  return RunAs{.uid = id, .user = "", .gid = *group};
}

}  // namespace baton
