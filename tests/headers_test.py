"""Every header compiles alone: it includes what it needs.

A header that some source includes before anything else has shown that already,
where that source was compiled. The others are compiled here.
"""

import concurrent.futures
import os
import re
import subprocess
import unittest

from tests import tree

COMPILER = [
    "clang++-19", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
    "-I", tree.ROOT,
    "-isystem", "/usr/src/googletest/googletest/include",
    "-isystem", "/usr/src/googletest/googlemock/include",
    "-isystem", "/usr/share/include/llhttp",
    "-x", "c++", "-",
]


def errors(header, text=None):
    """What the compiler says of a file that includes nothing but the header."""
    return subprocess.run(
        COMPILER,
        input=text or '#include "%s"\n' % header,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def first_includes(texts):
    """The headers that come first in a source."""
    found = set()
    for path, text in texts.items():
        match = re.search(r'^#include ["<](.*)[">]', text, re.MULTILINE)
        if path.endswith(".cc") and match:
            found.add(match.group(1))
    return found


class HeadersTest(unittest.TestCase):
    def test_a_header_that_leans_on_another_is_found(self):
        self.assertIn("error", errors("", "inline std::string Name();\n"))
        self.assertEqual(
            "", errors("", "#include <string>\ninline std::string Name();\n")
        )

    def test_only_the_first_include_of_a_source_shows_anything(self):
        text = '// Why.\n\n#include "a.h"\n\n#include <b>\n#include "c.h"\n'
        self.assertEqual({"a.h"}, first_includes({"x.cc": text, "y.h": text}))
        self.assertEqual(set(), first_includes({"x.h": text, "y.cc": ""}))

    def test_headers_compile_alone(self):
        texts = tree.texts()
        shown = first_includes(texts)
        headers = [p for p in texts if p.endswith(".h") and p not in shown]
        self.assertTrue(shown)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(errors, headers))
        bad = [text for text in found if text]
        if bad:
            self.fail("\n" + "\n".join(bad))


if __name__ == "__main__":
    unittest.main()
