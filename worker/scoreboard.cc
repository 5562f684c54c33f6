#include "worker/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {
namespace {

constexpr uint64_t kMagic = 0x31304253'6e746142;  // "BatnSB01"
// Changes when the header or an entry changes shape, not when fields come.
constexpr uint32_t kLayoutVersion = 1;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

constexpr size_t kCountersOffset = 4096;
constexpr size_t kFileBytes = 8192;
// A scoreboard of another build may be larger than ours, within reason.
constexpr off_t kMaxFileBytes = 1 << 20;
constexpr uint32_t kMaxFields = 4096;

// A counter only grows; a level goes up and down. Both are 64 bits wide.
enum class Kind : uint32_t { kCounter = 1, kLevel = 2 };

struct Header {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t field_count;
};

struct Entry {
  char name[24];  // ends with at least one NUL
  uint32_t offset;
  Kind kind;
};
static_assert(sizeof(Header) == 16 && sizeof(Entry) == 32);

struct KnownField {
  absl::string_view name;
  size_t offset;  // in WorkerCounters
  Kind kind;
  uint64_t WorkerSnapshot::* member;
};

#define BATON_TRAFFIC_FIELD(field, kind)                                      \
  KnownField {                                                                \
    #field,                                                                   \
        offsetof(WorkerCounters, traffic) + offsetof(TrafficCounters, field), \
        kind, &WorkerSnapshot::field                                          \
  }

#define BATON_HTTP_FIELD(field)                                         \
  KnownField {                                                          \
    "http_" #field,                                                     \
        offsetof(WorkerCounters, http) + offsetof(HttpCounters, field), \
        Kind::kCounter, &WorkerSnapshot::http_##field                   \
  }

constexpr std::array kFields = {
    KnownField{
        "connections",
        offsetof(WorkerCounters, traffic) + offsetof(TrafficCounters, open),
        Kind::kLevel, &WorkerSnapshot::connections},
    BATON_TRAFFIC_FIELD(accepted, Kind::kCounter),
    BATON_TRAFFIC_FIELD(closed, Kind::kCounter),
    BATON_TRAFFIC_FIELD(requests, Kind::kCounter),
    BATON_TRAFFIC_FIELD(bytes_in, Kind::kCounter),
    BATON_TRAFFIC_FIELD(bytes_out, Kind::kCounter),
    BATON_TRAFFIC_FIELD(datagrams_in, Kind::kCounter),
    BATON_TRAFFIC_FIELD(datagrams_out, Kind::kCounter),
    BATON_TRAFFIC_FIELD(datagrams_dropped, Kind::kCounter),
    BATON_TRAFFIC_FIELD(handed_over, Kind::kCounter),
    BATON_TRAFFIC_FIELD(received, Kind::kCounter),
    BATON_TRAFFIC_FIELD(reaped_idle, Kind::kCounter),
    BATON_TRAFFIC_FIELD(read_timeouts, Kind::kCounter),
    BATON_TRAFFIC_FIELD(write_timeouts, Kind::kCounter),
    BATON_TRAFFIC_FIELD(buffers_refused, Kind::kCounter),
    BATON_TRAFFIC_FIELD(refused_per_ip, Kind::kCounter),
    BATON_TRAFFIC_FIELD(accept_pauses, Kind::kCounter),
    BATON_TRAFFIC_FIELD(accept_errors, Kind::kCounter),
    BATON_TRAFFIC_FIELD(outbound, Kind::kCounter),
    BATON_TRAFFIC_FIELD(outbound_open, Kind::kLevel),
    KnownField{"stale_events", offsetof(WorkerCounters, stale_events),
               Kind::kCounter, &WorkerSnapshot::stale_events},
    BATON_HTTP_FIELD(responses_2xx),
    BATON_HTTP_FIELD(responses_3xx),
    BATON_HTTP_FIELD(responses_4xx),
    BATON_HTTP_FIELD(responses_5xx),
    BATON_HTTP_FIELD(rejected),
    BATON_HTTP_FIELD(timeouts),
    BATON_HTTP_FIELD(handler_failures),
    KnownField{"state", offsetof(WorkerCounters, state), Kind::kLevel,
               &WorkerSnapshot::state},
    KnownField{
        "turns",
        offsetof(WorkerCounters, heartbeat) + offsetof(LoopHeartbeat, turns),
        Kind::kLevel, &WorkerSnapshot::turns},
    KnownField{
        "waiting",
        offsetof(WorkerCounters, heartbeat) + offsetof(LoopHeartbeat, waiting),
        Kind::kLevel, &WorkerSnapshot::waiting},
};

#undef BATON_TRAFFIC_FIELD

static_assert(sizeof(Header) + kFields.size() * sizeof(Entry) <=
              kCountersOffset);
static_assert(sizeof(WorkerCounters) <= kFileBytes - kCountersOffset);

std::vector<std::byte> HeaderPage() {
  std::vector<std::byte> page(kCountersOffset);
  const Header header{kMagic, kLayoutVersion,
                      static_cast<uint32_t>(kFields.size())};
  std::memcpy(page.data(), &header, sizeof(header));
  size_t at = sizeof(header);
  for (const KnownField& field : kFields) {
    Entry entry{};
    CHECK_LT(field.name.size(), sizeof(entry.name));
    std::memcpy(entry.name, field.name.data(), field.name.size());
    entry.offset = static_cast<uint32_t>(kCountersOffset + field.offset);
    entry.kind = field.kind;
    std::memcpy(page.data() + at, &entry, sizeof(entry));
    at += sizeof(entry);
  }
  return page;
}

absl::StatusOr<Mapping> Map(int fd, size_t bytes, int protection) {
  void* base = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return ErrnoStatus("mmap", "scoreboard", errno);
  return Mapping(static_cast<std::byte*>(base), Unmapper{bytes});
}

absl::Status BadScoreboard(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("scoreboard: ", why));
}

// The size of a file that can't be cut under its readers.
absl::StatusOr<size_t> SealedSize(int fd) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return ErrnoStatus("fcntl(F_GET_SEALS)", "scoreboard", errno);
  if ((seals & kSeals) != kSeals) return BadScoreboard("not sealed");
  struct stat status;
  if (fstat(fd, &status) != 0) return ErrnoStatus("fstat", "scoreboard", errno);
  if (status.st_size < static_cast<off_t>(sizeof(Header)) ||
      status.st_size > kMaxFileBytes) {
    return BadScoreboard(absl::StrCat(status.st_size, " bytes long"));
  }
  return static_cast<size_t>(status.st_size);
}

// A private copy: what was checked can't change afterwards.
absl::Status CopyOut(int fd, void* to, size_t bytes, off_t offset) {
  const ssize_t count = pread(fd, to, bytes, offset);
  if (count < 0) return ErrnoStatus("pread", "scoreboard", errno);
  if (static_cast<size_t>(count) != bytes) return BadScoreboard("cut short");
  return absl::OkStatus();
}

const KnownField* FindField(const Entry& entry) {
  const size_t length = strnlen(entry.name, sizeof(entry.name));
  const absl::string_view name(entry.name, length);
  for (const KnownField& field : kFields) {
    if (field.name == name && field.kind == entry.kind) return &field;
  }
  return nullptr;
}

}  // namespace

void Unmapper::operator()(std::byte* base) const {
  PCHECK(munmap(base, bytes) == 0) << "munmap";
}

absl::StatusOr<UniqueFd> CreateScoreboardFile() {
  UniqueFd fd(
      memfd_create("baton-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return ErrnoStatus("memfd_create", "scoreboard", errno);
  if (ftruncate(fd.get(), kFileBytes) != 0) {
    return ErrnoStatus("ftruncate", "scoreboard", errno);
  }
  const std::vector<std::byte> page = HeaderPage();
  const ssize_t written = pwrite(fd.get(), page.data(), page.size(), 0);
  if (written != static_cast<ssize_t>(page.size())) {
    return ErrnoStatus("pwrite", "scoreboard", written < 0 ? errno : ENOSPC);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoStatus("fcntl(F_ADD_SEALS)", "scoreboard", errno);
  }
  return fd;
}

Scoreboard::Scoreboard(Mapping mapping)
    : mapping_(std::move(mapping)),
      counters_(new(mapping_.get() + kCountersOffset) WorkerCounters) {}

absl::StatusOr<Scoreboard> Scoreboard::Open(int fd) {
  absl::StatusOr<size_t> size = SealedSize(fd);
  if (!size.ok()) return size.status();
  if (*size != kFileBytes) return BadScoreboard("of another build");
  absl::StatusOr<Mapping> mapping = Map(fd, kFileBytes, PROT_READ | PROT_WRITE);
  if (!mapping.ok()) return mapping.status();
  return Scoreboard(*std::move(mapping));
}

absl::StatusOr<Scoreboard> Scoreboard::Create() {
  absl::StatusOr<UniqueFd> fd = CreateScoreboardFile();
  if (!fd.ok()) return fd.status();
  return Open(fd->get());
}

absl::StatusOr<ScoreboardView> ScoreboardView::Open(int fd) {
  absl::StatusOr<size_t> size = SealedSize(fd);
  if (!size.ok()) return size.status();
  Header header;
  if (absl::Status status = CopyOut(fd, &header, sizeof(header), 0);
      !status.ok()) {
    return status;
  }
  if (header.magic != kMagic) return BadScoreboard("wrong magic");
  if (header.layout_version != kLayoutVersion) {
    return BadScoreboard(absl::StrCat("layout version ", header.layout_version,
                                      ", known is ", kLayoutVersion));
  }
  if (header.field_count > kMaxFields) {
    return BadScoreboard(absl::StrCat(header.field_count, " fields"));
  }
  std::vector<Entry> entries(header.field_count);
  if (absl::Status status = CopyOut(
          fd, entries.data(), entries.size() * sizeof(Entry), sizeof(header));
      !status.ok()) {
    return status;
  }
  std::vector<Field> fields;
  for (const Entry& entry : entries) {
    const KnownField* known = FindField(entry);
    if (known == nullptr) continue;
    if (entry.offset % sizeof(uint64_t) != 0 ||
        entry.offset > *size - sizeof(uint64_t)) {
      return BadScoreboard(absl::StrCat(known->name, " at ", entry.offset));
    }
    fields.push_back({entry.offset, known->member,
                      /*monotonic=*/entry.kind == Kind::kCounter});
  }
  absl::StatusOr<Mapping> mapping = Map(fd, *size, PROT_READ);
  if (!mapping.ok()) return mapping.status();
  if (madvise(mapping->get(), *size, MADV_DONTFORK) != 0) {
    return ErrnoStatus("madvise(MADV_DONTFORK)", "scoreboard", errno);
  }
  return ScoreboardView(*std::move(mapping), std::move(fields));
}

WorkerSnapshot ScoreboardView::Read() {
  for (const Field& field : fields_) {
    const auto* cell = reinterpret_cast<const std::atomic<uint64_t>*>(
        mapping_.get() + field.offset);
    const uint64_t value = cell->load(std::memory_order_relaxed);
    uint64_t& last = last_.*field.member;
    if (field.monotonic) {
      last = std::max(last, std::min(value, kCounterLimit));
    } else {
      // A level below zero, seen unsigned, is as wild as one too large.
      last = value > kCounterLimit ? 0 : value;
    }
  }
  return last_;
}

}  // namespace baton
