#include "master/listener_slots.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;

ListenUrl Url(absl::string_view text) {
  absl::StatusOr<ListenUrl> url = ParseListenUrl(text);
  EXPECT_TRUE(url.ok()) << url.status();
  return *std::move(url);
}

// In a folder of its own, with a name that is short enough for sun_path.
std::string SocketPath() {
  std::string folder = "/tmp/baton.XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder + "/socket";
}

void RemoveFolderOf(const std::string& path) {
  unlink(path.c_str());
  EXPECT_EQ(rmdir(path.substr(0, path.rfind('/')).c_str()), 0);
}

bool Exists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

// Connected, or empty with errno set.
UniqueFd Connect(const Endpoint& endpoint) {
  UniqueFd fd(socket(endpoint.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(fd);
  if (connect(fd.get(), endpoint.sockaddr(), endpoint.length()) != 0) {
    return UniqueFd();
  }
  return fd;
}

UniqueFd Accept(int listener) {
  return UniqueFd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

// Accepts what is queued in any of these.
int AcceptAll(const std::vector<ListenerSlots::Listener>& listeners) {
  int count = 0;
  for (const auto& listener : listeners) {
    while (Accept(listener.fd)) ++count;
  }
  return count;
}

class ListenerSlotsTest : public testing::Test {
 protected:
  absl::Status Load(Generation generation,
                    const std::vector<std::string>& texts, int slots) {
    std::vector<ListenUrl> urls;
    for (const std::string& text : texts) urls.push_back(Url(text));
    return slots_.Load(generation, urls, slots, ListenFlags());
  }
  // The one listener that this removes.
  SocketsId CommitAndRemove(Generation generation) {
    EXPECT_TRUE(slots_.Commit(generation, ListenFlags()).ok());
    const std::vector<SocketsId> removed = slots_.TakeRemoved();
    EXPECT_EQ(removed.size(), 1u);
    return removed.at(0);
  }
  Endpoint EndpointOf(Generation generation, size_t index) {
    return slots_.Urls(generation)[index].endpoint;
  }
  int FdOf(Generation generation, int slot, size_t index = 0) {
    return slots_.ForSlot(generation, slot)[index].fd;
  }

  ListenerSlots slots_;
};

TEST_F(ListenerSlotsTest, EachSlotHasASocketOfItsOwnOnOnePort) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 3).ok());
  const Endpoint endpoint = EndpointOf(1, 0);
  EXPECT_NE(endpoint.port(), 0);
  EXPECT_EQ(slots_.Urls(1)[0].address, endpoint.ToString());
  EXPECT_EQ(slots_.Urls(1)[0].text, "echo://127.0.0.1:0");
  std::set<int> fds;
  for (int slot = 0; slot < 3; ++slot) {
    fds.insert(FdOf(1, slot));
    EXPECT_EQ(*Endpoint::LocalOf(FdOf(1, slot)), endpoint);
  }
  EXPECT_EQ(fds.size(), 3u);
  // The kernel spreads clients over all of them.
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 60; ++i) clients.push_back(Connect(endpoint));
  int accepted = 0;
  for (int slot = 0; slot < 3; ++slot) {
    const int here = AcceptAll(slots_.ForSlot(1, slot));
    EXPECT_GT(here, 0) << "slot " << slot;
    accepted += here;
  }
  EXPECT_EQ(accepted, 60);
}

TEST_F(ListenerSlotsTest, AUnixAddressHasOneSocketForAllAndGoesWithIt) {
  const std::string path = SocketPath();
  ASSERT_TRUE(Load(1, {"echo+unix://" + path}, 3).ok());
  EXPECT_EQ(FdOf(1, 0), FdOf(1, 2));
  UniqueFd client = Connect(EndpointOf(1, 0));
  EXPECT_TRUE(client);
  slots_.CloseAll();
  EXPECT_FALSE(Exists(path));
  RemoveFolderOf(path);
}

TEST_F(ListenerSlotsTest, APathThatIsNotOursAnyMoreStays) {
  const std::string path = SocketPath();
  ASSERT_TRUE(Load(1, {"echo+unix://" + path}, 1).ok());
  ASSERT_EQ(unlink(path.c_str()), 0);
  const ListenUrl url = Url("echo+unix://" + path);
  const auto other = OpenListener(url, ListenFlags());
  ASSERT_TRUE(other.ok()) << other.status();
  slots_.CloseAll();
  EXPECT_TRUE(Exists(path));
  RemoveFolderOf(path);
}

TEST_F(ListenerSlotsTest, UdpHasASocketPerSlotToo) {
  ASSERT_TRUE(Load(1, {"echo+udp://127.0.0.1:0"}, 2).ok());
  EXPECT_NE(FdOf(1, 0), FdOf(1, 1));
  EXPECT_EQ(*Endpoint::LocalOf(FdOf(1, 0)), *Endpoint::LocalOf(FdOf(1, 1)));
}

TEST_F(ListenerSlotsTest, APortThatAnotherOneSharesIsInUse) {
  // Another server, with SO_REUSEPORT as well.
  ListenFlags flags;
  flags.reuseport = true;
  const auto other = OpenListener(Url("echo://127.0.0.1:0"), flags);
  ASSERT_TRUE(other.ok());
  const std::string address = Endpoint::LocalOf(other->get())->ToString();
  const absl::Status status = Load(1, {"echo://" + address}, 2);
  EXPECT_EQ(status.message(),
            absl::StrCat("\"echo://", address, "\": bind ", address,
                         ": Address already in use "
                         "(EADDRINUSE)"));
}

TEST_F(ListenerSlotsTest, AnAddressThatStaysKeepsItsQueue) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  const Endpoint endpoint = EndpointOf(1, 0);
  UniqueFd waiting = Connect(endpoint);
  ASSERT_TRUE(waiting);
  // Written with its port this time, which is another address to us, and with
  // port 0 again, which is the same.
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0?backlog=7"}, 1).ok());
  EXPECT_EQ(EndpointOf(2, 0), endpoint);
  EXPECT_EQ(FdOf(2, 0), FdOf(1, 0));
  ASSERT_TRUE(slots_.Commit(2, ListenFlags()).ok());
  EXPECT_TRUE(Accept(FdOf(2, 0)));
}

TEST_F(ListenerSlotsTest, PortsZeroAreToldApartBySchemeAndOrder) {
  ASSERT_TRUE(Load(1,
                   {"echo://127.0.0.1:0", "discard://127.0.0.1:0",
                    "echo://127.0.0.1:0?backlog=9"},
                   1)
                  .ok());
  const Endpoint first = EndpointOf(1, 0), discard = EndpointOf(1, 1),
                 second = EndpointOf(1, 2);
  EXPECT_NE(first, discard);
  EXPECT_NE(first, second);
  ASSERT_TRUE(Load(2, {"discard://127.0.0.1:0", "echo://127.0.0.1:0"}, 1).ok());
  EXPECT_EQ(EndpointOf(2, 0), discard);
  EXPECT_EQ(EndpointOf(2, 1), first);
}

TEST_F(ListenerSlotsTest, CommitRemovesWhatTheNewConfigurationLacks) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0", "discard://127.0.0.1:0"}, 2).ok());
  const Endpoint stays = EndpointOf(1, 0), goes = EndpointOf(1, 1);
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0"}, 2).ok());
  EXPECT_TRUE(Connect(goes)) << "before the commit both are there";
  EXPECT_TRUE(slots_.TakeRemoved().empty());
  const SocketsId removed = CommitAndRemove(2);
  EXPECT_TRUE(slots_.TakeRemoved().empty());
  const auto listener = slots_.Removed(removed).value();
  EXPECT_EQ(listener.url.endpoint, goes);
  EXPECT_EQ(listener.fds.size(), 2u);
  EXPECT_FALSE(listener.in_the_way);
  EXPECT_TRUE(Connect(goes)) << "clients are on their way";
  slots_.CloseRemoved(removed);
  EXPECT_TRUE(Connect(stays));
  EXPECT_FALSE(Connect(goes));
  EXPECT_EQ(errno, ECONNREFUSED);
  EXPECT_FALSE(slots_.Removed(removed).has_value());
}

TEST_F(ListenerSlotsTest, WhatWasRemovedComesBackWithItsQueue) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0", "discard://127.0.0.1:0"}, 2).ok());
  const Endpoint address = EndpointOf(1, 1);
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0"}, 2).ok());
  const SocketsId first = CommitAndRemove(2);
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(Connect(address));
  // More slots meanwhile, which it does not take part in.
  ASSERT_TRUE(slots_.OpenSlots(3, ListenFlags()).ok());
  EXPECT_EQ(slots_.Removed(first)->fds.size(), 2u);
  ASSERT_TRUE(Load(3, {"echo://127.0.0.1:0", "discard://127.0.0.1:0"}, 3).ok());
  ASSERT_TRUE(slots_.Commit(3, ListenFlags()).ok());
  EXPECT_TRUE(slots_.TakeRemoved().empty());
  // Its adopter is told to stop, which concerns nobody else.
  slots_.CloseRemoved(first);
  EXPECT_EQ(EndpointOf(3, 1), address);
  EXPECT_EQ(AcceptAll({slots_.ForSlot(3, 0)[1], slots_.ForSlot(3, 1)[1]}), 20);
  EXPECT_TRUE(Connect(address));
}

TEST_F(ListenerSlotsTest, WhatIsRemovedTwiceLingersTwice) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0", "discard://127.0.0.1:0"}, 1).ok());
  const Endpoint address = EndpointOf(1, 1);
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0"}, 1).ok());
  const SocketsId first = CommitAndRemove(2);
  ASSERT_TRUE(Load(3, {"echo://127.0.0.1:0", "discard://127.0.0.1:0"}, 1).ok());
  slots_.Drop(3);
  const SocketsId second = slots_.TakeRemoved().at(0);
  EXPECT_NE(first, second);
  slots_.CloseRemoved(first);
  EXPECT_TRUE(Connect(address));
  slots_.CloseRemoved(second);
  EXPECT_FALSE(Connect(address));
}

TEST_F(ListenerSlotsTest, WhatIsRemovedIsAsTheLastConfigurationHadIt) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  const std::string address = EndpointOf(1, 0).ToString();
  ASSERT_TRUE(Load(2, {"discard://" + address + "?backlog=7"}, 1).ok());
  ASSERT_TRUE(slots_.Commit(2, ListenFlags()).ok());
  EXPECT_TRUE(slots_.TakeRemoved().empty())
      << "named by its port, it is the same one";
  ASSERT_TRUE(Load(3, {"echo://127.0.0.2:0"}, 1).ok());
  const SocketsId removed = CommitAndRemove(3);
  EXPECT_EQ(slots_.Removed(removed)->url.ToString(),
            "discard://" + address + "?backlog=7");
}

TEST_F(ListenerSlotsTest, OneThatTheKernelPrefersToItsSuccessorIsInTheWay) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  const std::string port = absl::StrCat(EndpointOf(1, 0).port());
  ASSERT_TRUE(Load(2, {"echo://0.0.0.0:" + port}, 1).ok());
  EXPECT_TRUE(slots_.Removed(CommitAndRemove(2))->in_the_way);
}

TEST_F(ListenerSlotsTest, ARemovedUnixListenerKeepsItsQueueAndNotItsPath) {
  const std::string path = SocketPath();
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0", "echo+unix://" + path}, 1).ok());
  const UniqueFd waiting = Connect(EndpointOf(1, 1));
  ASSERT_TRUE(waiting);
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0"}, 1).ok());
  const SocketsId removed = CommitAndRemove(2);
  EXPECT_FALSE(Exists(path));
  ASSERT_TRUE(Load(3, {"echo+unix://" + path}, 1).ok());
  EXPECT_TRUE(Accept(slots_.Removed(removed)->fds[0]));
  slots_.CloseRemoved(removed);
  EXPECT_TRUE(Exists(path)) << "it is another's by now";
  slots_.CloseAll();
  RemoveFolderOf(path);
}

TEST_F(ListenerSlotsTest, DropRemovesWhatOnlyTheNewConfigurationHad) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0", "discard://127.0.0.1:0"}, 1).ok());
  const Endpoint stays = EndpointOf(1, 0), goes = EndpointOf(2, 1);
  ASSERT_EQ(slots_.NewUrls(2).size(), 1u);
  EXPECT_EQ(slots_.NewUrls(2)[0].endpoint, goes);
  EXPECT_TRUE(Connect(goes));
  slots_.Drop(2);
  slots_.CloseRemoved(slots_.TakeRemoved().at(0));
  EXPECT_FALSE(Connect(goes));
  EXPECT_TRUE(Connect(stays));
}

TEST_F(ListenerSlotsTest, ALoadThatFailsLeavesEverythingAsItWas) {
  const std::string path = SocketPath();
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  const auto taken = OpenListener(Url("echo://127.0.0.1:0"), ListenFlags());
  ASSERT_TRUE(taken.ok());
  const std::string address = Endpoint::LocalOf(taken->get())->ToString();
  const absl::Status status = Load(
      2, {"echo://127.0.0.1:0", "echo+unix://" + path, "echo://" + address}, 4);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
  EXPECT_FALSE(Exists(path));
  RemoveFolderOf(path);
  EXPECT_EQ(slots_.ForSlot(1, 0).size(), 1u);
  // And the generation can be loaded after all.
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0"}, 4).ok());
  EXPECT_EQ(EndpointOf(2, 0), EndpointOf(1, 0));
}

TEST_F(ListenerSlotsTest, SlotsComeAndGoAtTheTail) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  ASSERT_TRUE(Load(2, {"echo://127.0.0.1:0"}, 3).ok());
  EXPECT_EQ(*Endpoint::LocalOf(FdOf(2, 2)), EndpointOf(1, 0));
  ASSERT_TRUE(slots_.Commit(2, ListenFlags()).ok());
  slots_.CloseSlot(2);
  slots_.CloseSlot(1);
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Connect(EndpointOf(2, 0)));
  EXPECT_EQ(AcceptAll(slots_.ForSlot(2, 0)), 20);
}

TEST_F(ListenerSlotsTest, SlotsThatComeGetNothingUntilTheyAreSteeredTo) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 1).ok());
  const Endpoint endpoint = EndpointOf(1, 0);
  ASSERT_TRUE(slots_.OpenSlots(2, ListenFlags()).ok());
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(Connect(endpoint));
  EXPECT_EQ(AcceptAll(slots_.ForSlot(1, 1)), 0);
  EXPECT_EQ(AcceptAll(slots_.ForSlot(1, 0)), 40);
  ASSERT_TRUE(slots_.Steer(2).ok());
  for (int i = 0; i < 60; ++i) clients.push_back(Connect(endpoint));
  EXPECT_GT(AcceptAll(slots_.ForSlot(1, 1)), 0);
  EXPECT_GT(AcceptAll(slots_.ForSlot(1, 0)), 0);
}

TEST_F(ListenerSlotsTest, ASlotThatIsLeftGetsNothingAndIsThenClosed) {
  ASSERT_TRUE(
      Load(1, {"echo://127.0.0.1:0", "echo+udp://127.0.0.1:0"}, 2).ok());
  const Endpoint endpoint = EndpointOf(1, 0);
  ASSERT_TRUE(slots_.Steer(1).ok());
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(Connect(endpoint));
  EXPECT_EQ(AcceptAll({slots_.ForSlot(1, 1)[0]}), 0);
  // A worker that hangs has a copy, which must not hold its place.
  const UniqueFd copy(dup(FdOf(1, 1)));
  slots_.CloseSlot(1);
  for (int i = 0; i < 40; ++i) clients.push_back(Connect(endpoint));
  EXPECT_EQ(AcceptAll({slots_.ForSlot(1, 0)[0]}), 80);
}

TEST_F(ListenerSlotsTest, WhatCanBeAdoptedHasItsNumberAmongTcpAndUdp) {
  const std::string path = SocketPath();
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0", "echo+unix://" + path}, 2).ok());
  ASSERT_TRUE(Load(2,
                   {"discard://127.0.0.1:0", "echo+unix://" + path,
                    "echo://127.0.0.1:0"},
                   1)
                  .ok());
  // Slot 1 of the new address has no socket, and the unix one is shared.
  const auto adoptable = slots_.ForAdoption(2, 1);
  ASSERT_EQ(adoptable.size(), 1u);
  EXPECT_EQ(adoptable[0].number, 1u);
  EXPECT_EQ(adoptable[0].fd, FdOf(1, 1));
  EXPECT_EQ(slots_.ForAdoption(2, 0).size(), 2u);
  slots_.CloseAll();
  RemoveFolderOf(path);
}

TEST_F(ListenerSlotsTest, CloseAllRefusesAtOnceThoughAWorkerHasACopy) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 2).ok());
  const Endpoint endpoint = EndpointOf(1, 0);
  const UniqueFd copy(dup(FdOf(1, 0)));
  slots_.CloseAll();
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(Connect(endpoint));
    EXPECT_EQ(errno, ECONNREFUSED);
  }
}

using ListenerSlotsDeathTest = ListenerSlotsTest;

TEST_F(ListenerSlotsDeathTest, ASlotInTheMiddleIsNeverClosed) {
  ASSERT_TRUE(Load(1, {"echo://127.0.0.1:0"}, 3).ok());
  EXPECT_DEATH(slots_.CloseSlot(1), "not the last");
}

}  // namespace
}  // namespace baton
