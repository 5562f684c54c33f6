#include "tests/chaos_ledger.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "net/clock.h"

namespace baton {
namespace {

// What can have to do with a failure.
constexpr size_t kHistory = 40;
constexpr size_t kDeathsTold = 5;

std::string Seconds(absl::Duration since) {
  return absl::StrCat(absl::ToInt64Milliseconds(since), " ms");
}

}  // namespace

ChaosLedger::ChaosLedger(std::string folder)
    : folder_(std::move(folder)),
      started_nanos_(MonotonicClock::Get()->NowNanos()) {}

absl::Duration ChaosLedger::now() const {
  return absl::Nanoseconds(MonotonicClock::Get()->NowNanos() - started_nanos_);
}

void ChaosLedger::NoteOperation(const std::string& text) {
  const std::lock_guard lock(mutex_);
  history_.push_back(absl::StrCat(Seconds(now()), ": ", text));
  if (history_.size() > kHistory) history_.pop_front();
}

void ChaosLedger::NoteDeath(pid_t pid, const std::vector<ConnectionKey>& held) {
  const std::lock_guard lock(mutex_);
  deaths_.push_back({now(), pid, {held.begin(), held.end()}});
}

bool ChaosLedger::Killed(pid_t pid) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(deaths_.begin(), deaths_.end(),
                     [pid](const Death& death) { return death.pid == pid; });
}

void ChaosLedger::SetWitness(
    absl::AnyInvocable<std::string(ConnectionKey)> witness) {
  const std::lock_guard lock(mutex_);
  witness_ = std::move(witness);
}

void ChaosLedger::ReadCrashes() {
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder_, error)) {
    if (entry.path().extension() != ".held") continue;
    if (!crashes_read_.insert(entry.path().string()).second) continue;
    std::ifstream file(entry.path());
    int64_t nanos = 0;
    file >> nanos;
    Death death{absl::Nanoseconds(nanos - started_nanos_),
                std::stoi(entry.path().stem().string()),
                {}};
    for (ConnectionKey key; file >> key.client >> key.server;)
      death.held.insert(key);
    deaths_.push_back(std::move(death));
  }
}

bool ChaosLedger::Explained(const ConnectionKey& key,
                            absl::Duration opened) const {
  return std::any_of(deaths_.begin(), deaths_.end(), [&](const Death& death) {
    return death.at >= opened && death.held.count(key) != 0;
  });
}

void ChaosLedger::Lost(const ConnectionKey& key, absl::Duration opened,
                       const std::string& whose) {
  std::string report;
  {
    const std::lock_guard lock(mutex_);
    ReadCrashes();
    if (Explained(key, opened)) {
      ++explained_;
      return;
    }
    ++unexplained_;
    report = absl::StrCat(whose, " lost ", key.ToString(), ", opened at ",
                          Seconds(opened), "\n", Deaths());
    if (witness_ != nullptr) absl::StrAppend(&report, witness_(key));
  }
  Fail(report);
}

void ChaosLedger::Answered(pid_t by) {
  const std::lock_guard lock(mutex_);
  answered_by_.insert(by);
}

std::set<pid_t> ChaosLedger::answered_by() const {
  const std::lock_guard lock(mutex_);
  return answered_by_;
}

std::string ChaosLedger::Deaths() const {
  std::string text;
  const size_t first = deaths_.size() - std::min(deaths_.size(), kDeathsTold);
  for (size_t i = first; i < deaths_.size(); ++i) {
    absl::StrAppend(
        &text, "  ", Seconds(deaths_[i].at), ": death of ", deaths_[i].pid,
        " with ",
        absl::StrJoin(deaths_[i].held, " ",
                      [](std::string* out, const ConnectionKey& key) {
                        out->append(key.ToString());
                      }),
        "\n");
  }
  return text;
}

std::string ChaosLedger::History() const {
  return absl::StrJoin(history_, "\n  ");
}

void ChaosLedger::Fail(const std::string& what) {
  const std::lock_guard lock(mutex_);
  const std::string text = absl::StrCat(Seconds(now()), ": ", what);
  // Those that follow are seldom worth reading.
  if (failures_.empty()) {
    std::cerr << "FAILURE at " << text << "\nbefore:\n  " << History() << "\n";
  }
  failures_.push_back(text);
  failed_ = true;
}

std::vector<std::string> ChaosLedger::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

}  // namespace baton
