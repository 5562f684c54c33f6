// How the master takes up another configuration: read once, tried by a child,
// then loaded.

#include <unistd.h>

#include <set>
#include <string>
#include <utility>

#include "glog/logging.h"
#include "master/config_probe.h"
#include "master/flag_file.h"
#include "master/master.h"
#include "master/master_link.h"
#include "net/in_context.h"
#include "worker/log_event.h"
#include "worker/log_writer.h"

namespace baton {

void Master::Do(const action::LoadConfig& load) {
  loading_ = load;
  // By the binary's own check.
  if (upgrade_.taking_up) {
    last_file_bytes_ = upgrade_.file_bytes;
    return EndLoading(Load(load, last_file_bytes_, upgrade_.names));
  }
  absl::StatusOr<std::string> bytes = loader_.ReadFile();
  absl::Status started = bytes.status();
  if (started.ok()) {
    last_file_bytes_ = *bytes;
    started = StartProbe(*std::move(bytes));
  }
  if (!started.ok()) EndLoading(started);
}

absl::Status Master::StartProbe(std::string file_bytes) {
  const absl::Duration patience = supervisor_->ready_timeout();
  ProbeSpec spec;
  spec.loader = &loader_;
  spec.services = &services_;
  spec.log = &log_;
  spec.not_ours = &not_ours_;
  spec.file_bytes = file_bytes;
  spec.master = getpid();
  const absl::Status started = probe_->Start(
      [&spec](int output) { return RunConfigProbe(spec, output); }, patience,
      [this, patience,
       bytes = std::move(file_bytes)](const Trial::Result& result) {
        const absl::StatusOr<KnownNames> names = ProbeVerdict(result, patience);
        if (!names.ok()) return EndLoading(names.status());
        EndLoading(Load(*loading_, bytes, *names));
      });
  if (started.ok()) {
    LogEvent("probe_started")
        .Field("generation", loading_->generation)
        .Field("probe_pid", probe_->pid());
  }
  return started;
}

void Master::EndLoading(absl::StatusOr<SupervisorSettings> settings) {
  const Generation generation = loading_->generation;
  loading_.reset();
  if (settings.ok()) {
    LogListening(generation);
    Feed(event::ConfigLoaded{generation, *std::move(settings)});
  } else {
    next_log_.reset();
    next_pid_file_.reset();
    access_logs_.Drop(generation);
    Feed(event::ConfigRejected{generation,
                               std::string(settings.status().message())});
  }
}

// That of a generation which workers are forked for. It may have been refused
// when the way back from another binary was taken: something that an
// application's flag is checked against was not there. The server has not
// stopped for that, and now needs it.
absl::StatusOr<std::shared_ptr<const Config>> Master::ConfigOf(
    Generation generation) {
  if (upgrade_.refused == generation) {
    if (absl::Status status = LoadOld(generation); !status.ok()) return status;
    const std::shared_ptr<const Config>& config = configs_.at(generation);
    LogEvent("old_configuration_loaded").Field("generation", generation);
    helpers_->KnowConfig(generation, config);
    UpdateFlagFileWatch(*config);
  }
  const auto config = configs_.find(generation);
  if (config != configs_.end()) return config->second;
  return absl::UnavailableError("its configuration is another binary's");
}

// Of the binary that this one was before.
absl::Status Master::LoadOld(Generation generation) {
  absl::StatusOr<std::shared_ptr<const Config>> config =
      loader_.LoadChecked(upgrade_.old_file_bytes, upgrade_.old_names);
  if (!config.ok()) {
    upgrade_.refused = generation;
    active_.reset();
    return InContext("the old configuration", config.status());
  }
  upgrade_.refused.reset();
  active_ = *config;
  // They could be opened once; the server does not stop for that.
  access_logs_.LoadAnyway(generation, services_.AccessLogs((*config)->listen));
  configs_.emplace(generation, *std::move(config));
  return absl::OkStatus();
}

// Nobody waits for a configuration that nobody will serve.
void Master::CancelLoadingAtStop() {
  if (!loading_.has_value() || supervisor_->takes_requests()) return;
  probe_->Cancel();
  EndLoading(absl::AbortedError("the server is stopping"));
}

// --- --watch_flagfile

void Master::UpdateFlagFileWatch(const Config& config) {
  // Without a file it is a warning, and there is nothing to do.
  const bool wanted = config.watch_flagfile && !loader_.flag_file().empty();
  if (wanted == flag_file_watch_.has_value()) return;
  if (!wanted) return flag_file_watch_.reset();
  flag_file_watch_.emplace(*loop_, loader_.flag_file(),
                           [this] { OnFlagFileChange(); });
  if (absl::Status status = flag_file_watch_->Start(); !status.ok()) {
    LOG(ERROR) << "changes of the flag file are not seen: " << status.message();
    flag_file_watch_.reset();
  }
}

// One that is gone for now, or empty since somebody is about to write it, or as
// it was before, is no reason to reload.
void Master::OnFlagFileChange() {
  const absl::StatusOr<std::string> bytes = ReadFlagFile(loader_.flag_file());
  if (!bytes.ok()) {
    const absl::Status status = InContext("--flagfile", bytes.status());
    LogEvent("flag_file_unreadable", google::GLOG_WARNING)
        .Field("reason", status.message());
    return;
  }
  if (bytes->empty()) {
    LogEvent("flag_file_empty").Field("path", loader_.flag_file());
    return;
  }
  if (*bytes == last_file_bytes_) return;
  LogEvent("flag_file_changed").Field("path", loader_.flag_file());
  Feed(event::ReloadRequested{});
}

// --- the log and the pid file

// What the master itself has open. All that can fail does so before anything
// else changes.
absl::Status Master::OpenFiles(Generation generation, const Config& config) {
  if (absl::Status status =
          access_logs_.Load(generation, services_.AccessLogs(config.listen));
      !status.ok()) {
    return status;
  }
  const OpenFileNames& now = open_files_;
  if (config.log_file != now.log_file || config.log_format != now.log_format) {
    absl::StatusOr<UniqueFd> log = OpenLog(config.log_file);
    if (!log.ok()) return InContext("--log_file", log.status());
    next_log_ = *std::move(log);
  }
  if (config.pid_file.empty() || config.pid_file == now.pid_file ||
      (pid_file_.has_value() && pid_file_->IsAt(config.pid_file))) {
    return absl::OkStatus();
  }
  absl::StatusOr<PidFile> file = PidFile::Lock(config.pid_file);
  if (!file.ok()) return InContext("--pid_file", file.status());
  next_pid_file_.emplace(*std::move(file));
  return absl::OkStatus();
}

void Master::SwitchFiles(const Config& now) {
  const OpenFileNames before =
      std::exchange(open_files_, {now.log_file, now.log_format, now.pid_file});
  if (next_log_) SwitchLog(std::move(next_log_), now.log_format);
  if (before.pid_file == now.pid_file ||
      (pid_file_.has_value() && pid_file_->IsAt(now.pid_file))) {
    return;
  }
  if (next_pid_file_.has_value()) {
    if (absl::Status status = next_pid_file_->Write(); !status.ok()) {
      LOG(ERROR) << InContext("--pid_file", status).message();
    }
  }
  pid_file_.reset();  // removes the old one
  if (!next_pid_file_.has_value()) return;
  pid_file_.emplace(*std::move(next_pid_file_));
  next_pid_file_.reset();
}

// The one of a reload that is under way, too: what was renamed is not it.
void Master::ReopenLog() {
  const OpenFileNames& now = open_files_;
  if (next_log_) {
    const std::string& next = configs_.rbegin()->second->log_file;
    if (absl::StatusOr<UniqueFd> fd = OpenLog(next); fd.ok()) {
      next_log_ = *std::move(fd);
    }
  }
  if (now.log_file.empty()) return;
  absl::StatusOr<UniqueFd> fd = OpenLog(now.log_file);
  if (!fd.ok()) {
    LOG(ERROR) << "--log_file: the log is not reopened: "
               << fd.status().message();
    return;
  }
  SwitchLog(*std::move(fd), now.log_format);
}

// Who is forked in a roll is given the logs of both configurations. Once
// nothing of another one than that which serves is left, nobody has a use for
// what only that one had: it would be created anew each time, for ever.
void Master::ForgetAccessLogs() {
  const Generation generation = supervisor_->generation();
  // After an upgrade that is still under way they are another binary's.
  if (configs_.count(generation) == 0) return;
  if (!supervisor_->removed().empty()) return;
  for (const auto& [id, link] : links_) {
    if (link->generation != generation) return;
  }
  const std::set<std::string> used = access_logs_.Paths();
  for (auto& [id, link] : links_) {
    std::erase_if(link->access_logs, [&used](const std::string& path) {
      return used.count(path) == 0;
    });
  }
}

void Master::ReopenAccessLogs() {
  ForgetAccessLogs();
  const std::set<std::string> used = access_logs_.Paths();
  std::set<std::string> given;
  for (const auto& [id, link] : links_) {
    given.insert(link->access_logs.begin(), link->access_logs.end());
  }
  access_logs_.Reopen(given, [&](const std::string& path, int fd) {
    const std::string message = EncodeMessage(ReopenAccessLogMessage{path});
    for (auto& [id, link] : links_) {
      // What is nobody's but theirs who have it: the next time, another one
      // would not be known to have it.
      if (used.count(path) == 0 && link->access_logs.count(path) == 0) {
        continue;
      }
      const FdChannel::SendResult result =
          link->worker.channel.Send(message, {&fd, 1});
      if (result.code == FdChannel::SendCode::kSent ||
          result.code == FdChannel::SendCode::kEof) {
        link->access_logs.insert(path);
        continue;
      }
      LOG(ERROR) << WorkerRole(link->slot) << " goes on with the old " << path;
    }
  });
}

void Master::SwitchLog(UniqueFd fd, LogFormat format) {
  const std::string message = EncodeMessage(ReopenLogMessage{format});
  for (auto& [id, link] : links_) {
    const int sent = fd.get();
    const FdChannel::SendResult result =
        link->worker.channel.Send(message, {&sent, 1});
    if (result.code == FdChannel::SendCode::kSent ||
        result.code == FdChannel::SendCode::kEof) {
      continue;
    }
    LOG(ERROR) << WorkerRole(link->slot) << " logs to the old file on";
  }
  helpers_->ReopenLog(fd.get(), format);
  log_.Reopen(std::move(fd), format);
  LogEvent("log_reopened");
}

}  // namespace baton
