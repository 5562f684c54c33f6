// The master's dealings with its workers' processes and channels.

#include <algorithm>
#include <random>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/master.h"
#include "master/master_link.h"
#include "master/process_usage.h"
#include "worker/log_event.h"

namespace baton {
namespace {

// A worker that writes without end gets no more of a turn than this.
constexpr int kMessagesPerTurn = 32;

// In one message; SCM_MAX_FD is 253 - unix(7).
constexpr size_t kMostFdsAtOnce = 200;

// Of what a worker says of its connections.
constexpr size_t kMostPinnedText = 200;

constexpr absl::Duration kSendAgain = absl::Milliseconds(50);
constexpr size_t kMostUnsent = 1000;

}  // namespace

void Master::Do(const action::Fork& fork) {
  pid_t pid = 0;
  if (absl::Status status = Fork(fork, pid); status.ok()) {
    Feed(event::Forked{fork.worker, pid});
  } else {
    Feed(event::ForkFailed{fork.worker, std::string(status.message())});
  }
}

absl::Status Master::Fork(const action::Fork& fork, pid_t& pid) {
  const absl::StatusOr<std::shared_ptr<const Config>> config =
      ConfigOf(fork.generation);
  if (!config.ok()) return config.status();
  if (active_ != *config) {
    active_.reset();  // one that is refused is half done
    if (absl::Status status = loader_.Activate(**config); !status.ok()) {
      return status;
    }
    active_ = *config;
  }
  ForgetAccessLogs();  // before there is a worker of the next generation
  WorkerSpec spec;
  spec.slot = fork.slot;
  spec.generation = fork.generation;
  spec.config = config->get();
  spec.services = &services_;
  spec.log = &log_;
  spec.listeners = listeners_.ForSlot(fork.generation, fork.slot);
  spec.access_logs = &access_logs_;
  spec.not_ours = &not_ours_;
  absl::StatusOr<WorkerProcess> worker = ForkWorker(spec);
  if (!worker.ok()) return worker.status();
  pid = worker->process.pid();
  auto link = std::make_unique<Link>(this, fork, *std::move(worker),
                                     (*config)->stall_timeout);
  link->access_logs = access_logs_.Paths();
  if (absl::Status watched = link->Watch(*loop_); !watched.ok()) {
    // It has done nothing yet, and ends at once: no wait to speak of.
    link->worker.process.Kill(SIGKILL);
    link->worker.process.WaitAndReap();
    return watched;
  }
  links_.emplace(fork.worker, std::move(link));
  return absl::OkStatus();
}

// --- to a worker

void Master::Do(const action::Serve& serve) {
  Send(serve.worker, ServeMessage{});
}

void Master::Do(const action::StopAccepting& stop) {
  Send(stop.worker, StopAcceptingMessage{stop.shut_down_listeners});
}

void Master::Do(const action::Drain& drain) {
  Send(drain.worker, DrainMessage{drain.timeout});
}

void Master::Do(const action::StopWorker& stop) {
  Send(stop.worker, StopMessage{});
}

void Master::Do(const action::HandOver& hand_over) {
  const HandOverMessage message{hand_over.round, hand_over.timeout};
  // Alone, it says that there is nobody yet.
  Send(hand_over.worker, message);
  // It may say what it likes: its word for it counts once.
  uint64_t expected = 0;
  Link& link = *links_.at(hand_over.worker);
  if (!hand_over.to.empty() && !std::exchange(link.reserved_for, true)) {
    expected =
        link.worker.scoreboard.Read().connections / hand_over.to.size() + 1;
  }
  std::vector<FdChannel> channels;
  std::vector<int> fds;
  bool told = true;
  for (const WorkerId heir : hand_over.to) {
    FdChannel channel = ChannelTo(heir, expected);
    if (channel) {
      fds.push_back(channel.fd());
      channels.push_back(std::move(channel));
    } else {
      told = false;
    }
  }
  // All at once: it shares out among those that it knows of.
  const absl::Span<const int> all = fds;
  for (size_t begin = 0; begin < all.size(); begin += kMostFdsAtOnce) {
    told &=
        SendFds(hand_over.worker, message, all.subspan(begin, kMostFdsAtOnce));
  }
  if (!told) Feed(event::HandoverBroken{hand_over.worker, hand_over.round});
}

// Of a pair of sockets for the occasion, the end for the one that leaves; none
// if the heir could not be given the other.
FdChannel Master::ChannelTo(WorkerId heir, uint64_t expected) {
  absl::StatusOr<std::pair<FdChannel, FdChannel>> ends =
      FdChannel::CreatePair();
  if (!ends.ok()) {
    LOG(ERROR) << "no channel for a handover: " << ends.status().message();
    return {};
  }
  const int to = ends->second.fd();
  if (!SendFds(heir, TakeOverMessage{expected}, {&to, 1})) return {};
  return std::move(ends->first);
}

// It serves, and has what connections its predecessors pass on at once.
bool Master::HasSettled(WorkerId id) const {
  const SupervisedWorker* worker = supervisor_->FindWorker(id);
  if (worker == nullptr || worker->phase != WorkerPhase::kServing) return false;
  const auto& outgoing = supervisor_->slots()[worker->slot].outgoing;
  return std::none_of(outgoing.begin(), outgoing.end(), [&](WorkerId other) {
    const WorkerPhase phase = supervisor_->FindWorker(other)->phase;
    return phase == WorkerPhase::kRetiring || phase == WorkerPhase::kPassing;
  });
}

// What a worker has by then can't be too much: another one would have it as
// well.
void Master::LookAtMemory() {
  std::vector<Event> grown;
  for (auto& [id, link] : links_) {
    const auto config = configs_.find(link->generation);
    const int64_t max_rss =
        config == configs_.end() ? 0 : config->second->max_rss;
    if (max_rss == 0) continue;
    if (!HasSettled(id)) continue;
    const int64_t rss = ReadProcessUsage(link->worker.process.pid()).rss_bytes;
    if (link->recycled_at_rss == 0) {
      std::random_device random;
      std::uniform_int_distribution<int64_t> more(0, max_rss / 10);
      link->recycled_at_rss = std::max(max_rss, rss + rss / 10) + more(random);
      if (rss >= max_rss) {
        LOG(WARNING) << WorkerRole(link->slot) << " begins with " << rss
                     << " bytes, more than --max_rss allows: it may have "
                     << link->recycled_at_rss;
      }
    }
    if (rss >= link->recycled_at_rss) {
      grown.push_back(event::RecycleRequested{id, "max_rss"});
    }
  }
  for (Event& one : grown) Feed(std::move(one));
}

void Master::Do(const action::Adopt& adopt) {
  ++adoptions_;
  const bool told = adopt.sockets < kFirstRemoved
                        ? AdoptSlot(adopt.worker, adopt.sockets)
                        : AdoptRemoved(adopt.worker, adopt.sockets);
  if (!told) Feed(event::AdoptFailed{adopt.worker, adopt.sockets});
}

bool Master::AdoptSlot(WorkerId worker, SocketsId slot) {
  const std::vector<ListenerSlots::Adoptable> sockets = listeners_.ForAdoption(
      links_.at(worker)->generation, static_cast<int>(slot));
  // Also without a socket: it is about to be asked about that slot.
  if (sockets.empty()) return SendFds(worker, AdoptMessage{slot, 0}, {});
  // Runs of numbers without a gap are what a message can say.
  for (size_t begin = 0; begin < sockets.size();) {
    std::vector<int> fds;
    while (begin + fds.size() < sockets.size() && fds.size() < kMostFdsAtOnce &&
           sockets[begin + fds.size()].number ==
               sockets[begin].number + fds.size()) {
      fds.push_back(sockets[begin + fds.size()].fd);
    }
    if (!SendFds(worker, AdoptMessage{slot, sockets[begin].number}, fds)) {
      return false;
    }
    begin += fds.size();
  }
  return true;
}

bool Master::AdoptRemoved(WorkerId worker, SocketsId removed) {
  const auto listener = listeners_.Removed(removed);
  // Taken up again: there is nothing to adopt, and it is asked about all the
  // same.
  if (!listener.has_value()) {
    return SendFds(worker, AdoptMessage{removed, 0}, {});
  }
  const AdoptRemovedMessage message{removed, listener->url.ToString()};
  const absl::Span<const int> fds = listener->fds;
  bool told = true;
  for (size_t begin = 0; begin < fds.size() && told; begin += kMostFdsAtOnce) {
    told = SendFds(worker, message, fds.subspan(begin, kMostFdsAtOnce));
  }
  return told;
}

void Master::Do(const action::Release& release) {
  Send(release.worker, ReleaseMessage{release.sockets, release.ticket});
}

void Master::Send(WorkerId worker, const ChannelMessage& message) {
  Link& link = *links_.at(worker);
  link.unsent.push_back(EncodeMessage(message));
  if (link.unsent.size() == 1) SendUnsent(link);
}

// In order, as far as there is memory for them.
void Master::SendUnsent(Link& link) {
  while (!link.unsent.empty()) {
    const FdChannel::SendResult result =
        link.worker.channel.Send(link.unsent.front());
    switch (result.code) {
      case FdChannel::SendCode::kSent:
      case FdChannel::SendCode::kEof:  // its exit is about to be told
        break;
      case FdChannel::SendCode::kAgain:
      case FdChannel::SendCode::kLater:
        if (link.unsent.size() <= kMostUnsent) {
          return unsent_timer_->Start(kSendAgain);
        }
        [[fallthrough]];
      case FdChannel::SendCode::kError:
        // One that has not read all these will not read this one.
        Feed(event::WorkerBroken{link.id, "its channel takes no message"});
        break;
    }
    link.unsent.pop_front();
  }
}

// Or not at all, and then it returns false: nobody holds the descriptors until
// there is memory.
bool Master::SendFds(WorkerId worker, const ChannelMessage& message,
                     absl::Span<const int> fds) {
  Link& link = *links_.at(worker);
  if (!link.unsent.empty()) return false;
  const FdChannel::SendResult result =
      link.worker.channel.Send(EncodeMessage(message), fds);
  return result.code == FdChannel::SendCode::kSent ||
         result.code == FdChannel::SendCode::kEof;
}

void Master::Do(const action::Kill& kill) {
  links_.at(kill.worker)->worker.process.Kill(kill.signal);
}

// --- from a worker

void Master::OnChannel(WorkerId id) {
  Link& link = *links_.at(id);
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    if (!ReadMessage(link)) return;
  }
  link.channel_inlet.Again();
}

bool Master::ReadMessage(Link& link) {
  const FdChannel::Received received = link.worker.channel.Receive();
  absl::StatusOr<DecodedMessage> decoded;
  switch (received.code) {
    case FdChannel::ReceiveCode::kAgain:
      return false;
    case FdChannel::ReceiveCode::kMessage:
      decoded = DecodeMessage(received.bytes);
      break;
    case FdChannel::ReceiveCode::kEof:
      decoded = absl::UnavailableError("it closed its channel");
      break;
    case FdChannel::ReceiveCode::kTruncated:
      decoded = absl::InvalidArgumentError("a message that was cut");
      break;
    case FdChannel::ReceiveCode::kError:
      decoded = absl::UnavailableError("its channel has an error");
      break;
  }
  if (!decoded.ok()) {
    link.channel_inlet.Stop();
    Feed(event::WorkerBroken{link.id, std::string(decoded.status().message())});
    return false;
  }
  OnMessage(link, decoded->message);
  return true;
}

void Master::OnMessage(Link& link, const ChannelMessage& message) {
  if (std::holds_alternative<ReadyMessage>(message)) {
    Feed(event::WorkerReady{link.id});
  } else if (std::holds_alternative<ServingMessage>(message)) {
    Feed(event::WorkerServing{link.id});
  } else if (std::holds_alternative<AcceptStoppedMessage>(message)) {
    Feed(event::AcceptStopped{link.id});
  } else if (const auto* drained = std::get_if<DrainedMessage>(&message)) {
    Feed(event::WorkerDrained{link.id, drained->connections_cut});
  } else if (std::holds_alternative<ReplaceMeMessage>(message)) {
    Feed(event::ReplaceRequested{link.id});
  } else if (std::holds_alternative<RecycleMeMessage>(message)) {
    Feed(event::RecycleRequested{link.id, "max_requests"});
  } else if (const auto* passed = std::get_if<PassedMessage>(&message)) {
    Feed(event::ConnectionsPassed{link.id, passed->left});
  } else if (const auto* broken =
                 std::get_if<HandoverBrokenMessage>(&message)) {
    Feed(event::HandoverBroken{link.id, broken->round});
  } else if (const auto* pinned = std::get_if<PinnedMessage>(&message)) {
    Feed(event::WorkerPinned{
        link.id,
        {pinned->connections, MonotonicNow() - pinned->oldest_age,
         pinned->service.substr(0, kMostPinnedText),
         pinned->peer.substr(0, kMostPinnedText), pinned->handlers,
         pinned->jobs}});
  } else if (const auto* released = std::get_if<ReleasedMessage>(&message)) {
    Feed(event::SocketsReleased{link.id, released->sockets, released->ticket,
                                released->emptied});
  } else if (const auto* failed = std::get_if<AdoptFailedMessage>(&message)) {
    Feed(event::AdoptFailed{link.id, failed->sockets});
  } else if (const auto* full = std::get_if<FullMessage>(&message)) {
    Feed(event::WorkerImpaired{link.id, Impairment::kFull, full->full});
  } else if (!std::exchange(link.unknown_reported, true)) {
    LOG(WARNING) << WorkerRole(link.slot)
                 << " sent a message that means nothing here: "
                 << MessageName(message);
  }
}

void Master::OnExit(WorkerId id) {
  Link& link = *links_.at(id);
  // What it said last counts, also if it is seen after the exit.
  for (int i = 0; i < kMessagesPerTurn && ReadMessage(link); ++i) {
  }
  const std::optional<ExitStatus> status = link.worker.process.Reap();
  // A tracer (strace) is told first; the pidfd reports again when it is done.
  if (!status.has_value()) return;
  const WorkerSnapshot last = link.worker.scoreboard.Read();
  LogEvent("worker_totals")
      .Field("slot", link.slot)
      .Field("worker_pid", link.worker.process.pid())
      .Field("accepted", last.accepted)
      .Field("requests", last.requests)
      .Field("bytes_in", last.bytes_in)
      .Field("bytes_out", last.bytes_out)
      .Field("connections_left", last.connections);
  NoteExit(link, *status, last);
  Feed(event::WorkerExited{id, *status});
  links_.erase(id);
  // It may have stood before strangers, of whose end nothing more is told.
  strangers_timer_->Start(absl::ZeroDuration());
}

}  // namespace baton
