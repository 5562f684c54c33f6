#ifndef BATON_MASTER_FLAGS_H_
#define BATON_MASTER_FLAGS_H_

// baton's own flags: the one list of them, in the order and the groups in which
// --help shows them. They are gflags (FLAGS_workers, ...), but only the
// loader reads them (config_loader.h): the rest of the program sees a Config.
//
// A flag is here only if something obeys it.

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace baton {

struct OwnFlag {
  absl::string_view name;
  absl::string_view value;  // "N", "SIZE"; empty for a switch
  absl::string_view group;  // heading in --help
  // What is wrong with a value; null for what gflags itself owns.
  absl::Status (*check)(absl::string_view value);
  // Instead of gflags' description; empty = that one, and if that is empty,
  // too, this flag shares the line of the next.
  absl::string_view help = "";
};

absl::Span<const OwnFlag> OwnFlags();

// Null if `name` (canonical, no dashes) is none of them.
const OwnFlag* FindOwnFlag(absl::string_view name);

}  // namespace baton

#endif  // BATON_MASTER_FLAGS_H_
