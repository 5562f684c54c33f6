#include "worker/crash_trace.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

struct Death {
  int signal = 0;
  std::vector<std::string> lines;

  // In one of them.
  bool Says(absl::string_view text) const {
    for (const std::string& line : lines) {
      if (absl::StrContains(line, text)) return true;
    }
    return false;
  }
};

// A child's, of `crash`, with a log of its own.
Death DieOf(LogFormat format, absl::FunctionRef<void()> crash) {
  int ends[2];
  PCHECK(pipe2(ends, O_CLOEXEC) == 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  const pid_t pid = fork();
  PCHECK(pid >= 0);
  if (pid == 0) {
    read_end.reset();
    LineLogSink log(std::move(write_end), format, "worker 5");
    const CrashTrace trace("/proc/self/exe", log);
    crash();
    _exit(0);
  }
  write_end.reset();
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(read_end.get(), buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<size_t>(count));
  int status = 0;
  PCHECK(waitpid(pid, &status, 0) == pid);
  Death death;
  if (WIFSIGNALED(status)) death.signal = WTERMSIG(status);
  EXPECT_TRUE(absl::EndsWith(text, "\n")) << text;
  death.lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  return death;
}

__attribute__((noinline)) void WriteToNowhere() {
  int* volatile nowhere = reinterpret_cast<int*>(16);
  *nowhere = 1;
}

// Its frames are on the stack that is gone.
__attribute__((noinline)) int Recurse(volatile char* above) {
  volatile char frame[1024];
  frame[0] = *above;
  if (frame[0] != 0) return 0;  // never
  return Recurse(frame) + frame[0];
}

TEST(CrashTraceTest, ASegmentationFaultIsToldWithItsFunction) {
  const Death death = DieOf(LogFormat::kText, [] { WriteToNowhere(); });
  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_TRUE(
      death.Says(R"(worker 5: crashed signal="SIGSEGV" fault_address="0x10")"));
  EXPECT_TRUE(death.Says(R"(worker 5: crash_frame index=0 )"
                         R"(function="baton::(anonymous namespace)::WriteTo)"));
}

TEST(CrashTraceTest, EachLineIsAnObjectInJson) {
  const Death death = DieOf(LogFormat::kJson, [] { WriteToNowhere(); });
  EXPECT_EQ(death.signal, SIGSEGV);
  ASSERT_GT(death.lines.size(), 1u);
  for (const std::string& line : death.lines) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(record.is_object()) << line;
    EXPECT_EQ(record["role"], "worker 5");
    EXPECT_EQ(record["level"], "fatal");
  }
}

TEST(CrashTraceTest, SoIsASignalFromOutside) {
  const Death death = DieOf(LogFormat::kJson, [] { kill(getpid(), SIGABRT); });
  EXPECT_EQ(death.signal, SIGABRT);
  EXPECT_TRUE(death.Says(R"("signal":"SIGABRT","from_pid":)"));
}

TEST(CrashTraceTest, AFailedCheckIsInTheSameLog) {
  const Death death =
      DieOf(LogFormat::kText, [] { CHECK_EQ(1, 2) << "a bug"; });
  EXPECT_EQ(death.signal, SIGABRT);
  EXPECT_TRUE(death.Says("a bug"));
  EXPECT_TRUE(death.Says("crash_frame"));
}

TEST(CrashTraceTest, OutOfStack) {
  const Death death = DieOf(LogFormat::kText, [] {
    volatile char first = 0;
    Recurse(&first);
  });
  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_TRUE(death.Says("::Recurse()"));
}

TEST(CrashTraceTest, OneOfSeveralThreads) {
  const Death death =
      DieOf(LogFormat::kText, [] { std::thread(WriteToNowhere).join(); });
  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_TRUE(death.Says("WriteToNowhere()"));
}

// As one that is about to load or unload a library.
int HoldTheLoadersLock(dl_phdr_info* /*object*/, size_t /*size*/, void* held) {
  static_cast<std::promise<void>*>(held)->set_value();
  while (true) pause();
}

TEST(CrashTraceTest, WhileAThreadHoldsTheDynamicLoadersLock) {
  const Death death = DieOf(LogFormat::kText, [] {
    std::promise<void> held;
    std::thread holder([&held] { dl_iterate_phdr(HoldTheLoadersLock, &held); });
    held.get_future().wait();
    WriteToNowhere();
  });
  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_TRUE(death.Says("WriteToNowhere()"));
}

// Each of these crashes may come in the middle of a rotation.
TEST(CrashTraceTest, WhileTheLogIsReopened) {
  for (int i = 0; i < 20; ++i) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      UniqueFd copy(fcntl(write_end.get(), F_DUPFD_CLOEXEC, 0));
      LineLogSink log(std::move(copy), LogFormat::kText, "worker 5");
      const CrashTrace trace("/proc/self/exe", log);
      std::promise<void> reopens;
      std::thread rotation([&] {
        for (int round = 0;; ++round) {
          if (round == 10) reopens.set_value();
          log.Reopen(UniqueFd(fcntl(write_end.get(), F_DUPFD_CLOEXEC, 0)),
                     round % 2 == 0 ? LogFormat::kText : LogFormat::kJson);
        }
      });
      reopens.get_future().wait();
      WriteToNowhere();
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    char buffer[4096];
    const ssize_t count = read(read_end.get(), buffer, sizeof(buffer));
    ASSERT_GT(count, 0) << "no log was there to write to";
    const absl::string_view text(buffer, static_cast<size_t>(count));
    EXPECT_TRUE(absl::StrContains(text, "crashed")) << text;
    EXPECT_TRUE(absl::StrContains(text, "worker 5")) << text;
  }
}

}  // namespace
}  // namespace baton
