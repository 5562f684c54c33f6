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
#include "worker/scoreboard_fields.h"

namespace baton {
namespace {

using scoreboard_internal::IsCount;
using scoreboard_internal::kApplicationOffset;
using scoreboard_internal::kCountersOffset;
using scoreboard_internal::Kind;
using scoreboard_internal::KnownField;
using scoreboard_internal::KnownFields;
using scoreboard_internal::kOwnCells;
using scoreboard_internal::kPageBytes;

constexpr uint64_t kMagic = 0x31304253'6e746142;  // "BatnSB01"
// Changes when the header or an entry changes shape, not when fields come.
constexpr uint32_t kLayoutVersion = 1;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// A scoreboard of another build may be larger than ours, within reason.
constexpr off_t kMaxFileBytes = 1 << 20;
constexpr uint32_t kMaxFields = 4096;

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

absl::string_view NameOf(const Entry& entry) {
  return absl::string_view(entry.name, strnlen(entry.name, sizeof(entry.name)));
}

const KnownField* FindField(const Entry& entry) {
  const absl::string_view name = NameOf(entry);
  for (const KnownField& field : KnownFields()) {
    if (field.name == name && field.kind == entry.kind &&
        field.cells == entry.cells) {
      return &field;
    }
  }
  return nullptr;
}

uint64_t Sum(uint64_t a, uint64_t b, bool real) {
  if (!real) {
    return std::min(std::min(a, kCounterLimit) + std::min(b, kCounterLimit),
                    kCounterLimit);
  }
  return std::bit_cast<uint64_t>(std::bit_cast<double>(a) +
                                 std::bit_cast<double>(b));
}

// What has another shape is another field.
std::string KeyOf(absl::string_view name, bool real, size_t cells) {
  return absl::StrCat(name, real ? " real " : " ", cells);
}

}  // namespace

void AddCounts(CountsByName& to, const CountsByName& more) {
  for (const auto& [key, counts] : more) {
    Counts& sums = to.try_emplace(key, Counts{counts.real, {}}).first->second;
    sums.cells.resize(std::max(sums.cells.size(), counts.cells.size()));
    for (size_t i = 0; i < counts.cells.size(); ++i) {
      sums.cells[i] = Sum(sums.cells[i], counts.cells[i], sums.real);
    }
  }
}

CountsByName WorkerSnapshot::CountsOf() const {
  const std::vector<uint64_t> cells = Cells();
  CountsByName counts;
  for (const KnownField& field : KnownFields()) {
    if (!IsCount(field.kind, field.name)) continue;
    const bool real = field.kind == Kind::kReal;
    const auto first = cells.begin() + static_cast<ptrdiff_t>(field.target);
    counts[KeyOf(field.name, real, field.cells)] =
        Counts{real, {first, first + field.cells}};
  }
  return counts;
}

WorkerSnapshot WorkerSnapshot::TakeCounts(CountsByName& counts) {
  WorkerSnapshot snapshot;
  std::vector<uint64_t> cells = snapshot.Cells();
  for (const KnownField& field : KnownFields()) {
    if (!IsCount(field.kind, field.name)) continue;
    const auto found =
        counts.find(KeyOf(field.name, field.kind == Kind::kReal, field.cells));
    if (found == counts.end()) continue;
    found->second.cells.resize(field.cells);
    std::copy(found->second.cells.begin(), found->second.cells.end(),
              cells.begin() + static_cast<ptrdiff_t>(field.target));
    counts.erase(found);
  }
  snapshot.SetCells(cells);
  return snapshot;
}

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
    if (!levels && !IsCount(field.kind, field.name)) continue;
    for (size_t i = field.target; i < field.target + field.cells; ++i) {
      sums[i] = Sum(sums[i], values[i], field.kind == Kind::kReal);
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
  const absl::StatusOr<size_t> size = SealedSize(fd);
  if (!size.ok()) return size.status();
  std::string header(
      std::min(*size, sizeof(Header) + kMaxFields * sizeof(Entry)), '\0');
  if (absl::Status status = CopyOut(fd, header.data(), header.size(), 0);
      !status.ok()) {
    return status;
  }
  return Open(fd, header);
}

absl::StatusOr<ScoreboardView> ScoreboardView::Open(int fd,
                                                    absl::string_view bytes) {
  const absl::StatusOr<size_t> size = SealedSize(fd);
  if (!size.ok()) return size.status();
  Header header;
  if (bytes.size() < sizeof(header)) return BadScoreboard("no header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) return BadScoreboard("wrong magic");
  if (header.layout_version != kLayoutVersion) {
    return BadScoreboard(absl::StrCat("layout version ", header.layout_version,
                                      ", known is ", kLayoutVersion));
  }
  const size_t header_bytes =
      sizeof(header) + size_t{header.field_count} * sizeof(Entry);
  if (header.field_count > kMaxFields || header_bytes > bytes.size()) {
    return BadScoreboard(absl::StrCat(header.field_count, " fields"));
  }
  std::vector<Entry> entries(header.field_count);
  std::memcpy(static_cast<void*>(entries.data()), bytes.data() + sizeof(header),
              entries.size() * sizeof(Entry));
  std::vector<Field> fields;
  std::vector<UnknownField> unknown;
  uint64_t cells = 0;
  for (const Entry& entry : entries) {
    cells += entry.cells;
    if (entry.offset % sizeof(uint64_t) != 0 ||
        uint64_t{entry.offset} + entry.cells * uint64_t{8} > *size ||
        cells * sizeof(uint64_t) > *size) {
      return BadScoreboard(absl::StrCat(NameOf(entry), " at ", entry.offset));
    }
    const KnownField* known = FindField(entry);
    if (known == nullptr) {
      if (!IsCount(entry.kind, NameOf(entry))) continue;
      unknown.push_back({std::string(NameOf(entry)), entry.offset, entry.cells,
                         entry.kind == Kind::kReal});
      continue;
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
  ScoreboardView view(*std::move(mapping), std::move(fields),
                      std::move(unknown));
  view.header_ = std::string(bytes.substr(0, header_bytes));
  return view;
}

ScoreboardView::ScoreboardView(Mapping mapping, std::vector<Field> fields,
                               std::vector<UnknownField> unknown)
    : mapping_(std::move(mapping)),
      fields_(std::move(fields)),
      unknown_(std::move(unknown)),
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

CountsByName ScoreboardView::ReadUnknown() const {
  CountsByName counts;
  for (const UnknownField& field : unknown_) {
    const auto [added, is_new] = counts.try_emplace(
        KeyOf(field.name, field.real, field.cells), Counts{field.real, {}});
    if (!is_new) continue;  // a wild worker's second one of that name
    Counts& one = added->second;
    const auto* cells = reinterpret_cast<const std::atomic<uint64_t>*>(
        mapping_.get() + field.offset);
    for (size_t i = 0; i < field.cells; ++i) {
      const uint64_t value = cells[i].load(std::memory_order_relaxed);
      one.cells.push_back(field.real ? std::bit_cast<uint64_t>(TameReal(value))
                                     : std::min(value, kCounterLimit));
    }
  }
  return counts;
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
