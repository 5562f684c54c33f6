#ifndef BATON_WORKER_HANDOVER_RECEIVER_FIXTURE_H_
#define BATON_WORKER_HANDOVER_RECEIVER_FIXTURE_H_

// The worker that takes connections over, with the test as the one that sends
// them, well or badly: real sockets, simulated time.

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/endpoint.h"
#include "net/event_loop.h"
#include "net/fd_channel.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/scope.h"
#include "net/unique_fd.h"
#include "worker/connection_limits.h"
#include "worker/handover_messages.h"
#include "worker/handover_receiver.h"
#include "worker/listener_set.h"
#include "worker/services.h"
#include "worker/settings.h"

namespace baton {

inline Task<> Echo(Connection conn) {
  if (!conn.resumed() && co_await conn.Write("hello ") != IoError::kOk)
    co_return;
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

// Who it is with: known only from what came along.
struct Login {
  static constexpr uint32_t kVersion = 3;
  std::string Encode() const { return user; }
  static absl::StatusOr<Login> Decode(uint32_t version,
                                      absl::string_view bytes) {
    if (version > kVersion) return absl::InvalidArgumentError("from later on");
    return Login{std::string(bytes)};
  }
  std::string user = "nobody";
};

inline Task<> Greet(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    const std::string answer =
        absl::StrCat(*chunk, " ", conn.state<Login>().user);
    if (co_await conn.Write(answer) != IoError::kOk) break;
  }
}

// An echo that may have come in the middle of a file.
inline Task<> EchoBehindAFile(Connection conn) {
  if (std::optional<UnsentFile> rest = conn.TakeUnsentFile()) {
    const IoError sent = co_await conn.WriteFile(rest->fd.get(), rest->offset,
                                                 rest->size, {.movable = true});
    if (sent != IoError::kOk) co_return;
  }
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

inline constexpr absl::string_view kEchoUrl = "echo://127.0.0.1:0";
inline constexpr absl::string_view kLoginUrl = "login://127.0.0.1:0";
inline constexpr absl::string_view kFilesUrl = "files://127.0.0.1:0";

class HandoverReceiverTest : public ::testing::Test,
                             private ConnectionObserver {
 protected:
  HandoverReceiverTest() {
    services_.Stream("echo", Echo);
    services_.Stream("login", Greet).WithState<Login>();
    services_.Stream("files", EchoBehindAFile);
    table_.SetObserver(this);
  }
  void TearDown() override {
    table_.Abort();
    while (scope_.live() > 0) loop_->Turn(/*wait=*/false);
  }

  // The worker serves all listeners, and has the other end of channel().
  void Start(const WorkerSettings& settings = {}, int64_t expected = 0) {
    settings_ = settings;
    limits_.emplace(settings.max_connections, settings.max_connections_per_ip);
    std::vector<WorkerListener> own;
    for (const absl::string_view text : {kEchoUrl, kLoginUrl, kFilesUrl}) {
      ListenUrl url = ParseListenUrl(text).value();
      UniqueFd fd = OpenListener(url, {}).value();
      if (text == kEchoUrl) address_ = Endpoint::LocalOf(fd.get()).value();
      own.push_back({std::move(url), std::move(fd)});
    }
    listeners_.emplace(
        ListenerSet::Home{services_, settings_, *limits_, table_, scope_},
        std::move(own), [](bool) {});
    PCHECK(listeners_->Serve().ok());
    receiver_.emplace(HandoverReceiver::Home{*listeners_, *limits_, table_,
                                             scope_, most_connections_});
    auto [ours, theirs] = FdChannel::CreatePair().value();
    theirs_ = theirs.fd();
    channel_ = std::move(ours);
    receiver_->Take(std::move(theirs), expected);
  }

  // A client whose worker this test is: the worker's end and the client's.
  struct Client {
    UniqueFd socket;
    UniqueFd peer;
  };
  static Client Unix() {
    int ends[2];
    PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                      ends) == 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
  }
  static Client Tcp() {
    const UniqueFd listener =
        OpenListener(ParseListenUrl(kEchoUrl).value(), {}).value();
    UniqueFd peer = ConnectTo(Endpoint::LocalOf(listener.get()).value());
    return {UniqueFd(accept4(listener.get(), nullptr, nullptr,
                             SOCK_NONBLOCK | SOCK_CLOEXEC)),
            std::move(peer)};
  }
  static UniqueFd ConnectTo(const Endpoint& address) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    PCHECK(connect(fd.get(), address.sockaddr(), address.length()) == 0);
    PCHECK(fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0);
    return fd;
  }

  // Sends copies of these descriptors; a test keeps its own, as a worker does.
  void Send(const std::string& message, const std::vector<int>& fds) {
    CHECK(channel_.Send(message, fds).code == FdChannel::SendCode::kSent);
  }
  // One batch of all of them, with the same image.
  static HandoverBatch BatchOf(size_t count, const ConnectionImage& image = {},
                               absl::string_view listener = kEchoUrl) {
    HandoverBatch batch(77);
    for (size_t i = 0; i < count; ++i)
      CHECK(batch.Add(listener, image, FdChannel::kMaxMessageBytes));
    return batch;
  }
  static std::vector<int> Sockets(const std::vector<Client>& clients) {
    std::vector<int> fds;
    for (const Client& client : clients) fds.push_back(client.socket.get());
    return fds;
  }

  // Runs what can be run without more input and without time.
  void Settle() {
    for (int i = 0; i < 3; ++i) {
      do {
        loop_->Turn(/*wait=*/false);
      } while (loop_->HasReady());
    }
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    Settle();
  }

  static ConnectionImage ImageWithState(uint32_t version, std::string state) {
    ConnectionImage image;
    image.state_version = version;
    image.state = std::move(state);
    return image;
  }

  using Results = std::vector<HandoverResult>;
  // The answer to batch 77, nullopt if there is none.
  std::optional<Results> Answer() {
    Settle();
    const FdChannel::Received received = channel_.Receive();
    if (received.code != FdChannel::ReceiveCode::kMessage) return std::nullopt;
    absl::string_view rest = received.bytes;
    const HandoverHeader header = TakeHandoverHeader(rest).value();
    EXPECT_EQ(header.batch, 77u);
    return DecodeAnswer(header, rest).value();
  }
  bool ChannelHasEnded() {
    Settle();
    return channel_.Receive().code == FdChannel::ReceiveCode::kEof;
  }
  // What it is answered by whoever serves it.
  std::string Ask(const UniqueFd& peer, absl::string_view question) {
    if (!question.empty() &&
        send(peer.get(), question.data(), question.size(), MSG_NOSIGNAL) < 0) {
      return "not sent";
    }
    Settle();
    char bytes[1024];
    const ssize_t size = recv(peer.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (size == 0) return "end";
    return size < 0 ? "" : std::string(bytes, static_cast<size_t>(size));
  }
  // Over TCP, where a question may take a while.
  std::string AskOverTcp(const UniqueFd& peer, absl::string_view question) {
    std::string answer = Ask(peer, question);
    while (answer.empty()) answer = Ask(peer, "");
    return answer;
  }
  uint64_t received() { return table_.counters().received.value(); }

  Services services_;
  WorkerSettings settings_;
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  int64_t most_connections_ = 1000;  // it has descriptors for
  ConnectionTable table_{*loop_, {}};
  std::optional<ConnectionLimits> limits_;
  std::optional<ListenerSet> listeners_;
  Scope scope_;
  std::optional<HandoverReceiver> receiver_;
  Endpoint address_;  // of the echo listener
  FdChannel channel_;
  int theirs_ = -1;  // the worker's end of it

 private:
  void OnClosed(uint16_t settings, uint64_t tag) override {
    listeners_->OnClosed(settings, tag);
  }
};

}  // namespace baton

#endif  // BATON_WORKER_HANDOVER_RECEIVER_FIXTURE_H_
