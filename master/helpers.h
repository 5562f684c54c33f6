#ifndef BATON_MASTER_HELPERS_H_
#define BATON_MASTER_HELPERS_H_

// The two children that speak for the master: `admin` serves the read-only
// port, `control` the control socket.
//
// Whoever parses what strangers send may be taken over, so the master does not.
// These children do, as an unprivileged user, on the server's own HTTP; all
// they can do to the master is ask one of a few questions (inquiry.h), a
// bounded number a turn, and only the control child may ask for something to be
// done. One that dies is started again, under a back-off of its own; clients of
// the server notice nothing.
//
// A helper is run by the same code as a worker (worker/worker.h), with services
// and a listener of its own. It is none: it is no slot's, and the supervisor
// does not know of it.
//
// Configurations: Load binds what is new in one, beside what there is; Commit
// starts a helper for it if its addresses or its binary are others, and lets
// the one before answer what it was asked; Drop forgets it. A unix path goes
// with its socket.
//
// Not thread-safe; belongs to the master's loop.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "master/backoff.h"
#include "master/config.h"
#include "master/helper_services.h"
#include "master/inquiry.h"
#include "master/listener_slots.h"
#include "master/supervisor_types.h"
#include "net/event_loop.h"
#include "nlohmann/json.hpp"
#include "worker/channel_messages.h"
#include "worker/log_line.h"
#include "worker/log_sink.h"

namespace baton {

class Helpers {
 public:
  struct Host {
    EventLoop& loop;
    LineLogSink& log;
    // A helper's exit has been reaped.
    std::function<void()> on_reaped;
    // The one of a generation that is not known here.
    std::function<absl::StatusOr<std::shared_ptr<const Config>>(Generation)>
        config_of;
  };
  // Whom an answer goes to.
  struct Asker {
    uint64_t helper = 0;
    uint64_t ticket = 0;
  };
  using OnInquiry = std::function<void(const Asker&, const Inquiry&)>;

  Helpers(const Host& host, OnInquiry on_inquiry);
  ~Helpers();
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  // Errors name the address, the call and the errno, and leave all as it was.
  absl::Status Load(Generation generation,
                    std::shared_ptr<const Config> config);
  void Commit(Generation generation);
  void Drop(Generation generation);

  // Nothing happens if the asker is gone.
  void Reply(const Asker& asker, Answer answer);

  // All of this for another binary, which takes it over (ListenerSlots). There
  // it takes a Commit of its own to start helpers of its own.
  nlohmann::json State(std::vector<int>& fds) const;
  absl::Status TakeOver(const nlohmann::json& state);
  // Of a generation that has been taken over.
  void KnowConfig(Generation generation, std::shared_ptr<const Config> config) {
    configs_[generation] = std::move(config);
  }

  void ReopenLog(int fd, LogFormat format);
  bool IsHelper(pid_t pid) const;

  // They answer what they have been asked, for no longer than `patience`; then
  // `on_stopped` is called. No helper is started any more.
  void Stop(absl::Duration patience, std::function<void()> on_stopped);

 private:
  struct Running;
  // Of one kind: what is bound, and who runs.
  struct Kind {
    ListenerSlots listeners;
    uint64_t current = 0;  // the helper that serves, or is about to
    Backoff backoff;
    std::optional<Timer> retry;
  };

  void Start(HelperKind kind);
  absl::Status Fork(HelperKind kind);
  absl::StatusOr<std::shared_ptr<const Config>> ConfigForFork() const;
  void Retire(Running& helper);
  void Send(Running& helper, const ChannelMessage& message);
  void OnChannel(uint64_t id);
  void OnInquiries(uint64_t id);
  void OnExit(uint64_t id);
  void EndStop();

  const Host host_;
  const OnInquiry on_inquiry_;
  std::map<HelperKind, Kind> kinds_;
  std::map<Generation, std::shared_ptr<const Config>> configs_;
  Generation committed_ = 0;
  std::map<uint64_t, std::unique_ptr<Running>> running_;
  uint64_t last_id_ = 0;
  bool stopping_ = false;
  std::function<void()> on_stopped_;
  Timer patience_;
};

}  // namespace baton

#endif  // BATON_MASTER_HELPERS_H_
