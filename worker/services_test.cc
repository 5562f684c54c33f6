#include "worker/services.h"

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "net/listen_url.h"

namespace baton {
namespace {

class ServicesTest : public ::testing::Test {
 protected:
  ServicesTest() { RegisterBuiltinServices(services_); }

  std::string Check(absl::string_view url) {
    return std::string(services_.Check(ParseListenUrl(url).value()).message());
  }

  Services services_;
};

TEST_F(ServicesTest, BuiltIn) {
  EXPECT_EQ(services_.Schemes(),
            (std::vector<std::string>{"discard", "echo", "http"}));
  for (const char* url : {"echo://127.0.0.1:0", "echo+udp://127.0.0.1:0",
                          "discard+unix:///tmp/x"}) {
    EXPECT_EQ(Check(url), "") << url;
  }
}

TEST_F(ServicesTest, AnUnknownSchemeIsNamedWithWhatThereIs) {
  EXPECT_EQ(Check("gopher://127.0.0.1:0"),
            "there is no service \"gopher\"; there is: discard, echo, http");
}

TEST_F(ServicesTest, AMissingTransportIsNamed) {
  services_.Stream("login", +[](Connection) -> Task<> { co_return; });
  EXPECT_EQ(Check("login+udp://127.0.0.1:0"),
            "service login has no udp transport; it has: tcp, unix");
}

TEST_F(ServicesTest, OptionsAreChecked) {
  EXPECT_EQ(Check("echo://127.0.0.1:0?color=red"),
            "service echo has no option \"color\"; every tcp listener has "
            "backlog, defer_accept, dual, idle_timeout, max_connections");
  services_.Stream(
               "login", +[](Connection) -> Task<> { co_return; })
      .WithOption("realm", [](absl::string_view value) {
        return value == "blue" ? absl::OkStatus()
                               : absl::InvalidArgumentError("must be blue");
      });
  EXPECT_EQ(Check("login://127.0.0.1:0?realm=blue"), "");
  EXPECT_EQ(Check("login://127.0.0.1:0?realm=red"),
            "realm=\"red\": must be blue");
  EXPECT_EQ(Check("login://127.0.0.1:0?real=blue"),
            "service login has no option \"real\"; it has realm; every tcp "
            "listener has backlog, defer_accept, dual, idle_timeout, "
            "max_connections");
}

TEST_F(ServicesTest, OptionsOfHttp) {
  EXPECT_EQ(Check("http://127.0.0.1:0?max_body=10MiB&header_timeout=3s"
                  "&body_timeout=1m&server_header=0"),
            "");
  EXPECT_EQ(Check("http://127.0.0.1:0?server_header=yes"),
            "server_header=\"yes\": must be 0 or 1");
  EXPECT_EQ(Check("http://127.0.0.1:0?header_timeout=0s"),
            "header_timeout=\"0s\": must be more than 0s");
  EXPECT_NE(Check("http://127.0.0.1:0?max_body=x"), "");
  EXPECT_NE(Check("http+udp://127.0.0.1:0"), "");
}

TEST_F(ServicesTest, TheAccessLogOfHttp) {
  const std::string at = "http://127.0.0.1:0?access_log=";
  for (const char* good : {"off", "stderr", "/a", "./a&access_format=json"}) {
    EXPECT_EQ(Check(at + good), "");
  }
  for (const char* bad : {"on", "/a/", "log"}) {
    EXPECT_TRUE(absl::EndsWith(Check(at + bad),
                               "must be off, stderr or the path of a file, "
                               "with a '/'"))
        << bad;
  }
  EXPECT_EQ(Check("http://127.0.0.1:0?access_format=xml"),
            "access_format=\"xml\": must be combined or json");
}

TEST_F(ServicesTest, ListenersThatShareAnAccessLog) {
  std::vector<ListenUrl> urls;
  for (const char* text :
       {"http://127.0.0.1:0?access_log=/b", "http://127.0.0.1:1?access_log=/a",
        "http://127.0.0.1:2?access_log=/b&access_format=combined",
        "http://127.0.0.1:3?access_log=off&access_format=json",
        "echo://127.0.0.1:4"}) {
    urls.push_back(ParseListenUrl(text).value());
  }
  EXPECT_TRUE(services_.CheckTogether(urls).ok());
  EXPECT_EQ(services_.AccessLogs(urls), std::set<std::string>({"/a", "/b"}));
  urls.push_back(
      ParseListenUrl("http://[::1]:5?access_format=json&access_log=/a")
          .value());
  EXPECT_EQ(services_.CheckTogether(urls).message(),
            "access_log=\"/a\" has two formats: give all listeners that "
            "write to it the same access_format");
}

TEST_F(ServicesTest, OptionsThatMayStandThereMoreThanOnce) {
  EXPECT_EQ(Check("http://127.0.0.1:0?max_body=1&max_body=1"),
            "option \"max_body\" stands there twice");
  EXPECT_EQ(Check("http://127.0.0.1:0?root=/&autoindex=1&root=/"),
            "option \"root\" stands there twice");
  EXPECT_EQ(Check("http://127.0.0.1:0?root=/&header=A:b&header=A:b"), "");
  EXPECT_EQ(Check("http://127.0.0.1:0?header=A:b&root=/&header=C"),
            "header=\"C\": must be NAME:VALUE");
  services_.Stream(
               "login", +[](Connection) -> Task<> { co_return; })
      .WithOption("one")
      .WithRepeatedOption("many");
  EXPECT_EQ(Check("login://127.0.0.1:0?many=1&one=1&many=1&many=2"), "");
  EXPECT_EQ(Check("login://127.0.0.1:0?many=1&one=1&many=1&one=2"),
            "option \"one\" stands there twice");
}

TEST_F(ServicesTest, FilesOfHttp) {
  EXPECT_EQ(Check("http://127.0.0.1:0?autoindex=1"),
            "autoindex= is of no use without root=");
  EXPECT_NE(Check("http://127.0.0.1:0?root=/no/such/folder"), "");
  EXPECT_NE(Check("http://127.0.0.1:0?root=/&fallback=/no.such.page"), "");
  EXPECT_NE(Check("http://127.0.0.1:0?root=/&header=A:%0d%0aB:c"), "");
}

TEST_F(ServicesTest, RegisteringTwiceIsABug) {
  EXPECT_DEATH(RegisterBuiltinServices(services_), "registered twice");
}

TEST_F(ServicesTest, WorkerStartStopsAtTheFirstError) {
  services_.OnWorkerStart([] { return absl::OkStatus(); });
  services_.OnWorkerStart([] { return absl::InternalError("no database"); });
  services_.OnWorkerStart([]() -> absl::Status {
    ADD_FAILURE();
    return absl::OkStatus();
  });
  EXPECT_EQ(services_.RunWorkerStart().message(), "no database");
}

}  // namespace
}  // namespace baton
