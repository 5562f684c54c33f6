#include "master/drop_rights.h"

#include <grp.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "master/process.h"

namespace baton {
namespace {

// The rights are those of a child: the test's own must stay.
ExitStatus InChild(absl::FunctionRef<bool()> body) {
  auto process = Process::Fork([body] { return body() ? 0 : 1; });
  EXPECT_TRUE(process.ok()) << process.status();
  return process->WaitAndReap();
}

// Root of a user namespace that has no other user is not enough.
bool MayBecomeAnyone() {
  return InChild([] { return setuid(12345) == 0; }).clean();
}

bool Is(uid_t uid, gid_t gid) {
  uid_t r, e, s;
  gid_t rg, eg, sg;
  return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
         r == uid && e == uid && s == uid && rg == gid && eg == gid &&
         sg == gid;
}

TEST(DropRightsTest, TheUserOneAlreadyIsNeedsNoRights) {
  EXPECT_EQ(InChild([] {
              const RunAs run_as{getuid(), "", getgid()};
              return DropRights(run_as).ok() && Is(getuid(), getgid());
            }),
            ExitStatus::Exited(0));
}

TEST(DropRightsTest, AnotherUserForGoodWithoutGroups) {
  if (!MayBecomeAnyone()) GTEST_SKIP() << "needs root";
  EXPECT_EQ(InChild([] {
              const RunAs run_as{12345, "", 54321};
              return DropRights(run_as).ok() && Is(12345, 54321) &&
                     getgroups(0, nullptr) == 0 && setuid(0) != 0;
            }),
            ExitStatus::Exited(0));
}

TEST(DropRightsTest, AKnownUserHasItsGroups) {
  if (!MayBecomeAnyone()) GTEST_SKIP() << "needs root";
  EXPECT_EQ(InChild([] {
              const absl::StatusOr<RunAs> run_as =
                  ResolveUser("daemon", std::nullopt);
              if (!run_as.ok() || !DropRights(*run_as).ok()) return false;
              gid_t groups[64];
              const int count = getgroups(64, groups);
              return Is(*run_as->uid, run_as->gid) && count >= 1 &&
                     groups[0] == run_as->gid;
            }),
            ExitStatus::Exited(0));
}

TEST(DropRightsTest, AGroupAloneLeavesTheUser) {
  if (!MayBecomeAnyone()) GTEST_SKIP() << "needs root";
  EXPECT_EQ(InChild([] {
              const RunAs run_as{std::nullopt, "", 54321};
              return DropRights(run_as).ok() && Is(0, 54321);
            }),
            ExitStatus::Exited(0));
}

TEST(DropRightsTest, WithoutTheRightToChangeItIsAnError) {
  if (!MayBecomeAnyone()) GTEST_SKIP() << "needs root";
  EXPECT_EQ(InChild([] {
              if (!DropRights({12345, "", 54321}).ok()) return false;
              return !DropRights({12346, "", 54321}).ok();
            }),
            ExitStatus::Exited(0));
}

}  // namespace
}  // namespace baton
