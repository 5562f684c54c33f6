#include "tools/loadgen/load_options.h"

#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;

void ExpectRefused(const LoadOptions& options, const std::string& flag) {
  const absl::Status status = CheckLoadOptions(options);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << flag;
  EXPECT_THAT(std::string(status.message()), HasSubstr(flag));
}

TEST(LoadOptionsTest, DefaultsAreFine) {
  EXPECT_TRUE(CheckLoadOptions({}).ok());
}

TEST(LoadOptionsTest, Ranges) {
  ExpectRefused({.connections = 0}, "--connections");
  ExpectRefused({.size = 0}, "--size");
  ExpectRefused({.size = (int64_t{1} << 30) + 1}, "--size");
  ExpectRefused({.rate = -1}, "--rate");
  ExpectRefused({.rate = std::nan("")}, "--rate");
  ExpectRefused({.churn = -1}, "--churn");
  ExpectRefused({.count = -1}, "--count");
  ExpectRefused({.duration = absl::ZeroDuration()}, "--duration");
  ExpectRefused({.timeout = absl::ZeroDuration()}, "--timeout");
  ExpectRefused({.connecting = 0}, "--connecting");
  ExpectRefused({.sources = -1}, "--sources");
}

TEST(LoadOptionsTest, ADatagramHasALargestSize) {
  LoadOptions options;
  options.target.transport = LoadTarget::Transport::kUdp;
  options.size = 65'507;
  EXPECT_TRUE(CheckLoadOptions(options).ok());
  options.size = 65'508;
  ExpectRefused(options, "--size");
}

TEST(LoadOptionsTest, Contradictions) {
  ExpectRefused({.rate = 1, .think = absl::Seconds(1)}, "--think");
  ExpectRefused({.spin = true}, "--spin");
  LoadOptions idle = {.duration = absl::Seconds(1), .idle = true};
  EXPECT_TRUE(CheckLoadOptions(idle).ok());
  idle.churn = 1;
  ExpectRefused(idle, "--idle");
  ExpectRefused({.idle = true}, "--duration");

  LoadOptions urgent = {.urgent = true};
  EXPECT_TRUE(CheckLoadOptions(urgent).ok());
  urgent.target.transport = LoadTarget::Transport::kUnix;
  ExpectRefused(urgent, "--urgent");
  urgent.target.transport = LoadTarget::Transport::kTcp;
  urgent.target.scheme = LoadTarget::Scheme::kHttp;
  ExpectRefused(urgent, "--urgent");
}

}  // namespace
}  // namespace baton::loadgen
