#include "net/acceptor.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"

namespace baton {
namespace {

class AcceptorTest : public ::testing::Test, public Acceptor::Delegate {
 protected:
  AcceptorTest()
      : listener_(
            socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    PCHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address_),
                size) == 0);
    PCHECK(listen(listener_.get(), 1000) == 0);
    PCHECK(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address_),
                       &size) == 0);
    acceptor_ = Acceptor::Start(*loop_, listener_.get(), /*want_peer=*/true,
                                this, &counters_)
                    .value();
  }

  void Connect(int count) {
    for (int i = 0; i < count; ++i) {
      UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      PCHECK(connect(client.get(), reinterpret_cast<sockaddr*>(&address_),
                     sizeof(address_)) == 0);
      clients_.push_back(std::move(client));
    }
  }
  void Run() {
    do {
      loop_->Turn(/*wait=*/false);
    } while (loop_->HasReady());
  }

  bool CanAccept() override { return accepted_.size() < limit_; }
  void OnAccept(UniqueFd socket, const sockaddr_storage* peer) override {
    ASSERT_NE(peer, nullptr);
    EXPECT_EQ(peer->ss_family, AF_INET);
    accepted_.push_back(std::move(socket));
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  TrafficCounters counters_;
  UniqueFd listener_;
  sockaddr_in address_{};
  std::vector<UniqueFd> clients_, accepted_;
  size_t limit_ = 1'000'000;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, ManyInOneEdgeAreAllAcceptedInBoundedTurns) {
  Connect(Acceptor::kAcceptsPerTurn * 2 + 5);
  loop_->Turn(/*wait=*/false);
  EXPECT_LE(accepted_.size(), size_t{2} * Acceptor::kAcceptsPerTurn);
  Run();
  EXPECT_EQ(accepted_.size(), clients_.size());
  EXPECT_EQ(counters_.accepted.value(), clients_.size());
}

TEST_F(AcceptorTest, AtTheLimitTheQueueWaits) {
  limit_ = 3;
  Connect(5);
  Run();
  EXPECT_EQ(accepted_.size(), 3u);
  EXPECT_EQ(counters_.accept_pauses.value(), 1u);
  limit_ = 10;
  Run();
  EXPECT_EQ(accepted_.size(), 3u) << "goes on when it is told";
  acceptor_->Resume();
  Run();
  EXPECT_EQ(accepted_.size(), 5u);
}

// No descriptor left: no spinning, no lost edge (accept(2), EMFILE).
TEST_F(AcceptorTest, OutOfDescriptorsItPausesAndComesBackByTimer) {
  Connect(2);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  const UniqueFd probe(dup(0));
  rlimit none = old;
  none.rlim_cur = static_cast<rlim_t>(probe.get());  // all below are in use
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Run();
  EXPECT_TRUE(accepted_.empty());
  EXPECT_TRUE(acceptor_->paused());
  for (int i = 0; i < 10; ++i) Run();
  EXPECT_EQ(counters_.accept_pauses.value(), 1u)
      << "no attempt before its time";
  clock_.Advance(Acceptor::kRetry + absl::Milliseconds(10));
  Run();
  EXPECT_EQ(counters_.accept_pauses.value(), 2u);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  clock_.Advance(Acceptor::kRetry + absl::Milliseconds(10));
  Run();
  EXPECT_EQ(accepted_.size(), 2u);
}

TEST_F(AcceptorTest, AcceptAllTakesTheWholeQueueAtOnce) {
  Connect(200);
  acceptor_->AcceptAll();
  EXPECT_EQ(accepted_.size(), 200u);
}

TEST_F(AcceptorTest, AShutDownListenerIsQuiet) {
  shutdown(listener_.get(), SHUT_RDWR);
  for (int i = 0; i < 5; ++i) Run();
  EXPECT_TRUE(accepted_.empty());
  EXPECT_FALSE(loop_->HasReady());
}

}  // namespace
}  // namespace baton
