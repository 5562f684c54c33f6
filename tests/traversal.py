"""Sends the targets of traversal_targets to a server that serves a folder, and
fails if one gets out of it. All of them: python3 -m tests.traversal BASE_URL ROOT

Makes secret files in the folder above ROOT and a tree in it, and removes them.
"""

import collections
import concurrent.futures
import os
import random
import re
import shutil
import socket
import sys
import threading
import time
import urllib.parse

from tests import traversal_targets as list_of

FORBIDDEN = {
    "a file outside the root": list_of.OUTSIDE_MARKER,
    "a dot-file": list_of.DOT_FILE_MARKER,
    "a file of the system": list_of.SYSTEM_MARKER,
}
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [^\r\n\x00]*)?\Z")
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[^\r\n\x00]*\Z")
TIMEOUT_S = 20


class Malformed(Exception):
    """What came back is no HTTP response, or more than one."""


def unchunked(body):
    content = b""
    while True:
        size, end, rest = body.partition(b"\r\n")
        if not end or not re.fullmatch(rb"[0-9A-Fa-f]+", size):
            raise Malformed("bad chunk")
        count = int(size, 16)
        if len(rest) < count + 2 or rest[count:count + 2] != b"\r\n":
            raise Malformed("cut chunk")
        content, body = content + rest[:count], rest[count + 2:]
        if count == 0:
            if body:
                raise Malformed("bytes behind the last chunk")
            return content


def parse(data):
    """(status, fields, body) of exactly one response."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        raise Malformed("no end of the head in %r" % data[:100])
    status_line, *lines = head.split(b"\r\n")
    if not STATUS_LINE.match(status_line):
        raise Malformed("status line %r" % status_line[:100])
    fields = collections.defaultdict(list)
    for line in lines:
        if not FIELD.match(line):
            raise Malformed("field %r" % line[:100])
        name, _, value = line.partition(b":")
        fields[name.lower().decode()].append(value.strip().decode("latin-1"))
    status = int(status_line.split()[1])
    if status in (204, 304):
        wanted = 0
    elif "chunked" in fields.get("transfer-encoding", []):
        return status, fields, unchunked(body)
    else:
        lengths = set(fields.get("content-length", []))
        if len(lengths) > 1:
            raise Malformed("several lengths")
        wanted = int(lengths.pop()) if lengths else len(body)
    if len(body) != wanted:
        raise Malformed("a body of %d bytes, said %d" % (len(body), wanted))
    return status, fields, body


class Server:
    def __init__(self, base_url):
        url = urllib.parse.urlsplit(base_url)
        self.host, self.port = url.hostname, url.port or 80
        self.authority = url.netloc

    def answer(self, target):
        """All bytes until the server closes."""
        request = (b"GET " + target + b" HTTP/1.1\r\nHost: " + self.authority.encode() +
                   b"\r\nConnection: close\r\n\r\n")
        with socket.create_connection((self.host, self.port), TIMEOUT_S) as peer:
            try:
                peer.sendall(request)
            except (ConnectionResetError, BrokenPipeError):
                pass  # It has answered before it has read all.
            data = b""
            while True:
                try:
                    some = peer.recv(65536)
                except ConnectionResetError:
                    return data
                if not some:
                    return data
                data += some
                if len(data) > 10_000_000:
                    raise Malformed("an answer without end")

    def leaves(self, target, location):
        """Whether a browser that asked for the target would go to another host."""
        # Browsers take a backslash for a slash, and drop control characters.
        location = re.sub(r"[\x00-\x20]", "", location).replace("\\", "/")
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", location):
            url = urllib.parse.urlsplit(location)
            return url.netloc != self.authority or url.scheme not in ("", "http")
        return False


def findings(server, target):
    """(status or a word, list of what is wrong)."""
    try:
        data = server.answer(target)
        status, fields, _ = parse(data)
    except Malformed as error:
        return "malformed", ["malformed: %s" % error]
    except OSError as error:
        return "error", ["%s: %s" % (type(error).__name__, error)]
    wrong = [what for what, marker in FORBIDDEN.items() if marker in data]
    if "x-injected" in fields:
        wrong.append("a field of the target's")
    wrong += ["sent to another host: " + location for location in fields.get("location", [])
              if server.leaves(target, location)]
    if status >= 500 and status not in (501, 505):
        wrong.append("status %d" % status)
    return status, wrong


def run(base_url, root, some=None, threads=8):
    """What was wrong, as (target, what). `some`: so many of them, always the same."""
    server = Server(base_url)
    root = os.path.abspath(root)
    made = list_of.make_tree(os.path.dirname(root), os.path.basename(root))
    for folder in (root, os.path.dirname(root)):
        os.chmod(folder, os.stat(folder).st_mode | 0o055)
    counts, bad, lock = collections.Counter(), [], threading.Lock()

    def one(target):
        status, wrong = findings(server, target)
        with lock:
            counts[status] += 1
            bad.extend((target, what) for what in wrong)

    all_targets = [t.replace(b"root_beside", os.path.basename(root).encode() + b"_beside")
                   for t in list_of.targets()]
    if some is not None:
        all_targets = random.Random(some).sample(all_targets, some)
    began = time.monotonic()
    try:
        if list_of.INSIDE_MARKER not in server.answer(b"/tree/page.txt"):
            bad.append((b"/tree/page.txt", "what may be served is not"))
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(one, all_targets):
                pass
        if list_of.INSIDE_MARKER not in server.answer(b"/tree/page.txt"):
            bad.append((b"/tree/page.txt", "afterwards what may be served is not"))
    finally:
        for path in made:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.remove(path)
    print("%d distinct targets in %.1f s" % (len(set(all_targets)), time.monotonic() - began))
    for status, count in sorted(counts.items(), key=lambda item: str(item[0])):
        print("  %-10s %6d" % (status, count))
    for what, count in collections.Counter(w.split(":")[0] for _, w in bad).most_common():
        print("  WRONG %s: %d" % (what, count))
    for target, what in bad[:20]:
        print("FAIL  %r: %s" % (target[:120], what))
    return bad


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python3 -m tests.traversal BASE_URL ROOT")
    sys.exit(1 if run(sys.argv[1], sys.argv[2]) else 0)
