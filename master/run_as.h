#ifndef BATON_MASTER_RUN_AS_H_
#define BATON_MASTER_RUN_AS_H_

// Problem: --user and --group are names; the kernel wants numbers, and a
// worker that is to drop its rights must not find out after the fork that there
// is nobody of that name.
//
// Contract: looked up in the user database of the machine when the
// configuration is loaded, supplementary groups too: what becomes that user
// asks nobody any more. A name goes before a number of the same digits; a
// number needs no entry in the database. Errors are InvalidArgument and quote
// the value. May block as long as the name service does.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

struct RunAs {
  std::optional<uid_t> uid;  // none: keep the master's
  // Empty for a number without an entry.
  std::string user;
  gid_t gid = 0;
  // All that the user is in, with `gid` - getgrouplist(3); none without an
  // entry.
  std::vector<gid_t> groups = {};

  bool operator==(const RunAs&) const = default;
};

absl::StatusOr<gid_t> ResolveGroup(absl::string_view group);

// Without `group` it is the user's own; a number without an entry has none, and
// is refused.
absl::StatusOr<RunAs> ResolveUser(absl::string_view user,
                                  std::optional<gid_t> group);

}  // namespace baton

#endif  // BATON_MASTER_RUN_AS_H_
