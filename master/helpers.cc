#include "master/helpers.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "master/helper_process.h"
#include "master/helpers_running.h"
#include "net/errno_status.h"
#include "net/in_context.h"
#include "net/quote.h"
#include "worker/log_event.h"

namespace baton {
namespace {

// So many questions of one helper are answered in a turn of the master's loop.
constexpr int kInquiriesPerTurn = 4;
constexpr int kMessagesPerTurn = 16;

// A text that does not fit into a message.
absl::StatusOr<UniqueFd> MemfdOf(const std::string& text) {
  UniqueFd fd(memfd_create("baton-answer", MFD_CLOEXEC));
  if (!fd) return ErrnoStatus("memfd_create", "an answer", errno);
  const ssize_t written = pwrite(fd.get(), text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus("pwrite", "an answer", written < 0 ? errno : ENOSPC);
  }
  return fd;
}

ListenFlags FlagsOf(const Config& config) {
  ListenFlags flags;
  flags.tcp_keepalive = config.worker.tcp_keepalive;
  flags.tcp_user_timeout = config.worker.tcp_user_timeout;
  flags.owner_only = true;
  return flags;
}

// The folder of the control socket, if only it is missing: /run is empty after
// a boot.
absl::Status MakeControlFolder(absl::string_view path) {
  const std::string folder(path.substr(0, path.rfind('/')));
  if (!folder.empty() && mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus("mkdir", folder, errno);
  }
  if (access(absl::StrCat(folder, "/").c_str(), W_OK) != 0) {
    return ErrnoStatus("access", folder, errno);
  }
  return absl::OkStatus();
}

// Where nobody has asked for the control socket and there is no place for it,
// in a container without a writable /run for instance, there is none.
absl::StatusOr<std::vector<ListenUrl>> UrlsFor(const Config& config,
                                               HelperKind kind) {
  if (kind == HelperKind::kAdmin) return config.admin;
  if (config.control.empty()) return config.control;
  const absl::Status folder = MakeControlFolder(config.control.front().address);
  if (folder.ok()) return config.control;
  if (!config.control_is_default) return folder;
  LOG(WARNING) << "no control socket: " << folder.message();
  return std::vector<ListenUrl>();
}

bool SameUrls(absl::Span<const ListenUrl> a, absl::Span<const ListenUrl> b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(),
      [](const ListenUrl& x, const ListenUrl& y) { return x.text == y.text; });
}

// Whether a helper is made of both in the same way.
bool SameProcess(const Config& a, const Config& b) {
  return a.run_as == b.run_as && a.worker.stop_timeout == b.worker.stop_timeout;
}

constexpr HelperKind kKinds[] = {HelperKind::kAdmin, HelperKind::kControl};

}  // namespace

Helpers::Helpers(const Host& host, OnInquiry on_inquiry)
    : host_(host),
      on_inquiry_(std::move(on_inquiry)),
      patience_(host.loop, [this] { EndStop(); }) {
  for (const HelperKind kind : kKinds) {
    kinds_[kind].retry.emplace(host.loop, [this, kind] { Start(kind); });
  }
}

Helpers::~Helpers() = default;

absl::Status Helpers::Load(Generation generation,
                           std::shared_ptr<const Config> config) {
  for (const HelperKind kind : kKinds) {
    const absl::StatusOr<std::vector<ListenUrl>> urls = UrlsFor(*config, kind);
    absl::Status status = urls.status();
    if (status.ok()) {
      status = kinds_[kind].listeners.Load(generation, *urls, /*slots=*/1,
                                           FlagsOf(*config));
    }
    if (status.ok()) continue;
    Drop(generation);
    absl::string_view message = status.message();
    // Nobody wrote this one's URL; the rest names the path.
    if (kind == HelperKind::kControl && urls.ok() && !urls->empty()) {
      absl::ConsumePrefix(&message,
                          absl::StrCat(Quote(urls->front().text), ": "));
    }
    return InContext(absl::StrCat("--", HelperName(kind)),
                     absl::Status(status.code(), message));
  }
  configs_[generation] = std::move(config);
  return absl::OkStatus();
}

void Helpers::Commit(Generation generation) {
  const Generation before = std::exchange(committed_, generation);
  for (auto& [kind, state] : kinds_) {
    const std::vector<ListenUrl> urls = state.listeners.Urls(generation);
    // One of another binary is not known here.
    const auto old_config = configs_.find(before);
    const bool same = old_config != configs_.end() &&
                      SameUrls(state.listeners.Urls(before), urls) &&
                      SameProcess(*old_config->second, *configs_[generation]);
    if (absl::Status status =
            state.listeners.Commit(generation, FlagsOf(*configs_[generation]));
        !status.ok()) {
      LOG(WARNING) << status.message();
    }
    for (const SocketsId removed : state.listeners.TakeRemoved()) {
      state.listeners.CloseRemoved(removed);
    }
    if (same) continue;
    for (const ListenUrl& url : urls) {
      LogEvent("helper_listening")
          .Field("helper", HelperName(kind))
          .Field("url", url.text)
          .Field("address", url.address);
    }
    const auto current = running_.find(state.current);
    if (urls.empty()) {
      state.retry->Cancel();
      if (current != running_.end()) Retire(*current->second);
      state.current = 0;
    } else {
      Start(kind);
    }
  }
  std::erase_if(configs_, [generation](const auto& entry) {
    return entry.first != generation;
  });
}

void Helpers::Drop(Generation generation) {
  for (auto& [kind, state] : kinds_) {
    state.listeners.Drop(generation);
    for (const SocketsId removed : state.listeners.TakeRemoved()) {
      state.listeners.CloseRemoved(removed);
    }
  }
  configs_.erase(generation);
}

void Helpers::Start(HelperKind kind) {
  Kind& state = kinds_[kind];
  state.retry->Cancel();
  if (stopping_ || state.listeners.Urls(committed_).empty()) return;
  const absl::Status status = Fork(kind);
  if (status.ok()) return;
  const absl::Duration delay = state.backoff.AfterFault(/*alone=*/true);
  LogEvent("helper_failed", google::GLOG_WARNING)
      .Field("helper", HelperName(kind))
      .Field("reason", status.message())
      .Field("retry_ms", absl::ToInt64Milliseconds(delay));
  state.retry->Start(delay);
}

// That of the generation which serves may be another binary's.
absl::StatusOr<std::shared_ptr<const Config>> Helpers::ConfigForFork() const {
  const auto committed = configs_.find(committed_);
  if (committed != configs_.end()) return committed->second;
  if (configs_.empty()) return host_.config_of(committed_);
  return configs_.rbegin()->second;
}

absl::Status Helpers::Fork(HelperKind kind) {
  Kind& state = kinds_[kind];
  const absl::StatusOr<std::shared_ptr<const Config>> config = ConfigForFork();
  if (!config.ok()) return config.status();
  HelperSpec spec;
  spec.kind = kind;
  spec.generation = committed_;
  spec.config = config->get();
  spec.log = &host_.log;
  spec.listeners = state.listeners.ForSlot(committed_, 0);
  absl::StatusOr<HelperProcess> forked = ForkHelper(spec);
  if (!forked.ok()) return forked.status();
  auto helper =
      std::make_unique<Running>(this, ++last_id_, kind, *std::move(forked));
  if (absl::Status status = helper->Watch(host_.loop); !status.ok()) {
    // It has done nothing yet, and ends at once: no wait to speak of.
    helper->helper.process.Kill(SIGKILL);
    helper->helper.process.WaitAndReap();
    return status;
  }
  LogEvent("helper_started")
      .Field("helper", HelperName(kind))
      .Field("helper_pid", helper->helper.process.pid());
  helper->predecessor = std::exchange(state.current, helper->id);
  running_.emplace(helper->id, std::move(helper));
  return absl::OkStatus();
}

void Helpers::Send(Running& helper, const ChannelMessage& message) {
  // A few messages in its life: they always fit.
  helper.helper.channel.Send(EncodeMessage(message));
}

// It accepts nothing any more, and ends when what it was asked is answered.
void Helpers::Retire(Running& helper) {
  Send(helper, StopAcceptingMessage{.shut_down_listeners = false});
  Send(helper, DrainMessage{});
}

void Helpers::OnChannel(uint64_t id) {
  Running& helper = *running_.at(id);
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    const FdChannel::Received received = helper.helper.channel.Receive();
    if (received.code == FdChannel::ReceiveCode::kAgain) return;
    const absl::StatusOr<DecodedMessage> decoded =
        received.code == FdChannel::ReceiveCode::kMessage
            ? DecodeMessage(received.bytes)
            : absl::UnavailableError("its channel is closed");
    // It has ended, or gone wild and is ended.
    if (!decoded.ok()) {
      helper.helper.process.Kill(SIGKILL);
      return helper.channel_inlet.Stop();
    }
    if (std::holds_alternative<ReadyMessage>(decoded->message)) {
      Send(helper, ServeMessage{});
    } else if (std::holds_alternative<ServingMessage>(decoded->message)) {
      kinds_[helper.kind].backoff.Served();
      const auto before = running_.find(std::exchange(helper.predecessor, 0));
      if (before != running_.end()) Retire(*before->second);
    } else if (std::holds_alternative<ReplaceMeMessage>(decoded->message)) {
      // Somebody has sent it SIGTERM. It serves until its successor does.
      if (kinds_[helper.kind].current == id) Start(helper.kind);
    }
  }
  helper.channel_inlet.Again();
}

void Helpers::OnInquiries(uint64_t id) {
  Running& helper = *running_.at(id);
  for (int i = 0; i < kInquiriesPerTurn; ++i) {
    const FdChannel::Received received = helper.helper.inquiries.Receive();
    if (received.code == FdChannel::ReceiveCode::kAgain) return;
    const absl::StatusOr<Inquiry> inquiry =
        received.code == FdChannel::ReceiveCode::kMessage
            ? DecodeInquiry(received.bytes)
            : absl::UnavailableError("the line is closed");
    if (!inquiry.ok() ||
        (IsCommand(inquiry->question) && helper.kind != HelperKind::kControl)) {
      helper.helper.process.Kill(SIGKILL);
      return helper.inquiry_inlet.Stop();
    }
    on_inquiry_({id, inquiry->ticket}, *inquiry);
  }
  helper.inquiry_inlet.Again();
}

void Helpers::Reply(const Asker& asker, Answer answer) {
  const auto it = running_.find(asker.helper);
  if (it == running_.end()) return;
  answer.ticket = asker.ticket;
  HelperProcess& helper = it->second->helper;
  FdChannel::SendResult sent;
  if (answer.text.size() <= kMaxAnswerTextBytes) {
    sent = helper.inquiries.Send(EncodeAnswer(answer));
  } else if (const absl::StatusOr<UniqueFd> text = MemfdOf(answer.text);
             text.ok()) {
    const int fd = text->get();
    sent = helper.inquiries.Send(EncodeAnswer(answer), {&fd, 1});
  } else {
    sent = helper.inquiries.Send(EncodeAnswer(
        {answer.ticket, 503, absl::StrCat(text.status().message(), "\n")}));
  }
  // One that does not read its answers would wait for this one for ever.
  if (sent.code != FdChannel::SendCode::kSent) helper.process.Kill(SIGKILL);
}

void Helpers::OnExit(uint64_t id) {
  Running& helper = *running_.at(id);
  const std::optional<ExitStatus> status = helper.helper.process.Reap();
  // A tracer (strace) is told first; the pidfd reports again when it is done.
  if (!status.has_value()) return;
  const HelperKind kind = helper.kind;
  Kind& state = kinds_[kind];
  const auto predecessor = running_.find(helper.predecessor);
  LogEvent event("helper_exited",
                 status->clean() ? google::GLOG_INFO : google::GLOG_WARNING);
  event.Field("helper", HelperName(kind))
      .Field("helper_pid", helper.helper.process.pid())
      .Field("status", status->ToString());
  // It may have stood before strangers, of whose end nothing more is told.
  host_.on_reaped();
  const bool was_current = state.current == id;
  if (was_current) {
    state.current = predecessor == running_.end() ? 0 : predecessor->first;
  } else if (predecessor != running_.end()) {
    Retire(*predecessor->second);
  }
  running_.erase(id);
  if (stopping_) {
    if (running_.empty()) EndStop();
    return;
  }
  if (!was_current) return;
  // As with workers: one that was killed from outside is no fault of its own.
  if (status->killed_from_outside()) {
    state.retry->Start(state.backoff.AfterEarlyKill(/*alone=*/true));
  } else {
    state.retry->Start(state.backoff.AfterFault(/*alone=*/true));
  }
}

void Helpers::ReopenLog(int fd, LogFormat format) {
  const std::string message = EncodeMessage(ReopenLogMessage{format});
  for (auto& [id, helper] : running_) {
    helper->helper.channel.Send(message, {&fd, 1});
  }
}

bool Helpers::IsHelper(pid_t pid) const {
  for (const auto& [id, helper] : running_) {
    if (helper->helper.process.pid() == pid) return true;
  }
  return false;
}

void Helpers::Stop(absl::Duration patience, std::function<void()> on_stopped) {
  stopping_ = true;
  on_stopped_ = std::move(on_stopped);
  for (auto& [id, helper] : running_) {
    Send(*helper, StopAcceptingMessage{.shut_down_listeners = true});
    Send(*helper, DrainMessage{patience});
  }
  for (auto& [kind, state] : kinds_) state.listeners.CloseAll();
  if (running_.empty()) return EndStop();
  patience_.Start(patience);
}

// Those that are left end with the master.
void Helpers::EndStop() {
  patience_.Cancel();
  if (on_stopped_) std::exchange(on_stopped_, nullptr)();
}

}  // namespace baton
