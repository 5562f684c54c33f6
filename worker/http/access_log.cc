#include "worker/http/access_log.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace baton {

AccessLog::AccessLog(EventLoop& loop, HttpCounters& counters)
    : counters_(counters), timer_(loop, [this] { Write(); }) {}

void AccessLog::Open(UniqueFd fd) {
  if (writer_.has_value()) {
    Flush();
    writer_->Reopen(std::move(fd));
  } else {
    writer_.emplace(std::move(fd));
  }
  Flush();
}

void AccessLog::Add(AccessFormat format, const AccessRecord& record,
                    const timespec& now) {
  if (!writer_.has_value() || kBufferBytes - size_ < kMaxAccessLineBytes) {
    return Drop(1);
  }
  if (buffer_ == nullptr) {
    buffer_ = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  }
  if (size_ == 0) timer_.Start(kFlushAfter);
  size_ += FormatAccessLine(format, record, now, date_, buffer_.get() + size_);
  ++lines_;
  // While the log takes nothing the timer asks it, and not every request.
  if (size_ >= kBufferBytes / 2 && retry_ == absl::ZeroDuration()) Write();
}

void AccessLog::Flush() {
  if (size_ > 0) Write();
}

void AccessLog::Write() {
  const absl::string_view all(buffer_.get(), size_);
  const size_t taken = writer_->WriteLines(all);
  const absl::string_view rest = all.substr(taken);
  const auto left =
      static_cast<uint64_t>(std::count(rest.begin(), rest.end(), '\n'));
  counters_.access_log_lines.Add(lines_ - left);
  memmove(buffer_.get(), rest.data(), rest.size());
  size_ = rest.size();
  lines_ = left;
  if (size_ == 0) {
    retry_ = absl::ZeroDuration();
    return timer_.Cancel();
  }
  retry_ = std::clamp(retry_ * 2, kFirstRetry, kLastRetry);
  timer_.Start(retry_);
}

void AccessLog::End() {
  Flush();
  timer_.Cancel();
  size_ = 0;
  Drop(std::exchange(lines_, 0));
}

void AccessLog::Drop(uint64_t lines) {
  counters_.access_log_dropped.Add(lines);
}

AccessLogs::AccessLogs(EventLoop& loop, HttpCounters& counters,
                       std::vector<AccessLogFile> open)
    : loop_(loop), counters_(counters), pid_(getpid()) {
  for (AccessLogFile& file : open) Get(file.path).Open(std::move(file.fd));
}

AccessLog& AccessLogs::Get(const std::string& path) {
  std::unique_ptr<AccessLog>& log = logs_[path];
  if (log == nullptr) log = std::make_unique<AccessLog>(loop_, counters_);
  return *log;
}

void AccessLogs::Reopen(const std::string& path, UniqueFd fd) {
  if (const auto it = logs_.find(path); it != logs_.end()) {
    it->second->Open(std::move(fd));
  }
}

void AccessLogs::Flush() {
  for (auto& [path, log] : logs_) log->Flush();
}

void AccessLogs::End() {
  for (auto& [path, log] : logs_) log->End();
}

}  // namespace baton
