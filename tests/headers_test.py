"""Every header compiles alone: it includes what it needs."""

import concurrent.futures
import os
import subprocess
import unittest

from tests import tree

COMPILER = [
    "clang++-19", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
    "-I", tree.ROOT,
    "-isystem", "/usr/src/googletest/googletest/include",
    "-isystem", "/usr/src/googletest/googlemock/include",
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


class HeadersTest(unittest.TestCase):
    def test_a_header_that_leans_on_another_is_found(self):
        self.assertIn("error", errors("", "inline std::string Name();\n"))
        self.assertEqual(
            "", errors("", "#include <string>\ninline std::string Name();\n")
        )

    def test_headers_compile_alone(self):
        headers = [path for path in tree.paths() if path.endswith(".h")]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(errors, headers))
        bad = [text for text in found if text]
        if bad:
            self.fail("\n" + "\n".join(bad))


if __name__ == "__main__":
    unittest.main()
