#ifndef BATON_NET_TESTING_DESCRIPTOR_LIMIT_H_
#define BATON_NET_TESTING_DESCRIPTOR_LIMIT_H_

#include <sys/resource.h>

#include "glog/logging.h"

namespace baton::testing {

// While it lives, the process's new descriptors fit below `limit` only:
// RLIMIT_NOFILE, getrlimit(2). Those that it has stay open.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t limit) {
    PCHECK(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit now = {.rlim_cur = limit, .rlim_max = before_.rlim_max};
    PCHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
  }
  ~DescriptorLimit() { PCHECK(setrlimit(RLIMIT_NOFILE, &before_) == 0); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_ = {};
};

}  // namespace baton::testing

#endif  // BATON_NET_TESTING_DESCRIPTOR_LIMIT_H_
