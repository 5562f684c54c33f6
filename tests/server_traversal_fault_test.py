"""A folder with secrets beside it and in it, and thousands of targets that ask
for them, each as it is on the wire: none of them is answered with one."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from tests import traversal

# traversal.py by itself sends all 45,000.
TARGETS = 8000


class Server:
    """The binary, with the folder `root` beside things that are not to be seen."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.root = os.path.join(self.folder, "root")
        os.mkdir(self.root)

    def __enter__(self):
        binary = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"],
                              "master/baton")
        listen = "http://127.0.0.1:0?autoindex=1&root=" + self.root
        self.process = subprocess.Popen(
            [binary, "--listen=" + listen, "--workers=1", "--admin=", "--control=",
             "--log_format=json"],
            stderr=subprocess.PIPE,
        )
        self.url = None
        for line in self.process.stderr:
            record = json.loads(line)
            if record.get("event") == "listening":
                self.url = "http://" + record["fields"]["address"]
            if record.get("event") == "ready":
                return self
        raise AssertionError("it does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.log = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.exit_code = self.process.wait()
        shutil.rmtree(self.folder)


class ServerTraversalFaultTest(unittest.TestCase):
    def test_nothing_outside_and_no_dot_file(self):
        with Server() as server:
            wrong = traversal.run(server.url, server.root, some=TARGETS)
        self.assertEqual(wrong, [])
        self.assertEqual(server.exit_code, 0)
        self.assertEqual(server.log.count('"event":"worker_exited"'), 1)


if __name__ == "__main__":
    unittest.main()
