#ifndef BATON_MASTER_DROP_RIGHTS_H_
#define BATON_MASTER_DROP_RIGHTS_H_

// Becoming another user, for good.
//
// Contract: supplementary groups first, then the group, then the user, each for
// the real, effective and saved id, since after the user there is no right left
// to do the rest; and a check that the way back is closed. Only for a child
// that serves, or a process that checks: it can't be undone. Errors name the
// call; on an error the process must end, for it is neither user.
//
// Dropping rights clears the parent-death signal - prctl(2).

#include "absl/status/status.h"
#include "master/run_as.h"

namespace baton {

absl::Status DropRights(const RunAs& run_as);

}  // namespace baton

#endif  // BATON_MASTER_DROP_RIGHTS_H_
