"""cc_bench: a benchmark that also runs one tiny round among the tests."""

load("@rules_cc//cc:defs.bzl", "cc_binary")

def cc_bench(name, srcs, deps = [], test_tags = [], **kwargs):
    """A Google Benchmark program, and NAME_test, which keeps it from rotting.

    Args:
      name: ends in _bench. Measure with `bazel run -c opt //package:NAME`.
      srcs: as in cc_binary.
      deps: as in cc_binary; benchmark_main is added.
      test_tags: of NAME_test.
      **kwargs: as in cc_binary.
    """
    if not name.endswith("_bench"):
        fail("cc_bench: %s does not end in _bench" % name)
    cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        deps = deps + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )
    native.sh_test(
        name = name + "_test",
        size = "small",
        srcs = [str(Label("//tools:run_args.sh"))],
        args = [
            "$(rootpath :%s)" % name,
            "--benchmark_min_time=0",
        ],
        data = [":" + name],
        tags = test_tags,
    )
