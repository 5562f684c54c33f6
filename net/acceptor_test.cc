#include "net/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/testing/descriptor_limit.h"

namespace baton {
namespace {

// From now on the process's accept4 fails - seccomp(2).
void FailAccepts(uint16_t error) {
  std::array filter = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                           offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_accept4, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {static_cast<unsigned short>(filter.size()),
                              filter.data()};
  PCHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  PCHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

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

  // Ends the process: 0 if it paused when it should.
  void TurnWithFailingAccepts(uint16_t error) {
    FailAccepts(error);
    for (int i = 0; i < 10; ++i) loop_->Turn(/*wait=*/false);
    CHECK_EQ(counters_.accept_errors.value(),
             uint64_t{Acceptor::kAcceptsPerTurn});
    CHECK_EQ(counters_.accept_pauses.value(), 1u);
    CHECK(!loop_->HasReady());
    _exit(0);
  }

  bool CanAccept() override { return accepted_.size() < limit_; }
  void OnPause(bool paused) override { pauses_.push_back(paused); }
  void OnAccept(UniqueFd socket, const sockaddr_storage* peer) override {
    ASSERT_NE(peer, nullptr);
    EXPECT_EQ(peer->ss_family, AF_INET);
    accepted_.push_back(std::move(socket));
    if (more_ > 0) {
      --more_;
      Connect(1);
    }
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  TrafficCounters counters_;
  UniqueFd listener_;
  sockaddr_in address_{};
  std::vector<UniqueFd> clients_, accepted_;
  std::vector<bool> pauses_;
  size_t limit_ = 1'000'000;
  int more_ = 0;  // clients that each come when another is accepted
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, ManyInOneEdgeAreAllAcceptedInBoundedTurns) {
  Connect(Acceptor::kAcceptsPerTurn * 2 + 5);
  loop_->Turn(/*wait=*/false);
  EXPECT_LE(accepted_.size(), size_t{2} * Acceptor::kAcceptsPerTurn);
  Run();
  EXPECT_EQ(accepted_.size(), clients_.size());
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
  EXPECT_EQ(pauses_, std::vector<bool>{true});
  acceptor_->Resume();
  Run();
  EXPECT_EQ(accepted_.size(), 5u);
  EXPECT_EQ(pauses_, (std::vector<bool>{true, false}));
}

// No descriptor left: no spinning, no lost edge (accept(2), EMFILE).
TEST_F(AcceptorTest, OutOfDescriptorsItPausesAndComesBackByTimer) {
  Connect(2);
  std::optional<testing::DescriptorLimit> limit;
  limit.emplace(UniqueFd(dup(0)).get());  // all below are in use
  Run();
  EXPECT_TRUE(accepted_.empty());
  EXPECT_TRUE(acceptor_->paused());
  for (int i = 0; i < 10; ++i) Run();
  EXPECT_EQ(counters_.accept_pauses.value(), 1u)
      << "no attempt before its time";
  clock_.Advance(Acceptor::kRetry + absl::Milliseconds(10));
  Run();
  EXPECT_EQ(counters_.accept_pauses.value(), 2u);
  limit.reset();
  clock_.Advance(Acceptor::kRetry + absl::Milliseconds(10));
  Run();
  EXPECT_EQ(accepted_.size(), 2u);
}

TEST_F(AcceptorTest, AcceptAllTakesTheWholeQueueAtOnce) {
  Connect(200);
  acceptor_->AcceptAll(1000);
  EXPECT_EQ(accepted_.size(), 200u);
}

TEST_F(AcceptorTest, AcceptAllEndsThoughClientsKeepComing) {
  constexpr int kBacklog = 20;
  ASSERT_EQ(listen(listener_.get(), kBacklog), 0);
  Connect(kBacklog + 1);  // one more than it says fits
  more_ = 500;
  acceptor_->AcceptAll(kBacklog);
  EXPECT_EQ(accepted_.size(), size_t{kBacklog} + 1);
}

// An error that is there to stay: as if the descriptor had been closed and
// become something else's.
TEST_F(AcceptorTest, AnErrorOfTheSocketPausesInsteadOfSpinning) {
  Connect(1);
  // The listener stays in the epoll set as long as a copy of it is open.
  const UniqueFd listener(fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0));
  const UniqueFd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(dup2(other.get(), listener_.get()), listener_.get());
  for (int i = 0; i < 10; ++i) loop_->Turn(/*wait=*/false);
  EXPECT_FALSE(loop_->HasReady());
  EXPECT_TRUE(acceptor_->paused());
  EXPECT_EQ(counters_.accept_pauses.value(), 1u);
  EXPECT_EQ(counters_.accept_errors.value(), 0u);
  ASSERT_EQ(dup2(listener.get(), listener_.get()), listener_.get());
  clock_.Advance(Acceptor::kRetry + absl::Milliseconds(10));
  Run();
  EXPECT_EQ(accepted_.size(), 1u);
}

// One connection's error is no reason to stop; nothing but such errors, from a
// call that does not take anything off the queue, is.
TEST_F(AcceptorTest, AllErrorsOfOneConnectionInATurnPause) {
  for (const uint16_t error : {EPERM, ECONNABORTED, EHOSTUNREACH}) {
    Connect(1);  // an edge for each child: they share our epoll set
    EXPECT_EXIT(TurnWithFailingAccepts(error), ::testing::ExitedWithCode(0), "")
        << error;
  }
}

TEST_F(AcceptorTest, AShutDownListenerIsQuiet) {
  shutdown(listener_.get(), SHUT_RDWR);
  for (int i = 0; i < 5; ++i) Run();
  EXPECT_TRUE(accepted_.empty());
  EXPECT_FALSE(loop_->HasReady());
}

}  // namespace
}  // namespace baton
