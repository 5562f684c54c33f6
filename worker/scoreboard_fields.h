#ifndef BATON_WORKER_SCOREBOARD_FIELDS_H_
#define BATON_WORKER_SCOREBOARD_FIELDS_H_

// The fields that this build has in a scoreboard: their names, where they are
// in the file, and where in a snapshot. A name is never given to something
// else: workers of another build are read by it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/scoreboard.h"

namespace baton::scoreboard_internal {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kCountersOffset = 4 * kPageBytes;
inline constexpr size_t kApplicationOffset =
    kCountersOffset +
    (sizeof(WorkerCounters) + kPageBytes - 1) / kPageBytes * kPageBytes;

// A counter only grows; a level goes up and down; a real is a level that is a
// double. All are 64 bits wide.
enum class Kind : uint32_t { kCounter = 1, kLevel = 2, kReal = 3 };

// A field that this build knows.
struct KnownField {
  std::string name;
  size_t offset;  // in the file
  uint32_t cells;
  Kind kind;
  size_t target;  // among the cells of a snapshot
};

inline constexpr absl::string_view kSumSuffix = ".sum";

inline constexpr size_t kOwnCells = sizeof(WorkerNumbers) / sizeof(uint64_t);
static_assert(sizeof(WorkerNumbers) % sizeof(uint64_t) == 0);

// Those of the server, and those of the application that has been linked with
// it.
const std::vector<KnownField>& KnownFields();

// Of what is added up over workers: a counter, or a histogram's sum.
bool IsCount(Kind kind, absl::string_view name);

}  // namespace baton::scoreboard_internal

#endif  // BATON_WORKER_SCOREBOARD_FIELDS_H_
