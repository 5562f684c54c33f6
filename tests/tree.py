"""The source tree that a test stands in, outside of Bazel's sandbox."""

import os
import subprocess

# The files of the tests are links into the tree.
ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def paths():
    """Every file that is tracked, or would be by `git add .`."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached",
         "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode()
    return sorted(
        path
        for path in set(listed.split("\0"))
        if os.path.isfile(os.path.join(ROOT, path))
    )


def texts():
    """A map from path to text of those files that are text."""
    found = {}
    for path in paths():
        with open(os.path.join(ROOT, path), "rb") as file:
            data = file.read()
        try:
            found[path] = data.decode()
        except UnicodeDecodeError:
            continue
    return found
