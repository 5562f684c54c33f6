#include "master/known_names.h"

#include <cstddef>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using nlohmann::json;

// RFC 2606: nobody has it.
constexpr char kNobodysHost[] = "nobody.invalid:7";

Endpoint At(const std::string& text) { return Endpoint::Parse(text).value(); }

KnownNames Names() {
  KnownNames names;
  names.hosts["localhost:80"] = At("127.0.0.1:80");
  names.hosts["ip6-localhost:7"] = At("[::1]:7");
  names.hosts["link.local:7"] = At("[fe80::1%2]:7");
  names.user = {"w\xffw", "\xc3\x28 \n\"",
                RunAs{.uid = 33, .user = "\x80", .gid = 4, .groups = {4, 5}}};
  return names;
}

KnownNames GroupAlone() {
  KnownNames names;
  names.user = {"", "staff", RunAs{.uid = std::nullopt, .user = "", .gid = 50}};
  return names;
}

TEST(KnownNames, GoThroughAHandoff) {
  for (const KnownNames& names : {Names(), GroupAlone(), KnownNames()}) {
    const auto cbor = json::to_cbor(json{{"names", names.ToJson()}});
    EXPECT_EQ(KnownNames::FromJson(json::from_cbor(cbor).at("names")), names);
  }
}

TEST(KnownNames, GoThroughAPipeAmongOtherLines) {
  for (const KnownNames& names : {Names(), GroupAlone(), KnownNames()}) {
    const std::string line = NamesLine(names);
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    std::string printed = absl::StrCat("hello\n", line, "what is wrong");
    EXPECT_EQ(TakeNamesLine(printed), names);
    EXPECT_EQ(printed, "hello\nwhat is wrong");
    printed = line;
    EXPECT_EQ(TakeNamesLine(printed), names);
    EXPECT_EQ(printed, "");
  }
}

TEST(KnownNames, TheFirstLineCounts) {
  std::string printed = absl::StrCat(NamesLine(Names()), NamesLine({}));
  EXPECT_EQ(TakeNamesLine(printed), Names());
  EXPECT_EQ(printed, "");
  // Also one that can't be read.
  printed = absl::StrCat("known names: ?\n", NamesLine(Names()), "x\n");
  EXPECT_EQ(TakeNamesLine(printed), KnownNames());
  EXPECT_EQ(printed, "x\n");
}

TEST(KnownNames, WhatIsCutOrForgedIsAsIfItWereNotThere) {
  const std::string line = NamesLine(Names());
  // But for what fills up the last four letters of it.
  for (size_t size = 0; size + 4 < line.size(); ++size) {
    std::string printed = line.substr(0, size);
    EXPECT_EQ(TakeNamesLine(printed), KnownNames()) << size;
  }
  for (const json& bad :
       {json(), json(7), json::array(), json{{"hosts", 7}},
        json{{"hosts", {{"a:1", 7}}}}, json{{"hosts", {{"a:1", "b:1"}}}},
        json{{"hosts", {{"a:1", "/run/x.sock"}}}}, json{{"user", "root"}},
        json{{"user", {{"user", "root"}, {"group", ""}}}}}) {
    EXPECT_EQ(KnownNames::FromJson(bad), KnownNames()) << bad;
  }
}

TEST(KnownNames, ManyFitAndTooManyAreLookedUpAgain) {
  KnownNames names;
  for (int i = 0; i < 1000; ++i) {
    names.hosts[absl::StrCat("host", i, ".example:80")] = At("192.0.2.255:80");
  }
  std::string line = NamesLine(names);
  EXPECT_EQ(TakeNamesLine(line), names);
  for (int i = 0; i < 10000; ++i) {
    names.hosts[absl::StrCat("more", i, ".example:80")] = At("192.0.2.255:80");
  }
  EXPECT_EQ(NamesLine(names), "");
}

TEST(KnownNames, WhatIsKnownIsNotLookedUp) {
  ListenUrl url = ParseListenUrl(absl::StrCat("echo://", kNobodysHost)).value();
  KnownNames used;
  EXPECT_FALSE(Resolve(KnownNames(), url, used).ok());
  EXPECT_EQ(used, KnownNames());
  KnownNames known = Names();
  known.hosts[kNobodysHost] = At("192.0.2.1:7");
  ASSERT_TRUE(Resolve(known, url, used).ok());
  EXPECT_EQ(url.endpoint, At("192.0.2.1:7"));
  EXPECT_EQ(used.hosts.size(), 1u) << "what it does not name is not needed";
  EXPECT_EQ(used.hosts[kNobodysHost], url.endpoint);
}

TEST(KnownNames, WhatIsNotIsLookedUpAndNoted) {
  ListenUrl url = ParseListenUrl("echo://localhost:9").value();
  ListenUrl address = ParseListenUrl("echo://127.0.0.1:9").value();
  KnownNames used;
  ASSERT_TRUE(Resolve(Names(), url, used).ok());
  ASSERT_TRUE(Resolve(Names(), address, used).ok());
  EXPECT_EQ(url.endpoint, At("127.0.0.1:9"));
  EXPECT_EQ(used.hosts, (decltype(used.hosts){{"localhost:9", url.endpoint}}));
}

}  // namespace
}  // namespace baton
