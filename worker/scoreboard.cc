#include "worker/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "net/errno_status.h"
#include "worker/application_metrics.h"

namespace baton {
namespace {

constexpr uint64_t kMagic = 0x31304253'6e746142;  // "BatnSB01"
// Changes when the header or an entry changes shape, not when fields come.
constexpr uint32_t kLayoutVersion = 1;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

constexpr size_t kPageBytes = 4096;
constexpr size_t kCountersOffset = 4 * kPageBytes;
constexpr size_t kApplicationOffset =
    kCountersOffset +
    (sizeof(WorkerCounters) + kPageBytes - 1) / kPageBytes * kPageBytes;
// A scoreboard of another build may be larger than ours, within reason.
constexpr off_t kMaxFileBytes = 1 << 20;
constexpr uint32_t kMaxFields = 4096;

// A counter only grows; a level goes up and down; a real is a level that is a
// double. All are 64 bits wide.
enum class Kind : uint32_t { kCounter = 1, kLevel = 2, kReal = 3 };

struct Header {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t field_count;
};

// `cells` of one kind in a row.
struct Entry {
  char name[52];  // ends with at least one NUL
  uint32_t offset;
  uint32_t cells;
  Kind kind;
};
static_assert(sizeof(Header) == 16 && sizeof(Entry) == 64);

// A field that this build knows.
struct KnownField {
  std::string name;
  size_t offset;  // in the file
  uint32_t cells;
  Kind kind;
  size_t target;  // among the cells of a snapshot
};

constexpr absl::string_view kSumSuffix = ".sum";

constexpr size_t kOwnCells = sizeof(WorkerNumbers) / sizeof(uint64_t);
static_assert(sizeof(WorkerNumbers) % sizeof(uint64_t) == 0);

// A member of WorkerNumbers, and where the worker counts it.
#define BATON_FIELD(member, place, kind)                                 \
  KnownField {                                                           \
    #member, kCountersOffset + offsetof(WorkerCounters, place), 1, kind, \
        offsetof(WorkerNumbers, member) / sizeof(uint64_t)               \
  }

// The buckets of one, and its sum.
#define BATON_HISTOGRAM(member, place)                                      \
  KnownField{#member, kCountersOffset + offsetof(WorkerCounters, place),    \
             kBucketsOf<decltype(WorkerNumbers::member)>, Kind::kCounter,   \
             offsetof(WorkerNumbers, member) / sizeof(uint64_t)},           \
      KnownField {                                                          \
    #member ".sum",                                                         \
        kCountersOffset + offsetof(WorkerCounters, place) +                 \
            kBucketsOf<decltype(WorkerNumbers::member)> * sizeof(uint64_t), \
        1, Kind::kReal,                                                     \
        offsetof(WorkerNumbers, member) / sizeof(uint64_t) +                \
            kBucketsOf<decltype(WorkerNumbers::member)>                     \
  }

template <typename Cells>
constexpr uint32_t kBucketsOf = std::tuple_size_v<Cells> - 1;

std::vector<KnownField> OwnFields() {
  constexpr Kind kCounter = Kind::kCounter;
  constexpr Kind kLevel = Kind::kLevel;
  return {
      BATON_FIELD(connections, traffic.open, kLevel),
      BATON_FIELD(accepted, traffic.accepted, kCounter),
      BATON_FIELD(closed, traffic.closed, kCounter),
      BATON_FIELD(requests, traffic.requests, kCounter),
      BATON_FIELD(bytes_in, traffic.bytes_in, kCounter),
      BATON_FIELD(bytes_out, traffic.bytes_out, kCounter),
      BATON_FIELD(datagrams_in, traffic.datagrams_in, kCounter),
      BATON_FIELD(datagrams_out, traffic.datagrams_out, kCounter),
      BATON_FIELD(datagrams_dropped, traffic.datagrams_dropped, kCounter),
      BATON_FIELD(handed_over, traffic.handed_over, kCounter),
      BATON_FIELD(received, traffic.received, kCounter),
      BATON_FIELD(handover_refused, traffic.handover_refused, kCounter),
      BATON_FIELD(handover_later, traffic.handover_later, kCounter),
      BATON_FIELD(reaped_idle, traffic.reaped_idle, kCounter),
      BATON_FIELD(read_timeouts, traffic.read_timeouts, kCounter),
      BATON_FIELD(write_timeouts, traffic.write_timeouts, kCounter),
      BATON_FIELD(buffers_refused, traffic.buffers_refused, kCounter),
      BATON_FIELD(refused_per_ip, traffic.refused_per_ip, kCounter),
      BATON_FIELD(accept_pauses, traffic.accept_pauses, kCounter),
      BATON_FIELD(accept_errors, traffic.accept_errors, kCounter),
      BATON_FIELD(outbound, traffic.outbound, kCounter),
      BATON_FIELD(outbound_open, traffic.outbound_open, kLevel),
      BATON_FIELD(stale_events, stale_events, kCounter),
      BATON_FIELD(http_responses_2xx, http.responses_2xx, kCounter),
      BATON_FIELD(http_responses_3xx, http.responses_3xx, kCounter),
      BATON_FIELD(http_responses_4xx, http.responses_4xx, kCounter),
      BATON_FIELD(http_responses_5xx, http.responses_5xx, kCounter),
      BATON_FIELD(http_rejected, http.rejected, kCounter),
      BATON_FIELD(http_timeouts, http.timeouts, kCounter),
      BATON_FIELD(http_handler_failures, http.handler_failures, kCounter),
      BATON_HISTOGRAM(http_request_nanos, http.request_nanos),
      BATON_HISTOGRAM(http_response_bytes, http.response_bytes),
      BATON_FIELD(job_threads, jobs.threads, kLevel),
      BATON_FIELD(jobs_queued, jobs.queued, kLevel),
      BATON_FIELD(jobs_run, jobs.run, kCounter),
      BATON_FIELD(jobs_refused, jobs.refused, kCounter),
      BATON_FIELD(log_lines_dropped, log_lines_dropped, kCounter),
      BATON_HISTOGRAM(turn_nanos, turn_nanos),
      BATON_FIELD(state, state, kLevel),
      BATON_FIELD(turns, heartbeat.turns, kLevel),
      BATON_FIELD(waiting, heartbeat.waiting, kLevel),
  };
}

#undef BATON_FIELD
#undef BATON_HISTOGRAM

// The sum of a histogram is a field of its own.
std::vector<KnownField> FieldsOf(const MetricDefinition& metric) {
  const std::string name = absl::StrCat("app ", metric.name);
  const auto field = [&](size_t first, size_t cells, Kind kind,
                         absl::string_view suffix) {
    const size_t cell = metric.first_cell + first;
    return KnownField{absl::StrCat(name, suffix),
                      kApplicationOffset + cell * sizeof(uint64_t),
                      static_cast<uint32_t>(cells), kind, kOwnCells + cell};
  };
  switch (metric.type) {
    case MetricType::kCounter:
      return {field(0, 1, Kind::kCounter, "")};
    case MetricType::kGauge:
      return {field(0, 1, Kind::kReal, "")};
    case MetricType::kHistogram:
      return {field(0, metric.cells - 1, Kind::kCounter, ""),
              field(metric.cells - 1, 1, Kind::kReal, kSumSuffix)};
  }
  LOG(FATAL) << "metric type " << static_cast<int>(metric.type);
  return {};
}

// Those of the server, and those of the application that has been linked with
// it.
const std::vector<KnownField>& KnownFields() {
  static const auto& fields = *new std::vector<KnownField>([] {
    std::vector<KnownField> all = OwnFields();
    for (const MetricDefinition& metric : ApplicationMetrics()) {
      for (KnownField& field : FieldsOf(metric)) {
        all.push_back(std::move(field));
      }
    }
    return all;
  }());
  return fields;
}

size_t FileBytes() {
  return kApplicationOffset +
         (ApplicationCells() * sizeof(uint64_t) + kPageBytes - 1) / kPageBytes *
             kPageBytes;
}

std::vector<std::byte> HeaderPages() {
  const std::vector<KnownField>& fields = KnownFields();
  CHECK_LE(sizeof(Header) + fields.size() * sizeof(Entry), kCountersOffset);
  std::vector<std::byte> pages(kCountersOffset);
  const Header header{kMagic, kLayoutVersion,
                      static_cast<uint32_t>(fields.size())};
  std::memcpy(pages.data(), &header, sizeof(header));
  size_t at = sizeof(header);
  for (const KnownField& field : fields) {
    Entry entry{};
    CHECK_LT(field.name.size(), sizeof(entry.name));
    std::memcpy(entry.name, field.name.data(), field.name.size());
    entry.offset = static_cast<uint32_t>(field.offset);
    entry.cells = field.cells;
    entry.kind = field.kind;
    std::memcpy(pages.data() + at, &entry, sizeof(entry));
    at += sizeof(entry);
  }
  return pages;
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

// Many of them can be added up, whatever they were.
double TameReal(uint64_t cell) {
  constexpr double kLimit = 1e290;
  const auto value = std::bit_cast<double>(cell);
  return std::isfinite(value) ? std::clamp(value, -kLimit, kLimit) : 0;
}

const KnownField* FindField(const Entry& entry) {
  const absl::string_view name(entry.name,
                               strnlen(entry.name, sizeof(entry.name)));
  for (const KnownField& field : KnownFields()) {
    if (field.name == name && field.kind == entry.kind &&
        field.cells == entry.cells) {
      return &field;
    }
  }
  return nullptr;
}

}  // namespace

void WorkerSnapshot::AddEnded(const WorkerSnapshot& other) {
  Add(other, /*levels=*/false);
}

void WorkerSnapshot::AddLive(const WorkerSnapshot& other) {
  Add(other, /*levels=*/true);
}

void WorkerSnapshot::Add(const WorkerSnapshot& other, bool levels) {
  std::vector<uint64_t> sums = Cells();
  const std::vector<uint64_t> values = other.Cells();
  for (const KnownField& field : KnownFields()) {
    if (!levels && field.kind != Kind::kCounter &&
        !absl::EndsWith(field.name, kSumSuffix)) {
      continue;
    }
    for (size_t i = field.target; i < field.target + field.cells; ++i) {
      if (field.kind != Kind::kReal) {
        sums[i] = std::min(sums[i] + values[i], kCounterLimit);
      } else {
        sums[i] = std::bit_cast<uint64_t>(std::bit_cast<double>(sums[i]) +
                                          std::bit_cast<double>(values[i]));
      }
    }
  }
  SetCells(sums);
}

std::vector<uint64_t> WorkerSnapshot::Cells() const {
  std::vector<uint64_t> cells(kOwnCells + ApplicationCells());
  std::memcpy(cells.data(), static_cast<const WorkerNumbers*>(this),
              sizeof(WorkerNumbers));
  std::copy(application.begin(), application.end(), cells.begin() + kOwnCells);
  return cells;
}

void WorkerSnapshot::SetCells(absl::Span<const uint64_t> cells) {
  std::memcpy(static_cast<void*>(static_cast<WorkerNumbers*>(this)),
              cells.data(), sizeof(WorkerNumbers));
  application.assign(cells.begin() + kOwnCells, cells.end());
}

void Unmapper::operator()(std::byte* base) const {
  PCHECK(munmap(base, bytes) == 0) << "munmap";
}

absl::StatusOr<UniqueFd> CreateScoreboardFile() {
  UniqueFd fd(
      memfd_create("baton-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return ErrnoStatus("memfd_create", "scoreboard", errno);
  if (ftruncate(fd.get(), static_cast<off_t>(FileBytes())) != 0) {
    return ErrnoStatus("ftruncate", "scoreboard", errno);
  }
  const std::vector<std::byte> pages = HeaderPages();
  const ssize_t written = pwrite(fd.get(), pages.data(), pages.size(), 0);
  if (written != static_cast<ssize_t>(pages.size())) {
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
  if (*size != FileBytes()) return BadScoreboard("of another build");
  absl::StatusOr<Mapping> mapping = Map(fd, *size, PROT_READ | PROT_WRITE);
  if (!mapping.ok()) return mapping.status();
  return Scoreboard(*std::move(mapping));
}

std::atomic<uint64_t>* Scoreboard::application_cells() const {
  return reinterpret_cast<std::atomic<uint64_t>*>(mapping_.get() +
                                                  kApplicationOffset);
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
    // Its number of cells is ours, so their size is no wild number.
    if (entry.offset % sizeof(uint64_t) != 0 ||
        uint64_t{entry.offset} + entry.cells * sizeof(uint64_t) > *size) {
      return BadScoreboard(absl::StrCat(known->name, " at ", entry.offset));
    }
    // The server's own sums are of what is never below zero.
    const bool own_sum = entry.kind == Kind::kReal && known->target < kOwnCells;
    fields.push_back({entry.offset, entry.cells, known->target,
                      entry.kind == Kind::kCounter ? Rule::kMonotonic
                      : entry.kind == Kind::kLevel ? Rule::kLevel
                      : own_sum                    ? Rule::kMonotonicReal
                                                   : Rule::kReal});
  }
  absl::StatusOr<Mapping> mapping = Map(fd, *size, PROT_READ);
  if (!mapping.ok()) return mapping.status();
  if (madvise(mapping->get(), *size, MADV_DONTFORK) != 0) {
    return ErrnoStatus("madvise(MADV_DONTFORK)", "scoreboard", errno);
  }
  return ScoreboardView(*std::move(mapping), std::move(fields));
}

ScoreboardView::ScoreboardView(Mapping mapping, std::vector<Field> fields)
    : mapping_(std::move(mapping)),
      fields_(std::move(fields)),
      last_(kOwnCells + ApplicationCells()) {}

void ScoreboardView::ReadCell(uint64_t value, Rule rule, uint64_t& last) {
  switch (rule) {
    case Rule::kMonotonic:
      last = std::max(last, std::min(value, kCounterLimit));
      return;
    case Rule::kLevel:
      // One below zero, seen unsigned, is as wild as one too large.
      last = value > kCounterLimit ? 0 : value;
      return;
    case Rule::kReal:
      last = std::bit_cast<uint64_t>(TameReal(value));
      return;
    case Rule::kMonotonicReal:
      last = std::bit_cast<uint64_t>(
          std::max(std::bit_cast<double>(last), TameReal(value)));
      return;
  }
}

WorkerSnapshot ScoreboardView::Read() {
  for (const Field& field : fields_) {
    const auto* cells = reinterpret_cast<const std::atomic<uint64_t>*>(
        mapping_.get() + field.offset);
    for (size_t i = 0; i < field.cells; ++i) {
      ReadCell(cells[i].load(std::memory_order_relaxed), field.rule,
               last_[field.target + i]);
    }
  }
  WorkerSnapshot snapshot;
  snapshot.SetCells(last_);
  return snapshot;
}

}  // namespace baton
