#include "master/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

using nlohmann::json;
using Role = Handoff::Role;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class HandoffTest : public testing::Test {
 protected:
  ~HandoffTest() override { unsetenv(kHandoffVariable); }

  // As the process finds it that was left this.
  absl::StatusOr<std::optional<Handoff>> Take(const std::string& text) {
    setenv(kHandoffVariable, text.c_str(), 1);
    environment_ = {"HOME=/", absl::StrCat(kHandoffVariable, "=", text),
                    absl::StrCat(kHandoffVariable, "S=other")};
    return TakeHandoff(environment_);
  }
  void ExpectTaken() {
    EXPECT_THAT(environment_, ElementsAre("HOME=/", "BATON_HANDOFFS=other"));
    EXPECT_EQ(getenv(kHandoffVariable), nullptr);
  }
  void ExpectRefused(const std::string& text) {
    const auto taken = Take(text);
    EXPECT_EQ(taken.status().code(), absl::StatusCode::kInvalidArgument)
        << text << ": " << taken.status();
    ExpectTaken();
  }

  std::vector<std::string> environment_;
};

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// The number of a descriptor that nobody else owns.
int FileOf(const std::string& bytes) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  EXPECT_EQ(write(fd, bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  return fd;
}

// All bytes, which no text is made of.
std::string AnyBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(255 - i));
  return bytes;
}

TEST_F(HandoffTest, TheNextOneFindsWhatItWasLeft) {
  const json document = {{"numbers", {1, -1, 18446744073709551615u, 0.5}},
                         {"nothing", nullptr}};
  for (const Role role : {Role::kCheck, Role::kCanary, Role::kMaster}) {
    for (const char* refusal : {"", "no: not this one"}) {
      absl::StatusOr<UniqueFd> file = WriteHandoff(document);
      ASSERT_TRUE(file.ok()) << file.status();
      const int fd = file->release();
      const auto taken = Take(HandoffText(role, fd, refusal));
      ASSERT_TRUE(taken.ok()) << taken.status();
      ASSERT_TRUE(taken->has_value());
      EXPECT_EQ((*taken)->role, role);
      EXPECT_EQ((*taken)->document, document);
      EXPECT_EQ((*taken)->refusal, refusal);
      EXPECT_FALSE(IsOpen(fd));
      ExpectTaken();
    }
  }
}

TEST_F(HandoffTest, NothingIsThereNormally) {
  std::vector<std::string> environment = {"HOME=/", "BATON_HANDOFFS=check:1"};
  const auto taken = TakeHandoff(environment);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_FALSE(taken->has_value());
  EXPECT_EQ(environment.size(), 2u);
}

TEST_F(HandoffTest, NobodyCanChangeItAndItClosesOnExec) {
  const auto file = WriteHandoff({{"version", 1}});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(pwrite(file->get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(file->get(), 0), -1);
  EXPECT_EQ(ftruncate(file->get(), 1 << 20), -1);
  EXPECT_EQ(fcntl(file->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
  EXPECT_NE(fcntl(file->get(), F_GETFD) & FD_CLOEXEC, 0);
}

// A flag file may be of any bytes, and so may a path on Linux.
TEST_F(HandoffTest, StringsMayHoldAnyBytes) {
  const json document = {{"flag_file", AnyBytes()}, {AnyBytes(), 1}};
  absl::StatusOr<UniqueFd> file = WriteHandoff(document);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto taken = Take(HandoffText(Role::kMaster, file->release()));
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ((*taken)->document.at("flag_file").get<std::string>(), AnyBytes());
  EXPECT_EQ((*taken)->document.at(AnyBytes()), 1);
}

TEST_F(HandoffTest, AVariableThatSomebodyElseHasSetIsRefused) {
  for (const char* text :
       {"", ":", "master", "master:", "master:x", "master:-1", "master:1000000",
        "master:99999999999", "Master:1", "server:1", "1:master", "check"}) {
    ExpectRefused(text);
  }
}

TEST_F(HandoffTest, AFileThatIsNoDocumentIsRefusedAndClosed) {
  const std::vector<uint8_t> whole = json::to_cbor({{"a", "bcd"}});
  const std::string good(whole.begin(), whole.end());
  for (const std::string& bytes :
       {std::string(), std::string("{\"a\":1}"), good + "x",
        good.substr(0, good.size() - 1), std::string("\x01"), AnyBytes(),
        "\xbb" + std::string(8, '\xfe'), "\x9b" + std::string(8, '\xfe')}) {
    const int fd = FileOf(bytes);
    ExpectRefused(absl::StrCat("check:", fd));
    EXPECT_FALSE(IsOpen(fd));
  }
  const int fd = FileOf(good);
  EXPECT_TRUE(Take(absl::StrCat("check:", fd)).ok());
}

TEST_F(HandoffTest, WhatCannotBeReadIsRefused) {
  ExpectRefused(
      absl::StrCat("check:", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd writer(ends[1]);
  ExpectRefused(absl::StrCat("check:", ends[0]));
  const int large = memfd_create("test", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(large, (off_t{1} << 30) + 1), 0);
  const auto taken = Take(absl::StrCat("check:", large));
  EXPECT_THAT(std::string(taken.status().message()), HasSubstr("too large"));
  EXPECT_FALSE(IsOpen(large));
}

TEST_F(HandoffTest, ABinaryCanTakeOverThatSaysSoOnALineOfItsOwn) {
  const std::string offer = HandoffOffer();
  const auto can = [](absl::string_view printed) {
    return CanTakeOver(FindOffers(printed));
  };
  EXPECT_TRUE(can(offer));
  EXPECT_TRUE(can(offer + "\n"));
  // One that reads older ones, too.
  EXPECT_TRUE(can("handoff: versions 1-7, channel 0-2"));
  EXPECT_TRUE(can("warning: x\n" + offer + "\nconfiguration ok\n"));
  EXPECT_TRUE(can("handoff: versions 8-9, channel 8-9\n" + offer));
  for (const std::string& other :
       {std::string(), std::string("configuration ok\n"), " " + offer,
        offer + "x", "x" + offer, offer.substr(1),
        std::string("handoff: versions 2-3, channel 1-1"),
        std::string("handoff: versions 1-1, channel 2-3"),
        std::string("handoff: versions 0-0, channel 1-1"),
        std::string("handoff: versions 1, channel 1"),
        absl::StrReplaceAll(offer, {{", ", "\n"}})}) {
    EXPECT_FALSE(can(other)) << other;
  }
}

TEST_F(HandoffTest, AnOfferIsFoundWhetherItIsGoodOrNot) {
  const std::string offer = "handoff: versions 8-9, channel 8-9";
  EXPECT_THAT(FindOffers(absl::StrCat("warning: x\n", offer, "\nok\n")),
              ElementsAre(offer));
  EXPECT_THAT(FindOffers(absl::StrCat(offer, "\n", HandoffOffer())),
              ElementsAre(offer, HandoffOffer()));
  EXPECT_THAT(FindOffers("configuration ok\n handoff: versions 1-1"),
              IsEmpty());
  EXPECT_THAT(FindOffers(""), IsEmpty());
}

}  // namespace
}  // namespace baton
