#include "tools/loadgen/load_target.h"

#include <sys/socket.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;

LoadTarget Parsed(absl::string_view url) {
  auto target = LoadTarget::Parse(url);
  EXPECT_TRUE(target.ok()) << target.status();
  return target.ok() ? *target : LoadTarget();
}

std::string Refused(absl::string_view url) {
  const auto target = LoadTarget::Parse(url);
  EXPECT_FALSE(target.ok()) << url;
  return std::string(target.status().message());
}

TEST(LoadTargetTest, StreamsAndDatagrams) {
  const LoadTarget tcp = Parsed("echo://127.0.0.1:7007");
  EXPECT_EQ(tcp.scheme, LoadTarget::Scheme::kEcho);
  EXPECT_EQ(tcp.transport, LoadTarget::Transport::kTcp);
  EXPECT_EQ(tcp.endpoint.ToString(), "127.0.0.1:7007");
  EXPECT_EQ(tcp.url, "echo://127.0.0.1:7007");

  const LoadTarget udp = Parsed("discard+udp://[::1]:9");
  EXPECT_EQ(udp.scheme, LoadTarget::Scheme::kDiscard);
  EXPECT_EQ(udp.transport, LoadTarget::Transport::kUdp);
  EXPECT_EQ(udp.endpoint.ToString(), "[::1]:9");

  const LoadTarget path = Parsed("echo+unix:///run/echo.sock");
  EXPECT_EQ(path.transport, LoadTarget::Transport::kUnix);
  EXPECT_EQ(path.endpoint.family(), AF_UNIX);
  EXPECT_EQ(path.endpoint.ToString(), "/run/echo.sock");
}

TEST(LoadTargetTest, HttpHasAPathAndADefaultPort) {
  const LoadTarget full = Parsed("http://127.0.0.1:8080/a/b?c=d");
  EXPECT_EQ(full.scheme, LoadTarget::Scheme::kHttp);
  EXPECT_EQ(full.endpoint.ToString(), "127.0.0.1:8080");
  EXPECT_EQ(full.host, "127.0.0.1:8080");
  EXPECT_EQ(full.path, "/a/b?c=d");

  const LoadTarget bare = Parsed("http://[::1]");
  EXPECT_EQ(bare.endpoint.ToString(), "[::1]:80");
  EXPECT_EQ(bare.host, "[::1]");
  EXPECT_EQ(bare.path, "/");

  EXPECT_EQ(Parsed("http+unix:///run/http.sock").endpoint.ToString(),
            "/run/http.sock");
}

TEST(LoadTargetTest, LocalhostIsIpv4) {
  EXPECT_EQ(Parsed("echo://localhost:7007").endpoint.ToString(),
            "127.0.0.1:7007");
}

TEST(LoadTargetTest, RefusalsSayWhatIsWrong) {
  EXPECT_THAT(Refused("127.0.0.1:7007"), HasSubstr("SCHEME"));
  EXPECT_THAT(Refused("ftp://127.0.0.1:21"), HasSubstr("\"ftp\""));
  EXPECT_THAT(Refused("echo+sctp://127.0.0.1:7"), HasSubstr("\"sctp\""));
  EXPECT_THAT(Refused("echo+://127.0.0.1:7"), HasSubstr("transport"));
  EXPECT_THAT(Refused("http+udp://127.0.0.1:7"), HasSubstr("\"udp\""));
  EXPECT_THAT(Refused("echo+unix://run/x.sock"), HasSubstr("absolute"));
  EXPECT_THAT(Refused("echo://127.0.0.1:0"), HasSubstr("port 0"));
  EXPECT_THAT(Refused("http://127.0.0.1/a b"), HasSubstr("path"));
  Refused("echo://127.0.0.1");
  Refused("echo://127.0.0.1:7007/path");
  Refused("echo://");
  Refused("");
}

}  // namespace
}  // namespace baton::loadgen
