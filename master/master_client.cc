#include "master/master_client.h"

#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <coroutine>
#include <optional>
#include <string>
#include <utility>

#include "glog/logging.h"
#include "net/with_deadline.h"

namespace baton {
namespace {

constinit MasterClient* current = nullptr;

// A status of thousands of workers is a few megabytes.
constexpr off_t kMaxTextBytes = 64 << 20;

Answer NoAnswer(const char* why) { return {0, 503, why}; }

std::optional<std::string> ReadAll(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0 || status.st_size > kMaxTextBytes) return {};
  std::string text(static_cast<size_t>(status.st_size), '\0');
  if (pread(fd, text.data(), text.size(), 0) !=
      static_cast<ssize_t>(text.size())) {
    return {};
  }
  return text;
}

}  // namespace

// One task that waits for the answer to a ticket.
class MasterClient::Wait {
 public:
  Wait(MasterClient* client, uint64_t ticket)
      : client_(client), ticket_(ticket) {}

  bool await_ready() const { return false; }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> caller) {
    caller_ = caller;
    if (!caller_.Enter(
            this, [](void* self) { static_cast<Wait*>(self)->Cancelled(); })) {
      return false;
    }
    client_->waits_.emplace(ticket_, this);
    return true;
  }
  Answer await_resume() { return std::move(answer_); }

  void Done(Answer answer) {
    answer_ = std::move(answer);
    caller_.Leave();
    EventLoop::Current().ResumeSoon(caller_.coroutine());
  }

 private:
  void Cancelled() {
    auto [it, end] = client_->waits_.equal_range(ticket_);
    while (it != end && it->second != this) ++it;
    CHECK(it != end);
    client_->waits_.erase(it);
    EventLoop::Current().ResumeSoon(caller_.coroutine());
  }

  MasterClient* const client_;
  const uint64_t ticket_;
  internal::TaskHandle caller_;
  Answer answer_ = NoAnswer("the question was given up\n");
};

MasterClient& MasterClient::Current() {
  CHECK(current != nullptr) << "this process has no line to a master";
  return *current;
}

void MasterClient::MakeCurrent() { current = this; }

absl::Status MasterClient::Start() {
  absl::StatusOr<FdWatch> watch =
      FdWatch::Start(EventLoop::Current(), channel_.fd(), EPOLLIN, this);
  if (!watch.ok()) return watch.status();
  watch_ = *std::move(watch);
  return absl::OkStatus();
}

Task<Answer> MasterClient::Ask(Question question, uint32_t argument,
                               absl::Duration patience) {
  std::optional<Answer> answer =
      co_await WithDeadline(patience, AwaitAnswer(question, argument));
  if (!answer.has_value()) {
    answer = NoAnswer("the master does not answer\n");
    // The next one asks anew.
    std::erase_if(asked_, [this](const auto& entry) {
      return !waits_.contains(entry.second);
    });
  }
  co_return *std::move(answer);
}

Task<Answer> MasterClient::AwaitAnswer(Question question, uint32_t argument) {
  if (gone_) co_return NoAnswer("the master is gone\n");
  const auto asked = asked_.find(question);
  uint64_t ticket = asked == asked_.end() ? 0 : asked->second;
  if (ticket == 0) {
    ticket = ++last_ticket_;
    if (!Send({ticket, question, argument})) {
      co_return NoAnswer("the master is busy\n");
    }
    if (!IsCommand(question)) asked_[question] = ticket;
  }
  Answer answer = co_await Wait(this, ticket);
  co_return std::move(answer);
}

bool MasterClient::Send(const Inquiry& inquiry) {
  return channel_.Send(EncodeInquiry(inquiry)).code ==
         FdChannel::SendCode::kSent;
}

void MasterClient::OnEvents(uint32_t /*events*/) {
  while (true) {
    const FdChannel::Received received = channel_.Receive();
    switch (received.code) {
      case FdChannel::ReceiveCode::kAgain:
        return;
      case FdChannel::ReceiveCode::kMessage:
      case FdChannel::ReceiveCode::kTruncated:
        OnAnswer(received);
        break;
      case FdChannel::ReceiveCode::kEof:
      case FdChannel::ReceiveCode::kError:
        return EndAll();
    }
  }
}

void MasterClient::OnAnswer(const FdChannel::Received& received) {
  absl::StatusOr<Answer> answer = DecodeAnswer(received.bytes);
  if (!answer.ok()) {
    LOG(ERROR) << "from the master: " << answer.status().message();
    return;
  }
  if (received.code == FdChannel::ReceiveCode::kTruncated) {
    *answer = {answer->ticket, 503, "no descriptor left for the answer\n"};
  }
  if (received.fds.size() == 1) {
    std::optional<std::string> text = ReadAll(received.fds[0].get());
    if (text.has_value()) {
      answer->text = *std::move(text);
    } else {
      *answer = {answer->ticket, 503, "the answer can't be read\n"};
    }
  }
  std::erase_if(asked_, [&answer](const auto& entry) {
    return entry.second == answer->ticket;
  });
  auto waiting = waits_.extract(answer->ticket);
  while (!waiting.empty()) {
    waiting.mapped()->Done(*answer);
    waiting = waits_.extract(answer->ticket);
  }
}

void MasterClient::EndAll() {
  gone_ = true;
  watch_.Stop();
  for (const auto& [ticket, wait] : std::exchange(waits_, {})) {
    wait->Done(NoAnswer("the master is gone\n"));
  }
}

}  // namespace baton
