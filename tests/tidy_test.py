"""The tree keeps the style of tidy_rules."""

import unittest

from tests import tidy_rules
from tests import tree


class TidyTest(unittest.TestCase):
    def test_tree_is_tidy(self):
        files = tree.texts()
        self.assertIn("WORKSPACE", files)
        findings = tidy_rules.check(files)
        if findings:
            self.fail("\n" + "\n".join(findings))


if __name__ == "__main__":
    unittest.main()
