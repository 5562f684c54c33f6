#include "master/config_loader.h"

#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/known_names.h"
#include "net/endpoint.h"
#include "net/socket_options.h"

DEFINE_string(test_greeting, "hello", "an application's");
DEFINE_int32(test_even, 2, "an application's, with a validator");
DEFINE_string(test_assigned, "defined", "assigned before the loader is made");
DECLARE_int32(workers);
DECLARE_string(idle_timeout);
DECLARE_string(listen);

namespace baton {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bool IsEven(const char* /*flag*/, google::int32 value) {
  return value % 2 == 0;
}
DEFINE_validator(test_even, &IsEven);

ServiceRules Rules() {
  return {.schemes = {"discard", "echo"}, .check = [](const ListenUrl& url) {
            if (url.scheme == "echo" || url.scheme == "discard") {
              return absl::OkStatus();
            }
            return absl::InvalidArgumentError(
                absl::StrCat("unknown scheme \"", url.scheme, "\""));
          }};
}

constexpr char kListen[] = "--listen=echo://127.0.0.1:0";
constexpr char kFile[] = "/etc/b.flags";

// Every value of every flag, to see that none has changed.
std::map<std::string, std::string> AllFlags() {
  std::vector<google::CommandLineFlagInfo> flags;
  google::GetAllFlags(&flags);
  std::map<std::string, std::string> values;
  for (const auto& flag : flags) {
    values[flag.name] = absl::StrCat(flag.current_value, flag.is_default);
  }
  return values;
}

class ConfigLoaderTest : public testing::Test {
 protected:
  // The flag file is kFile; its bytes are given to Load().
  ConfigLoader Loader(std::vector<std::string> args,
                      const std::vector<std::string>& environment = {}) {
    args.push_back(absl::StrCat("--flagfile=", kFile));
    auto loader = ConfigLoader::Create(args, environment, Rules());
    EXPECT_TRUE(loader.ok()) << loader.status();
    return *std::move(loader);
  }

  std::shared_ptr<const Config> Load(
      const std::vector<std::string>& args, absl::string_view file = "",
      const std::vector<std::string>& environment = {}) {
    auto config = Loader(args, environment).Load(file);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? *std::move(config) : std::make_shared<Config>();
  }

  std::string Error(const std::vector<std::string>& args,
                    absl::string_view file = "",
                    const std::vector<std::string>& environment = {}) {
    const ConfigLoader loader = Loader(args, environment);
    const auto before = AllFlags();
    const auto config = loader.Load(file);
    EXPECT_FALSE(config.ok());
    EXPECT_EQ(AllFlags(), before);
    return std::string(config.status().message());
  }

  const google::FlagSaver saver_;
};

TEST_F(ConfigLoaderTest, Defaults) {
  const auto config = Load({kListen});
  EXPECT_EQ(config->workers, 0);
  EXPECT_EQ(config->worker_memory, 0);
  EXPECT_FALSE(config->pin_workers);
  EXPECT_EQ(config->run_as, std::nullopt);
  ASSERT_EQ(config->listen.size(), 1u);
  EXPECT_EQ(config->listen[0].text, "echo://127.0.0.1:0");
  EXPECT_EQ(config->worker.idle_timeout, absl::Seconds(60));
  EXPECT_EQ(config->worker.write_timeout, absl::Seconds(20));
  EXPECT_EQ(config->worker.drain_timeout, absl::ZeroDuration());
  EXPECT_EQ(config->worker.stop_timeout, absl::Seconds(8));
  EXPECT_EQ(config->worker.tcp_keepalive, KeepaliveOptions());
  EXPECT_EQ(config->worker.tcp_user_timeout, absl::Seconds(75));
  EXPECT_EQ(config->worker.max_connections, 0);
  EXPECT_EQ(config->worker.max_connections_per_ip, 0);
  EXPECT_EQ(config->ready_timeout, absl::Seconds(10));
  EXPECT_EQ(config->stall_timeout, absl::Seconds(30));
  EXPECT_EQ(config->crash_loop_limit, 0);
  EXPECT_EQ(config->max_draining, 8);
  EXPECT_EQ(config->drain_delay, absl::ZeroDuration());
  EXPECT_EQ(config->pid_file, "");
  EXPECT_EQ(config->log_file, "");
  EXPECT_EQ(config->log_format, LogFormat::kText);
  EXPECT_THAT(config->warnings, IsEmpty());
}

// Two lists of defaults, that of the flags and that of the struct.
TEST_F(ConfigLoaderTest, TheDefaultsOfWorkerSettingsAreThoseOfTheFlags) {
  const auto config = Load({kListen});
  const WorkerSettings fresh;
  EXPECT_EQ(config->worker.idle_timeout, fresh.idle_timeout);
  EXPECT_EQ(config->worker.write_timeout, fresh.write_timeout);
  EXPECT_EQ(config->worker.drain_timeout, fresh.drain_timeout);
  EXPECT_EQ(config->worker.stop_timeout, fresh.stop_timeout);
  EXPECT_EQ(config->worker.tcp_keepalive, fresh.tcp_keepalive);
  EXPECT_EQ(config->worker.tcp_user_timeout, fresh.tcp_user_timeout);
  EXPECT_EQ(config->worker.max_connections, fresh.max_connections);
  EXPECT_EQ(config->worker.max_connections_per_ip,
            fresh.max_connections_per_ip);
}

TEST_F(ConfigLoaderTest, EveryFlagArrives) {
  const auto config =
      Load({"--listen=echo://127.0.0.1:0,discard+unix:///run/d.sock",
            "--workers=3",
            "--worker_memory=64MiB",
            "--pin_workers",
            "--user=daemon",
            "--group=root",
            "--idle_timeout=1s",
            "--write_timeout=2s",
            "--drain_timeout=3s",
            "--stop_timeout=4s",
            "--tcp_keepalive=6s:7s:8",
            "--tcp_user_timeout=90s",
            "--max_connections=11",
            "--max_connections_per_ip=12",
            "--crash_loop_limit=15",
            "--stall_timeout=17s",
            "--max_draining=16",
            "--ready_timeout=13s",
            "--drain_delay=14s",
            "--pid_file=/run/pid",
            "--log_file=/run/log",
            "--log_format=json"});
  EXPECT_EQ(config->listen.size(), 2u);
  EXPECT_EQ(config->workers, 3);
  EXPECT_EQ(config->worker_memory, 64 << 20);
  EXPECT_TRUE(config->pin_workers);
  ASSERT_TRUE(config->run_as);
  EXPECT_EQ(config->run_as->user, "daemon");
  EXPECT_EQ(config->run_as->gid, 0u);
  EXPECT_EQ(config->worker.idle_timeout, absl::Seconds(1));
  EXPECT_EQ(config->worker.write_timeout, absl::Seconds(2));
  EXPECT_EQ(config->worker.drain_timeout, absl::Seconds(3));
  EXPECT_EQ(config->worker.stop_timeout, absl::Seconds(4));
  EXPECT_EQ(config->worker.tcp_keepalive.interval, absl::Seconds(7));
  EXPECT_EQ(config->worker.tcp_user_timeout, absl::Seconds(90));
  EXPECT_EQ(config->worker.max_connections, 11);
  EXPECT_EQ(config->worker.max_connections_per_ip, 12);
  EXPECT_EQ(config->ready_timeout, absl::Seconds(13));
  EXPECT_EQ(config->drain_delay, absl::Seconds(14));
  EXPECT_EQ(config->crash_loop_limit, 15);
  EXPECT_EQ(config->stall_timeout, absl::Seconds(17));
  EXPECT_EQ(config->max_draining, 16);
  EXPECT_EQ(config->pid_file, "/run/pid");
  EXPECT_EQ(config->log_file, "/run/log");
  EXPECT_EQ(config->log_format, LogFormat::kJson);
}

// default < flag file < environment < command line, for each of the eight
// combinations; also for a flag of the application.
TEST_F(ConfigLoaderTest, Precedence) {
  for (int layers = 0; layers < 8; ++layers) {
    const bool in_file = (layers & 1) != 0;
    const bool in_environment = (layers & 2) != 0;
    const bool in_args = (layers & 4) != 0;
    std::string file;
    std::vector<std::string> environment;
    std::vector<std::string> args = {kListen};
    if (in_file) file = "--workers=1\n--test_greeting=file\n";
    if (in_environment) {
      environment = {"BATON_WORKERS=2", "BATON_TEST_GREETING=environment"};
    }
    if (in_args) {
      args.push_back("--workers=3");
      args.push_back("--test_greeting=args");
    }
    const google::FlagSaver saver;
    const auto config = Load(args, file, environment);
    EXPECT_EQ(config->workers, in_args          ? 3
                               : in_environment ? 2
                               : in_file        ? 1
                                                : 0);
    EXPECT_EQ(FLAGS_workers, config->workers);
    EXPECT_EQ(FLAGS_test_greeting, in_args          ? "args"
                                   : in_environment ? "environment"
                                   : in_file        ? "file"
                                                    : "hello");
  }
}

TEST_F(ConfigLoaderTest, AFlagThatLeavesTheFileFallsBack) {
  const ConfigLoader loader = Loader({kListen});
  EXPECT_EQ((*loader.Load("--workers=4\n--test_greeting=x\n"))->workers, 4);
  EXPECT_EQ(FLAGS_test_greeting, "x");
  EXPECT_EQ((*loader.Load("--idle_timeout=5s\n"))->workers, 0);
  EXPECT_EQ(FLAGS_workers, 0);
  EXPECT_EQ(FLAGS_test_greeting, "hello");
  EXPECT_EQ(FLAGS_idle_timeout, "5s");
}

TEST_F(ConfigLoaderTest, ABadFileLeavesEverythingAsItWas) {
  const ConfigLoader loader = Loader({kListen});
  const auto old_config =
      *loader.Load("--workers=4\n--test_greeting=x\n--test_even=4\n");
  const auto before = AllFlags();
  for (const char* bad :
       {"--workers=5\n--nonsense=1\n", "--workers=5\n--idle_timeout=x\n",
        "--workers=5\n--test_even=5\n", "--workers=5\ngarbage\n",
        "--workers=5\n--test_greeting=y\n--user=no such\n"}) {
    EXPECT_FALSE(loader.Load(bad).ok()) << bad;
    EXPECT_EQ(AllFlags(), before) << bad;
  }
  EXPECT_EQ(old_config->workers, 4);
  EXPECT_EQ((*loader.Load("--workers=6\n"))->workers, 6);
}

TEST_F(ConfigLoaderTest, ManyReloads) {
  const ConfigLoader loader = Loader({kListen});
  for (int i = 1; i <= 200; ++i) {
    const auto config = loader.Load(absl::StrCat("--workers=", i, "\n"));
    ASSERT_TRUE(config.ok());
    ASSERT_EQ((*config)->workers, i);
    ASSERT_FALSE(loader.Load("--workers=x\n").ok());
    ASSERT_EQ(FLAGS_workers, i);
  }
}

TEST_F(ConfigLoaderTest, AnOlderConfigCanBeActivatedAgain) {
  const ConfigLoader loader = Loader({kListen});
  const auto first = *loader.Load("--test_greeting=first\n--test_even=4\n");
  const auto second = *loader.Load("--workers=2\n");
  EXPECT_EQ(FLAGS_test_greeting, "hello");
  EXPECT_EQ(FLAGS_test_even, 2);
  ASSERT_TRUE(loader.Activate(*first).ok());
  EXPECT_EQ(FLAGS_test_greeting, "first");
  EXPECT_EQ(FLAGS_test_even, 4);
  EXPECT_EQ(FLAGS_workers, 0);
  ASSERT_TRUE(loader.Activate(*second).ok());
  EXPECT_EQ(FLAGS_test_greeting, "hello");
  EXPECT_EQ(FLAGS_workers, 2);
}

TEST_F(ConfigLoaderTest, WhatTheApplicationAssignedIsItsDefault) {
  FLAGS_test_assigned = "assigned";
  FLAGS_listen = "echo://127.0.0.1:0";
  const ConfigLoader loader = Loader({});
  ASSERT_TRUE(loader.Load("--test_assigned=file\n").ok());
  EXPECT_EQ(FLAGS_test_assigned, "file");
  ASSERT_TRUE(loader.Load("").ok());
  EXPECT_EQ(FLAGS_test_assigned, "assigned");
}

TEST_F(ConfigLoaderTest, AFlagWhoseDefaultIsRefusedMustBeGiven) {
  FLAGS_test_even = 1;
  EXPECT_EQ(Error({kListen}),
            "--test_even: bad value \"1\": refused by the program's own check "
            "of this int32");
  Load({kListen, "--test_even=6"});
  EXPECT_EQ(FLAGS_test_even, 6);
}

TEST_F(ConfigLoaderTest, ErrorsSayWhereTheValueWasSet) {
  constexpr char kAllowed[] =
      "bad number \"x\": a whole number from 0 (one per usable CPU) to 1024";
  EXPECT_EQ(Error({kListen, "--workers=x"}),
            absl::StrCat("--workers: ", kAllowed));
  EXPECT_EQ(Error({kListen}, "", {"BATON_WORKERS=x"}),
            absl::StrCat("BATON_WORKERS: ", kAllowed));
  EXPECT_EQ(Error({kListen}, "\n--workers=x"),
            absl::StrCat("/etc/b.flags:2: --workers: ", kAllowed));
  // Also what is found when the values are put together.
  EXPECT_EQ(Error({kListen}, "#\n\n--user=no such\n"),
            "/etc/b.flags:3: --user: bad user \"no such\": a user of this "
            "machine, by name or number");
  EXPECT_EQ(Error({}, "", {"BATON_LISTEN=ftp://127.0.0.1:0"}),
            "BATON_LISTEN: unknown scheme \"ftp\"");
}

TEST_F(ConfigLoaderTest, AValueThatIsOverriddenMustBeRightToo) {
  EXPECT_EQ(Error({kListen, "--workers=2"}, "--workers=x"),
            "/etc/b.flags:1: --workers: bad number \"x\": a whole number from "
            "0 (one per usable CPU) to 1024");
}

TEST_F(ConfigLoaderTest, NoListenerNamesTheSchemes) {
  EXPECT_EQ(Error({}), "--listen: unknown scheme \"http\"") << "the default";
  EXPECT_EQ(Error({}, "--listen="),
            "/etc/b.flags:1: --listen: there is none: name one at least, as in "
            "--listen=discard://127.0.0.1:7007 (schemes: discard, echo)");
}

TEST_F(ConfigLoaderTest, HostNamesAreLookedUp) {
  const auto config = Load({"--listen=echo://localhost:7"});
  ASSERT_EQ(config->listen.size(), 1u);
  EXPECT_EQ(config->listen[0].endpoint.ToString(), "127.0.0.1:7");
  EXPECT_EQ(config->listen[0].address, "localhost:7");
}

TEST_F(ConfigLoaderTest, OfWhatIsCheckedNoServiceIsAskedAgain) {
  const ConfigLoader loader = Loader({});
  for (const char* file : {"--listen=none://127.0.0.1:0\n",
                           "--listen=echo://127.0.0.1:0\n"
                           "--admin=http://127.0.0.1:0?root=/no/such\n"}) {
    EXPECT_FALSE(loader.Load(file).ok()) << file;
    EXPECT_TRUE(loader.LoadChecked(file, KnownNames()).ok()) << file;
  }
}

// As if all of them had been looked up, of which nobody knows any.
TEST_F(ConfigLoaderTest, NamesThatAreKnownAreNotLookedUp) {
  const ConfigLoader loader =
      Loader({"--listen=echo://a.invalid:7,echo://localhost:8",
              "--admin=http://b.invalid:9"});
  const std::string file = "--user=no such user\n--group=no such group\n";
  KnownNames known;
  known.hosts["a.invalid:7"] = *Endpoint::Parse("192.0.2.1:7");
  known.hosts["b.invalid:9"] = *Endpoint::Parse("192.0.2.2:9");
  known.user = {"no such user", "no such group",
                RunAs{.uid = 33, .user = "www", .gid = 34, .groups = {34, 35}}};
  const auto config = loader.Load(file, known);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ((*config)->listen[0].endpoint.ToString(), "192.0.2.1:7");
  EXPECT_EQ((*config)->listen[1].endpoint.ToString(), "127.0.0.1:8");
  EXPECT_EQ((*config)->admin[0].endpoint.ToString(), "192.0.2.2:9");
  EXPECT_EQ((*config)->run_as, known.user->run_as);
  // All of them, to load it again with: what was looked up, too.
  known.hosts["localhost:8"] = *Endpoint::Parse("127.0.0.1:8");
  EXPECT_EQ((*config)->names, known);
  EXPECT_FALSE(loader.Load("--user=no such user\n", known).ok())
      << "with another group it is somebody else";
  known.hosts.erase("b.invalid:9");
  EXPECT_FALSE(loader.Load(file, known).ok());
}

TEST_F(ConfigLoaderTest, ListenersThatOverlapAreRefused) {
  EXPECT_EQ(Error({"--listen=echo://127.0.0.1:7,discard://127.0.0.1:7"}),
            "--listen: \"echo://127.0.0.1:7\" and \"discard://127.0.0.1:7\" "
            "overlap: an address can be listened on once");
  for (const char* overlap : {"echo://0.0.0.0:7,echo://127.0.0.1:7",
                              "echo://localhost:7,echo://127.0.0.1:7",
                              "echo://127.0.0.1:9,echo://[::1]:7,echo://[::]:7",
                              "echo://127.0.0.1:7,echo://[::]:7?dual=1",
                              "echo+udp://0.0.0.0:7,discard+udp://0.0.0.0:7",
                              "echo+unix:///run/x,discard+unix:///run/x"}) {
    Error({absl::StrCat("--listen=", overlap)});
  }
}

TEST_F(ConfigLoaderTest, ListenersSideBySide) {
  for (const char* fine : {"echo://127.0.0.1:7,echo://127.0.0.1:8",
                           "echo://127.0.0.1:7,echo+udp://127.0.0.1:7",
                           "echo://127.0.0.1:7,echo://127.0.0.2:7",
                           "echo://0.0.0.0:7,echo://[::]:7",
                           "echo://127.0.0.1:0,discard://127.0.0.1:0",
                           "echo+unix:///run/x,echo+unix:///run/y"}) {
    EXPECT_EQ(Load({absl::StrCat("--listen=", fine)})->listen.size(), 2u)
        << fine;
  }
}

TEST_F(ConfigLoaderTest, Warnings) {
  const auto of = [this](std::vector<std::string> args,
                         const std::vector<std::string>& environment = {}) {
    const google::FlagSaver saver;
    args.push_back(kListen);
    return Load(args, "", environment)->warnings;
  };
  EXPECT_THAT(of({"--workers=2", "--worker_memory=1GiB"}),
              ElementsAre("--worker_memory has no effect with --workers=2"));
  EXPECT_THAT(of({"--tcp_user_timeout=30s"}),
              ElementsAre("--tcp_user_timeout=30s gives up before "
                          "--tcp_keepalive=1m:5s:3 would, after 75s"));
  EXPECT_THAT(of({}, {"BATON_WORKRES=2"}),
              ElementsAre("the environment has \"BATON_WORKRES\", which is no "
                          "flag; did you mean BATON_WORKERS?"));
  EXPECT_THAT(of({"--max_rss=16383KiB"}),
              ElementsAre("--max_rss=16383KiB is hardly more than a new worker "
                          "has: 0 (never), or from 16MiB"));
  EXPECT_THAT(of({"--max_rss=0"}), IsEmpty());
  EXPECT_THAT(of({"--max_rss=16MiB"}), IsEmpty());
  EXPECT_THAT(of({"--tcp_user_timeout=0s"}), IsEmpty());
  EXPECT_THAT(of({"--tcp_user_timeout=30s", "--tcp_keepalive=off"}), IsEmpty());
  EXPECT_THAT(of({"--tcp_user_timeout=75s"}), IsEmpty());
}

TEST(ConfigLoader, AWatchWithoutAFlagFileIsWarnedOf) {
  const auto warnings = [](const std::vector<std::string>& args,
                           const std::vector<std::string>& environment) {
    const google::FlagSaver saver;
    const auto loader = ConfigLoader::Create(args, environment, Rules());
    return (*loader->Load(""))->warnings;
  };
  EXPECT_THAT(warnings({kListen, "--watch_flagfile"}, {}),
              ElementsAre("--watch_flagfile: there is nothing to watch without "
                          "--flagfile=FILE"));
  EXPECT_THAT(warnings({kListen}, {"BATON_WATCH_FLAGFILE=1"}),
              ElementsAre("BATON_WATCH_FLAGFILE: there is nothing to watch "
                          "without --flagfile=FILE"));
  EXPECT_THAT(
      warnings({kListen, "--nowatch_flagfile"}, {"BATON_WATCH_FLAGFILE=1"}),
      IsEmpty());
  EXPECT_THAT(warnings({kListen, "--watch_flagfile", "--flagfile=/x"}, {}),
              IsEmpty());
}

StartAction ActionOf(const std::vector<std::string>& args,
                     const std::vector<std::string>& environment = {}) {
  const auto loader = ConfigLoader::Create(args, environment, Rules());
  EXPECT_TRUE(loader.ok()) << loader.status();
  return loader->action();
}

TEST(ConfigLoader, WhatToDo) {
  EXPECT_EQ(ActionOf({}), StartAction::kServe);
  EXPECT_EQ(ActionOf({"--check"}), StartAction::kCheck);
  EXPECT_EQ(ActionOf({"--nocheck"}, {"BATON_CHECK=1"}), StartAction::kServe);
  EXPECT_EQ(ActionOf({}, {"BATON_CHECK=1"}), StartAction::kCheck);
  EXPECT_EQ(ActionOf({"--healthcheck"}), StartAction::kHealthCheck);
  EXPECT_EQ(ActionOf({}, {"BATON_READYCHECK=1"}), StartAction::kReadyCheck);
  EXPECT_EQ(ActionOf({"--check", "--version"}), StartAction::kVersion);
  EXPECT_EQ(ActionOf({"--version", "--help"}), StartAction::kHelp);
  EXPECT_EQ(ActionOf({"--help", "--helpfull"}), StartAction::kHelpFull);
  EXPECT_EQ(ConfigLoader::Create({"--check=2"}, {}, Rules()).status().message(),
            "--check: bad value \"2\": true or false");
  EXPECT_EQ(ConfigLoader::Create({"--x"}, {}, Rules()).status().message(),
            "--x: unknown flag; --help shows what there is");
}

TEST(ConfigLoader, TheFlagFile) {
  std::string dir = absl::StrCat(testing::TempDir(), "/config_XXXXXX");
  ASSERT_NE(mkdtemp(dir.data()), nullptr);
  const std::string path = absl::StrCat(dir, "/b.flags");
  const auto file_of = [](const std::vector<std::string>& args,
                          const std::vector<std::string>& environment) {
    return ConfigLoader::Create(args, environment, Rules())->flag_file();
  };
  EXPECT_EQ(file_of({}, {}), "");
  EXPECT_EQ(file_of({}, {"BATON_FLAGFILE=a"}), "a");
  EXPECT_EQ(file_of({"--flagfile=b"}, {"BATON_FLAGFILE=a"}), "b");
  EXPECT_EQ(file_of({"--flagfile="}, {"BATON_FLAGFILE=a"}), "");
  EXPECT_EQ(ConfigLoader::Create({}, {}, Rules())->ReadFile().value(), "");

  const auto loader =
      ConfigLoader::Create({absl::StrCat("--flagfile=", path)}, {}, Rules());
  EXPECT_EQ(loader->ReadFile().status().message(),
            absl::StrCat("--flagfile: open ", path,
                         ": No such file or directory (ENOENT)"));
  std::ofstream(path) << "--workers=4\n";
  EXPECT_EQ(loader->ReadFile().value(), "--workers=4\n");
  std::ofstream{path};
  EXPECT_EQ(loader->ReadFile().status().message(),
            absl::StrCat("--flagfile: ", path,
                         ": empty; if each flag is to have its default, say so "
                         "by a line with a comment (# ...)"));
  std::ofstream(path) << "# no flag";
  EXPECT_EQ(loader->ReadFile().value(), "# no flag");
}

}  // namespace
}  // namespace baton
