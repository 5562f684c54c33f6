"""Counts test targets in Bazel's own record of a run.

    count_tests.py EVENTS EXIT_CODE

EVENTS is what --build_event_json_file wrote, EXIT_CODE how `bazel test` ended.
Prints "PASSED FAILED" and then the labels that failed, one a line. A test that
was to run and has no result (it did not build, say) has failed; so has a run that
Bazel did not call a success although no test failed.
"""

import json
import sys

PASSED = "PASSED"


def count(events, exit_code):
    """Returns (passed, [label that failed, ...])."""
    wanted = {}
    for event in events:
        identity = event.get("id", {})
        if "targetConfigured" in identity:
            # The kind is "cc_test rule"; an aborted event has none.
            kind = event.get("configured", {}).get("targetKind", "")
            if kind.endswith("_test rule"):
                label = identity["targetConfigured"]["label"]
                wanted.setdefault(label, None)
        elif "testSummary" in identity:
            label = identity["testSummary"]["label"]
            summary = event.get("testSummary", {})
            wanted[label] = summary.get("overallStatus", "NO_STATUS")
    failed = sorted(label for label, status in wanted.items() if status != PASSED)
    if exit_code != 0 and not failed:
        failed = ["(bazel exit code %d)" % exit_code]
    if exit_code == 0 and not wanted:
        failed = ["(no test ran)"]
    passed = sum(1 for status in wanted.values() if status == PASSED)
    return passed, failed


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        events = [json.loads(line) for line in file if line.strip()]
    passed, failed = count(events, int(sys.argv[2]))
    print(passed, len(failed))
    for label in failed:
        print(label)


if __name__ == "__main__":
    main()
