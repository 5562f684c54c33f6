"""Request targets that ask for what a static server must not give.

A target is the bytes between the method and the version of a request line. They
are many because each of them is a way that some server has once been led out of
its root by: a form of "..", a form of "/", something in front, and how often.
The list is the same in every run and knows nothing of the machine: the tree that
it is meant for is made by make_tree(), below any folder.
"""

import itertools
import os
import random

# What no answer may hold. The first stands in files beside the root, the second
# in dot-files below it.
OUTSIDE_MARKER = b"OUTSIDE-MARKER-5f1c7be2"
DOT_FILE_MARKER = b"DOT-FILE-MARKER-91ab04dd"
# In the one file that may be served, so that a run shows that it hit a server.
INSIDE_MARKER = b"INSIDE-MARKER-0c44e1a9"
# A file that every machine has, and how it begins.
SYSTEM_FILE, SYSTEM_MARKER = "etc/passwd", b"root:x:0:0:"

# Two dots, or what a decoder too many, a lenient one or a trimming one takes
# for them.
DOTS = [
    b"..", b"%2e%2e", b"%2E%2E", b".%2e", b"%2e.", b"%2E.",
    # Decoded twice, three times.
    b"%252e%252e", b"%252E.", b".%252e", b"%25252e%25252e", b"%%32%65%%32%65", b"%%32e%%32e",
    b"%25%32%65%25%32%65",
    # Overlong UTF-8, encoded and raw.
    b"%c0%ae%c0%ae", b"%C0%AE.", b"%e0%80%ae%e0%80%ae", b"%f0%80%80%ae%f0%80%80%ae",
    b"%f8%80%80%80%ae%f8%80%80%80%ae", b"\xc0\xae\xc0\xae", b"\xe0\x80\xae\xe0\x80\xae",
    b"%c0%2e%c0%2e", b"%c0.%c0.", b"%25c0%25ae%25c0%25ae",
    # Dots of other scripts; the %u of old servers.
    b"%ef%bc%8e%ef%bc%8e", b"\xef\xbc\x8e\xef\xbc\x8e", b"%e2%80%a5", b"%u002e%u002e",
    b"%uff0e%uff0e", b"%u2025",
    # With something that may be cut off.
    b"..%00", b"%00..", b".%00.", b"..%20", b"%20..", b"..%09", b"..%0a", b"..%0d", b"..%0d%0a",
    b"..;", b"..;x=y", b"%2e%2e;", b";..", b"..%3b", b"..%3f", b"..%23", b"..?", b"..\x01",
    b"..%7f", b"..%ff", b"..%c0", b"..%", b"..%2", b"%2e%2", b"..+", b"..~", b"..:", b"..::$DATA",
    b"..*", b'.."', b"..|", b"..<", b"...", b"....", b".%2e.", b"..%ad", b"..%c2%ad",
    b"..%e2%80%8b",
]

SLASHES = [
    b"/", b"%2f", b"%2F", b"%252f", b"%25252f", b"%%32%66", b"%25%32%66",
    b"\\", b"%5c", b"%5C", b"%255c", b"\\/", b"/\\", b"%5c/", b"%2f/", b"/%2f",
    b"%c0%af", b"%c1%9c", b"%c1%af", b"%e0%80%af", b"%f0%80%80%af", b"\xc0\xaf", b"%c0%2f",
    b"%25c0%25af",
    b"%u002f", b"%u2215", b"%u2216", b"%uff0f", b"%ef%bc%8f", b"\xef\xbc\x8f",
    b"//", b"///", b"/./", b"/%2e/", b"/.%2f", b"/;/", b";/", b"%00/", b"/%00", b"/%20/", b"%20/",
    b"/x/%2e%2e/", b"/x/../", b":/", b"/?/", b"%3f/", b"%23/",
]

# What is in front of the way out, and how many steps it then is to the top.
STARTS = [
    (b"/", 0), (b"/tree/", 1), (b"/tree/sub/", 2), (b"/tree/page.txt/", 2), (b"/nothing/", 1),
    (b"//", 0), (b"/./", 0), (b"/%2f", 0), (b"/%2e/", 0), (b"/;x=y/", 1), (b"/tree;x=y/", 1),
    (b"/\\", 0), (b"/%5c", 0), (b"/~/", 1), (b"/~root/", 1), (b"/tree/stays/", 2),
    (b"", 0), (b"\\", 0), (b"/tree/%00/", 2), (b"/tree%00/", 1), (b"/c:/", 1), (b"/@/", 1),
]

# Links in tree/ and where they lead; OUT stands for the folder above the root.
LINKS = {
    "absolute": "OUT/secret.txt",
    "relative": "../../secret.txt",
    "folder": "../..",
    "folder_absolute": "OUT",
    "chain": "chain2",
    "chain2": "sub/chain3",
    "chain3_target": "relative",
    "inward_by_outside": "../../ROOT/../secret.txt",
    "slash": "/",
    "etc": "/etc",
    "passwd": "/etc/passwd",
    "proc": "/proc/self/root/etc/passwd",
    "cwd": "/proc/self/cwd",
    "fd": "/proc/self/fd",
    "dev": "/dev/zero",
    "loop": "loop",
    "dangling": "../../nothing",
}

SECRETS = [b"secret.txt", b"secret_folder/inner.txt"]
DOT_FILES = [b".secret", b"tree/.hidden/inner.txt", b"tree/sub/.htpasswd", b"tree/..odd",
             b"tree/...",
             b".git/config", b".well-hidden"]


def _write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content + b"\n")


def make_tree(outer, root="root"):
    """Makes outer/secret*, outer/ROOT/tree and dot-files; returns what it made."""
    top = os.path.join(outer, root)
    made = ["secret.txt", "secret_folder", root + "/tree", root + "/.git"]
    for name in SECRETS:
        _write(os.path.join(outer, name.decode()), OUTSIDE_MARKER)
    # Whose name begins with that of the root: a comparison of strings lets it by.
    _write(os.path.join(outer, root + "_beside", "secret.txt"), OUTSIDE_MARKER)
    made.append(root + "_beside")
    for name in DOT_FILES:
        _write(os.path.join(top, name.decode()), DOT_FILE_MARKER)
        if b"/" not in name:
            made.append(root + "/" + name.decode())
    _write(os.path.join(top, "tree", "page.txt"), INSIDE_MARKER)
    _write(os.path.join(top, "tree", "sub", "page.txt"), INSIDE_MARKER)
    tree = os.path.join(top, "tree")
    for name, target in LINKS.items():
        target = target.replace("OUT", os.path.abspath(outer)).replace("ROOT", root)
        os.symlink(target, os.path.join(tree, name))
    os.symlink("../chain3_target", os.path.join(tree, "sub", "chain3"))
    os.symlink("sub", os.path.join(tree, "stays"))
    os.mkfifo(os.path.join(tree, "fifo"))
    return [os.path.join(outer, name) for name in made]


def _ways_out():
    """One form of dots and of slashes each, as deep as needed and deeper."""
    for (start, depth), dots, slash in itertools.product(STARTS[:5], DOTS, SLASHES):
        yield start + (dots + slash) * (depth + 1) + SECRETS[0]
    for (start, depth), dots in itertools.product(STARTS, DOTS):
        for slash in (b"/", b"%2f", b"\\", b"%5c", b"%252f"):
            yield start + (dots + slash) * (depth + 1) + SECRETS[0]
        yield start + (dots + b"/") * (depth + 2) + SYSTEM_FILE.encode()
        yield start + (dots + b"/") * 12 + SYSTEM_FILE.encode()
        yield start + (dots + b"%2f") * 12 + SYSTEM_FILE.replace("/", "%2f").encode()
        yield start + dots
        yield start + dots + b"/"
        yield start + (dots + b"/") * depth + DOT_FILES[0]
        yield start + (dots + b"/") * (depth + 1) + b"root_beside/secret.txt"
        yield start + b"x/" * 20 + (dots + b"/") * (21 + depth) + SECRETS[1]


def _mixed(count, seed):
    """Another form of dots and slash at each step, and random escapes over it."""
    dice = random.Random(seed)
    for _ in range(count):
        start, depth = dice.choice(STARTS)
        steps = depth + dice.choice((1, 1, 1, 2, 3, 8))
        goal = dice.choice(SECRETS + DOT_FILES + [SYSTEM_FILE.encode()])
        way = b"".join(dice.choice(DOTS) + dice.choice(SLASHES) for _ in range(steps))
        yield _escaped(start + way + goal, dice) if dice.random() < 0.5 else start + way + goal


def _escaped(text, dice):
    """Some of the bytes as %XX, some of those escaped again."""
    out = b""
    for byte in text:
        one = bytes([byte])
        if byte != 0x25 and dice.random() < 0.25:
            one = dice.choice((b"%%%02x", b"%%%02X", b"%%25%02x")) % byte
        out += one
    return out


def _well_formed_ways_out(count, seed):
    """Plain dots and slashes in a random walk: what normalizing gets wrong."""
    dice = random.Random(seed)
    steps = [b"..", b"..", b"..", b".", b"", b"tree", b"sub", b"page.txt", b"%2e%2e", b"stays",
             b"folder",
             b".hidden", b"x"]
    for _ in range(count):
        way = [dice.choice(steps) for _ in range(dice.randint(1, 14))]
        yield b"/" + b"/".join(way + [dice.choice(SECRETS + DOT_FILES)])


def _links():
    names = list(LINKS) + ["sub/chain3", "fifo"]
    ends = ["", "/", "/.", "/..", "/secret.txt", "/secret_folder/inner.txt", "/../secret.txt",
            "/etc/passwd",
            "/passwd", "//secret.txt", "/root/../secret.txt", "/%2e%2e/secret.txt", "?x", ";x",
            "%00",
            "/0", "/3", "/root_beside/secret.txt"]
    for name, end in itertools.product(names, ends):
        yield ("/tree/" + name + end).encode()
        yield ("/tree/stays/../" + name + end).encode()
        yield ("/tree/%" + "%02x" % ord(name[0]) + name[1:] + end).encode()


def _dot_files():
    fronts = [b"/", b"//", b"/./", b"/%2f", b"/tree/../", b"/tree/%2e%2e/", b"/x/../", b"/;/", b"",
              b"/\\",
              b"/%2e/", b"/tree/stays/../../", b"/?/../", b"/%20/../", b"/tree/page.txt/../../"]
    ends = [b"", b"/", b"%00", b"%20", b".", b";x", b"?", b"#", b"%23", b"::$DATA", b"~", b"%2f",
            b"/.",
            b"%00.html", b"/../page.txt", b"%3f"]
    for front, name, end in itertools.product(fronts, DOT_FILES, ends):
        yield front + name + end
    for name in DOT_FILES:
        first, _, last = name.rpartition(b".")
        for dot in (b"%2e", b"%2E", b"%252e", b"%c0%ae", b"\xc0\xae", b"%ef%bc%8e", b"%u002e",
                    b"%00.", b".%00",
                    b"%20.", b"%2%65", b"%%32e", b"./.", b"%e0%80%ae"):
            yield b"/" + first + dot + last
        yield b"/" + name.upper()
        yield b"/" + b"".join(b"%%%02x" % byte for byte in name)
        yield b"/" + b"".join(b"%%25%02x" % byte for byte in name)
        yield b"/" + name.replace(b"/", b"%2f")
        yield b"/" + name.replace(b"/", b"\\")


def _other_forms():
    """Absolute URIs, authorities, no slash, queries, odd bytes."""
    for scheme in (b"http:", b"https:", b"HTTP:", b"file:", b"ftp:", b"javascript:", b":", b"",
                   b"x:"):
        for host in (b"//localhost", b"//", b"///", b"//localhost:80", b"//a@b", b"//[::1]",
                     b"//..", b"//%2e%2e",
                     b"/", b"", b"//localhost%2f..", b"//localhost\\..", b"//\\", b"//x:99999999",
                     b"//."):
            for path in (b"", b"/", b"/../secret.txt", b"/%2e%2e/secret.txt", b"/.secret",
                         b"/../../etc/passwd",
                         b"/etc/passwd", b"?/../secret.txt", b"/tree/../../secret.txt",
                         b"/tree/folder/secret.txt"):
                yield scheme + host + path
    for target in (b"*", b"**", b"?", b"#", b"%", b"%2", b"%zz", b"%00", b"\x00", b"/\x00",
                   b"/%00/", b"localhost:80",
                   b"..", b".", b"../", b"./", b"..\\", b"secret.txt", b"../secret.txt",
                   b"/tree/page.txt\x00",
                   b"/tree/page.txt\x00/../../../secret.txt", b"/?../secret.txt",
                   b"/#/../../secret.txt",
                   b"/tree?/../../secret.txt", b"/%3f/../../secret.txt",
                   b"/tree/page.txt?file=../../secret.txt",
                   b"/tree/page.txt%3f/../../../secret.txt", b"/ ../secret.txt",
                   b"/.. /secret.txt", b"/\t../secret.txt",
                   b"/tree/page.txt%0d%0aX-Injected:%20yes", b"/tree%0d%0aX-Injected:%20yes",
                   b"/tree/sub%0d%0aX-Injected:%20yes%0d%0a%0d%0a",
                   b"/tree/sub?%0d%0aX-Injected:%20yes",
                   b"//tree", b"///tree", b"//tree/sub", b"/\\tree", b"//example.org/..",
                   b"//example.org/%2e%2e/tree",
                   b"//example.org/../tree", b"/%5cexample.org/..%2ftree", b"/tree//", b"//",
                   b"///", b"/.//tree",
                   b"/%2f/tree", b"/%2ftree", b"//tree/..//tree"):
        yield target
    for byte in range(256):
        # A line feed or a blank would end the target.
        if byte not in (0x0a, 0x0d, 0x20):
            yield b"/" + bytes([byte]) + b"../secret.txt"
            yield b"/.." + bytes([byte]) + b"/secret.txt"
            yield b"/.." + bytes([byte]) + b"secret.txt"
        yield b"/%%%02x../secret.txt" % byte
        yield b"/..%%%02x/secret.txt" % byte
        yield b"/..%%%02xsecret.txt" % byte
        yield b"/tree/page.txt%%%02x" % byte
        yield b"/tree/.%%%02x./../secret.txt" % byte


def _long_ones():
    for count in (100, 255, 256, 257, 1000, 4095, 4096, 4097, 8000, 20000, 70000):
        yield b"/" + b"a" * count
        yield b"/" + b"a" * count + b"/../../secret.txt"
        yield b"/" + b"../" * count + b"secret.txt"
        yield b"/" + b"./" * count + b"../secret.txt"
        yield b"/" * count + b"../secret.txt"
        yield b"/" + b"a/" * count + b"../" * (count + 1) + b"secret.txt"
        yield b"/" + b"%2e%2e%2f" * count + b"secret.txt"
        yield b"/tree/page.txt?" + b"../" * count + b"secret.txt"
        yield b"/" + b"tree/../" * count + b"../secret.txt"
        yield b"/" + b"tree/stays/../" * count + b"folder/secret.txt"


def targets():
    """All of them, each once, in the same order in every run."""
    # A blank would end the target, as a line feed would the line.
    return list(dict.fromkeys(
        itertools.chain(_other_forms(), _links(), _dot_files(), _long_ones(),
                        _well_formed_ways_out(3000, seed=9), _mixed(4000, seed=7), _ways_out())))
