#ifndef BATON_MASTER_HANDOFF_H_
#define BATON_MASTER_HANDOFF_H_

// What one binary leaves to the next.
//
// A binary that is to take over a running server is started three times: to
// check itself, as a worker, and at last in place of the master. Each time it
// finds a variable in its environment that says as what, and the number of a
// descriptor: a sealed memfd - memfd_create(2) - with a document. A file on
// disk would need a place to write to, which a container may not have.
//
// The document is JSON in its binary form (CBOR, RFC 8949); strings may hold
// any bytes. Its fields have names, so that the two binaries need not be one
// build: what is missing has its default, what is unknown is ignored.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"

namespace baton {

inline constexpr char kHandoffVariable[] = "BATON_HANDOFF";

// Of the document, when fields get another meaning: a binary that reads only
// others can't take over.
inline constexpr int kHandoffVersion = 1;
inline constexpr int kOldestHandoffVersion = 1;  // that this binary reads

struct Handoff {
  enum class Role { kCheck, kCanary, kMaster };

  Role role;
  nlohmann::json document;
  // Why the binary before, which is the caller's own, could not take it up.
  // Empty = it is for this one.
  std::string refusal;
};

// The document in a memfd, sealed.
absl::StatusOr<UniqueFd> WriteHandoff(const nlohmann::json& document);

// What goes into the environment of whoever is to read that file.
std::string HandoffText(Handoff::Role role, int file,
                        absl::string_view refusal = "");

// Takes it out of `environment` and of the process's own, and closes the file.
// Nothing if there is none. InvalidArgument if it is not as it should be.
absl::StatusOr<std::optional<Handoff>> TakeHandoff(
    std::vector<std::string>& environment);

// The line that a binary prints when it checks itself for a handoff.
std::string HandoffOffer();
// Such lines in what another one has printed; none: it is no such binary at
// all.
std::vector<std::string> FindOffers(absl::string_view printed);
// Whether who offers these can take over from this binary, by any of them.
bool CanTakeOver(absl::Span<const std::string> offers);

}  // namespace baton

#endif  // BATON_MASTER_HANDOFF_H_
