#include "master/drop_rights.h"

#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "net/errno_status.h"

namespace baton {
namespace {

absl::Status SetGroups(const RunAs& run_as) {
  if (run_as.uid.has_value() && getuid() == 0) {
    const std::vector<gid_t>& groups = run_as.groups;
    if (setgroups(groups.size(), groups.data()) != 0) {
      return ErrnoStatus("setgroups", absl::StrCat(groups.size(), " groups"),
                         errno);
    }
  }
  if (setresgid(run_as.gid, run_as.gid, run_as.gid) != 0) {
    return ErrnoStatus("setresgid", absl::StrCat(run_as.gid), errno);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DropRights(const RunAs& run_as) {
  if (absl::Status status = SetGroups(run_as); !status.ok()) return status;
  if (!run_as.uid.has_value()) return absl::OkStatus();
  const uid_t uid = *run_as.uid;
  if (setresuid(uid, uid, uid) != 0) {
    return ErrnoStatus("setresuid", absl::StrCat(uid), errno);
  }
  if (uid != 0 && setresuid(0, 0, 0) == 0) {
    return absl::InternalError("rights were dropped and could be taken back");
  }
  return absl::OkStatus();
}

}  // namespace baton
