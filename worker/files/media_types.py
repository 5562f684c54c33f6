"""Writes the table of media_type.cc from Debian's /etc/mime.types."""

import sys

# What the web means by it, whatever Debian says.
OURS = {
    "ts": "video/mp2t",  # parts of a stream; not Qt's translations
}

# What Debian lacks, or an older one does.
ADDED = {
    "avif": "image/avif",
    "br": "application/x-brotli",
    "bz2": "application/x-bzip2",
    "cjs": "text/javascript",
    "conf": "text/plain",
    "css": "text/css",
    "gif": "image/gif",
    "gz": "application/gzip",
    "html": "text/html",
    "ico": "image/vnd.microsoft.icon",
    "ini": "text/plain",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "log": "text/plain",
    "map": "application/json",  # a source map
    "md": "text/markdown",
    "mjs": "text/javascript",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "toml": "application/toml",
    "txt": "text/plain",
    "wasm": "application/wasm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff2": "font/woff2",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
}

SCRIPT_SUFFIXES = ("/javascript", "/x-javascript", "/ecmascript")


def read_types(lines):
    """Extension, in lower case -> type; of two types the first."""
    types = dict(OURS)
    for line in lines:
        words = line.partition("#")[0].split()
        for extension in words[1:]:
            # Only what is behind the last dot is looked up.
            if "." not in extension and extension.isascii():
                types.setdefault(extension.lower(), words[0])
    for extension, media_type in ADDED.items():
        types.setdefault(extension, media_type)
    return types


def with_charset(media_type):
    if media_type.startswith("text/") or media_type.endswith(SCRIPT_SUFFIXES):
        return media_type + "; charset=utf-8"
    return media_type


def write_table(types, out):
    """Types once each in one text; extensions of up to 8 bytes as numbers."""
    places = {}
    text = ""
    out.write("constexpr char kTypes[] =\n")
    for media_type in sorted({with_charset(t) for t in types.values()}):
        places[media_type] = (len(text), len(media_type))
        text += media_type
        out.write('    "%s"\n' % media_type)
    assert len(text) < 1 << 16, "an offset is 16 bits"
    out.write("    ;\n")

    keys = {
        int.from_bytes(e.encode().ljust(8, b"\0"), "big"): e
        for e in types
        if len(e) <= 8
    }
    out.write("constexpr Short kShort[] = {\n")
    for key, extension in sorted(keys.items()):
        place = places[with_charset(types[extension])]
        out.write("    {0x%016x, %d, %d},  // %s\n" % (key, *place, extension))
    out.write("};\nconstexpr Long kLong[] = {\n")
    for extension in sorted(e for e in types if len(e) > 8):
        place = places[with_charset(types[extension])]
        out.write('    {"%s", %d, %d},\n' % (extension, *place))
    out.write("};\n")


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        types = read_types(source)
    with open(sys.argv[2], "w", encoding="ascii") as out:
        write_table(types, out)


if __name__ == "__main__":
    main()
