#include "worker/handover_receiver.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/fd_channel.h"
#include "net/unique_fd.h"
#include "worker/handover_messages.h"
#include "worker/handover_receiver_fixture.h"

namespace baton {
namespace {

constexpr HandoverResult kTaken = HandoverResult::kTaken;
constexpr HandoverResult kRefused = HandoverResult::kRefused;

TEST_F(HandoverReceiverTest, WhoeverIsTakenIsAnsweredForAndServed) {
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Unix());
  Send(BatchOf(3).Message(), Sockets(clients));
  EXPECT_EQ(Answer(), Results(3, kTaken));
  for (Client& client : clients) {
    client.socket.reset();
    EXPECT_EQ(Ask(client.peer, "more"), "more") << "greeted, or not served";
  }
  EXPECT_EQ(received(), 3u);
  EXPECT_EQ(table_.counters().accepted.value(), 0u);
  EXPECT_EQ(limits_->total(), 3);
  clients.clear();
  Settle();
  EXPECT_EQ(limits_->total(), 0);
}

TEST_F(HandoverReceiverTest, StateAndUnreadBytesAreThere) {
  Start();
  const Client client = Unix();
  ConnectionImage image = ImageWithState(3, "of the guild");
  image.unread = "left over";
  Send(BatchOf(1, image, kLoginUrl).Message(), {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client.peer, ""), "left over of the guild");
}

TEST_F(HandoverReceiverTest, BatchAfterBatch) {
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(Unix());
    Send(BatchOf(1).Message(), {clients.back().socket.get()});
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(received(), 3u);
}

// Until the answer is on its way they are the sender's.
TEST_F(HandoverReceiverTest, NobodyIsReadFromBeforeTheAnswerIsOnItsWay) {
  Start();
  const UniqueFd same_end(dup(theirs_));
  const std::string filler(1000, 'f');
  while (send(same_end.get(), filler.data(), filler.size(), MSG_DONTWAIT) > 0) {
  }
  const Client client = Unix();
  ASSERT_EQ(write(client.peer.get(), "early", 5), 5);
  Send(BatchOf(1).Message(), {client.socket.get()});
  Settle();
  int unread = 0;
  PCHECK(ioctl(client.socket.get(), FIONREAD, &unread) == 0);
  EXPECT_EQ(unread, 5);
  EXPECT_EQ(received(), 1u) << "but everything is ready";
  // The sender's queue gets empty.
  while (channel_.Receive().code == FdChannel::ReceiveCode::kMessage) {
  }
  Settle();
  PCHECK(ioctl(client.socket.get(), FIONREAD, &unread) == 0);
  EXPECT_EQ(unread, 5);
  Advance(HandoverReceiver::kRetry + absl::Milliseconds(10));
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client.peer, ""), "early");
}

// Nobody else has them now.
TEST_F(HandoverReceiverTest, ASenderThatIsGoneAfterItsBatchHasGivenThemAway) {
  Start();
  Client client = Unix();
  Send(BatchOf(1).Message(), {client.socket.get()});
  client.socket.reset();
  channel_ = FdChannel();
  EXPECT_EQ(Ask(client.peer, "x"), "x");
}

// The sender may be dead by then, and nobody else has them.
TEST_F(HandoverReceiverTest, AStopTakesWhatHasBeenSentAndNoMore) {
  Start();
  const Client client = Unix();
  Send(BatchOf(1).Message(), {client.socket.get()});
  receiver_->Stop();
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client.peer, "x"), "x");
  EXPECT_TRUE(ChannelHasEnded());
  EXPECT_EQ(received(), 1u);
  auto [ours, theirs] = FdChannel::CreatePair().value();
  receiver_->Take(std::move(theirs), 5);
  EXPECT_TRUE(ours.Receive().code == FdChannel::ReceiveCode::kEof);
}

TEST_F(HandoverReceiverTest, AStopWaitsForAnAnswerThatIsOwed) {
  Start();
  const UniqueFd same_end(dup(theirs_));
  const std::string filler(1000, 'f');
  while (send(same_end.get(), filler.data(), filler.size(), MSG_DONTWAIT) > 0) {
  }
  const Client client = Unix();
  Send(BatchOf(1).Message(), {client.socket.get()});
  Send(BatchOf(1).Message(), {client.socket.get()});
  Settle();
  receiver_->Stop();
  while (channel_.Receive().code == FdChannel::ReceiveCode::kMessage) {
  }
  Advance(HandoverReceiver::kRetry + absl::Milliseconds(10));
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client.peer, "x"), "x");
  EXPECT_EQ(received(), 1u) << "the second one was taken";
  PCHECK(shutdown(same_end.get(), SHUT_RDWR) == 0);
}

// --- limits

TEST_F(HandoverReceiverTest, LimitsOfAdmissionDoNotApply) {
  WorkerSettings settings;
  settings.max_connections = 1;
  Start(settings);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Unix());
  Send(BatchOf(3).Message(), Sockets(clients));
  EXPECT_EQ(Answer(), Results(3, kTaken));
  EXPECT_EQ(limits_->total(), 3);
  for (const Client& client : clients) EXPECT_EQ(Ask(client.peer, "x"), "x");
}

// The last ones are for what its services open.
TEST_F(HandoverReceiverTest, ButThatOfItsDescriptorsDoes) {
  most_connections_ = 2;
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Unix());
  Send(BatchOf(3).Message(), Sockets(clients));
  EXPECT_EQ(Answer(), (Results{kTaken, kTaken, HandoverResult::kLater}));
}

TEST_F(HandoverReceiverTest, AddressesOfThoseWhoCameAreCounted) {
  WorkerSettings settings;
  settings.max_connections_per_ip = 2;
  Start(settings);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Tcp());
  Send(BatchOf(3).Message(), Sockets(clients));
  EXPECT_EQ(Answer(), Results(3, kTaken)) << "beyond the limit as well";
  for (Client& client : clients) {
    client.socket.reset();
    EXPECT_EQ(AskOverTcp(client.peer, "x"), "x");
  }
  EXPECT_EQ(AskOverTcp(ConnectTo(address_), ""), "end");
  EXPECT_EQ(table_.counters().refused_per_ip.value(), 1u);
  clients.resize(1);
  while (limits_->total() > 1) Settle();
  EXPECT_EQ(AskOverTcp(ConnectTo(address_), ""), "hello ");
}

class ReservationTest : public HandoverReceiverTest {
 protected:
  // The worker has two places, and keeps both.
  ReservationTest() {
    WorkerSettings settings;
    settings.max_connections = 2;
    Start(settings, /*expected=*/2);
    newcomer_ = ConnectTo(address_);
    while (table_.counters().accept_pauses.value() == 0) Settle();
    EXPECT_EQ(table_.counters().accepted.value(), 0u);
  }

  UniqueFd newcomer_;
};

TEST_F(ReservationTest, EndsAfterAWhile) {
  Advance(HandoverReceiver::kReservationLasts / 2);
  EXPECT_EQ(table_.counters().accepted.value(), 0u);
  Advance(HandoverReceiver::kReservationLasts);
  EXPECT_EQ(AskOverTcp(newcomer_, ""), "hello ");
}

TEST_F(ReservationTest, EndsWithTheChannel) {
  channel_ = FdChannel();
  EXPECT_EQ(AskOverTcp(newcomer_, ""), "hello ");
  const UniqueFd next = ConnectTo(address_);
  EXPECT_EQ(AskOverTcp(next, ""), "hello ") << "one place is kept";
}

TEST_F(ReservationTest, EndsWithAStop) {
  receiver_->Stop();
  EXPECT_EQ(AskOverTcp(newcomer_, ""), "hello ");
}

TEST_F(ReservationTest, IsUsedUpByThoseWhoCome) {
  std::vector<Client> clients;
  for (int i = 0; i < 2; ++i) clients.push_back(Unix());
  Send(BatchOf(1).Message(), {clients[0].socket.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(table_.counters().accepted.value(), 0u);
  Send(BatchOf(1).Message(), {clients[1].socket.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  // Nothing is kept now, so the first one that leaves makes room.
  clients.pop_back();
  EXPECT_EQ(AskOverTcp(newcomer_, ""), "hello ");
}

// --- listeners

TEST_F(HandoverReceiverTest, OneOfAnUnknownServiceIsRefusedAndOthersAreTaken) {
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Unix());
  HandoverBatch batch(77);
  for (const absl::string_view url :
       {kEchoUrl, absl::string_view("gopher://127.0.0.1:0"),
        absl::string_view("no URL at all"), absl::string_view(""), kEchoUrl}) {
    ASSERT_TRUE(batch.Add(url, {}, FdChannel::kMaxMessageBytes));
  }
  Send(batch.Message(), Sockets(clients));
  EXPECT_EQ(Answer(), (Results{kTaken, kRefused, kRefused, kRefused, kTaken}));
  EXPECT_EQ(received(), 2u);
  EXPECT_EQ(Ask(clients[4].peer, "x"), "x");
  ASSERT_EQ(write(clients[1].peer.get(), "x", 1), 1);
  Settle();
  EXPECT_EQ(loop_->stale_events(), 0u);
}

// As if it had come from the own one of that service and address.
TEST_F(HandoverReceiverTest, AnOwnListenersOptionsHoldForItsConnections) {
  Start();
  const auto own = listeners_->AdmissionFor("echo://127.0.0.1:0?backlog=5");
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->handler, services_.FindStream("echo")->handler());
  EXPECT_EQ(own->settings,
            listeners_->AdmissionFor(std::string(kEchoUrl))->settings);
  EXPECT_NE(own->settings,
            listeners_->AdmissionFor(std::string(kLoginUrl))->settings);
  EXPECT_NE(own->limits_number,
            listeners_->AdmissionFor(std::string(kLoginUrl))->limits_number);
}

// One that this configuration does not have is served as its URL says.
TEST_F(HandoverReceiverTest, ARemovedListenersOptionsHoldForItsConnections) {
  Start();
  const std::string url = "echo://127.0.0.1:7?idle_timeout=9s";
  const auto removed = listeners_->AdmissionFor(url);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(listeners_->AdmissionFor(url)->settings, removed->settings);
  const Client client = Unix();
  Send(BatchOf(1, {}, url).Message(), {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  Advance(absl::Seconds(8));
  EXPECT_EQ(Ask(client.peer, ""), "");
  Advance(absl::Seconds(2));
  EXPECT_EQ(Ask(client.peer, ""), "") << "the sender has a copy";
  EXPECT_EQ(table_.counters().reaped_idle.value(), 1u);
  EXPECT_EQ(limits_->total(), 0);
}

TEST_F(HandoverReceiverTest, WhatHasNoConnectionsAdmitsNone) {
  services_.Datagram("echo", [](absl::string_view, DatagramPeer&) {});
  Start();
  EXPECT_FALSE(listeners_->AdmissionFor("echo+udp://127.0.0.1:0").ok());
  EXPECT_FALSE(listeners_->AdmissionFor("gopher://127.0.0.1:0").ok());
  EXPECT_FALSE(listeners_->AdmissionFor("").ok());
}

}  // namespace
}  // namespace baton
