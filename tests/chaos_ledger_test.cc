// That what //tests:chaos would call a failure is one: nobody else tests that.

#include "tests/chaos_ledger.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "tests/chaos_script.h"
#include "tests/chaos_sockets.h"

namespace baton {
namespace {

constexpr ConnectionKey kKey{.client = 40'000, .server = 80};

class ChaosLedgerTest : public testing::Test {
 protected:
  ChaosLedger ledger_{"/nowhere"};
};

TEST_F(ChaosLedgerTest, ALossWithoutADeathIsAFailure) {
  ledger_.Lost(kKey, ledger_.now(), "somebody");
  EXPECT_TRUE(ledger_.failed());
  EXPECT_EQ(ledger_.unexplained(), 1);
}

TEST_F(ChaosLedgerTest, WhoeverHeldItExplainsIt) {
  const absl::Duration opened = ledger_.now();
  ledger_.NoteDeath(1, {{.client = 1, .server = 80}, kKey});
  ledger_.Lost(kKey, opened, "somebody");
  EXPECT_FALSE(ledger_.failed());
  EXPECT_EQ(ledger_.explained(), 1);
}

TEST_F(ChaosLedgerTest, TheDeathOfAnotherWorkerDoesNot) {
  const absl::Duration opened = ledger_.now();
  ledger_.NoteDeath(1, {{.client = 1, .server = 80}});
  ledger_.Lost(kKey, opened, "somebody");
  EXPECT_TRUE(ledger_.failed());
}

// Ports are used again.
TEST_F(ChaosLedgerTest, ADeathBeforeItWasOpenedDoesNot) {
  ledger_.NoteDeath(1, {kKey});
  ledger_.Lost(kKey, ledger_.now() + absl::Nanoseconds(1), "somebody");
  EXPECT_TRUE(ledger_.failed());
}

struct Connected {
  UniqueFd client, server;
};

Connected Connect() {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Endpoint any = *Endpoint::Parse("127.0.0.1:0");
  PCHECK(bind(listener.get(), any.sockaddr(), any.length()) == 0);
  PCHECK(listen(listener.get(), 1) == 0);
  const Endpoint server = *Endpoint::LocalOf(listener.get());
  UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  PCHECK(connect(client.get(), server.sockaddr(), server.length()) == 0);
  UniqueFd accepted(accept(listener.get(), nullptr, nullptr));
  return {std::move(client), std::move(accepted)};
}

TEST(KillFrozenTest, SaysWhatTheDeadProcessHeld) {
  Connected pair = Connect();
  const ConnectionKey key = KeyOfClientEnd(pair.client.get());
  EXPECT_EQ(KeyOfServerEnd(pair.server.get()), key);
  const pid_t child = fork();
  PCHECK(child >= 0);
  if (child == 0) {
    close(pair.client.get());
    while (true) pause();
  }
  pair.server.reset();
  std::vector<ConnectionKey> held;
  // It may not have closed the client's end yet.
  EXPECT_TRUE(KillFrozen(
      child, [&](const std::vector<ConnectionKey>& keys) { held = keys; }));
  EXPECT_NE(std::find(held.begin(), held.end(), key), held.end());
  char byte;
  EXPECT_EQ(recv(pair.client.get(), &byte, 1, 0), 0) << "nobody has it now";
  EXPECT_FALSE(KillFrozen(child, [](const std::vector<ConnectionKey>&) {}));
}

TEST(ChaosScriptTest, ASeedIsASequence) {
  ChaosScript one(7), same(7), other(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const ChaosStep step = one.Next(), again = same.Next();
    EXPECT_EQ(step.operation, again.operation);
    EXPECT_EQ(step.argument, again.argument);
    EXPECT_EQ(step.pause, again.pause);
    differs = differs || step.argument != other.Next().argument;
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace baton
