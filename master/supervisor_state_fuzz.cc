// Any bytes in place of what the binary before has left: a state that reads the
// same again, or one line that says why not.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

#include "absl/status/status.h"
#include "glog/logging.h"
#include "master/supervisor.h"
#include "master/supervisor_state.h"
#include "nlohmann/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using nlohmann::json;
  json left;
  try {
    left = json::from_cbor(data, data + size);
  } catch (const std::exception&) {  // no document: handoff.h says so
    return 0;
  }
  const auto state = baton::SupervisorStateFromJson(left);
  if (!state.ok()) {
    CHECK(absl::IsInvalidArgument(state.status())) << state.status();
    return 0;
  }
  const json again = baton::ToJson(*state);
  const auto same =
      baton::SupervisorStateFromJson(json::from_cbor(json::to_cbor(again)));
  CHECK(same.ok()) << same.status();
  CHECK(baton::ToJson(*same) == again);
  const baton::Supervisor supervisor(*state);
  CHECK_EQ(supervisor.workers().size(), state->workers.size());
  return 0;
}
