"""README.md shows the programs that tests/out_of_tree builds and runs."""

import pathlib
import re
import unittest

from tests import tree

ROOT = pathlib.Path(tree.ROOT)


class ReadmeTest(unittest.TestCase):
    def test_programs_are_built(self):
        blocks = re.findall(
            r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(), re.S
        )
        programs = [block for block in blocks if "int main(" in block]
        sources = [
            path.read_text()
            for path in (ROOT / "tests/out_of_tree").glob("*.cc")
        ]
        self.assertTrue(programs)
        for program in programs:
            self.assertIn(program, sources)


if __name__ == "__main__":
    unittest.main()
