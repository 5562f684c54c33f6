// Any bytes: a list of flags or one line that says where the mistake is.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "master/flag_file.h"

namespace baton {
namespace {

// Written down again, what was read reads the same.
void CheckRoundTrip(const std::vector<FlagFileLine>& lines) {
  std::string text;
  for (const FlagFileLine& line : lines) {
    absl::StrAppend(&text, "--", line.name);
    if (line.value) absl::StrAppend(&text, "=", *line.value);
    text.push_back('\n');
  }
  if (text.size() > kMaxFlagFileBytes) return;
  const auto again = ParseFlagFile("f", text);
  CHECK(again.ok()) << again.status();
  CHECK_EQ(again->size(), lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    CHECK_EQ((*again)[i].name, lines[i].name);
    CHECK((*again)[i].value == lines[i].value);
  }
}

void CheckLines(const std::vector<FlagFileLine>& lines, int most) {
  int last = 0;
  for (const FlagFileLine& line : lines) {
    CHECK_GT(line.line, last);
    CHECK_LE(line.line, most);
    last = line.line;
    CHECK(!line.name.empty());
    CHECK(!IsCommandLineOnly(line.name));
    CHECK(absl::c_none_of(line.name, absl::ascii_iscntrl));
    if (line.value) CHECK(absl::c_none_of(*line.value, absl::ascii_iscntrl));
  }
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = baton::ParseFlagFile("f", text);
  if (lines.ok()) {
    baton::CheckLines(*lines, static_cast<int>(absl::c_count(text, '\n')) + 1);
    baton::CheckRoundTrip(*lines);
  } else {
    CHECK(absl::StartsWith(lines.status().message(), "f:"));
    CHECK(absl::c_all_of(lines.status().message(), absl::ascii_isprint))
        << lines.status();
  }
  return 0;
}
