// The engine against servers with known faults: each is counted once, by its
// kind, and by whether the connection was new.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "tools/loadgen/engine.h"
#include "tools/loadgen/fault_server.h"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;
using Scheme = LoadTarget::Scheme;
using Then = Reply::Then;
using Transport = LoadTarget::Transport;

constexpr absl::Duration kShort = absl::Milliseconds(200);

Report Load(LoadOptions options) {
  auto report = RunLoad(std::move(options));
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : Report();
}

// All errors are of this kind and age, so many; the rest went well.
void ExpectOnly(const Report& report, ErrorKind kind, Age age, int64_t errors,
                int64_t exchanges) {
  EXPECT_EQ(report.tally.errors(kind, age), errors);
  EXPECT_EQ(report.tally.total_errors(), errors) << report.tally.first_error;
  EXPECT_EQ(report.tally.exchanges, exchanges);
  EXPECT_EQ(report.latency.count(), exchanges);
  EXPECT_EQ(report.exit_code(), errors == 0 ? 0 : 1);
  EXPECT_FALSE(report.tally.first_error.empty());
}

TEST(EngineFaultTest, ResetOfEveryTenthNewConnection) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    if (message.connection % 10 == 9) return {"", Then::kReset};
    return Echo(message);
  }});
  const Report report = Load(
      {.target = server.target(), .connections = 5, .churn = 1, .count = 100});
  ExpectOnly(report, ErrorKind::kReset, Age::kNew, 10, 90);
}

TEST(EngineFaultTest, ResetOfReusedConnections) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    if (message.sequence == 4) return {"", Then::kReset};
    return Echo(message);
  }});
  const Report report = Load({.target = server.target(), .count = 100});
  ExpectOnly(report, ErrorKind::kReset, Age::kReused, 20, 80);
  EXPECT_EQ(report.tally.connections, 20);
}

TEST(EngineFaultTest, EndOfFileInsteadOfAnAnswer) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    if (message.connection % 4 == 3) return {"", Then::kClose};
    return Echo(message);
  }});
  ExpectOnly(Load({.target = server.target(), .churn = 1, .count = 40}),
             ErrorKind::kEof, Age::kNew, 10, 30);
}

TEST(EngineFaultTest, EndOfFileInMidAnswer) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    if (message.sequence == 1)
      return {message.bytes.substr(0, 32), Then::kClose};
    return Echo(message);
  }});
  ExpectOnly(Load({.target = server.target(), .count = 40}), ErrorKind::kEof,
             Age::kReused, 20, 20);
}

// The answer was right and then the server closed: what is lost is the
// connection, at a time when nothing was asked.
TEST(EngineFaultTest, EndOfFileBetweenExchanges) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    return {message.bytes, Then::kClose};
  }});
  const Report report = Load({.target = server.target(),
                              .duration = absl::Milliseconds(100),
                              .think = absl::Seconds(10)});
  EXPECT_GE(report.tally.errors(ErrorKind::kEof, Age::kReused), 1);
  EXPECT_EQ(report.tally.errors(ErrorKind::kEof, Age::kNew), 0);
}

TEST(EngineFaultTest, OneWrongByte) {
  FaultServer server({.answer = [](const Message& message) {
    Reply reply = Echo(message);
    if (message.total % 7 == 6) reply.bytes[63] ^= 0x01;
    return reply;
  }});
  const Report report = Load({.target = server.target(), .count = 70});
  EXPECT_EQ(report.tally.errors(ErrorKind::kMismatch), 10);
  ExpectOnly(report, ErrorKind::kMismatch, Age::kReused, 10, 60);
  EXPECT_THAT(report.tally.first_error,
              HasSubstr("connection 1, exchange 6: byte 63 is 0x"));
}

TEST(EngineFaultTest, OneByteTooMany) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    return {message.bytes + (message.connection % 2 == 1 ? "!" : "")};
  }});
  ExpectOnly(Load({.target = server.target(), .churn = 1, .count = 20}),
             ErrorKind::kMismatch, Age::kNew, 10, 10);
}

TEST(EngineFaultTest, TheAnswerToAnotherConnection) {
  std::string previous;
  FaultServer server({.answer = [&previous](const Message& message) -> Reply {
    const std::string older = std::exchange(previous, message.bytes);
    return {message.total == 5 ? older : message.bytes};
  }});
  const Report report =
      Load({.target = server.target(), .churn = 1, .count = 20});
  ExpectOnly(report, ErrorKind::kMismatch, Age::kNew, 1, 19);
}

TEST(EngineFaultTest, AStalledExchangeTimesOutAndTheOthersGoOn) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    if (message.connection == 1) return {};
    return Echo(message);
  }});
  const Report report = Load({.target = server.target(),
                              .connections = 3,
                              .duration = kShort,
                              .timeout = kShort});
  EXPECT_EQ(report.tally.errors(ErrorKind::kTimeout, Age::kNew), 1);
  EXPECT_EQ(report.tally.total_errors(), 1) << report.tally.first_error;
  EXPECT_GT(report.tally.exchanges, 2);
  EXPECT_GE(report.elapsed, kShort);
}

// Whatever happens, in whatever order: each exchange that began is counted
// once, as done or as one error.
TEST(EngineFaultTest, EveryExchangeIsCountedOnce) {
  for (const Transport transport : {Transport::kTcp, Transport::kUnix}) {
    FaultServer server(
        {.transport = transport, .answer = [](const Message& message) -> Reply {
           std::string bytes = message.bytes;
           switch (message.total * 7919 % 101) {
             case 0:
               return {"", Then::kReset};
             case 1:
               return {bytes.substr(0, 10), Then::kReset};
             case 2:
               return {"", Then::kClose};
             case 3:
               return {bytes.substr(0, 63), Then::kClose};
             case 4:
               bytes[0] ^= 1;
               return {bytes};
             case 5:
               return {};
             default:
               return {bytes};
           }
         }});
    const Report report = Load({.target = server.target(),
                                .connections = 20,
                                .churn = 7,
                                .count = 3000,
                                .timeout = absl::Milliseconds(100)});
    EXPECT_EQ(report.tally.exchanges + report.tally.total_errors(), 3000);
    EXPECT_EQ(report.tally.exchanges, report.latency.count());
    EXPECT_GE(report.tally.total_errors(), 150);
    EXPECT_GE(report.tally.errors(ErrorKind::kTimeout), 20);
  }
}

TEST(EngineFaultTest, LostDatagramsTimeOut) {
  FaultServer server({.transport = Transport::kUdp,
                      .answer = [](const Message& message) -> Reply {
                        if (message.total == 3) return {};
                        return Echo(message);
                      }});
  ExpectOnly(Load({.target = server.target(), .count = 10, .timeout = kShort}),
             ErrorKind::kTimeout, Age::kReused, 1, 9);
}

TEST(EngineFaultTest, ATruncatedDatagramIsNotTheWholeAnswer) {
  FaultServer server({.transport = Transport::kUdp,
                      .answer = [](const Message& message) -> Reply {
                        return {message.bytes.substr(0, 63)};
                      }});
  ExpectOnly(Load({.target = server.target(), .count = 2, .timeout = kShort}),
             ErrorKind::kTimeout, Age::kNew, 2, 0);
}

TEST(EngineFaultTest, WhatIsNeverSentAtARateIsCounted) {
  FaultServer server({.answer = [](const Message&) { return Reply{}; }});
  const Report report = Load(
      {.target = server.target(), .rate = 100, .count = 50, .timeout = kShort});
  EXPECT_EQ(report.tally.exchanges, 0);
  EXPECT_GE(report.tally.errors(ErrorKind::kTimeout), 1);
  EXPECT_GE(report.tally.errors(ErrorKind::kUnsent), 40);
  EXPECT_EQ(report.tally.total_errors(), 50);
}

// Every third is closed by the server while it is held.
TEST(EngineFaultTest, ConnectionsLostWhileIdle) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    return {message.bytes,
            message.connection % 3 == 2 ? Then::kClose : Then::kKeep};
  }});
  const Report report = Load({.target = server.target(),
                              .connections = 30,
                              .duration = absl::Milliseconds(100),
                              .idle = true});
  ExpectOnly(report, ErrorKind::kEof, Age::kReused, 10, 50);
  EXPECT_EQ(report.held, 30);
  EXPECT_EQ(report.alive, 20);
}

TEST(EngineFaultTest, DiscardThatDoesNotReadToTheEnd) {
  FaultServer server(
      {.scheme = Scheme::kDiscard,
       .answer = [](const Message&) -> Reply { return {"", Then::kReset}; }});
  const Report report =
      Load({.target = server.target(), .churn = 1, .count = 10});
  // The exchange is over when it is sent; the loss shows at the end.
  ExpectOnly(report, ErrorKind::kReset, Age::kReused, 10, 10);
}

TEST(EngineFaultTest, DiscardThatAnswers) {
  FaultServer server({.scheme = Scheme::kDiscard,
                      .answer = [](const Message&) -> Reply { return {"x"}; }});
  ExpectOnly(Load({.target = server.target(), .churn = 1, .count = 10}),
             ErrorKind::kMismatch, Age::kReused, 10, 10);
}

TEST(EngineFaultTest, UrgentByteThatDoesNotComeBack) {
  FaultServer server({.urgent = FaultServerOptions::Urgent::kDrop});
  ExpectOnly(Load({.target = server.target(),
                   .count = 2,
                   .timeout = kShort,
                   .urgent = true}),
             ErrorKind::kTimeout, Age::kNew, 2, 0);
}

TEST(EngineFaultTest, UrgentByteThatChanged) {
  FaultServer server({.urgent = FaultServerOptions::Urgent::kChange});
  const Report report =
      Load({.target = server.target(), .count = 5, .urgent = true});
  ExpectOnly(report, ErrorKind::kMismatch, Age::kNew, 5, 0);
  EXPECT_THAT(report.tally.first_error, HasSubstr("urgent byte"));
}

TEST(EngineFaultTest, HttpStatusIsAnErrorOfTheExchangeOnly) {
  FaultServer server({.scheme = Scheme::kHttp,
                      .message_bytes = 0,
                      .answer = [](const Message& message) -> Reply {
                        if (message.total % 5 == 4) {
                          return {
                              "HTTP/1.1 500 No\r\n"
                              "Content-Length: 0\r\n\r\n"};
                        }
                        return {"HTTP/1.1 204 No Content\r\n\r\n"};
                      }});
  const Report report = Load({.target = server.target(), .count = 50});
  ExpectOnly(report, ErrorKind::kStatus, Age::kReused, 10, 40);
  EXPECT_EQ(report.tally.connections, 1);
  EXPECT_THAT(report.tally.first_error, HasSubstr("status 500"));
}

TEST(EngineFaultTest, HttpToldToCloseIsCountedAndIsNoError) {
  FaultServer server({.scheme = Scheme::kHttp,
                      .message_bytes = 0,
                      .answer = [](const Message& message) -> Reply {
                        if (message.sequence < 4) {
                          return {"HTTP/1.1 204 No Content\r\n\r\n"};
                        }
                        return {
                            "HTTP/1.1 204 No Content\r\n"
                            "Connection: close\r\n\r\n",
                            Then::kClose};
                      }});
  const Report report = Load({.target = server.target(), .count = 50});
  EXPECT_EQ(report.tally.told_to_close, 10);
  EXPECT_EQ(report.tally.exchanges, 50);
  EXPECT_EQ(report.exit_code(), 0) << report.tally.first_error;
}

TEST(EngineFaultTest, HttpMalformedAnswer) {
  FaultServer server({.scheme = Scheme::kHttp,
                      .message_bytes = 0,
                      .answer = [](const Message&) -> Reply {
                        return {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"};
                      }});
  ExpectOnly(Load({.target = server.target(), .count = 3}),
             ErrorKind::kMismatch, Age::kNew, 3, 0);
}

// A socket that is bound and does not listen: nobody else can get its port.
TEST(EngineFaultTest, ConnectRefused) {
  const UniqueFd bound(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  LoadTarget target;
  target.endpoint = *Endpoint::Parse("127.0.0.1:0");
  ASSERT_EQ(
      ::bind(bound.get(), target.endpoint.sockaddr(), target.endpoint.length()),
      0);
  target.endpoint = *Endpoint::LocalOf(bound.get());
  const Report report = Load({.target = target, .connections = 3, .count = 10});
  ExpectOnly(report, ErrorKind::kConnectRefused, Age::kNew, 10, 0);
  EXPECT_EQ(report.tally.connections, 0);
  EXPECT_THAT(report.tally.first_error, HasSubstr("ECONNREFUSED"));
}

// A datagram socket that is connected elsewhere takes nothing from us, and the
// port is answered for as if it were closed: udp(7).
TEST(EngineFaultTest, DatagramsRefused) {
  const UniqueFd bound(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  LoadTarget target;
  target.transport = Transport::kUdp;
  target.endpoint = *Endpoint::Parse("127.0.0.1:0");
  ASSERT_EQ(
      ::bind(bound.get(), target.endpoint.sockaddr(), target.endpoint.length()),
      0);
  target.endpoint = *Endpoint::LocalOf(bound.get());
  ASSERT_EQ(::connect(bound.get(), target.endpoint.sockaddr(),
                      target.endpoint.length()),
            0);
  ExpectOnly(Load({.target = target, .count = 3}), ErrorKind::kConnectRefused,
             Age::kNew, 3, 0);
}

TEST(EngineFaultTest, ConnectFailedForAnyOtherReason) {
  LoadTarget target;
  target.transport = Transport::kUnix;
  target.endpoint = *Endpoint::Parse("/nonexistent/socket");
  ExpectOnly(Load({.target = target, .count = 3}), ErrorKind::kConnectFailed,
             Age::kNew, 3, 0);
}

// A listener that accepts nothing, its queue full: further handshakes are not
// answered.
TEST(EngineFaultTest, ConnectTimeout) {
  for (const Transport transport : {Transport::kTcp, Transport::kUnix}) {
    std::string directory = "/tmp/engine_fault_test.XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    const std::string path = directory + "/socket";
    LoadTarget target;
    target.transport = transport;
    target.endpoint =
        *Endpoint::Parse(transport == Transport::kTcp ? "127.0.0.1:0" : path);
    const int family = target.endpoint.family();
    const UniqueFd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener.get(), target.endpoint.sockaddr(),
                     target.endpoint.length()),
              0);
    ASSERT_EQ(::listen(listener.get(), 0), 0);
    target.endpoint = *Endpoint::LocalOf(listener.get());
    std::vector<UniqueFd> queued;
    for (int i = 0; i < 3; ++i) {
      queued.emplace_back(
          ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      (void)::connect(queued.back().get(), target.endpoint.sockaddr(),
                      target.endpoint.length());
    }
    const Report report = Load(
        {.target = target, .connections = 2, .count = 4, .timeout = kShort});
    ExpectOnly(report, ErrorKind::kConnectTimeout, Age::kNew, 4, 0);
    EXPECT_GE(report.elapsed, kShort);  // the second two
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
  }
}

TEST(EngineFaultTest, RefusesMoreConnectionsThanThereAreDescriptors) {
  rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max >= 2'000'000'000) GTEST_SKIP() << "no limit to exceed";
  FaultServer server({});
  const auto report =
      RunLoad({.target = server.target(),
               .connections = static_cast<int>(limit.rlim_max)});
  EXPECT_TRUE(absl::IsResourceExhausted(report.status())) << report.status();
  EXPECT_THAT(std::string(report.status().message()),
              HasSubstr(absl::StrCat(limit.rlim_max)));
}

}  // namespace
}  // namespace baton::loadgen
