#ifndef BATON_MASTER_PROCESS_TITLE_H_
#define BATON_MASTER_PROCESS_TITLE_H_

// What `ps` shows: "baton: master", "baton: worker 2 (generation 3)".
//
// The kernel shows whatever stands where the arguments stood when the process
// began, and behind them the environment. Overwriting one's own argv is the
// only way for a process without privileges to say who it is.
//
// Contract
// * Init() once, first thing in main: afterwards argv[] and environ[] point to
//   copies, so whoever keeps pointers into them keeps good ones. The strings at
//   the old place are free to be overwritten.
// * Set() cuts a title that does not fit. A forked child inherits the place.
// * Without Init() Set() does nothing: a library's user need not call it.
// * Not thread-safe.

#include "absl/strings/string_view.h"

namespace baton {

class ProcessTitle {
 public:
  static void Init(int argc, char** argv);
  static void Set(absl::string_view title);
};

}  // namespace baton

#endif  // BATON_MASTER_PROCESS_TITLE_H_
