// What another binary makes of State(). Here it is another object, with copies
// of the descriptors.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exception>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/listener_slots.h"
#include "net/endpoint.h"
#include "net/listen_url.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

constexpr char kTcp[] = "echo://127.0.0.1:0";

bool Exists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

UniqueFd Connect(const Endpoint& endpoint) {
  UniqueFd fd(socket(endpoint.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), endpoint.sockaddr(), endpoint.length()) != 0) fd = {};
  return fd;
}

int AcceptAll(int listener) {
  int count = 0;
  while (UniqueFd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC))) ++count;
  return count;
}

// The descriptors of a state, by number.
std::vector<int> SocketsIn(const json& state) {
  std::vector<int> fds;
  for (const json& group : state.at("groups")) {
    for (const json& fd : group.at("sockets")) fds.push_back(fd.get<int>());
  }
  return fds;
}

// As an exec leaves it: copies that do not close on exec.
json WithCopies(json state) {
  for (json& group : state.at("groups")) {
    for (json& fd : group.at("sockets")) fd = dup(fd.get<int>());
  }
  return state;
}

class ListenerSlotsStateTest : public testing::Test {
 protected:
  ListenerSlotsStateTest() {
    folder_ = "/tmp/baton.XXXXXX";  // short enough for sun_path
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/socket";
  }
  ~ListenerSlotsStateTest() override {
    after_.CloseAll();
    before_.CloseAll();
    unlink(path_.c_str());
    EXPECT_EQ(rmdir(folder_.c_str()), 0);
  }

  static absl::Status Load(ListenerSlots& slots, Generation generation,
                           const std::vector<std::string>& texts, int count) {
    std::vector<ListenUrl> urls;
    for (const std::string& text : texts) {
      urls.push_back(ParseListenUrl(text).value());
    }
    return slots.Load(generation, urls, count, ListenFlags());
  }
  std::string Unix() const { return "echo+unix://" + path_; }

  // TCP, UDP and unix in two generations; two of port 0; two that a reload has
  // removed, one of them unix; and a steered slot.
  void OpenMany() {
    const std::string gone = folder_ + "/gone";
    ASSERT_TRUE(
        Load(before_, 1,
             {kTcp, "discard://127.0.0.1:0?backlog=9", "echo+unix://" + gone},
             2)
            .ok());
    ASSERT_TRUE(Load(before_, 2, {kTcp, Unix()}, 2).ok());
    ASSERT_TRUE(before_.Commit(2, ListenFlags()).ok());
    ASSERT_EQ(before_.TakeRemoved().size(), 2u);
    ASSERT_TRUE(Load(before_, 3,
                     {kTcp, Unix(), kTcp, "echo+udp://[::1]:0?dual=0",
                      "www://127.0.0.1:0?root=%2Fa%26b&idle_timeout=5s"},
                     2)
                    .ok());
    ASSERT_TRUE(before_.OpenSlots(3, ListenFlags()).ok());
  }
  json StateOf(const ListenerSlots& slots) {
    std::vector<int> fds;
    json state = slots.State(fds);
    EXPECT_THAT(SocketsIn(state), UnorderedElementsAreArray(fds));
    return state;
  }
  // Returns what was taken over.
  json TakeOver() {
    json state = WithCopies(StateOf(before_));
    const absl::Status status = after_.TakeOver(state);
    EXPECT_TRUE(status.ok()) << status;
    return state;
  }

  std::string folder_;
  std::string path_;
  ListenerSlots before_;
  ListenerSlots after_;
};

TEST_F(ListenerSlotsStateTest, TheNextOneHasAllOfIt) {
  OpenMany();
  const json state = TakeOver();
  EXPECT_EQ(StateOf(after_), state);
  EXPECT_EQ(state.at("groups").size(), 7u);
  EXPECT_EQ(state.at("removed").size(), 2u);
  for (const Generation generation : {2, 3}) {
    const auto before = before_.Urls(generation),
               after = after_.Urls(generation);
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].ToString(), before[i].ToString());
      EXPECT_EQ(after[i].text, before[i].text);
      EXPECT_EQ(after[i].endpoint, before[i].endpoint);
      EXPECT_EQ(after[i].options, before[i].options);
    }
  }
  for (const int fd : SocketsIn(state)) {
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << "closes on exec again";
  }
}

TEST_F(ListenerSlotsStateTest, AnAddressThatWasANameKeepsWhereItWas) {
  ListenUrl url = ParseListenUrl("echo://localhost:0").value();
  ASSERT_TRUE(Resolve(url).ok());
  ASSERT_TRUE(before_.Load(1, {url}, 1, ListenFlags()).ok());
  TakeOver();
  EXPECT_EQ(after_.Urls(1)[0].endpoint, before_.Urls(1)[0].endpoint);
  EXPECT_NE(after_.Urls(1)[0].endpoint.port(), 0);
  // And it is found again by the same line.
  ASSERT_TRUE(after_.Load(2, {url}, 1, ListenFlags()).ok());
  EXPECT_EQ(after_.ForSlot(2, 0)[0].fd, after_.ForSlot(1, 0)[0].fd);
}

TEST_F(ListenerSlotsStateTest, ClientsInTheQueuesStayAndNewOnesCome) {
  ASSERT_TRUE(Load(before_, 1, {kTcp, Unix()}, 1).ok());
  const Endpoint tcp = before_.Urls(1)[0].endpoint;
  const UniqueFd waiting = Connect(tcp);
  ASSERT_TRUE(waiting);
  TakeOver();
  const UniqueFd next = Connect(tcp);
  EXPECT_EQ(AcceptAll(after_.ForSlot(1, 0)[0].fd), 2);
  after_.CloseAll();
  EXPECT_FALSE(Connect(tcp));
}

TEST_F(ListenerSlotsStateTest, TheSamePortZeroIsTheSamePort) {
  ASSERT_TRUE(Load(before_, 1, {kTcp, kTcp, "www://127.0.0.1:0"}, 2).ok());
  TakeOver();
  ASSERT_TRUE(Load(after_, 2, {kTcp, kTcp, "www://127.0.0.1:0"}, 2).ok());
  for (int slot = 0; slot < 2; ++slot) {
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(after_.ForSlot(2, slot)[i].fd, after_.ForSlot(1, slot)[i].fd);
    }
  }
  EXPECT_TRUE(after_.NewUrls(2).empty());
}

TEST_F(ListenerSlotsStateTest, ReloadsGoOnWithIt) {
  OpenMany();
  TakeOver();
  // What only generation 3 has goes, the rest stays.
  after_.Drop(3);
  const std::vector<SocketsId> removed = after_.TakeRemoved();
  EXPECT_EQ(removed.size(), 3u);
  const auto known = StateOf(before_).at("removed");
  std::set<SocketsId> ids(removed.begin(), removed.end());
  for (const json& one : known) ids.insert(one.at("id").get<SocketsId>());
  EXPECT_EQ(ids.size(), 5u) << "each under a number of its own";
  for (const SocketsId id : ids) {
    ASSERT_TRUE(after_.Removed(id).has_value()) << id;
    after_.CloseRemoved(id);
    EXPECT_FALSE(after_.Removed(id).has_value()) << id;
  }
  EXPECT_TRUE(Exists(path_)) << "generation 2 has it";
  EXPECT_EQ(after_.Urls(2).size(), 2u);
  // One that had been removed before would have been taken up.
  ASSERT_TRUE(
      Load(after_, 4, {kTcp, "discard://127.0.0.1:0?backlog=9"}, 3).ok());
  ASSERT_TRUE(after_.Commit(4, ListenFlags()).ok());
  after_.CloseRemoved(after_.TakeRemoved().at(0));
  EXPECT_FALSE(Exists(path_));
}

TEST_F(ListenerSlotsStateTest, WhatAReloadHadRemovedIsTakenUpAgain) {
  ASSERT_TRUE(Load(before_, 1, {kTcp, "discard://127.0.0.1:0"}, 1).ok());
  const Endpoint removed = before_.Urls(1)[1].endpoint;
  ASSERT_TRUE(Load(before_, 2, {kTcp}, 1).ok());
  ASSERT_TRUE(before_.Commit(2, ListenFlags()).ok());
  const SocketsId id = before_.TakeRemoved().at(0);
  const UniqueFd waiting = Connect(removed);
  TakeOver();
  EXPECT_EQ(after_.Removed(id)->url.endpoint, removed);
  ASSERT_TRUE(Load(after_, 3, {kTcp, "discard://127.0.0.1:0"}, 1).ok());
  EXPECT_FALSE(after_.Removed(id).has_value());
  EXPECT_EQ(after_.Urls(3)[1].endpoint, removed);
  EXPECT_EQ(AcceptAll(after_.ForSlot(3, 0)[1].fd), 1);
}

TEST_F(ListenerSlotsStateTest, SteeringGoesOnAndTheLastSlotCloses) {
  ASSERT_TRUE(Load(before_, 1, {kTcp}, 2).ok());
  ASSERT_TRUE(before_.Steer(1).ok());
  const json state = TakeOver();
  EXPECT_EQ(state.at("groups")[0].at("steered"), true);
  const Endpoint endpoint = after_.Urls(1)[0].endpoint;
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(Connect(endpoint));
  EXPECT_EQ(AcceptAll(after_.ForSlot(1, 1)[0].fd), 0);
  // The copy that this test has must not hold its place.
  before_.CloseSlot(1);
  after_.CloseSlot(1);
  for (int i = 0; i < 40; ++i) clients.push_back(Connect(endpoint));
  EXPECT_EQ(AcceptAll(after_.ForSlot(1, 0)[0].fd), 80);
  ASSERT_TRUE(after_.Steer(1).ok());
  EXPECT_EQ(StateOf(after_).at("groups")[0].at("steered"), false);
}

TEST_F(ListenerSlotsStateTest, TheUnixPathGoesAtTheEndIfItIsStillItsOwn) {
  ASSERT_TRUE(Load(before_, 1, {Unix()}, 1).ok());
  TakeOver();
  after_.CloseAll();
  EXPECT_FALSE(Exists(path_));
}

TEST_F(ListenerSlotsStateTest, AUnixPathThatIsAnothersStays) {
  ASSERT_TRUE(Load(before_, 1, {Unix()}, 1).ok());
  TakeOver();
  std::ofstream(path_ + ".next") << "not a socket";
  ASSERT_EQ(rename((path_ + ".next").c_str(), path_.c_str()), 0);
  after_.CloseAll();
  EXPECT_TRUE(Exists(path_));
}

// Whatever is wrong with it: an error, or an exception of the library, and
// nothing is closed, since the binary before goes on with it.
class Malformed : public ListenerSlotsStateTest {
 protected:
  Malformed() { OpenMany(); }

  // True if it was refused.
  bool Refuses(const json& state, const std::vector<int>& copies) {
    ListenerSlots slots;
    try {
      if (slots.TakeOver(state).ok()) return false;
    } catch (const json::exception&) {  // as good as an error
    }
    for (const int fd : copies) {
      EXPECT_TRUE(IsOpen(fd)) << fd << " of " << state;
    }
    return true;
  }
};

TEST_F(Malformed, ValuesOfAnyTypeAnywhere) {
  const json replacements[] = {nullptr,        "x",        -1, json::array(),
                               json::object(), {{"fd", 1}}};
  const json good = StateOf(before_);
  const json values = good.flatten();
  int refused = 0;
  for (const auto& [where, value] : values.items()) {
    for (const json& other : replacements) {
      json state = WithCopies(good);
      const std::vector<int> copies = SocketsIn(state);
      state[json::json_pointer(where)] = other;
      refused += Refuses(state, copies) ? 1 : 0;
      for (const int fd : copies) close(fd);
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_F(Malformed, WhatIsMissing) {
  const json good = WithCopies(StateOf(before_));
  const std::vector<int> copies = SocketsIn(good);
  for (const char* name : {"groups", "uses", "removed"}) {
    json state = good;
    state.erase(name);
    EXPECT_TRUE(Refuses(state, copies)) << name;
  }
  for (const char* name : {"url", "sockets", "key"}) {
    json state = good;
    state["groups"].back().erase(name);
    EXPECT_TRUE(Refuses(state, copies)) << name;
  }
  for (const int fd : copies) close(fd);
}

TEST_F(Malformed, DescriptorsAndGroupsThatAreNotThereOrTwice) {
  const json good = WithCopies(StateOf(before_));
  const std::vector<int> copies = SocketsIn(good);
  const std::string last = absl::StrCat("/groups/", good["groups"].size() - 1);
  const std::pair<std::string, json> changes[] = {
      {last + "/sockets/0", 1000000},
      {last + "/sockets/0", copies[0]},
      {last + "/key", good["groups"][0]["key"]},
      {"/uses/1/listeners/0/group", 7},
      {"/removed/1/group", 7},
      {"/uses/1/listeners/0/url/url", "echo://"},
      {"/uses/1/listeners/0/url/endpoint", "1.2.3.4"}};
  for (const auto& [where, value] : changes) {
    json state = good;
    state[json::json_pointer(where)] = value;
    EXPECT_TRUE(Refuses(state, copies)) << where << " = " << value;
  }
  for (const int fd : copies) close(fd);
}

}  // namespace
}  // namespace baton
