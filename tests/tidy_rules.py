"""Style as code: every rule is a function from a file's path and text to findings.

A finding is "PATH:LINE: what is wrong". Nothing here looks at the disk, so that
tidy_rules_test can show that every rule fires.
"""

import ast
import re

from tests import cpp_text

LINE_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

FOLDERS = {"deploy", "master", "net", "pool", "tests", "tools", "worker"}

# What stands there -> what to do. Matched on C++ without comments and strings.
BANNED_CPP = [
    (r"(?<![\w.>])signal\s*\(\s*[^)\s]", "signal(): use SignalFd"),
    (r"(?<![\w.>])(?:u|nano)?sleep\s*\(", "a sleep: wait for the event"),
    (r"\bclock_nanosleep\s*\(", "a sleep: wait for the event"),
    (r"\bsleep_(?:for|until)\b", "a sleep: wait for the event"),
    (r"\babsl::SleepFor\b", "a sleep: wait for the event"),
    (r"(?<![\w.>])s?rand(?:_r)?\s*\(", "rand(): use absl::BitGen"),
    (r"\bsystem_clock\b", "system_clock jumps: use Clock"),
    (r"\bgettimeofday\s*\(", "gettimeofday() jumps: use Clock"),
    (r"\bstd\s*::\s*string_view\b", "std::string_view: use absl::string_view"),
    (r"(?<![\w.>])(?:strcpy|strcat|sprintf|vsprintf|gets)\s*\(",
     "a copy without a bound"),
    (r"(?<![\w.>])(?:strtok|strerror|localtime|gmtime)\s*\(",
     "a function with a static buffer"),
    (r"\busing\s+namespace\b", "using namespace"),
]

BANNED_PYTHON = [
    (r"\btime\.sleep\b", "a sleep: wait for the event"),
]

BANNED_SHELL = [
    (r"(?:^|[;&|(]|\bdo\b|\bthen\b)\s*sleep\s+[\d.$]",
     "a sleep: wait for the event"),
]

# Spelt in halves, or this file would break its own rule.
MARKS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def is_cpp(path):
    return path.endswith((".cc", ".h"))


def is_shell(text):
    return text.startswith("#!") and "sh" in text.split("\n", 1)[0]


def is_source(path, text):
    names = (".py", ".bzl", ".bazel", ".BUILD")
    return is_cpp(path) or path.endswith(names) or is_shell(text)


def lines_of(text):
    return text.split("\n")


def at(path, line, what):
    return "%s:%d: %s" % (path, line, what)


def line_length(path, text):
    """Lines of source fit LINE_MAX columns."""
    if not is_source(path, text):
        return []
    return [
        at(path, n, "%d columns, at most %d" % (len(line), LINE_MAX))
        for n, line in enumerate(lines_of(text), 1)
        if len(line) > LINE_MAX
    ]


def whitespace(path, text):
    """No tab, no blank at a line's end, one newline at the end of the file."""
    if not is_source(path, text):
        return []
    findings = []
    for n, line in enumerate(lines_of(text), 1):
        if line != line.rstrip():
            findings.append(at(path, n, "blank at the end of the line"))
        if "\t" in line:
            findings.append(at(path, n, "tab"))
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        findings.append(at(path, text.count("\n"), "not one newline at the end"))
    return findings


def file_length(path, text):
    """A file is one idea. A BUILD file is a list, as long as its folder."""
    count = text.count("\n")
    is_list = path.endswith("BUILD.bazel")
    if count <= FILE_LINES_MAX or is_list or not is_source(path, text):
        return []
    return [at(path, count, "%d lines, at most %d" % (count, FILE_LINES_MAX))]


def function_length(path, text):
    """A function fits a screen."""
    if is_cpp(path):
        spans = cpp_text.function_spans(text)
    elif path.endswith(".py"):
        spans = [
            (node.lineno, node.end_lineno)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
    else:
        return []
    return [
        at(path, first, "a function of %d lines, at most %d"
           % (last - first + 1, FUNCTION_LINES_MAX))
        for first, last in spans
        if last - first + 1 > FUNCTION_LINES_MAX
    ]


def banned(path, text):
    """Calls that have a better one in this project."""
    if is_cpp(path):
        table, text = BANNED_CPP, cpp_text.without_comments_and_strings(text)
    elif path.endswith(".py"):
        table = BANNED_PYTHON
    elif is_shell(text):
        table = BANNED_SHELL
    else:
        return []
    return [
        at(path, n, what)
        for n, line in enumerate(lines_of(text), 1)
        for pattern, what in table
        if re.search(pattern, line)
    ]


def left_over_marks(path, text):
    """What is not done is in the issue tracker, not in the source."""
    return [
        at(path, n, "left-over mark")
        for n, line in enumerate(lines_of(text), 1)
        if MARKS.search(line)
    ]


def header_guard(path, text):
    """net/unique_fd.h is guarded by BATON_NET_UNIQUE_FD_H_."""
    if not path.endswith(".h"):
        return []
    guard = "BATON_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
    wanted = [
        "#ifndef " + guard,
        "#define " + guard,
        "#endif  // " + guard,
    ]
    directives = [line for line in lines_of(text) if line.startswith("#")]
    if directives[:2] + directives[-1:] != wanted:
        return [at(path, 1, "header guard is not " + guard)]
    return []


def folder(path, text):
    """The top level has the folders of the layout and no other."""
    del text
    top, slash, _ = path.partition("/")
    if not slash or top.startswith(".") or top in FOLDERS:
        return []
    return [at(path, 1, "the layout has no folder %s" % top)]


def _names_in_build(text):
    """(plain strings, glob patterns) of a BUILD file, which is nearly Python."""
    plain, patterns = set(), set()
    tree = ast.parse(text)
    in_glob = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "glob":
                for argument in node.args[:1]:
                    in_glob.update(map(id, ast.walk(argument)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            (patterns if id(node) in in_glob else plain).add(
                node.value.removeprefix(":")
            )
    return plain, patterns


def _glob_to_regex(pattern):
    out = re.escape(pattern)
    out = out.replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*")
    return re.compile(out.replace(r"\*", "[^/]*") + r"\Z")


def orphans(files):
    """Sources that no target names. `files` maps every path to its text."""
    findings = []
    names = {
        path.rpartition("/")[0]: _names_in_build(text)
        for path, text in files.items()
        if path.rpartition("/")[2] == "BUILD.bazel"
    }
    for path in sorted(files):
        if not path.endswith((".cc", ".h", ".py")):
            continue
        package = path.rpartition("/")[0]
        while package and package not in names:
            package = package.rpartition("/")[0]
        plain, patterns = names.get(package, (set(), set()))
        name = path[len(package) + 1 if package else 0 :]
        if name in plain or any(_glob_to_regex(p).match(name) for p in patterns):
            continue
        findings.append(at(path, 1, "no target in //%s names it" % package))
    return findings


RULES = [
    line_length,
    whitespace,
    file_length,
    function_length,
    banned,
    left_over_marks,
    header_guard,
    folder,
]


def check(files):
    """Every finding in `files`, a map from path to text."""
    findings = []
    for path in sorted(files):
        for rule in RULES:
            findings += rule(path, files[path])
    return findings + orphans(files)
