#include "worker/worker.h"

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/connection_table.h"
#include "net/errno_status.h"
#include "net/event_loop.h"
#include "net/fd_inlet.h"
#include "net/fd_table.h"
#include "net/scope.h"
#include "net/signal_fd.h"
#include "net/socket_options.h"
#include "worker/application_metrics.h"
#include "worker/channel_messages.h"
#include "worker/channel_outbox.h"
#include "worker/connection_limits.h"
#include "worker/cut_connections.h"
#include "worker/handover_receiver.h"
#include "worker/handover_sender.h"
#include "worker/http/access_log.h"
#include "worker/http/http_worker.h"
#include "worker/job_desk.h"
#include "worker/listener_set.h"
#include "worker/log_event.h"
#include "worker/pinned_connections.h"
#include "worker/worker_jobs.h"
#include "worker/worker_limits.h"

namespace baton {
namespace {

// After the cut, how long handlers may take to notice before the process ends
// under them.
constexpr absl::Duration kUnwindTime = absl::Milliseconds(100);
// Threads that have no job end within microseconds.
constexpr absl::Duration kThreadsEnd = absl::Seconds(1);
// Of the kernel's table of descriptors, at the start: 256 KiB. One that grows
// later stops the loop for a moment.
constexpr int kFdTableSize = 1 << 15;
// How often a worker that leaves tells what keeps it.
constexpr absl::Duration kPinsLook = absl::Seconds(1);

class Worker final : private ConnectionObserver,
                     private Scope::IdleObserver,
                     private TurnObserver,
                     private HandoverSender::Observer {
 public:
  Worker(WorkerStart start, EventLoop& loop);
  ~Worker() override = default;

  absl::Status Start();
  int Run();

 private:
  void OnClosed(uint16_t settings, uint64_t tag) override;
  void OnIdle() override { EndIfDrained(); }
  void OnTurnEnd(int64_t nanos) override {
    counters_.turn_nanos.Add(static_cast<uint64_t>(nanos));
    http_.OnTurnEnd(nanos);
    if (counters_.traffic.requests.value() >= recycled_at_) {
      recycled_at_ = std::numeric_limits<uint64_t>::max();
      Send(RecycleMeMessage{});
    }
  }
  void OnPassed() override {
    // Those that have just been taken are in the limits still: their handlers
    // end at the end of this turn.
    Send(PassedMessage{FindPinned(table_).connections});
  }
  void OnChannelEnd(uint64_t round) override {
    Send(HandoverBrokenMessage{round});
  }
  void OnSignals();
  void OnChannel();
  void Send(const ChannelMessage& message) { outbox_.Send(message); }
  void SetState(WorkerState state) {
    counters_.state.Set(static_cast<int64_t>(state));
  }

  bool HandleWithFds(const ChannelMessage& message, std::vector<UniqueFd>& fds);
  void ReportAdoption(SocketsId id, const absl::Status& status);
  void RefuseCut(absl::string_view bytes);
  void Handle(const ServeMessage& message);
  void Handle(const StopAcceptingMessage& message);
  void Handle(const DrainMessage& message);
  void Handle(const StopMessage& message);
  void Handle(const ReleaseMessage& message);
  void HandOver(const HandOverMessage& message, std::vector<UniqueFd> fds);
  void Leave();
  void ReportPins();
  void Handle(const UnknownMessage& message);
  template <typename T>
  void Handle(const T& message);  // what only a master may receive
  absl::Status StartJobPool();
  void Cut();
  void EndIfDrained();
  void EndLoop();

  WorkerStart start_;
  EventLoop& loop_;
  WorkerCounters& counters_;
  ChannelOutbox outbox_;
  ConnectionLimits limits_;
  // Before the table, whose listeners have files that they watch.
  AccessLogs access_logs_;
  HttpWorker http_;
  ConnectionTable table_;
  Scope connections_;
  ListenerSet listeners_;
  HandoverReceiver receiver_;
  HandoverSender sender_;
  uint64_t recycled_at_;  // requests
  std::unique_ptr<JobPool> pool_;
  std::unique_ptr<JobDesk> desk_;
  std::optional<SignalFd> signals_;
  FdInlet<Worker> signal_inlet_{this, &Worker::OnSignals};
  FdInlet<Worker> channel_inlet_{this, &Worker::OnChannel};
  Timer drain_timer_;
  Timer pins_timer_;
  PinnedConnections pins_;  // as told to the master
  uint64_t round_ = 0;
  bool serving_ = false;
  // It accepts nothing any more: it ends when its last connection does.
  bool leaving_ = false;
  bool draining_ = false;  // and ends idle ones itself; implies leaving_
  bool cut_ = false;
  bool ended_ = false;
  bool failed_ = false;
  uint64_t connections_cut_ = 0;
};

Worker::Worker(WorkerStart start, EventLoop& loop)
    : start_(std::move(start)),
      loop_(loop),
      counters_(start_.scoreboard.counters()),
      outbox_(loop, start_.channel),
      limits_(MaxConnections(start_.settings),
              start_.settings.max_connections_per_ip),
      access_logs_(loop, counters_.http, std::exchange(start_.access_logs, {})),
      http_({.counters = &counters_.http,
             .forwarded_from = start_.settings.forwarded_from}),
      table_(loop, {.counters = &counters_.traffic}),
      listeners_({.services = *start_.services,
                  .settings = start_.settings,
                  .limits = limits_,
                  .table = table_,
                  .connections = connections_},
                 std::exchange(start_.listeners, {}),
                 [this](bool full) { Send(FullMessage{full}); }),
      receiver_({.listeners = listeners_,
                 .limits = limits_,
                 .table = table_,
                 .connections = connections_,
                 .most_connections = MostConnections()}),
      sender_(table_, *this),
      recycled_at_(RequestsUntilRecycled(start_.settings.max_requests)),
      drain_timer_(loop, [this] { cut_ ? EndLoop() : Cut(); }),
      pins_timer_(loop, [this] { ReportPins(); }) {
  http_.SetAccessLogs(&access_logs_);
  loop_.SetHeartbeat(&counters_.heartbeat);
  loop_.SetStaleEventCounter(&counters_.stale_events);
  loop_.SetTurnObserver(this);
  SetApplicationCells(start_.scoreboard.application_cells());
  table_.SetObserver(this);
  connections_.SetIdleObserver(this);
}

absl::Status Worker::Start() {
  SetState(WorkerState::kStarting);
  constexpr std::array kSignals = {SIGTERM,  SIGHUP,  SIGINT,  SIGQUIT,
                                   SIGUSR1,  SIGUSR2, SIGTTIN, SIGTTOU,
                                   SIGWINCH, SIGPIPE};
  absl::StatusOr<SignalFd> signals = SignalFd::Create(kSignals);
  if (!signals.ok()) return signals.status();
  signals_.emplace(*std::move(signals));
  if (absl::Status status = signal_inlet_.Watch(loop_, signals_->fd());
      !status.ok())
    return status;
  if (absl::Status status = channel_inlet_.Watch(loop_, start_.channel.fd());
      !status.ok())
    return status;
  if (absl::Status status = listeners_.Check(); !status.ok()) return status;
  GrowFdTable(kFdTableSize);  // before there are threads
  if (absl::Status status = StartJobPool(); !status.ok()) return status;
  return start_.services->RunWorkerStart();
}

absl::Status Worker::StartJobPool() {
  absl::StatusOr<std::unique_ptr<JobPool>> pool = MakeJobPool(start_.settings);
  if (!pool.ok()) return pool.status();
  pool_ = *std::move(pool);
  JobDesk::Options options;
  options.on_stalled = [this](const char* name, absl::Duration running) {
    LogEvent("job_stalled", google::GLOG_WARNING)
        .Field("slot", start_.slot)
        .Field("name", name)
        .Field("running_s", absl::ToInt64Seconds(running));
  };
  options.on_stats = [this](const JobPoolStats& stats) {
    CountJobs(stats, counters_.jobs);
  };
  absl::StatusOr<std::unique_ptr<JobDesk>> desk =
      JobDesk::Create(loop_, *pool_, std::move(options));
  if (!desk.ok()) return desk.status();
  desk_ = *std::move(desk);
  desk_->SetIdleCallback([this] { EndIfDrained(); });
  return absl::OkStatus();
}

int Worker::Run() {
  loop_.Turn(/*wait=*/false);
  // It may have been told to end before it could begin.
  if (!ended_) {
    SetState(WorkerState::kReady);
    Send(ReadyMessage{});
    loop_.Run();
  }
  start_.services->RunWorkerStop();
  // With one that was cut, the process does not wait for its threads.
  pool_->Stop();
  if (desk_->pending() == 0) pool_->Join(kThreadsEnd);
  CountJobs(pool_->stats(), counters_.jobs);
  access_logs_.End();
  return failed_ ? 1 : 0;
}

void Worker::OnSignals() {
  while (const std::optional<signalfd_siginfo> signal = signals_->Next()) {
    if (signal->ssi_signo == SIGTERM) Send(ReplaceMeMessage{});
  }
}

void Worker::OnChannel() {
  while (true) {
    FdChannel::Received received = start_.channel.Receive();
    switch (received.code) {
      case FdChannel::ReceiveCode::kAgain:
        return;
      case FdChannel::ReceiveCode::kMessage:
        break;
      case FdChannel::ReceiveCode::kTruncated:
        LOG(ERROR) << "no descriptor left for what the master sent";
        RefuseCut(received.bytes);
        continue;
      case FdChannel::ReceiveCode::kEof:
      case FdChannel::ReceiveCode::kError:
        // Without a master there is nobody to serve for: clients must not hang
        // on an orphan.
        LOG(WARNING) << "the channel to the master has ended: the worker stops";
        if (!cut_) Cut();
        return channel_inlet_.Stop();
    }
    absl::StatusOr<DecodedMessage> decoded = DecodeMessage(received.bytes);
    if (!decoded.ok()) {
      LOG(ERROR) << "message from the master: " << decoded.status().message();
      continue;
    }
    if (HandleWithFds(decoded->message, received.fds)) continue;
    std::visit([this](const auto& message) { Handle(message); },
               decoded->message);
  }
}

template <typename T>
void Worker::Handle(const T& message) {
  LOG(ERROR) << "the master sent what only a worker says: "
             << MessageName(message);
}

void Worker::Handle(const UnknownMessage& message) {
  LOG(WARNING) << "the master sent a message that this build does not know: "
               << message.type;
}

void Worker::Handle(const ServeMessage& /*message*/) {
  if (absl::Status status = listeners_.Serve(); !status.ok()) {
    // Without one of its listeners a worker is no worker: the master finds it
    // gone and starts another.
    LOG(ERROR) << status.message();
    failed_ = true;
    return loop_.Stop();
  }
  serving_ = true;
  SetState(WorkerState::kServing);
  Send(ServingMessage{});
}

bool Worker::HandleWithFds(const ChannelMessage& message,
                           std::vector<UniqueFd>& fds) {
  const auto* reopen = std::get_if<ReopenLogMessage>(&message);
  if (reopen != nullptr && fds.size() == 1) {
    start_.reopen_log(std::move(fds[0]), reopen->format);
    return true;
  }
  if (const auto* log = std::get_if<ReopenAccessLogMessage>(&message)) {
    if (fds.size() == 1) access_logs_.Reopen(log->path, std::move(fds[0]));
    return true;
  }
  if (const auto* hand_over = std::get_if<HandOverMessage>(&message)) {
    HandOver(*hand_over, std::move(fds));
    return true;
  }
  if (const auto* take_over = std::get_if<TakeOverMessage>(&message)) {
    if (serving_ && !leaving_ && fds.size() == 1) {
      receiver_.Take(FdChannel(std::move(fds[0])),
                     static_cast<int64_t>(
                         std::min(take_over->expected,
                                  static_cast<uint64_t>(limits_.max_total()))));
    }
    return true;
  }
  const auto* slot = std::get_if<AdoptMessage>(&message);
  const auto* removed = std::get_if<AdoptRemovedMessage>(&message);
  if (slot == nullptr && removed == nullptr) return false;
  if (leaving_) return true;
  if (slot != nullptr) {
    ReportAdoption(slot->slot,
                   listeners_.Adopt(slot->slot, slot->first, std::move(fds)));
  } else {
    ReportAdoption(removed->sockets,
                   listeners_.AdoptRemoved(removed->sockets, removed->url,
                                           std::move(fds)));
  }
  return true;
}

void Worker::ReportAdoption(SocketsId id, const absl::Status& status) {
  if (status.ok()) return;
  LOG(ERROR) << "sockets " << id << " are not adopted: " << status.message();
  Send(AdoptFailedMessage{id});
}

// The descriptors are lost, what they were for is not.
void Worker::RefuseCut(absl::string_view bytes) {
  const absl::StatusOr<DecodedMessage> decoded = DecodeMessage(bytes);
  if (!decoded.ok()) return;
  if (const auto* adopt = std::get_if<AdoptMessage>(&decoded->message)) {
    Send(AdoptFailedMessage{adopt->slot});
  }
  if (const auto* adopt = std::get_if<AdoptRemovedMessage>(&decoded->message)) {
    Send(AdoptFailedMessage{adopt->sockets});
  }
  // Of a TakeOver the other end hears that ours is gone.
  if (auto* hand_over = std::get_if<HandOverMessage>(&decoded->message)) {
    // First, since without a connection it ends here.
    Send(HandoverBrokenMessage{hand_over->round});
    HandOver(*hand_over, {});
  }
}

// Whoever comes from another worker is not ours any more.
void Worker::Leave() {
  if (leaving_) return;
  // First: while it takes what has been sent, the worker must not end.
  receiver_.Stop();
  leaving_ = true;
  SetState(WorkerState::kDraining);
  access_logs_.Flush();
}

// Who has no request in progress is passed on, the others when they have none.
void Worker::HandOver(const HandOverMessage& message,
                      std::vector<UniqueFd> fds) {
  if (draining_) return;  // the server stops: there is nobody to go to
  if (!leaving_) {
    Leave();
    drain_timer_.Start(message.timeout);
    pins_timer_.Start(kPinsLook);
  }
  if (message.round != std::exchange(round_, message.round))
    sender_.BeginRound(message.round);
  for (UniqueFd& fd : fds)
    sender_.AddChannel(message.round, FdChannel(std::move(fd)));
  EndIfDrained();
}

void Worker::ReportPins() {
  if (draining_) return;
  pins_timer_.Start(kPinsLook);
  PinnedConnections now = FindPinned(table_);
  const auto handlers = static_cast<int64_t>(connections_.live()) -
                        counters_.traffic.open.value();
  now.handlers = static_cast<uint64_t>(std::max<int64_t>(handlers, 0));
  now.jobs = desk_->pending();
  if (now.SameAs(std::exchange(pins_, now))) return;
  Send(PinnedMessage{now.connections, now.oldest_age, now.service, now.peer,
                     now.handlers, now.jobs});
}

void Worker::Handle(const ReleaseMessage& message) {
  const bool emptied = listeners_.Release(message.sockets);
  Send(ReleasedMessage{message.sockets, message.ticket, emptied});
}

void Worker::Handle(const StopAcceptingMessage& message) {
  // Whoever is in the queue by now is served, whoever comes later finds a
  // successor, or is refused at once.
  listeners_.AcceptAll();
  listeners_.Close(message.shut_down_listeners);
  Send(AcceptStoppedMessage{});
}

void Worker::Handle(const DrainMessage& message) {
  if (cut_) return;  // the timer is its end now
  Leave();
  draining_ = true;
  sender_.Stop();
  table_.BeginDrain();
  drain_timer_.Start(message.timeout);
  EndIfDrained();
}

void Worker::Handle(const StopMessage& /*message*/) {
  if (!cut_) Cut();
}

void Worker::OnClosed(uint16_t settings, uint64_t tag) {
  listeners_.OnClosed(settings, tag);
  EndIfDrained();
}

// A handler may have work left when its connection is gone, and a job when its
// handler is. Outbound connections that are no handler's (a pool's) end with
// the worker.
void Worker::EndIfDrained() {
  if (leaving_ && limits_.total() == 0 && connections_.live() == 0 &&
      desk_->pending() == 0) {
    EndLoop();
  }
}

// Ends every connection now, gives the handlers a moment to end too, and
// leaves.
void Worker::Cut() {
  Leave();
  cut_ = draining_ = true;
  sender_.Stop();
  SetState(WorkerState::kStopping);
  // Who waits in a queue is left to whoever shares the listener: accepted, it
  // would be cut along with the others.
  listeners_.Close(/*shut_down=*/false);
  connections_cut_ = static_cast<uint64_t>(CutConnections(table_));
  for (const RunningJob& job : pool_->running()) {
    LogEvent("job_cut", google::GLOG_WARNING)
        .Field("slot", start_.slot)
        .Field("name", job.name);
  }
  table_.Abort();
  drain_timer_.Start(kUnwindTime);
  EndIfDrained();
}

void Worker::EndLoop() {
  if (!std::exchange(ended_, true))
    Send(DrainedMessage{.connections_cut = connections_cut_});
  loop_.Stop();
}

}  // namespace

int RunWorker(WorkerStart start) {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) {
    LOG(ERROR) << loop.status().message();
    return 1;
  }
  // Never destroyed: handlers that did not end in time are still in it, and the
  // process ends with it.
  auto* worker = std::make_unique<Worker>(std::move(start), **loop).release();
  if (absl::Status status = worker->Start(); !status.ok()) {
    LOG(ERROR) << "the worker can't start: " << status.message();
    return 1;
  }
  return worker->Run();
}

}  // namespace baton
