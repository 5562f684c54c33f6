#include "master/trial.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/event_loop.h"

namespace baton {
namespace {

using testing::EndsWith;
using testing::StartsWith;

constexpr absl::Duration kLong = absl::Minutes(10);

int Forever() {
  while (true) pause();
}

void Say(int output, const std::string& text) {
  ASSERT_EQ(write(output, text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
}

class TrialTest : public testing::Test {
 protected:
  TrialTest() {
    auto loop = EventLoop::Create();
    EXPECT_TRUE(loop.ok());
    loop_ = *std::move(loop);
    trial_.emplace(*loop_, [this] { ++reaped_; });
  }

  Trial::Result Run(absl::FunctionRef<int(int)> child_main,
                    absl::Duration patience = kLong) {
    std::optional<Trial::Result> result;
    const absl::Status started =
        trial_->Start(child_main, patience, [&](const Trial::Result& told) {
          EXPECT_FALSE(result.has_value()) << "told twice";
          result = told;
          // One that is killed is not waited for.
          EXPECT_EQ(reaped_, told.timed_out ? 0 : 1);
          loop_->Stop();
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_TRUE(trial_->running());
    loop_->Run();
    EXPECT_FALSE(trial_->running());
    return result.value_or(Trial::Result{ExitStatus::Exited(-1), false, ""});
  }

  std::unique_ptr<EventLoop> loop_;
  int reaped_ = 0;
  std::optional<Trial> trial_;
};

TEST_F(TrialTest, TellsTheEndAndWhatWasSaid) {
  const Trial::Result result = Run([](int output) {
    Say(output, "it will not do");
    return 2;
  });
  EXPECT_EQ(result.status, ExitStatus::Exited(2));
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.output, "it will not do");
  EXPECT_FALSE(result.cut);
}

TEST_F(TrialTest, CanBeUsedAgainAsSoonAsItIsDone) {
  std::vector<int> codes;
  std::function<void()> next = [&] {
    const int code = static_cast<int>(codes.size());
    const absl::Status started =
        trial_->Start([code](int) { return code; }, kLong,
                      [&](const Trial::Result& result) {
                        codes.push_back(result.status.code());
                        codes.size() < 3 ? next() : loop_->Stop();
                      });
    ASSERT_TRUE(started.ok()) << started;
  };
  next();
  loop_->Run();
  EXPECT_EQ(codes, (std::vector<int>{0, 1, 2}));
}

TEST_F(TrialTest, TheOutputMayBeThatOfAnotherProgram) {
  const Trial::Result result = Run([](int output) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", "echo out; echo err >&2; exit 7", nullptr);
    return 127;
  });
  EXPECT_EQ(result.status, ExitStatus::Exited(7));
  EXPECT_EQ(result.output, "out\nerr\n");
}

TEST_F(TrialTest, ACrashIsTold) {
  const Trial::Result result = Run([](int output) {
    Say(output, "about to");
    raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(result.status, ExitStatus::Signalled(SIGKILL));
  EXPECT_FALSE(result.timed_out) << "somebody else has killed it";
  EXPECT_EQ(result.output, "about to");
}

TEST_F(TrialTest, OneThatHangsIsKilledWhenPatienceEnds) {
  const Trial::Result result = Run(
      [](int output) {
        Say(output, "wait for me");
        return Forever();
      },
      absl::Milliseconds(50));
  EXPECT_EQ(result.status, ExitStatus::Signalled(SIGKILL));
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.output, "wait for me");
}

TEST_F(TrialTest, OutputIsBoundedAndDoesNotHoldItUpAndTheLastOfItCounts) {
  const Trial::Result result = Run([](int output) {
    const std::string line(4096, 'x');
    Say(output, "first");
    for (int i = 0; i < 1000; ++i) Say(output, line);
    Say(output, "last");
    return 0;
  });
  EXPECT_EQ(result.status, ExitStatus::Exited(0));
  EXPECT_EQ(result.output.size(), Trial::kMaxOutputBytes);
  EXPECT_THAT(result.output, StartsWith("xxx"));
  EXPECT_THAT(result.output, EndsWith("xlast"));
  EXPECT_TRUE(result.cut);
}

// One that prints for ever ends with its patience.
TEST_F(TrialTest, PrintingWithoutEndIsNoWayToStay) {
  const Trial::Result result = Run(
      [](int output) -> int {
        const std::string line(4096, 'x');
        while (true) Say(output, line);
      },
      absl::Milliseconds(50));
  EXPECT_TRUE(result.timed_out);
  EXPECT_LE(result.output.size(), Trial::kMaxOutputBytes);
}

TEST_F(TrialTest, AProcessLeftBehindDoesNotHoldItUp) {
  const Trial::Result result = Run([](int output) {
    const pid_t left = fork();
    if (left == 0) return Forever();
    Say(output, std::to_string(left));
    return 0;
  });
  EXPECT_EQ(result.status, ExitStatus::Exited(0));
  EXPECT_EQ(kill(std::stoi(result.output), SIGKILL), 0);
}

TEST_F(TrialTest, ACancelledOneIsKilledAndNotToldOf) {
  const absl::Status started =
      trial_->Start([](int) { return Forever(); }, kLong,
                    [](const Trial::Result&) { FAIL() << "told"; });
  ASSERT_TRUE(started.ok()) << started;
  const pid_t child = trial_->pid();
  trial_->Cancel();
  EXPECT_FALSE(trial_->running());
  EXPECT_EQ(trial_->pid(), 0);
  EXPECT_TRUE(trial_->IsChild(child)) << "it is dying";
  Timer look(*loop_, [&] {
    if (!trial_->IsChild(child)) return loop_->Stop();
    look.Start(absl::Milliseconds(1));
  });
  look.Start(absl::ZeroDuration());
  loop_->Run();
  EXPECT_EQ(reaped_, 1);
  EXPECT_EQ(kill(child, 0), -1) << "it is gone, and no zombie";
}

TEST_F(TrialTest, ACancelledOneIsStartedAgainAtOnce) {
  const auto forever = [](int) { return Forever(); };
  const auto not_told = [](const Trial::Result&) { FAIL() << "told"; };
  std::vector<pid_t> cancelled;
  for (int i = 0; i < 3; ++i) {
    const absl::Status started = trial_->Start(forever, kLong, not_told);
    ASSERT_TRUE(started.ok()) << started;
    cancelled.push_back(trial_->pid());
    trial_->Cancel();
  }
  for (const pid_t pid : cancelled) EXPECT_TRUE(trial_->IsChild(pid));
  std::optional<Trial::Result> result;
  const absl::Status started = trial_->Start(
      [](int output) {
        Say(output, "the fourth");
        return 4;
      },
      kLong, [&](const Trial::Result& told) { result = told; });
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_TRUE(trial_->IsChild(trial_->pid()));
  Timer look(*loop_, [&] {
    if (reaped_ == 4) return loop_->Stop();
    look.Start(absl::Milliseconds(1));
  });
  look.Start(absl::ZeroDuration());
  loop_->Run();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status, ExitStatus::Exited(4));
  EXPECT_EQ(result->output, "the fourth");
  for (const pid_t pid : cancelled) EXPECT_FALSE(trial_->IsChild(pid));
}

TEST_F(TrialTest, TheEndOfATrialIsTheEndOfAllItsChildren) {
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    const absl::Status started =
        trial_->Start([](int) { return Forever(); }, kLong,
                      [](const Trial::Result&) { FAIL() << "told"; });
    ASSERT_TRUE(started.ok()) << started;
    children.push_back(trial_->pid());
    if (i == 0) trial_->Cancel();
  }
  trial_.reset();
  for (const pid_t child : children) EXPECT_EQ(kill(child, 0), -1);
}

TEST_F(TrialTest, KnowsItsChildUntilItIsReaped) {
  EXPECT_EQ(trial_->pid(), 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const absl::Status started = trial_->Start(
      [&](int) {
        const pid_t self = getpid();
        EXPECT_EQ(write(ends[1], &self, sizeof(self)), 4);
        return Forever();
      },
      kLong, [](const Trial::Result&) {});
  ASSERT_TRUE(started.ok()) << started;
  pid_t child = 0;
  ASSERT_EQ(read(ends[0], &child, sizeof(child)), 4);
  EXPECT_EQ(trial_->pid(), child);
  trial_.reset();
  EXPECT_EQ(kill(child, 0), -1) << "it is gone, and no zombie";
}

}  // namespace
}  // namespace baton
