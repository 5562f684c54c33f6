#include "tests/chaos_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "tests/chaos_text.h"

namespace baton {
namespace {

constexpr size_t kTail = 100;
constexpr size_t kShown = 200;

}  // namespace

ChaosLog::ChaosLog(std::string path,
                   absl::AnyInvocable<void(const std::string&)> fail,
                   absl::AnyInvocable<bool(pid_t)> killed)
    : path_(std::move(path)),
      fail_(std::move(fail)),
      killed_(std::move(killed)) {}

// The master writes to one file after the other, so that its lines are in their
// order; a worker's may come late in an old one.
void ChaosLog::Poll() {
  if (!opened_) {
    UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd) {
      files_.push_back({std::move(fd), ""});
      opened_ = true;
    }
  }
  for (File& file : files_) Read(file);
}

void ChaosLog::Rotate() {
  if (!opened_) return;
  const std::string old = absl::StrCat(path_, ".", files_.size());
  PCHECK(rename(path_.c_str(), old.c_str()) == 0);
  opened_ = false;
}

void ChaosLog::Read(File& file) {
  char bytes[65536];
  ssize_t count;
  while ((count = read(file.fd.get(), bytes, sizeof(bytes))) > 0) {
    file.rest.append(bytes, static_cast<size_t>(count));
  }
  size_t end, begin = 0;
  while ((end = file.rest.find('\n', begin)) != std::string::npos) {
    OnLine(file.rest.substr(begin, end - begin));
    begin = end + 1;
  }
  file.rest.erase(0, begin);
}

void ChaosLog::OnLine(const std::string& line) {
  const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return fail_("no line of a log: " + line);
  tail_.push_back(absl::StrCat(record.value("time", ""), " ",
                               record.value("pid", 0), " ",
                               record.value("message", "").substr(0, kShown)));
  if (tail_.size() > kTail) tail_.pop_front();
  if (record.value("level", "") == "fatal") fail_("in the log: " + line);
  const std::string event = record.value("event", "");
  if (event.empty()) return;
  const Json fields = record.value("fields", Json::object());
  const std::string outcome = fields.value("outcome", "");
  ++counts_[{event, outcome}];
  if (!outcome.empty() && outcome != "ok") {
    ++reasons_[absl::StrCat(event, " ", outcome, ": ",
                            fields.value("reason", ""))];
  }
  OnEvent(event, fields);
}

void ChaosLog::OnEvent(const std::string& event, const Json& fields) {
  const auto worker = fields.value("worker_pid", pid_t{0});
  if (event == "worker_started") {
    workers_[worker] = fields.value("slot", 0);
    all_workers_.insert(worker);
  } else if (event == "worker_exited") {
    workers_.erase(worker);
    OnWorkerExit(worker, fields.value("status", ""));
  } else if (event == "worker_serving") {
    last_serving_ = worker;
  } else if (event == "worker_draining") {
    last_leaving_ = worker;
  } else if (event == "worker_killed") {
    killed_by_master_.insert(worker);
  } else if (event == "helper_started") {
    helpers_[fields.value("helper", "")] = fields.value("helper_pid", 0);
  } else if (event == "configuration") {
    listen_ = fields.value("listen", "");
  } else if (event == "listening" || event == "helper_listening") {
    const auto address = Endpoint::Parse(fields.value("address", ""));
    if (!address.ok()) return fail_("no address: " + fields.dump());
    if (event == "listening") {
      addresses_[fields.value("url", "")] = *address;
    } else {
      helper_addresses_[fields.value("helper", "")] = *address;
    }
  } else if (event == "worker_cut" || event == "crash_loop" ||
             event == "worker_unkillable") {
    fail_(absl::StrCat(event, " ", fields.dump()));
  }
}

// 1: a worker that could not start, for want of descriptors for instance.
void ChaosLog::OnWorkerExit(pid_t pid, const std::string& status) {
  if (status == "exit code 0" || status == "exit code 1") return;
  if (status == absl::StrCat("exit code ", kChaosCrashCode)) return;
  if (status == "SIGKILL" && (killed_(pid) || killed_by_master_.count(pid) > 0))
    return;
  fail_(absl::StrCat("worker ", pid, " ended: ", status));
}

pid_t ChaosLog::helper(const std::string& name) const {
  const auto it = helpers_.find(name);
  return it == helpers_.end() ? 0 : it->second;
}

int ChaosLog::Count(const std::string& event,
                    const std::string& outcome) const {
  const auto it = counts_.find({event, outcome});
  return it == counts_.end() ? 0 : it->second;
}

std::string ChaosLog::Reasons() const {
  std::string text;
  for (const auto& [reason, count] : reasons_)
    absl::StrAppend(&text, "  ", count, " x ", reason, "\n");
  return text;
}

std::optional<Endpoint> ChaosLog::AddressOf(const std::string& url) const {
  if (!absl::StrContains(listen_, url)) return std::nullopt;
  for (const auto& [text, address] : addresses_) {
    if (absl::StartsWith(text, url)) return address;
  }
  return std::nullopt;
}

std::optional<Endpoint> ChaosLog::helper_address(
    const std::string& name) const {
  const auto it = helper_addresses_.find(name);
  if (it == helper_addresses_.end()) return std::nullopt;
  return it->second;
}

std::string ChaosLog::Tail() const { return absl::StrJoin(tail_, "\n"); }

}  // namespace baton
