"""README.md shows the programs that tests/out_of_tree builds and runs, and has
each event that the master writes to the log."""

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

    def test_events_are_explained(self):
        readme = (ROOT / "README.md").read_text()
        events = set()
        for folder in ("master", "worker"):
            for path in (ROOT / folder).rglob("*.cc"):
                if not path.stem.endswith("_test"):
                    events |= set(re.findall(
                        r'\bLog\w*\([^"()]*"([a-z]+(?:_[a-z]+)*)"',
                        path.read_text(),
                    ))
        self.assertGreater(len(events), 40)
        missing = [name for name in sorted(events) if f"`{name}`" not in readme]
        self.assertEqual(missing, [])


if __name__ == "__main__":
    unittest.main()
