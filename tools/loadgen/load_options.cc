#include "tools/loadgen/load_options.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace baton::loadgen {
namespace {

constexpr int64_t kMaxMessageBytes = int64_t{1} << 30;
// 65,535 less the headers of IPv4 and UDP: ip(7), udp(7).
constexpr int64_t kMaxDatagramBytes = 65507;
constexpr double kMaxRate = 1e8;

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

absl::Status CheckRanges(const LoadOptions& options) {
  if (options.connections < 1) return Wrong("--connections must be 1 or more");
  if (options.size < 1 || options.size > kMaxMessageBytes) {
    return Wrong("--size must be 1 to 1GiB");
  }
  if (options.target.transport == LoadTarget::Transport::kUdp &&
      options.size > kMaxDatagramBytes) {
    return Wrong(absl::StrCat("--size must be ", kMaxDatagramBytes,
                              " at most for a datagram"));
  }
  if (!(options.rate >= 0 && options.rate <= kMaxRate)) {
    return Wrong("--rate must be 0 to 100000000");
  }
  if (options.churn < 0) return Wrong("--churn must be 0 or more");
  if (options.count < 0) return Wrong("--count must be 0 or more");
  if (options.duration <= absl::ZeroDuration()) {
    return Wrong("--duration must be longer than 0s");
  }
  if (options.timeout < absl::Milliseconds(1)) {
    return Wrong("--timeout must be 1ms or more");
  }
  if (options.connecting < 1) return Wrong("--connecting must be 1 or more");
  if (options.sources < 0 || options.sources > 60000) {
    return Wrong("--sources must be 0 to 60000");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLoadOptions(const LoadOptions& options) {
  if (absl::Status status = CheckRanges(options); !status.ok()) return status;
  const bool thinks = options.think != absl::ZeroDuration();
  if (options.rate > 0 && thinks) {
    return Wrong("--think is of a closed loop: not with --rate");
  }
  if (options.spin && options.rate == 0) return Wrong("--spin needs --rate");
  if (options.idle &&
      (options.rate > 0 || options.churn > 0 || options.count > 0 || thinks)) {
    return Wrong("--idle goes with none of --rate, --churn, --count, --think");
  }
  if (options.idle && options.duration == absl::InfiniteDuration()) {
    return Wrong("--idle needs a --duration");
  }
  if (options.urgent &&
      (options.target.scheme != LoadTarget::Scheme::kEcho ||
       options.target.transport != LoadTarget::Transport::kTcp)) {
    return Wrong("--urgent needs echo:// over TCP");
  }
  return absl::OkStatus();
}

}  // namespace baton::loadgen
