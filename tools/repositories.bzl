"""Everything baton needs from outside, under upstream's labels.

Nothing is downloaded: the libraries are Debian's packages (`tools/setup`
installs them). A workspace that uses baton calls this macro too:

    local_repository(name = "baton", path = "/path/to/baton")
    load("@baton//tools:repositories.bzl", "baton_repositories")
    baton_repositories()

A repository that the workspace has defined before the call is left alone, so an
application can bring its own Abseil.
"""

load("//tools/third_party:abseil.bzl", "abseil_repository")
load("//tools/third_party:debian.bzl", "debian_repository")

def _third_party(name):
    return Label("//tools/third_party:" + name)

def baton_repositories():
    """Defines the external repositories, except those that exist already."""
    present = native.existing_rules()

    if "com_google_absl" not in present:
        abseil_repository(name = "com_google_absl")

    libraries = {
        "com_github_gflags_gflags": "gflags.BUILD",
        "com_github_google_benchmark": "benchmark.BUILD",
        "com_github_google_glog": "glog.BUILD",
        "nlohmann_json": "nlohmann_json.BUILD",
    }
    for name, build_file in libraries.items():
        if name not in present:
            debian_repository(
                name = name,
                files = {_third_party(build_file): "BUILD.bazel"},
            )

    if "com_google_googletest" not in present:
        debian_repository(
            name = "com_google_googletest",
            files = {_third_party("googletest.BUILD"): "BUILD.bazel"},
            folders = ["/usr/src/googletest"],
        )

    if "llhttp" not in present:
        debian_repository(
            name = "llhttp",
            files = {_third_party("llhttp.BUILD"): "BUILD.bazel"},
            folders = [
                "/usr/share/include/llhttp",
                "/usr/share/llhttp",
            ],
        )

    if "media_types" not in present:
        debian_repository(
            name = "media_types",
            files = {_third_party("media_types.BUILD"): "BUILD.bazel"},
            system_files = {"/etc/mime.types": "mime.types"},
        )

    # Bazel 4 fetches these three from the network unless the workspace has
    # them. Its built-in rules are all that C++ needs of them.
    stand_ins = {
        "remote_coverage_tools": {
            _third_party("remote_coverage_tools.BUILD"): "BUILD.bazel",
        },
        "rules_cc": {
            _third_party("empty.BUILD"): "cc/BUILD.bazel",
            _third_party("rules_cc_defs.bzl"): "cc/defs.bzl",
        },
        "rules_java": {
            _third_party("empty.BUILD"): "java/BUILD.bazel",
            _third_party("rules_java_defs.bzl"): "java/defs.bzl",
        },
    }
    for name, files in stand_ins.items():
        if name not in present:
            debian_repository(name = name, files = files)
