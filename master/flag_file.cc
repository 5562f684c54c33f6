#include "master/flag_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "net/errno_status.h"
#include "net/quote.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

constexpr absl::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr absl::string_view kBlanks = " \t";

// Sorted.
constexpr std::array<absl::string_view, 17> kCommandLineOnly = {
    "check",
    "flagfile",
    "fromenv",
    "healthcheck",
    "help",
    "helpfull",
    "helpmatch",
    "helpon",
    "helppackage",
    "helpshort",
    "helpxml",
    "readycheck",
    "tab_completion_columns",
    "tab_completion_word",
    "tryfromenv",
    "undefok",
    "version",
};

absl::string_view Trim(absl::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == absl::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '-';
}

// `--workers 4` and `workers=4` are near enough to say what was meant.
std::string Hint(absl::string_view line) {
  while (absl::ConsumePrefix(&line, "-")) {
  }
  const auto end = absl::c_find_if_not(line, IsNameCharacter);
  const absl::string_view name =
      line.substr(0, static_cast<size_t>(end - line.begin()));
  absl::string_view rest = Trim(line.substr(name.size()));
  absl::ConsumePrefix(&rest, "=");
  if (name.empty() || rest.empty()) return "--name=value";
  return absl::StrCat("--", name, "=", Trim(rest));
}

absl::StatusOr<FlagFileLine> ParseLine(absl::string_view line) {
  absl::string_view rest = line;
  const bool dash = absl::ConsumePrefix(&rest, "-");
  absl::ConsumePrefix(&rest, "-");
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(rest, absl::MaxSplits('=', 1));
  const absl::string_view name = parts.first;
  const bool named = !name.empty() && absl::c_all_of(name, IsNameCharacter) &&
                     !absl::StartsWith(name, "-");
  if (!dash || !named) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quote(line), " is no flag: write ", Quote(Hint(line))));
  }
  if (IsCommandLineOnly(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, " has no place in a flag file"));
  }
  FlagFileLine parsed{.line = 0, .name = std::string(name), .value = {}};
  if (name.size() < rest.size()) parsed.value = std::string(parts.second);
  return parsed;
}

}  // namespace

bool IsCommandLineOnly(absl::string_view name) {
  return absl::c_binary_search(kCommandLineOnly,
                               absl::StrReplaceAll(name, {{"-", "_"}}));
}

absl::StatusOr<std::vector<FlagFileLine>> ParseFlagFile(
    absl::string_view path, absl::string_view text) {
  if (text.size() > kMaxFlagFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": larger than ", kMaxFlagFileBytes, " bytes"));
  }
  std::vector<FlagFileLine> lines;
  int number = 0;
  absl::ConsumePrefix(&text, kByteOrderMark);
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    absl::ConsumeSuffix(&line, "\r");
    line = Trim(line);
    if (line.empty() || line.front() == '#') continue;
    if (absl::c_any_of(line, absl::ascii_iscntrl)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ":", number, ": a control character in ", Quote(line)));
    }
    absl::StatusOr<FlagFileLine> parsed = ParseLine(line);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": ", parsed.status().message()));
    }
    parsed->line = number;
    lines.push_back(*std::move(parsed));
  }
  return lines;
}

absl::StatusOr<std::string> ReadFlagFile(absl::string_view path) {
  // O_NONBLOCK: a FIFO would wait for its writer - fifo(7).
  const UniqueFd fd(
      open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return ErrnoStatus("open", path, errno);
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) return ErrnoStatus("fstat", path, errno);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a regular file"));
  }
  std::string bytes;
  std::array<char, 4096> chunk;
  while (bytes.size() <= kMaxFlagFileBytes) {
    const ssize_t n = read(fd.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", path, errno);
    if (n == 0) return bytes;
    bytes.append(chunk.data(), static_cast<size_t>(n));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": larger than ", kMaxFlagFileBytes, " bytes"));
}

}  // namespace baton
