"""tools/count_tests counts what Bazel says, and takes nothing for a pass."""

import unittest

from tools import count_tests


def configured(label, kind="cc_test rule"):
    return {
        "id": {"targetConfigured": {"label": label}},
        "configured": {"targetKind": kind},
    }


def summary(label, status):
    return {
        "id": {"testSummary": {"label": label}},
        "testSummary": {"overallStatus": status},
    }


class CountTestsTest(unittest.TestCase):
    def test_counts_each_target_once(self):
        events = [
            configured("//a:x_test"),
            configured("//a:y_test"),
            configured("//a:lib", "cc_library rule"),
            summary("//a:x_test", "PASSED"),
            summary("//a:y_test", "PASSED"),
        ]
        self.assertEqual((2, []), count_tests.count(events, 0))

    def test_everything_but_passed_has_failed(self):
        for status in ("FAILED", "TIMEOUT", "FLAKY", "INCOMPLETE", "NO_STATUS"):
            events = [
                configured("//a:x_test"),
                configured("//a:y_test"),
                summary("//a:x_test", "PASSED"),
                summary("//a:y_test", status),
            ]
            self.assertEqual((1, ["//a:y_test"]), count_tests.count(events, 3))

    def test_no_result_is_a_failure(self):
        events = [configured("//a:x_test")]
        self.assertEqual((0, ["//a:x_test"]), count_tests.count(events, 1))

    def test_bazel_itself_failed(self):
        events = [configured("//a:x_test"), summary("//a:x_test", "PASSED")]
        self.assertEqual(
            (1, ["(bazel exit code 1)"]), count_tests.count(events, 1)
        )

    def test_nothing_ran(self):
        self.assertEqual((0, ["(no test ran)"]), count_tests.count([], 0))
        self.assertEqual(
            (0, ["(bazel exit code 4)"]), count_tests.count([], 4)
        )


if __name__ == "__main__":
    unittest.main()
