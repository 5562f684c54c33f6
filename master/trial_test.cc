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
    trial_.emplace(*loop_);
  }

  Trial::Result Run(absl::FunctionRef<int(int)> child_main,
                    absl::Duration patience = kLong) {
    std::optional<Trial::Result> result;
    const absl::Status started =
        trial_->Start(child_main, patience, [&](const Trial::Result& told) {
          EXPECT_FALSE(result.has_value()) << "told twice";
          result = told;
          loop_->Stop();
        });
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_TRUE(trial_->running());
    loop_->Run();
    EXPECT_FALSE(trial_->running());
    return result.value_or(Trial::Result{ExitStatus::Exited(-1), false, ""});
  }

  std::unique_ptr<EventLoop> loop_;
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

TEST_F(TrialTest, OutputIsBoundedAndDoesNotHoldItUp) {
  const Trial::Result result = Run([](int output) {
    const std::string line(4096, 'x');
    Say(output, "first");
    for (int i = 0; i < 1000; ++i) Say(output, line);
    return 0;
  });
  EXPECT_EQ(result.status, ExitStatus::Exited(0));
  EXPECT_EQ(result.output.size(), Trial::kMaxOutputBytes);
  EXPECT_THAT(result.output, StartsWith("firstx"));
  EXPECT_THAT(result.output, EndsWith("x"));
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
  EXPECT_EQ(result.output.size(), Trial::kMaxOutputBytes);
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
  trial_->Cancel();
  Timer look(*loop_, [&] {
    if (!trial_->running()) return loop_->Stop();
    look.Start(absl::Milliseconds(1));
  });
  look.Start(absl::ZeroDuration());
  loop_->Run();
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
