#include "master/help.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "gflags/gflags.h"
#include "master/flag_registry.h"
#include "master/flags.h"

namespace baton {
namespace {

// $0 is the program, $1 a scheme, $2 the example of files if there is http.
constexpr absl::string_view kExamples =
    R"($2Serve, with one worker per usable CPU:
  $0 --listen=$1://0.0.0.0:7007
Several listeners, four workers:
  $0 --workers=4 --listen='$1://[::]:7007?dual=1,$1+unix:///run/x.sock'
Configured by a file, which SIGHUP reads again (with --check: only checked):
  $0 --flagfile=/etc/$0.flags
)";

constexpr absl::string_view kFilesExample =
    R"(The files of a folder, over HTTP:
  $0 --listen='http://0.0.0.0:8080?root=/srv/www&autoindex=1'
)";

absl::string_view BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

// The scheme that the examples are about.
absl::string_view ExampleScheme(absl::Span<const std::string> schemes) {
  if (schemes.empty()) return "SCHEME";
  if (absl::c_linear_search(schemes, "echo")) return "echo";
  return schemes.front();
}

// "--name=VALUE"
std::string Usage(absl::string_view name, absl::string_view value) {
  return absl::StrCat("--", name, value.empty() ? "" : "=", value);
}

// "  --name=VALUE            help [default]"
std::string FlagLine(absl::string_view usage, absl::string_view help,
                     absl::string_view fallback) {
  return absl::StrFormat(
      "  %-29s%s%s\n", absl::StrCat(usage, " "), help,
      fallback.empty() ? "" : absl::StrCat(" [", fallback, "]"));
}

// Of a flag without a description: the beginning of the next one's line.
std::string OwnFlagLine(const OwnFlag& own, std::string& shared) {
  const std::string usage =
      absl::StrCat(std::exchange(shared, ""), Usage(own.name, own.value));
  if (!own.help.empty()) return FlagLine(usage, own.help, "");
  const google::CommandLineFlagInfo flag =
      google::GetCommandLineFlagInfoOrDie(std::string(own.name).c_str());
  if (flag.description.empty()) {
    shared = absl::StrCat(usage, "  ");
    return "";
  }
  // That a switch is off at first goes without saying.
  const bool off = flag.type == "bool" && flag.default_value == "false";
  return FlagLine(usage, flag.description, off ? "" : flag.default_value);
}

std::string SectionOf(FlagKind kind, absl::string_view title) {
  std::string section;
  for (const std::string& name : SettableFlags()) {
    if (KindOf(name) != kind) continue;
    const google::CommandLineFlagInfo flag =
        google::GetCommandLineFlagInfoOrDie(name.c_str());
    // Of several lines, a description would leave its column.
    absl::StrAppend(
        &section, FlagLine(Usage(name, flag.type == "bool" ? "" : flag.type),
                           absl::StrReplaceAll(flag.description, {{"\n", " "}}),
                           flag.default_value));
  }
  return section.empty() ? "" : absl::StrCat("\n", title, "\n", section);
}

}  // namespace

std::string HelpText(absl::string_view program,
                     absl::Span<const std::string> schemes) {
  const absl::string_view name = BaseName(program);
  const bool http = absl::c_linear_search(schemes, "http");
  std::string text =
      absl::Substitute(kExamples, name, ExampleScheme(schemes),
                       http ? absl::Substitute(kFilesExample, name) : "");
  absl::string_view group;
  std::string shared;
  for (const OwnFlag& own : OwnFlags()) {
    if (own.group != group) absl::StrAppend(&text, "\n", own.group, "\n");
    group = own.group;
    absl::StrAppend(&text, OwnFlagLine(own, shared));
  }
  absl::StrAppend(
      &text, "\nURL is SCHEME[+tcp|+udp|+unix]://ADDRESS[?option=value&...]\n",
      "SCHEME is one of ", absl::StrJoin(schemes, ", "), "\n",
      "DURATION is like 250ms, 20s, 5m, 1h; SIZE like 64KiB, 10MiB, 1GiB\n",
      "First counts the command line, then variables (BATON_WORKERS=2), then "
      "FILE\n");
  return text;
}

std::string HelpFullText(absl::string_view program,
                         absl::Span<const std::string> schemes) {
  return absl::StrCat(HelpText(program, schemes),
                      SectionOf(FlagKind::kApplication, "This program"),
                      SectionOf(FlagKind::kGlog, "Messages (glog)"));
}

}  // namespace baton
