#include "worker/handover_sender.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "net/connection_core.h"
#include "net/listen_url.h"

namespace baton {

using internal::ConnectionCore;

// A channel to one receiver.
struct HandoverSender::Line {
  Line(HandoverSender* sender, uint32_t id, uint64_t round, FdChannel channel)
      : round(round),
        channel(std::move(channel)),
        inlet(sender, &HandoverSender::OnLine, id),
        retry(sender->table_.loop(), [sender, this] {
          waits = false;
          sender->PumpSoon();
        }) {}

  // After a Send that has to wait, or a receiver that has no room now.
  void Wait() {
    waits = true;
    retry.Start(pause);
    pause = std::min(2 * pause, kLongestRetry);
  }

  const uint64_t round;
  FdChannel channel;
  FdInlet<HandoverSender, uint32_t> inlet;
  uint64_t batch = 0;          // its number
  std::vector<Moving> moving;  // unanswered; empty = nothing is
  bool waits = false;          // for its timer
  bool broken = false;         // about to be ended
  // In a batch; fewer after the receiver had no room for them all.
  size_t most = FdChannel::kMaxFds;
  absl::Duration pause = kRetry;
  Timer retry;
};

namespace {

// For one that does not fit into a message.
UniqueFd FileWith(const std::string& bytes) {
  UniqueFd file(memfd_create("baton-handover", MFD_CLOEXEC));
  if (!file) return file;
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t size =
        write(file.get(), bytes.data() + written, bytes.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return UniqueFd();
    written += static_cast<size_t>(size);
  }
  return file;
}

}  // namespace

HandoverSender::HandoverSender(ConnectionTable& table, Observer& observer)
    : table_(table),
      observer_(observer),
      client_(table.loop().AddClient(this)),
      stranded_retry_(table.loop(), [this] { RetryStranded(); }) {}

HandoverSender::~HandoverSender() = default;

void HandoverSender::BeginRound(uint64_t round) {
  if (stopped_) return;
  round_ = round;
  EndIdleLines();
  offered_.clear();
  table_.BeginHandover(this);
  PumpSoon();
}

void HandoverSender::AddChannel(uint64_t round, FdChannel channel) {
  if (stopped_ || round != round_) return;
  const uint32_t id = ++last_line_;
  auto line = std::make_unique<Line>(this, id, round, std::move(channel));
  if (absl::Status status =
          line->inlet.Watch(table_.loop(), line->channel.fd());
      !status.ok()) {
    LOG(ERROR) << "handover: " << status.message();
    return observer_.OnChannelEnd(round);
  }
  lines_.emplace(id, std::move(line));
  PumpSoon();
}

// One whose batch is unanswered ends with the answer.
void HandoverSender::EndIdleLines() {
  std::erase_if(lines_,
                [](const auto& entry) { return entry.second->moving.empty(); });
}

void HandoverSender::Stop() {
  stopped_ = true;
  offered_.clear();
  EndIdleLines();
}

void HandoverSender::OnSafePoint(ConnectionCore& core) {
  offered_.push_back({core.index, core.generation});
  PumpSoon();
}

// --- sending

void HandoverSender::PumpSoon() {
  if (!std::exchange(pump_queued_, true))
    table_.loop().MakeReady(client_, 0, 0);
}

void HandoverSender::OnEvents(uint32_t /*index*/, uint32_t /*generation*/,
                              uint32_t /*events*/) {
  pump_queued_ = false;
  Pump();
}

bool HandoverSender::IsFree(const Line& line) const {
  return line.round == round_ && line.moving.empty() && !line.waits &&
         !line.broken;
}

void HandoverSender::Pump() {
  if (stopped_) return;
  size_t free = 0;
  for (const auto& [id, line] : lines_) free += IsFree(*line);
  if (free > 0) {
    const size_t share = (offered_.size() + free - 1) / free;
    for (auto& [id, line] : lines_) {
      if (IsFree(*line)) SendBatch(*line, share);
    }
  }
  ReportPassed();
}

absl::string_view HandoverSender::UrlOf(const ConnectionCore& core) {
  const auto settings = static_cast<size_t>(core.settings);
  if (urls_.size() <= settings) urls_.resize(settings + 1);
  const ListenUrl* url = table_.SettingsOf(core).url;
  if (urls_[settings].empty() && url != nullptr)
    urls_[settings] = url->ToString();
  return urls_[settings];
}

// Takes from the front of what is offered, out of epoll and into the batch: the
// first one, and others of its kind.
std::vector<int> HandoverSender::FillBatch(HandoverBatch& batch, Line& line,
                                           size_t most) {
  std::vector<int> fds;
  std::vector<Moving> others;
  size_t fds_each = 1;
  for (; !offered_.empty() && line.moving.size() < most &&
         fds.size() + fds_each <= FdChannel::kMaxFds &&
         others.size() < FdChannel::kMaxFds;
       offered_.pop_front()) {
    const Moving next = offered_.front();
    ConnectionCore* core = table_.Find(next.index, next.generation);
    if (core == nullptr || core->IsMoving()) continue;
    if (!table_.CanDetach(*core)) {
      table_.ForgetOffer(*core);  // it comes again when it is idle again
      continue;
    }
    const int file = ConnectionTable::FileOf(*core);
    if (line.moving.empty()) fds_each = file < 0 ? 1 : 2;
    if (fds_each != (file < 0 ? 1u : 2u)) {
      others.push_back(next);
      continue;
    }
    if (!batch.Add(UrlOf(*core), table_.Export(*core),
                   FdChannel::kMaxMessageBytes)) {
      break;
    }
    fds.push_back(table_.Detach(*core));
    if (file >= 0) fds.push_back(file);
    line.moving.push_back(next);
  }
  offered_.insert(offered_.begin(), others.begin(), others.end());
  return fds;
}

void HandoverSender::SendBatch(Line& line, size_t most) {
  HandoverBatch batch(++last_batch_);
  std::vector<int> fds = FillBatch(batch, line, std::min(most, line.most));
  if (fds.empty()) return;
  line.batch = batch.number();
  const FdChannel::SendResult result = SendTo(line, batch, fds);
  switch (result.code) {
    case FdChannel::SendCode::kSent:
      return;
    case FdChannel::SendCode::kAgain:
    case FdChannel::SendCode::kLater:
      // ETOOMANYREFS: as many descriptors of this user are under way as it may
      // have open - unix(7).
      PutBack(line);
      return line.Wait();
    case FdChannel::SendCode::kEof:
    case FdChannel::SendCode::kError:
      // Its end may not show otherwise: a receiver can stop to receive and keep
      // its end open.
      PutBack(line);
      line.broken = true;
      line.inlet.Again();
      return;
  }
}

FdChannel::SendResult HandoverSender::SendTo(Line& line,
                                             const HandoverBatch& batch,
                                             std::vector<int>& fds) {
  if (batch.message_bytes() <= FdChannel::kMaxMessageBytes)
    return line.channel.Send(batch.Message(), fds);
  CHECK_EQ(batch.connections(), 1u);
  const UniqueFd file = FileWith(batch.rest());
  if (!file) return {FdChannel::SendCode::kLater, errno};
  fds.push_back(file.get());
  return line.channel.Send(batch.MessageForFile(), fds);
}

// --- answers

void HandoverSender::OnLine(uint32_t id) {
  Line& line = *lines_.at(id);
  if (line.broken) return EndLine(id);
  while (true) {
    const FdChannel::Received received = line.channel.Receive();
    if (received.code == FdChannel::ReceiveCode::kAgain) break;
    if (received.code != FdChannel::ReceiveCode::kMessage ||
        !OnAnswer(line, received.bytes)) {
      return EndLine(id);
    }
  }
  if ((stopped_ || line.round != round_) && line.moving.empty())
    lines_.erase(id);
  PumpSoon();
}

bool HandoverSender::OnAnswer(Line& line, absl::string_view message) {
  const absl::StatusOr<HandoverHeader> header = TakeHandoverHeader(message);
  if (!header.ok() || line.moving.empty() || header->batch != line.batch ||
      header->connections != line.moving.size()) {
    return false;
  }
  const absl::StatusOr<std::vector<HandoverResult>> results =
      DecodeAnswer(*header, message);
  if (!results.ok()) return false;
  const std::vector<Moving> moving = std::exchange(line.moving, {});
  bool later = false;
  for (size_t i = 0; i < moving.size(); ++i) {
    const HandoverResult result = (*results)[i];
    if (result == HandoverResult::kTaken) {
      GiveAway(moving[i]);
      continue;
    }
    const bool for_now = result == HandoverResult::kLater;
    later |= for_now;
    TrafficCounters& counters = table_.counters();
    (for_now ? counters.handover_later : counters.handover_refused).Add(1);
    // A refusal holds for this round.
    Reattach(moving[i], /*offer=*/for_now || line.round != round_);
  }
  if (later) {
    line.most = std::max<size_t>(moving.size() / 2, 1);
    line.Wait();
  } else {
    line.most = std::min(2 * line.most, FdChannel::kMaxFds);
    line.pause = kRetry;
  }
  return true;
}

void HandoverSender::EndLine(uint32_t id) {
  const auto it = lines_.find(id);
  const uint64_t round = it->second->round;
  PutBack(*it->second);
  lines_.erase(it);
  PumpSoon();
  if (round == round_ && !stopped_) observer_.OnChannelEnd(round);
}

void HandoverSender::PutBack(Line& line) {
  for (const Moving& moving : std::exchange(line.moving, {}))
    Reattach(moving, /*offer=*/true);
}

void HandoverSender::GiveAway(const Moving& moving) {
  ConnectionCore* core = table_.Find(moving.index, moving.generation);
  // Null: everything is being cut here.
  if (core != nullptr) table_.GiveAway(*core);
}

void HandoverSender::Reattach(const Moving& moving, bool offer) {
  ConnectionCore* core = table_.Find(moving.index, moving.generation);
  if (core == nullptr) return;
  if (!offer) table_.NoteRefusal(*core);
  if (table_.Reattach(*core) != 0) {
    stranded_.push_back(moving);
    return stranded_retry_.Start(kRetry);
  }
  if (offer && !stopped_) offered_.push_back(moving);
}

void HandoverSender::RetryStranded() {
  for (const Moving& moving : std::exchange(stranded_, {}))
    Reattach(moving, /*offer=*/true);
  PumpSoon();
}

void HandoverSender::ReportPassed() {
  if (passed_reported_ || !stranded_.empty()) return;
  // What a receiver has no room for now is not waited for.
  bool connected = false;
  for (const auto& [id, line] : lines_) {
    if (!line->moving.empty()) return;
    if (line->round != round_) continue;
    if (!offered_.empty() && !line->waits) return;
    connected = true;
  }
  if (!connected) return;
  passed_reported_ = true;
  observer_.OnPassed();
}

}  // namespace baton
