#include "worker/http/http_worker.h"

#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "glog/logging.h"

namespace baton {
namespace {

constexpr absl::string_view kOk = "HTTP/1.1 200 OK\r\n";

constinit thread_local HttpWorker* current = nullptr;

constexpr int kLogsPerSecond = 10;

// clock_gettime(2): of the last tick, without a look at the hardware. A Date is
// in seconds.
time_t WallSecond() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

}  // namespace

int64_t HttpWorker::WallSeconds() { return WallSecond(); }

HttpWorker::HttpWorker(Options options)
    : counters_(options.counters != nullptr ? options.counters
                                            : &own_counters_),
      forwarded_from_(std::move(options.forwarded_from)),
      id_prefix_(absl::Uniform<uint64_t>(absl::BitGen())) {
  CHECK(current == nullptr) << "a thread has one HttpWorker";
  current = this;
}

HttpWorker::~HttpWorker() { current = nullptr; }

HttpWorker& HttpWorker::Current() {
  DCHECK(current != nullptr) << "this thread has no HTTP";
  return *current;
}

HttpWorker* HttpWorker::CurrentOrNull() { return current; }

absl::string_view HttpWorker::OkAndDate() {
  const time_t now = WallSecond();
  if (now != date_second_) {
    date_second_ = now;
    ok_and_date_ = absl::StrCat(
        kOk, "Date: ",
        absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::FromTimeT(now),
                         absl::UTCTimeZone()),
        "\r\n");
  }
  return ok_and_date_;
}

absl::string_view HttpWorker::DateField() {
  return OkAndDate().substr(kOk.size());
}

std::string HttpWorker::NewRequestId() {
  return absl::StrCat(absl::Hex(id_prefix_, absl::kZeroPad16), "-", ++ids_);
}

bool HttpWorker::MayLog() {
  const time_t now = WallSecond();
  if (now != log_second_) {
    log_second_ = now;
    logged_ = 0;
  }
  return ++logged_ <= kLogsPerSecond;
}

}  // namespace baton
