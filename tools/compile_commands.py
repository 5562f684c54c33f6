"""Writes compile_commands.json to standard output, from what Bazel would run.

Bazel compiles in its execution root, where only what a build has touched is
linked. The commands written here run at the top of the repository instead, with
the paths of external repositories made absolute, so that they hold whether or
not anything was built. What sources are generated is built here.

With --files it reads such a file and prints the sources in it, one a line.
"""

import json
import os
import re
import subprocess
import sys


def bazel(*arguments):
    done = subprocess.run(
        ["bazel", *arguments], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        sys.exit("compile_commands: bazel %s failed" % arguments[0])
    return done.stdout


def absolute(argument, output_base):
    """The argument with its path, if it is one in external/, made absolute."""
    for prefix in ("", "-I"):
        if argument.startswith(prefix + "external/"):
            return os.path.join(
                prefix + output_base, argument[len(prefix) :]
            )
    # The headers that stand there are those of the package itself.
    return re.sub(
        "bazel-out/[^/]+/bin/(.+)/_virtual_includes/[^/]+$", r"\1", argument
    )


def without_precompiled(arguments):
    """What -include-pch names need not be there, and other tools can't read it."""
    kept = []
    skip = False
    for argument in arguments:
        if not skip and argument != "-include-pch":
            kept.append(argument)
        skip = argument == "-include-pch"
    return kept


def commands(actions, output_base, top):
    """One entry a source: the first action that compiles it."""
    entries = {}
    for action in actions:
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        # Headers that are compiled alone and sources from elsewhere are no
        # business of ours.
        if not source.endswith(".cc") or source.startswith(
            ("external/", "bazel-out/")
        ):
            continue
        entries.setdefault(
            source,
            {
                "directory": top,
                "file": source,
                "arguments": [
                    absolute(argument, output_base)
                    for argument in without_precompiled(arguments)
                ],
            },
        )
    return [entries[source] for source in sorted(entries)]


def main():
    if sys.argv[1:] == ["--files"]:
        for entry in json.load(sys.stdin):
            print(entry["file"])
        return
    quiet = ["--ui_event_filters=-info", "--noshow_progress"]
    generated = bazel("query", *quiet, "kind(genrule, //...)").split()
    bazel("build", "--show_result=0", *quiet, *generated)
    found = json.loads(
        bazel(
            "aquery",
            *quiet,
            "--output=jsonproto",
            'mnemonic("CppCompile", //...)',
        )
    )
    output_base = bazel("info", *quiet, "output_base").strip()
    json.dump(
        commands(found.get("actions", []), output_base, os.getcwd()),
        sys.stdout,
        indent=1,
    )
    print()


if __name__ == "__main__":
    main()
