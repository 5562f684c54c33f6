#include "worker/datagram_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/endpoint.h"

namespace baton {
namespace {

// What a handler, which has no state of its own, uses.
struct Client {
  int fd = -1;
  int more = 0;  // datagrams to send, one for each that is handled
};
Client* client = nullptr;

void SendOne(int fd) { PCHECK(send(fd, "", 0, 0) == 0); }

void Handle(absl::string_view /*bytes*/, DatagramPeer& /*peer*/) {
  if (client->more > 0) {
    --client->more;
    SendOne(client->fd);
  }
}

class DatagramListenerTest : public ::testing::Test {
 protected:
  DatagramListenerTest()
      : server_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        sender_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const Endpoint any = Endpoint::Parse("127.0.0.1:0").value();
    PCHECK(bind(server_.get(), any.sockaddr(), any.length()) == 0);
    const Endpoint address = Endpoint::LocalOf(server_.get()).value();
    PCHECK(connect(sender_.get(), address.sockaddr(), address.length()) == 0);
    const int bytes = 64 * 1024;
    PCHECK(setsockopt(server_.get(), SOL_SOCKET, SO_RCVBUF, &bytes,
                      sizeof(bytes)) == 0);
    client_.fd = sender_.get();
    client = &client_;
    listener_ = DatagramListener::Start(*loop_, server_.get(), Handle, batch_,
                                        counters_)
                    .value();
  }
  ~DatagramListenerTest() override { client = nullptr; }

  bool QueueIsEmpty() {
    char byte;
    return recv(server_.get(), &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  DatagramBatch batch_;
  TrafficCounters counters_;
  UniqueFd server_;
  UniqueFd sender_;
  Client client_;
  std::unique_ptr<DatagramListener> listener_;
};

TEST_F(DatagramListenerTest, ServeAllEmptiesAFullReceiveBuffer) {
  constexpr int kMoreThanFit = 1000;
  for (int i = 0; i < kMoreThanFit; ++i) SendOne(sender_.get());
  listener_->ServeAll();
  EXPECT_TRUE(QueueIsEmpty());
  EXPECT_GT(counters_.datagrams_in.value(), DatagramBatch::kBatch);
  EXPECT_LT(counters_.datagrams_in.value(), uint64_t{kMoreThanFit});
}

TEST_F(DatagramListenerTest, ServeAllEndsThoughDatagramsKeepComing) {
  for (size_t i = 0; i < DatagramBatch::kBatch; ++i) SendOne(sender_.get());
  client_.more = 10'000;
  listener_->ServeAll();
  EXPECT_FALSE(QueueIsEmpty());
  // 128 KiB of buffer (the kernel doubles it), 256 bytes each at least.
  EXPECT_LE(counters_.datagrams_in.value(), 512 + DatagramBatch::kBatch);
}

// As if the descriptor had been closed and become something else's.
TEST_F(DatagramListenerTest, AnErrorOfTheSocketPausesInsteadOfSpinning) {
  SendOne(sender_.get());
  // The socket stays in the epoll set as long as a copy of it is open.
  const UniqueFd socket(fcntl(server_.get(), F_DUPFD_CLOEXEC, 0));
  const UniqueFd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(dup2(other.get(), server_.get()), server_.get());
  for (int i = 0; i < 10; ++i) loop_->Turn(/*wait=*/false);
  EXPECT_FALSE(loop_->HasReady());
  ASSERT_EQ(dup2(socket.get(), server_.get()), server_.get());
  clock_.Advance(DatagramListener::kRetry + absl::Milliseconds(10));
  loop_->Turn(/*wait=*/false);
  EXPECT_EQ(counters_.datagrams_in.value(), 1u);
}

}  // namespace
}  // namespace baton
