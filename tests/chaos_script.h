#ifndef BATON_TESTS_CHAOS_SCRIPT_H_
#define BATON_TESTS_CHAOS_SCRIPT_H_

// What is done to the server, and when: a sequence that a seed decides and
// nothing else, so that it can be done again. What it meets is another matter:
// "the third of the workers that there are" is somebody else each time.

#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace baton {

enum class ChaosOperation {
  kReload,
  kReloadByControl,
  kBadReload,
  kCrashOnProbation,
  kCrashLater,
  kExtraListener,  // comes or goes
  kMoreWorkers,
  kFewerWorkers,
  kScaleByControl,
  kKillWorker,
  kKillInHandover,
  kKillHelper,
  kStopWorker,
  kStopMaster,
  kRecycleWorker,
  kReopenLog,
  kWorkerDescriptors,
  kMasterDescriptors,
  kUpgrade,
};
inline constexpr int kChaosOperations = 19;

const char* ChaosOperationName(ChaosOperation operation);

struct ChaosStep {
  ChaosOperation operation;
  uint64_t argument;     // what it wants of it
  absl::Duration pause;  // after it
};

class ChaosScript {
 public:
  explicit ChaosScript(uint64_t seed) : random_(seed) {}

  ChaosStep Next();

 private:
  std::mt19937_64 random_;
};

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_SCRIPT_H_
