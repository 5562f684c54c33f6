"""@com_google_absl from Debian's libabsl-dev, under upstream's labels.

The headers are in /usr/include, so a target is nothing but its linker options.
Those come from pkg-config, which knows the archives of a module and of all that
it needs, in link order: no table of ours can go stale.
"""

# Upstream's public targets. The pkg-config module of a target is absl_TARGET
# unless a colon says otherwise.
_PACKAGES = {
    "algorithm": ["algorithm", "container:algorithm_container"],
    "base": [
        "base",
        "config",
        "core_headers",
        "dynamic_annotations",
        "log_severity",
    ],
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": [
        "failure_signal_handler",
        "leak_check",
        "stacktrace",
        "symbolize",
    ],
    "flags": [
        "commandlineflag:flags_commandlineflag",
        "config:flags_config",
        "flag:flags",
        "marshalling:flags_marshalling",
        "parse:flags_parse",
        "reflection:flags_reflection",
        "usage:flags_usage",
    ],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": [
        "bit_gen_ref:random_bit_gen_ref",
        "distributions:random_distributions",
        "random:random_random",
        "seed_gen_exception:random_seed_gen_exception",
        "seed_sequences:random_seed_sequences",
    ],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "string_view:strings", "strings"],
    "synchronization": ["synchronization"],
    "time": ["time"],
    "types": [
        "any",
        "bad_any_cast",
        "bad_optional_access",
        "bad_variant_access",
        "compare",
        "optional",
        "span",
        "variant",
    ],
    "utility": ["utility"],
}

_TARGET = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
)
"""

def _link_options(ctx, module):
    result = ctx.execute(["pkg-config", "--static", "--libs", module])
    if result.return_code != 0:
        fail("pkg-config %s: %s (is libabsl-dev installed? run tools/setup)" %
             (module, result.stderr))

    # The archives by their full names: plain -l would take the shared ones.
    archives = [
        "-l:lib%s.a" % word[len("-l"):]
        for word in result.stdout.split(" ")
        if word.startswith("-labsl_")
    ]
    return archives + ["-pthread"]

def _abseil_repository_impl(ctx):
    if not ctx.which("pkg-config"):
        fail("pkg-config is not installed: run tools/setup")
    for package, targets in _PACKAGES.items():
        build = ["package(default_visibility = [\"//visibility:public\"])\n"]
        for target in targets:
            name, _, module = target.partition(":")
            build.append(_TARGET.format(
                name = name,
                linkopts = _link_options(ctx, "absl_" + (module or name)),
            ))
        ctx.file("absl/%s/BUILD.bazel" % package, "".join(build))

abseil_repository = repository_rule(
    implementation = _abseil_repository_impl,
    doc = "Abseil as the system has it.",
)
