"""Every rule of tidy_rules fires on what breaks it, and only on that."""

import unittest

from tests import cpp_text
from tests import tidy_rules


def findings(rule, path, text):
    return [f.split(":")[1] for f in rule(path, text)]


class LayoutRulesTest(unittest.TestCase):
    def test_line_length(self):
        rule = tidy_rules.line_length
        text = "x" * 100 + "\n" + "x" * 101 + "\n"
        for path in ("net/a.cc", "net/a.h", "tests/a.py", "net/BUILD.bazel"):
            self.assertEqual(["2"], findings(rule, path, text))
        self.assertEqual(["2"], findings(rule, "tools/a", "#!/bin/bash\n" + text[101:]))
        self.assertEqual([], findings(rule, "README.md", text))

    def test_whitespace(self):
        rule = tidy_rules.whitespace
        self.assertEqual([], findings(rule, "a.cc", "a\n\nb\n"))
        self.assertEqual(["1"], findings(rule, "a.cc", "a \n"))
        self.assertEqual(["2"], findings(rule, "a.cc", "a\n\tb\n"))
        self.assertEqual(["1"], findings(rule, "a.cc", "a\nb"))
        self.assertEqual(["3"], findings(rule, "a.cc", "a\nb\n\n"))

    def test_file_length(self):
        rule = tidy_rules.file_length
        self.assertEqual([], findings(rule, "a.cc", "\n" * 500))
        self.assertEqual(["501"], findings(rule, "a.cc", "\n" * 501))
        self.assertEqual([], findings(rule, "LICENSE", "\n" * 501))

    def test_folder(self):
        rule = tidy_rules.folder
        for path in ("net/a.h", ".ci/run", "WORKSPACE", "tests/x/y/a.cc"):
            self.assertEqual([], findings(rule, path, ""))
        self.assertEqual(["1"], findings(rule, "scripts/a", ""))

    def test_header_guard(self):
        rule = tidy_rules.header_guard
        good = (
            "// Why.\n#ifndef BATON_NET_FD_H_\n#define BATON_NET_FD_H_\n"
            "#include <a>\n#endif  // BATON_NET_FD_H_\n"
        )
        self.assertEqual([], findings(rule, "net/fd.h", good))
        self.assertEqual(["1"], findings(rule, "net/other.h", good))
        self.assertEqual(["1"], findings(rule, "net/fd.h", "#pragma once\n"))
        self.assertEqual(["1"], findings(rule, "net/fd.h", ""))
        unmarked = good.replace("#endif  // BATON_NET_FD_H_", "#endif")
        self.assertEqual(["1"], findings(rule, "net/fd.h", unmarked))
        self.assertEqual([], findings(rule, "net/fd.cc", ""))

    def test_left_over_marks(self):
        rule = tidy_rules.left_over_marks
        for mark in ("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"):
            text = "fine\n// %s(me): later\n" % mark
            self.assertEqual(["2"], findings(rule, "net/a.cc", text))
        self.assertEqual([], findings(rule, "a.cc", "XX" "XX HA" "CKNEY\n"))


class BannedTest(unittest.TestCase):
    def test_cpp(self):
        for call in (
            "signal(SIGTERM, handler);",
            "::signal(SIGTERM, handler);",
            "sleep(1);",
            "::usleep(1);",
            "nanosleep(&a, &b);",
            "clock_nanosleep(0, 0, &a, &b);",
            "std::this_thread::sleep_for(a);",
            "std::this_thread::sleep_until(a);",
            "absl::SleepFor(a);",
            "int r = rand();",
            "std::srand (1);",
            "rand_r(&seed);",
            "std::chrono::system_clock::now();",
            "gettimeofday(&a, nullptr);",
            "std::string_view s;",
            "std::strcpy(a, b);",
            "sprintf(a, b);",
            "strerror(errno);",
            "localtime(&t);",
            "strtok(a, b);",
            "using namespace std;",
        ):
            text = "void F() {\n  %s\n}\n" % call
            self.assertEqual(
                ["2"], findings(tidy_rules.banned, "net/a.cc", text), call
            )

    def test_what_only_looks_like_it(self):
        for line in (
            "// signal(2) and sleep(3)",
            'Log("sleep(3)");',
            'R"(sleep(3))";',
            "co_await Sleep(a);",
            "int signal() const { return signal_; }",
            "loop.signal(x); loop->sleep(x);",
            "operand(3); snprintf(a, n, b); localtime_r(&t, &tm);",
            "absl::string_view s;",
        ):
            self.assertEqual(
                [], findings(tidy_rules.banned, "net/a.cc", line + "\n"), line
            )

    def test_scripts(self):
        rule = tidy_rules.banned
        call = "time.sle" "ep(1)\n"
        self.assertEqual(["1"], findings(rule, "tests/a.py", call))
        for line in ("sleep 1", "x; sleep 0.5", "while :; do sleep $n; done"):
            script = "#!/usr/bin/env bash\n%s\n" % line
            self.assertEqual(["2"], findings(rule, "tools/a", script), line)
        self.assertEqual([], findings(rule, "a", "#!/bin/sh\necho sleep 1\n"))


class FunctionLengthTest(unittest.TestCase):
    def lengths(self, text):
        return [b - a + 1 for a, b in cpp_text.function_spans(text)]

    def test_rule(self):
        for path, text in (
            ("net/a.cc", "int F() {\n%s}\n"),
            ("tests/a.py", "def f():\n%s    y\n"),
        ):
            rule = tidy_rules.function_length
            self.assertEqual([], findings(rule, path, text % ("    x\n" * 68)))
            self.assertEqual(["1"], findings(rule, path, text % ("    x\n" * 69)))

    def test_where_functions_begin_and_end(self):
        for text, lengths in (
            ("int F() { return 1; }", [1]),
            ("namespace a {\n\nint F() {\n}\n\n}  // namespace a", [2]),
            ("template <typename T>\nT F(T t)\n{\n}", [4]),
            ("class A {\n public:\n  A() : b_{1},\n c_(2) {\n  }\n};", [3]),
            ("struct A {\n int b = 1;\n int c{2};\n auto F() -> B {\n}\n};", [2]),
            ("A::A() noexcept(true)\n    : b_{1} {\n}", [3]),
            ("A& A::operator=(A&& a) && noexcept {\n}", [2]),
            ("enum class E {\n a,\n b\n};\nconst int x[] = {\n 1,\n};", []),
            ("TEST(A, B) {\n  auto f = [] {\n  };\n  if (x) {\n  }\n}", [6]),
            ('extern "C" {\nint F(int x) {\n}\n}', [2]),
            ("template <class T>\nclass A {\n  void F() const override {\n }\n};", [2]),
            ("#define X(a) \\\n  {\nint F() {\n}", [2]),
            ("int F() {\n  char c = '{';\n  auto s = \"}\";\n  // }\n}", [5]),
            ('int F() {\n  return R"x({{{)x" == 1\'000;\n}\nint G() {}', [3, 1]),
        ):
            self.assertEqual(lengths, self.lengths(text), text)


class OrphansTest(unittest.TestCase):
    def check(self, build, name):
        files = {"net/BUILD.bazel": build, "net/" + name: ""}
        return tidy_rules.orphans(files)

    def test_named_by_a_target(self):
        build = 'cc_library(name = "a", srcs = ["a.cc"], hdrs = [":a.h"])'
        self.assertEqual([], self.check(build, "a.cc"))
        self.assertEqual([], self.check(build, "a.h"))
        self.assertEqual(1, len(self.check(build, "b.cc")))
        self.assertEqual(1, len(self.check(build, "testing/a.h")))

    def test_named_by_a_glob(self):
        build = 'cc_library(name = "a", srcs = glob(["*.cc", "x/**/*.h"]))'
        self.assertEqual([], self.check(build, "a.cc"))
        self.assertEqual([], self.check(build, "x/y/z/a.h"))
        self.assertEqual([], self.check(build, "x/a.h"))
        self.assertEqual(1, len(self.check(build, "y/a.cc")))
        self.assertEqual(1, len(self.check(build, "a.py")))

    def test_no_build_file_at_all(self):
        self.assertEqual(1, len(tidy_rules.orphans({"net/a.cc": ""})))


class CheckTest(unittest.TestCase):
    def test_runs_every_rule(self):
        bad = {
            "scripts/a.h": "x" * 101 + " \n// TO" "DO\nrand();\n" + "\n" * 500,
            "scripts/b.cc": "int F() {\n" + "x\n" * 70 + "}\n",
        }
        found = "\n".join(tidy_rules.check(bad))
        for words in (
            "columns",
            "blank at the end",
            "lines, at most 500",
            "a function of",
            "rand()",
            "left-over",
            "header guard",
            "no folder",
            "no target",
        ):
            self.assertIn(words, found)

    def test_what_is_right_has_no_finding(self):
        good = {
            "net/BUILD.bazel": 'cc_library(name = "a", srcs = ["a.cc"])\n',
            "net/a.cc": "int F() { return 1; }\n",
        }
        self.assertEqual([], tidy_rules.check(good))


if __name__ == "__main__":
    unittest.main()
