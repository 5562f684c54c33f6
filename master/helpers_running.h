#ifndef BATON_MASTER_HELPERS_RUNNING_H_
#define BATON_MASTER_HELPERS_RUNNING_H_

// What the source files of Helpers share of its private parts.

#include <utility>

#include "master/helper_process.h"
#include "master/helpers.h"
#include "net/fd_inlet.h"

namespace baton {

// A helper that has been forked and not yet reaped.
struct Helpers::Running {
  Running(Helpers* helpers, uint64_t new_id, HelperKind new_kind,
          HelperProcess forked)
      : id(new_id),
        kind(new_kind),
        helper(std::move(forked)),
        channel_inlet(helpers, &Helpers::OnChannel, id),
        inquiry_inlet(helpers, &Helpers::OnInquiries, id),
        exit_inlet(helpers, &Helpers::OnExit, id) {}

  absl::Status Watch(EventLoop& loop) {
    absl::Status status = channel_inlet.Watch(loop, helper.channel.fd());
    if (status.ok()) status = inquiry_inlet.Watch(loop, helper.inquiries.fd());
    if (status.ok()) status = exit_inlet.Watch(loop, helper.process.pidfd());
    return status;
  }

  const uint64_t id;
  const HelperKind kind;
  HelperProcess helper;
  FdInlet<Helpers, uint64_t>
      channel_inlet;  // all three watch what `helper` owns
  FdInlet<Helpers, uint64_t> inquiry_inlet;
  FdInlet<Helpers, uint64_t> exit_inlet;
  // To be told to leave when this one serves.
  uint64_t predecessor = 0;
};

}  // namespace baton

#endif  // BATON_MASTER_HELPERS_RUNNING_H_
