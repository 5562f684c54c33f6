#include "tests/chaos_script.h"

#include "glog/logging.h"

namespace baton {
namespace {

struct Entry {
  ChaosOperation operation;
  const char* name;
  uint64_t weight;
};

// In the order of the enumerators.
constexpr Entry kTable[] = {
    {ChaosOperation::kReload, "reload", 14},
    {ChaosOperation::kReloadByControl, "reload by control", 6},
    {ChaosOperation::kBadReload, "bad reload", 6},
    {ChaosOperation::kCrashOnProbation, "crash on probation", 4},
    {ChaosOperation::kCrashLater, "crash later", 4},
    {ChaosOperation::kExtraListener, "extra listener", 6},
    {ChaosOperation::kMoreWorkers, "more workers", 5},
    {ChaosOperation::kFewerWorkers, "fewer workers", 5},
    {ChaosOperation::kScaleByControl, "scale by control", 4},
    {ChaosOperation::kKillWorker, "kill worker", 8},
    {ChaosOperation::kKillInHandover, "kill in handover", 10},
    {ChaosOperation::kKillHelper, "kill helper", 3},
    {ChaosOperation::kStopWorker, "stop worker", 8},
    {ChaosOperation::kStopMaster, "stop master", 3},
    {ChaosOperation::kRecycleWorker, "recycle worker", 8},
    {ChaosOperation::kReopenLog, "reopen log", 3},
    {ChaosOperation::kWorkerDescriptors, "worker descriptors", 5},
    {ChaosOperation::kMasterDescriptors, "master descriptors", 4},
    {ChaosOperation::kUpgrade, "upgrade", 20},
};
static_assert(sizeof(kTable) / sizeof(kTable[0]) == kChaosOperations);

constexpr uint64_t Sum() {
  uint64_t sum = 0;
  for (const Entry& entry : kTable) sum += entry.weight;
  return sum;
}

}  // namespace

const char* ChaosOperationName(ChaosOperation operation) {
  const Entry& entry = kTable[static_cast<int>(operation)];
  CHECK(entry.operation == operation);
  return entry.name;
}

ChaosStep ChaosScript::Next() {
  uint64_t at = random_() % Sum();
  ChaosStep step{ChaosOperation::kReload, 0, {}};
  for (const Entry& entry : kTable) {
    if (at < entry.weight) {
      step.operation = entry.operation;
      break;
    }
    at -= entry.weight;
  }
  step.argument = random_();
  // Now and then the next one meets what this one has begun.
  const bool at_once = random_() % 4 == 0;
  step.pause =
      absl::Milliseconds(at_once ? random_() % 20 : 50 + random_() % 1451);
  return step;
}

}  // namespace baton
