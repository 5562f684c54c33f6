#include "master/config_probe.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "master/exit_status.h"
#include "master/known_names.h"
#include "master/trial.h"

namespace baton {
namespace {

KnownNames NamesOf(const std::string& user) {
  KnownNames names;
  names.user.emplace();
  names.user->user = user;
  return names;
}

TEST(ProbeVerdictTest, TheFirstNamesCount) {
  const Trial::Result result{
      ExitStatus::Exited(0), /*timed_out=*/false,
      NamesLine(NamesOf("first")) + NamesLine(NamesOf("forged"))};
  const absl::StatusOr<KnownNames> names =
      ProbeVerdict(result, absl::Seconds(1));
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_EQ(*names, NamesOf("first"));
}

// A service that prints much as an unprivileged user must not get to say whom
// workers run as.
TEST(ProbeVerdictTest, NoneDoIfTheFirstOfTheOutputIsLost) {
  const Trial::Result result{ExitStatus::Exited(0), /*timed_out=*/false,
                             "much\n" + NamesLine(NamesOf("forged")),
                             /*cut=*/true};
  const absl::StatusOr<KnownNames> names =
      ProbeVerdict(result, absl::Seconds(1));
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_EQ(*names, KnownNames());
}

}  // namespace
}  // namespace baton
