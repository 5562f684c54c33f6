#ifndef BATON_WORKER_ACCESS_LOG_FILE_H_
#define BATON_WORKER_ACCESS_LOG_FILE_H_

#include <string>

#include "net/unique_fd.h"

namespace baton {

// An access log that the master has opened for its workers, under the path that
// listeners' options have.
struct AccessLogFile {
  std::string path;
  UniqueFd fd;
};

}  // namespace baton

#endif  // BATON_WORKER_ACCESS_LOG_FILE_H_
