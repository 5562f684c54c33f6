#include "master/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "master/inherited_fd.h"
#include "net/errno_status.h"
#include "worker/channel_messages.h"

namespace baton {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
// A hundred thousand times a small server's.
constexpr off_t kMaxBytes = off_t{1} << 30;

constexpr std::pair<absl::string_view, Handoff::Role> kRoles[] = {
    {"check", Handoff::Role::kCheck},
    {"canary", Handoff::Role::kCanary},
    {"master", Handoff::Role::kMaster}};

absl::StatusOr<nlohmann::json> ReadDocument(int file) {
  struct stat status;
  if (fstat(file, &status) != 0) {
    return ErrnoStatus("fstat", kHandoffVariable, errno);
  }
  if (status.st_size > kMaxBytes) {
    return absl::InvalidArgumentError("the handoff is too large");
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(status.st_size));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = pread(file, bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(done));
    if (count <= 0) {
      return ErrnoStatus("pread", kHandoffVariable, count < 0 ? errno : EIO);
    }
    done += static_cast<size_t>(count);
  }
  try {
    // Without exceptions it throws too, if a size is too large to be true.
    nlohmann::json document = nlohmann::json::from_cbor(bytes);
    if (document.is_object()) return document;
  } catch (const std::exception&) {  // told below
  }
  return absl::InvalidArgumentError("the handoff is no document");
}

// ROLE:FD or ROLE:FD:REFUSAL.
absl::StatusOr<Handoff> ReadHandoff(absl::string_view text) {
  const std::vector<absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 2));
  int fd = -1;
  for (const auto& [name, role] : kRoles) {
    if (parts.size() < 2 || parts[0] != name ||
        !absl::SimpleAtoi(parts[1], &fd) || fd < 0) {
      continue;
    }
    // Anybody can set a variable: it may name what is not there.
    const absl::StatusOr<UniqueFd> file = TakeInheritedFd(fd);
    if (!file.ok()) return file.status();
    absl::StatusOr<nlohmann::json> document = ReadDocument(fd);
    if (!document.ok()) return document.status();
    return Handoff{role, *std::move(document),
                   parts.size() > 2 ? std::string(parts[2]) : ""};
  }
  return absl::InvalidArgumentError(
      absl::StrCat(kHandoffVariable, " is for baton itself to set"));
}

constexpr absl::string_view kOffer = "handoff: versions ";

// "1-3": the versions that are read.
bool IsInRange(absl::string_view range, int version) {
  const std::pair<absl::string_view, absl::string_view> ends =
      absl::StrSplit(range, absl::MaxSplits('-', 1));
  int first = 0, last = 0;
  return absl::SimpleAtoi(ends.first, &first) &&
         absl::SimpleAtoi(ends.second, &last) && first <= version &&
         version <= last;
}

}  // namespace

absl::StatusOr<UniqueFd> WriteHandoff(const nlohmann::json& document) {
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(document);
  UniqueFd fd(memfd_create("baton-handoff", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return ErrnoStatus("memfd_create", "a handoff", errno);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count =
        write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (count <= 0) {
      return ErrnoStatus("write", "a handoff", count < 0 ? errno : ENOSPC);
    }
    done += static_cast<size_t>(count);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoStatus("fcntl(F_ADD_SEALS)", "a handoff", errno);
  }
  return fd;
}

std::string HandoffText(Handoff::Role role, int file,
                        absl::string_view refusal) {
  for (const auto& [name, one] : kRoles) {
    if (one != role) continue;
    return refusal.empty() ? absl::StrCat(name, ":", file)
                           : absl::StrCat(name, ":", file, ":", refusal);
  }
  return "";
}

absl::StatusOr<std::optional<Handoff>> TakeHandoff(
    std::vector<std::string>& environment) {
  const std::string prefix = absl::StrCat(kHandoffVariable, "=");
  std::optional<std::string> text;
  std::erase_if(environment, [&](absl::string_view variable) {
    if (!absl::ConsumePrefix(&variable, prefix)) return false;
    text = std::string(variable);
    return true;
  });
  if (!text.has_value()) return std::optional<Handoff>();
  unsetenv(kHandoffVariable);
  absl::StatusOr<Handoff> handoff = ReadHandoff(*text);
  if (!handoff.ok()) {
    return absl::InvalidArgumentError(handoff.status().message());
  }
  return std::optional<Handoff>(*std::move(handoff));
}

std::string HandoffOffer() {
  return absl::StrCat(kOffer, kOldestHandoffVersion, "-", kHandoffVersion,
                      ", channel ", kOldestChannelVersion, "-",
                      kChannelVersion);
}

std::vector<std::string> FindOffers(absl::string_view printed) {
  std::vector<std::string> offers;
  for (const absl::string_view line : absl::StrSplit(printed, '\n')) {
    if (absl::StartsWith(line, kOffer)) offers.emplace_back(line);
  }
  return offers;
}

bool CanTakeOver(absl::Span<const std::string> offers) {
  return absl::c_any_of(offers, [](absl::string_view offer) {
    absl::ConsumePrefix(&offer, kOffer);
    const std::pair<absl::string_view, absl::string_view> ranges =
        absl::StrSplit(offer, absl::MaxSplits(", channel ", 1));
    return IsInRange(ranges.first, kHandoffVersion) &&
           IsInRange(ranges.second, kChannelVersion);
  });
}

}  // namespace baton
