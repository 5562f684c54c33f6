#ifndef BATON_MASTER_CLOSE_FDS_H_
#define BATON_MASTER_CLOSE_FDS_H_

// Closes what a forked child does not own.
//
// A child has a copy of everything: other workers' channels (whose far end then
// never sees the end), other slots' listeners (which then stay bound), the
// master's epoll and pid file. A list of what to close is never complete, so
// this takes the list of what to keep.
//
// Contract
// * `keep` in any order; numbers in it that are not open do no harm.
// * 0, 1 and 2 are always kept.
// * Closes behind the back of every owner in the process: only for a child that
//   will never touch what it inherited.

#include <vector>

namespace baton {

void CloseAllFdsExcept(std::vector<int> keep);

}  // namespace baton

#endif  // BATON_MASTER_CLOSE_FDS_H_
