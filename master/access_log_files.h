#ifndef BATON_MASTER_ACCESS_LOG_FILES_H_
#define BATON_MASTER_ACCESS_LOG_FILES_H_

// The access logs of all configurations that are known, open.
//
// Workers write them, but the master opens them: they may be in a folder that
// only it may write to, and a reload whose logs can't be opened is to be
// rejected before anything else has changed. As with listeners, two
// configurations may be known at a time, and a path that both have is one file.
//
// What no configuration has any more is closed here, but workers that were
// given it write to it to their end, which may be long after: Reopen() is told
// of those, or they would go on in a file that was rotated away.
//
// Contract
// * Load() opens what is new, or fails and leaves everything as it was.
// * Descriptors stay owned here; a forked worker takes over their numbers.
// * Not thread-safe.

#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "master/supervisor_types.h"
#include "net/unique_fd.h"

namespace baton {

// Whether the file at `path` could be opened, as far as that can be told
// without creating it. The error is worded as that of opening it.
absl::Status CheckAccessLog(const std::string& path);

// Whether what is there is a FIFO. That one opens only while somebody reads it,
// which can't be told without opening it; and its reader, who sees that writer
// go again, may take it for the end.
bool IsFifo(const std::string& path);

class AccessLogFiles {
 public:
  // What `generation` writes to; kAccessLogStderr is stderr.
  absl::Status Load(Generation generation, const std::set<std::string>& paths);
  // The same where nothing may fail: what can't be opened is closed until the
  // next Reopen(), and logged.
  void LoadAnyway(Generation generation, const std::set<std::string>& paths);

  // From now on only `generation` is there.
  void Commit(Generation generation);
  // `generation`, if it is there, is given up.
  void Drop(Generation generation);

  // Opens all paths anew, and those that workers were given, which may be more;
  // `opened` is called for each that could be. The rest stay what they were.
  void Reopen(
      const std::set<std::string>& given,
      const std::function<void(const std::string& path, int fd)>& opened);

  // Those of all configurations, also if they could not be opened.
  std::set<std::string> Paths() const;

  const std::map<std::string, UniqueFd>& files() const { return files_; }

 private:
  void CloseUnused();

  std::map<Generation, std::set<std::string>> uses_;
  std::map<std::string, UniqueFd> files_;
};

}  // namespace baton

#endif  // BATON_MASTER_ACCESS_LOG_FILES_H_
