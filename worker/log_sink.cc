#include "worker/log_sink.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "worker/log_event.h"

namespace baton {
namespace {

// Leaves the sinks as glog's only destination. The flags are set rather than
// trusted: GOOGLE_LOGTOSTDERR and its like in the environment change their
// defaults.
void SwitchOffOtherDestinations() {
  FLAGS_logtostderr = false;
  FLAGS_logtostdout = false;
  FLAGS_alsologtostderr = false;
  FLAGS_stderrthreshold = google::NUM_SEVERITIES;
  for (int severity = 0; severity < google::NUM_SEVERITIES; ++severity) {
    google::SetLogDestination(severity, "");
  }
  // Until it is initialised glog copies every line to stderr.
  if (!google::IsGoogleLoggingInitialized()) google::InitGoogleLogging("baton");
}

absl::CivilSecond CivilOf(const std::tm& clock) {
  return absl::CivilSecond(clock.tm_year + 1900, clock.tm_mon + 1,
                           clock.tm_mday, clock.tm_hour, clock.tm_min,
                           clock.tm_sec);
}

}  // namespace

LineLogSink::LineLogSink(UniqueFd fd, LogFormat format, absl::string_view role)
    : writer_(std::move(fd)),
      format_(format),
      roles_({std::string(role)}),
      role_(&roles_.back()) {
  SwitchOffOtherDestinations();
  google::AddLogSink(this);
}

LineLogSink::~LineLogSink() { google::RemoveLogSink(this); }

void LineLogSink::AfterFork(absl::string_view role) {
  const std::lock_guard lock(mutex_);
  role_ = &roles_.emplace_back(role);
  dropped_ = 0;
  reported_ = 0;
}

void LineLogSink::Reopen(UniqueFd fd, LogFormat format) {
  const std::lock_guard lock(mutex_);
  writer_.Reopen(std::move(fd));
  format_ = format;
}

int LineLogSink::fd() const {
  const std::lock_guard lock(mutex_);
  return writer_.fd();
}

uint64_t LineLogSink::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void LineLogSink::CountDroppedIn(Counter* counter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  dropped_counter_ = counter;
}

LineLogSink::CrashView LineLogSink::AtCrash() const {
  return {format_, *role_.load(), utc_offset_seconds_};
}

void LineLogSink::WriteAtCrash(absl::string_view line) { writer_.Write(line); }

void LineLogSink::ReportDropped(const LogRecord& like) {
  const std::string fields = absl::StrCat("\"count\":", dropped_ - reported_);
  const std::string message =
      absl::StrCat("log_lines_dropped count=", dropped_ - reported_);
  LogRecord record = like;
  record.severity = google::GLOG_WARNING;
  record.file = "log_sink.cc";
  record.line = __LINE__;
  record.event = "log_lines_dropped";
  record.fields = fields;
  record.message = message;
  if (writer_.Write(FormatLogLine(format_, record, writer_.max_line_bytes()))) {
    reported_ = dropped_;
  }
}

void LineLogSink::send(google::LogSeverity severity,
                       const char* /*full_filename*/, const char* base_filename,
                       int line, const google::LogMessageTime& time,
                       const char* message, size_t message_len) {
  LogRecord record;
  record.severity = severity;
  record.unix_seconds = time.timestamp();
  record.microseconds = time.usec();
  record.clock.tm_year = time.year();
  record.clock.tm_mon = time.month();
  record.clock.tm_mday = time.day();
  record.clock.tm_hour = time.hour();
  record.clock.tm_min = time.min();
  record.clock.tm_sec = time.sec();
  record.pid = getpid();
  record.file = base_filename;
  record.line = line;
  record.message = absl::string_view(message, message_len);
  if (const LogEvent::Structure* event = LogEvent::Current()) {
    record.event = event->name;
    record.fields = event->fields;
  }
  utc_offset_seconds_ = CivilOf(record.clock) -
                        (absl::CivilSecond(1970, 1, 1) + record.unix_seconds);
  const std::lock_guard lock(mutex_);
  record.role = *role_.load();
  if (dropped_ != reported_) ReportDropped(record);
  if (!writer_.Write(
          FormatLogLine(format_, record, writer_.max_line_bytes()))) {
    ++dropped_;
    if (dropped_counter_ != nullptr) dropped_counter_->Add(1);
  }
}

}  // namespace baton
