#ifndef BATON_TOOLS_BATONCTL_STATUS_TABLE_H_
#define BATON_TOOLS_BATONCTL_STATUS_TABLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

// What /status says, for people: a few lines on the server, then a line for
// each worker. An error if `json` is no status. Pure.
absl::StatusOr<std::string> StatusTable(absl::string_view json);

// "17", "1.2k", "35M": at most five characters. `unit` is 1000 or 1024.
std::string ShortNumber(double number, double unit);

}  // namespace baton

#endif  // BATON_TOOLS_BATONCTL_STATUS_TABLE_H_
