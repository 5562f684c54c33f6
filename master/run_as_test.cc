#include "master/run_as.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// Not in any database; below the numbers that mean nobody.
constexpr uid_t kNobodysNumber = 3999999999;

// As they are when somebody logs in.
std::vector<gid_t> GroupsOf(const char* user, gid_t gid) {
  std::vector<gid_t> groups(1000);
  int count = 1000;
  EXPECT_GE(getgrouplist(user, gid, groups.data(), &count), 0);
  groups.resize(static_cast<size_t>(count));
  return groups;
}

TEST(RunAs, AUserBringsItsOwnGroups) {
  const std::vector<gid_t> root = GroupsOf("root", 0);
  EXPECT_EQ(ResolveUser("root", std::nullopt).value(),
            (RunAs{.uid = 0, .user = "root", .gid = 0, .groups = root}));
  const passwd* daemon = getpwnam("daemon");
  ASSERT_NE(daemon, nullptr);
  EXPECT_EQ(ResolveUser("daemon", std::nullopt).value(),
            (RunAs{.uid = daemon->pw_uid,
                   .user = "daemon",
                   .gid = daemon->pw_gid,
                   .groups = GroupsOf("daemon", daemon->pw_gid)}));
}

TEST(RunAs, TheGroupThatIsGivenGoesBeforeIt) {
  const RunAs run_as = ResolveUser("daemon", 4242).value();
  EXPECT_EQ(run_as.user, "daemon");
  EXPECT_EQ(run_as.gid, 4242u);
  EXPECT_THAT(run_as.groups, testing::Contains(4242u));
}

TEST(RunAs, Numbers) {
  EXPECT_EQ(ResolveUser("0", std::nullopt).value(),
            ResolveUser("root", std::nullopt).value());
  EXPECT_EQ(ResolveUser(absl::StrCat(kNobodysNumber), 4242).value(),
            (RunAs{.uid = kNobodysNumber, .user = "", .gid = 4242}));
}

TEST(RunAs, ANumberThatNobodyKnowsNeedsAGroup) {
  EXPECT_EQ(ResolveUser(absl::StrCat(kNobodysNumber), std::nullopt)
                .status()
                .message(),
            "user \"3999999999\" has no entry in the user database, and so no "
            "group: give --group as well");
}

TEST(RunAs, Groups) {
  EXPECT_EQ(ResolveGroup("root").value(), 0u);
  EXPECT_EQ(ResolveGroup("4242").value(), 4242u);
}

TEST(RunAs, WhoIsUnknownIsNamed) {
  EXPECT_EQ(ResolveUser("no such", std::nullopt).status().message(),
            "bad user \"no such\": a user of this machine, by name or number");
  EXPECT_EQ(ResolveGroup("no such").status().message(),
            "bad group \"no such\": a group of this machine, by name or "
            "number");
  for (const absl::string_view bad :
       {"-1", "+1", " 1", "1x", "4294967295", "4294967296", "0x0", ""}) {
    EXPECT_FALSE(ResolveUser(bad, 4242).ok()) << bad;
    EXPECT_FALSE(ResolveGroup(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace baton
