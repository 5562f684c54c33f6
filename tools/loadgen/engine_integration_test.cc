// The engine against servers that do nothing wrong.

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"
#include "tools/loadgen/engine.h"
#include "tools/loadgen/fault_server.h"

namespace baton::loadgen {
namespace {

using Scheme = LoadTarget::Scheme;
using Transport = LoadTarget::Transport;

Report Load(LoadOptions options) {
  auto report = RunLoad(std::move(options));
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : Report();
}

void ExpectAllRight(const Report& report, int64_t exchanges) {
  EXPECT_EQ(report.tally.exchanges, exchanges);
  EXPECT_EQ(report.tally.total_errors(), 0) << report.tally.first_error;
  EXPECT_EQ(report.latency.count(), exchanges);
  EXPECT_EQ(report.exit_code(), 0);
  EXPECT_FALSE(report.interrupted);
  EXPECT_EQ(report.abandoned, 0);
}

TEST(EngineIntegrationTest, ClosedLoopRunsTheCountOnTheseConnections) {
  FaultServer server({});
  const Report report =
      Load({.target = server.target(), .connections = 10, .count = 1000});
  ExpectAllRight(report, 1000);
  EXPECT_EQ(report.tally.connections, 10);
  EXPECT_EQ(server.accepted(), 10);
  EXPECT_EQ(report.connect.count(), 10);
  EXPECT_EQ(report.tally.bytes_sent, 64'000);
  EXPECT_EQ(report.tally.bytes_received, 64'000);
  EXPECT_GT(report.latency.ValueAt(0.5), 0);
  EXPECT_EQ(report.mode, "closed");
}

// All connections stand before the first exchange begins.
TEST(EngineIntegrationTest, AllConnectionsAreOpenedFirst) {
  FaultServer server({});
  const Report all = Load({.target = server.target(),
                           .connections = 100,
                           .count = 100,
                           .connecting = 3});
  ExpectAllRight(all, 100);
  EXPECT_EQ(all.tally.connections, 100);
  const Report few =
      Load({.target = server.target(), .connections = 100, .count = 30});
  ExpectAllRight(few, 30);
  EXPECT_EQ(few.tally.connections, 30);
}

TEST(EngineIntegrationTest, ADurationEndsIt) {
  FaultServer server({});
  const Report report = Load({.target = server.target(),
                              .connections = 2,
                              .duration = absl::Milliseconds(100)});
  ExpectAllRight(report, report.tally.exchanges);
  EXPECT_GT(report.tally.exchanges, 0);
  EXPECT_GE(report.elapsed, absl::Milliseconds(100));
}

// No message is that of another: the server sees as many different ones as
// there were exchanges.
TEST(EngineIntegrationTest, MessagesDifferByConnectionAndSequence) {
  std::set<std::string> seen;
  FaultServer server({.answer = [&seen](const Message& message) {
    seen.insert(message.bytes);
    return Echo(message);
  }});
  ExpectAllRight(Load({.target = server.target(),
                       .connections = 5,
                       .churn = 3,
                       .count = 60}),
                 60);
  EXPECT_EQ(seen.size(), 60u);
}

TEST(EngineIntegrationTest, ChurnReplacesAConnectionEverySoManyExchanges) {
  FaultServer server({});
  const Report report = Load(
      {.target = server.target(), .connections = 4, .churn = 5, .count = 200});
  ExpectAllRight(report, 200);
  EXPECT_GE(report.tally.connections, 40);
  EXPECT_LE(report.tally.connections, 44);  // 4 may have been cut short
  const Report each = Load(
      {.target = server.target(), .connections = 4, .churn = 1, .count = 200});
  ExpectAllRight(each, 200);
  EXPECT_EQ(each.tally.connections, 200);
}

TEST(EngineIntegrationTest, MessagesLargerThanAllBuffers) {
  constexpr int64_t kSize = 3'000'001;
  FaultServer server({.message_bytes = kSize});
  const Report report = Load(
      {.target = server.target(), .connections = 2, .size = kSize, .count = 6});
  ExpectAllRight(report, 6);
  EXPECT_EQ(report.tally.bytes_received, 6 * kSize);
}

TEST(EngineIntegrationTest, UnixSockets) {
  FaultServer server({.transport = Transport::kUnix});
  const Report report = Load(
      {.target = server.target(), .connections = 20, .churn = 2, .count = 400});
  ExpectAllRight(report, 400);
}

TEST(EngineIntegrationTest, Datagrams) {
  for (const size_t size : {size_t{1}, size_t{64}, size_t{60'000}}) {
    FaultServer server({.transport = Transport::kUdp, .message_bytes = size});
    ExpectAllRight(Load({.target = server.target(),
                         .connections = 3,
                         .size = static_cast<int64_t>(size),
                         .count = 100}),
                   100);
  }
}

// Each connection ends with the server's end of file, so all was read.
TEST(EngineIntegrationTest, DiscardIsReadToTheEnd) {
  for (const Transport transport : {Transport::kTcp, Transport::kUnix}) {
    int messages = 0;
    auto server = std::make_unique<FaultServer>(FaultServerOptions{
        .scheme = Scheme::kDiscard,
        .transport = transport,
        .answer = [&messages](const Message&) { return ++messages, Reply{}; }});
    const Report report = Load({.target = server->target(),
                                .connections = 4,
                                .churn = 10,
                                .count = 1000});
    ExpectAllRight(report, 1000);
    EXPECT_EQ(report.tally.bytes_received, 0);
    EXPECT_GT(report.latency.ValueAt(0.5), 0);
    server.reset();
    EXPECT_EQ(messages, 1000);
  }
}

TEST(EngineIntegrationTest, DiscardDatagrams) {
  FaultServer server({.scheme = Scheme::kDiscard,
                      .transport = Transport::kUdp,
                      .answer = [](const Message&) { return Reply{}; }});
  ExpectAllRight(
      Load({.target = server.target(), .connections = 2, .count = 100}), 100);
}

TEST(EngineIntegrationTest, UrgentBytesComeBackUrgentAndNoByteIsLost) {
  FaultServer server({.message_bytes = 1000});
  const Report report = Load({.target = server.target(),
                              .connections = 5,
                              .size = 1000,
                              .count = 500,
                              .urgent = true});
  ExpectAllRight(report, 500);
  EXPECT_EQ(report.tally.bytes_sent, 500 * 1001);
  EXPECT_EQ(report.tally.bytes_received, 500 * 1001);
}

TEST(EngineIntegrationTest, AnUrgentByteThatComesAloneIsNoticed) {
  FaultServer server({.urgent = FaultServerOptions::Urgent::kEchoLast});
  ExpectAllRight(Load({.target = server.target(), .count = 10, .urgent = true}),
                 10);
}

TEST(EngineIntegrationTest, ThinkingTakesTheTimeItSays) {
  FaultServer server({});
  const Report report = Load(
      {.target = server.target(), .count = 5, .think = absl::Milliseconds(20)});
  ExpectAllRight(report, 5);
  EXPECT_GE(report.elapsed, absl::Milliseconds(80));
  EXPECT_LT(report.latency.ValueAt(0.5), 20'000'000);
}

TEST(EngineIntegrationTest, ThinkingTakesItBetweenConnectionsToo) {
  FaultServer server({});
  const Report report = Load({.target = server.target(),
                              .churn = 1,
                              .count = 5,
                              .think = absl::Milliseconds(20)});
  ExpectAllRight(report, 5);
  EXPECT_GE(report.elapsed, absl::Milliseconds(80));
}

TEST(EngineIntegrationTest, ConstantRateKeepsToItsSchedule) {
  FaultServer server({});
  const Report report = Load({.target = server.target(),
                              .connections = 10,
                              .rate = 1000,
                              .duration = absl::Milliseconds(300)});
  ExpectAllRight(report, 300);
  EXPECT_EQ(report.mode, "rate");
  EXPECT_EQ(report.tally.connections, 10);
  EXPECT_EQ(report.lag.count(), 300);
  EXPECT_GE(report.elapsed, absl::Milliseconds(299));
}

TEST(EngineIntegrationTest, ConstantRateWithChurnAndSpin) {
  FaultServer server({});
  const Report report = Load({.target = server.target(),
                              .connections = 4,
                              .rate = 2000,
                              .churn = 2,
                              .count = 200,
                              .spin = true});
  ExpectAllRight(report, 200);
  EXPECT_GE(report.tally.connections, 100);
}

// Coordinated omission: a server that stops once for 200 ms has been slow for
// all exchanges that were due then, not only for the one that met it.
TEST(EngineIntegrationTest, AStopOfTheServerShowsInAllThatWasDueMeanwhile) {
  FaultServer server({.answer = [](const Message& message) {
    if (message.total == 100) {
      const UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
      itimerspec in = {};
      in.it_value.tv_nsec = 200'000'000;
      ::timerfd_settime(timer.get(), 0, &in, nullptr);
      uint64_t expirations = 0;
      EXPECT_EQ(::read(timer.get(), &expirations, sizeof(expirations)), 8);
    }
    return Echo(message);
  }});
  const Report report =
      Load({.target = server.target(), .rate = 1000, .count = 400});
  ExpectAllRight(report, 400);
  EXPECT_GE(report.latency.max(), 200'000'000);
  // Of 400 exchanges 100 were 100 ms late or more: the slowest quarter.
  EXPECT_GE(report.latency.ValueAt(0.77), 95'000'000);
  EXPECT_GE(report.lag.max(), 190'000'000);
}

TEST(EngineIntegrationTest, IdleHoldsAllAndFindsThemAlive) {
  FaultServer server({});
  const Report report = Load({.target = server.target(),
                              .connections = 300,
                              .duration = absl::Milliseconds(50),
                              .idle = true,
                              .connecting = 20});
  ExpectAllRight(report, 600);
  EXPECT_EQ(report.held, 300);
  EXPECT_EQ(report.alive, 300);
  EXPECT_EQ(report.tally.connections, 300);
  EXPECT_GE(report.elapsed, absl::Milliseconds(50));
  EXPECT_EQ(report.mode, "idle");
}

TEST(EngineIntegrationTest, HttpKeepsItsConnections) {
  FaultServer server({.scheme = Scheme::kHttp,
                      .message_bytes = 0,
                      .answer = [](const Message& message) {
                        EXPECT_TRUE(absl::StartsWith(message.bytes, "GET / "));
                        return Reply{
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
                      }});
  const Report report =
      Load({.target = server.target(), .connections = 3, .count = 300});
  ExpectAllRight(report, 300);
  EXPECT_EQ(report.tally.connections, 3);
  EXPECT_EQ(report.tally.told_to_close, 0);
}

// On the last exchange of a connection the client asks for the end: being told
// to close in answer is nothing to count.
TEST(EngineIntegrationTest, HttpChurnAsksToClose) {
  FaultServer server(
      {.scheme = Scheme::kHttp,
       .message_bytes = 0,
       .answer = [](const Message& message) -> Reply {
         const bool last =
             absl::StrContains(message.bytes, "\r\nConnection: c");
         EXPECT_EQ(last, message.sequence == 1);
         if (!last) return {"HTTP/1.1 204 No Content\r\n\r\n"};
         return {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
                 Reply::Then::kClose};
       }});
  const Report report = Load(
      {.target = server.target(), .connections = 3, .churn = 2, .count = 60});
  ExpectAllRight(report, 60);
  EXPECT_EQ(report.tally.told_to_close, 0);
}

TEST(EngineIntegrationTest, AStopDescriptorEndsItAtOnce) {
  const UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  FaultServer server({.answer = [&stop](const Message& message) {
    if (message.total < 20) return Echo(message);
    const uint64_t one = 1;
    EXPECT_EQ(::write(stop.get(), &one, sizeof(one)), 8);
    return Reply{};  // leaves it in the middle of an exchange
  }});
  for (const bool at_a_rate : {false, true}) {
    const Report report = Load({.target = server.target(),
                                .rate = at_a_rate ? 1000.0 : 0.0,
                                .timeout = absl::Hours(1),
                                .stop_fd = stop.get()});
    EXPECT_TRUE(report.interrupted);
    EXPECT_EQ(report.tally.total_errors(), 0) << report.tally.first_error;
    EXPECT_EQ(report.exit_code(), 0);
    if (!at_a_rate) {
      EXPECT_EQ(report.abandoned, 1);
      EXPECT_EQ(report.tally.exchanges, 20);
    }
  }
}

TEST(EngineIntegrationTest, ProgressTellsOfEachInterval) {
  FaultServer server({});
  const UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  int64_t in_interval = 0;
  const Report report = Load({.target = server.target(),
                              .connections = 2,
                              .think = absl::Milliseconds(1),
                              .stop_fd = stop.get(),
                              .progress = [&](const Progress& progress) {
                                EXPECT_GE(progress.elapsed, absl::Seconds(1));
                                EXPECT_EQ(progress.open_connections, 2);
                                EXPECT_EQ(progress.errors, 0);
                                in_interval = progress.latency->count();
                                const uint64_t one = 1;
                                EXPECT_EQ(::write(stop.get(), &one, 8), 8);
                              }});
  EXPECT_GT(in_interval, 0);
  // What was shown is not lost to the whole.
  EXPECT_GE(report.latency.count(), in_interval);
  EXPECT_EQ(report.latency.count(), report.tally.exchanges);
}

}  // namespace
}  // namespace baton::loadgen
