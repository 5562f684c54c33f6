#ifndef BATON_MASTER_FLAG_FILE_H_
#define BATON_MASTER_FLAG_FILE_H_

// Problem: the flag file is read again while the server runs. gflags' own
// reader passes over what it does not understand without a word, keeps the old
// value of a flag whose line has gone, and ends the process on a missing file.
//
// So the file is read and taken apart here, strictly:
//
//   # a comment; blank lines are fine, blanks around a line too
//   --workers=4
//   -listen=echo://0.0.0.0:7007
//   --pin_workers
//   --nopin_workers
//
// A value is everything behind the first '=', without the blanks at its end: no
// quotes, no escapes, no comment behind it. `--name value` is refused, gflags
// never read it from a file either; so are its file-name sections, and
// the flags that make sense on a command line only (--flagfile, --check,
// --help and their like).
//
// Contract: an error is InvalidArgument and begins with FILE:LINE. Which
// flags there are, and whether one may go without a value, is for the caller
// to know: this is pure text.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

inline constexpr size_t kMaxFlagFileBytes = size_t{1} << 20;

struct FlagFileLine {
  int line = 0;      // from 1
  std::string name;  // as written, without the dashes in front
  std::optional<std::string> value;

  bool operator==(const FlagFileLine&) const = default;
};

// `path` is for error texts.
absl::StatusOr<std::vector<FlagFileLine>> ParseFlagFile(absl::string_view path,
                                                        absl::string_view text);

// The file's bytes. Errors: the errno's code, naming `path`; InvalidArgument
// for what is no regular file (symbolic links are followed) or is larger than
// kMaxFlagFileBytes. Never waits for a writer.
absl::StatusOr<std::string> ReadFlagFile(absl::string_view path);

// Whether `name` (without dashes) belongs on a command line and nowhere else:
// it says what to do or where the configuration is, or is internal to gflags.
bool IsCommandLineOnly(absl::string_view name);

}  // namespace baton

#endif  // BATON_MASTER_FLAG_FILE_H_
