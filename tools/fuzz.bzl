"""cc_fuzz: one target that is a fuzzer and, everywhere else, a test."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def cc_fuzz(name, srcs, deps = [], size = "small", **kwargs):
    """A fuzz target, which defines LLVMFuzzerTestOneInput.

    With --config=fuzz it is linked to libFuzzer; `tools/fuzz` runs it. In every
    other configuration it is a test that is fed its seeds.

    Args:
      name: ends in _fuzz. The seeds are the files in the folder NAME_corpus
        beside the BUILD file; there must be one at least.
      srcs: as in cc_test.
      deps: as in cc_test.
      size: as in cc_test.
      **kwargs: as in cc_test.
    """
    if not name.endswith("_fuzz"):
        fail("cc_fuzz: %s does not end in _fuzz" % name)
    folder = name + "_corpus"
    fuzzing = str(Label("//tools:fuzzing"))
    here = native.package_name()
    cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = select({
            # Read the seeds, then end.
            fuzzing: ["-runs=0"],
            "//conditions:default": [],
        }) + [here + "/" + folder if here else folder],
        data = native.glob([folder + "/**"], allow_empty = False),
        linkopts = select({
            fuzzing: ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        deps = deps + select({
            fuzzing: [],
            "//conditions:default": [str(Label("//tools:fuzz_seeds_main"))],
        }),
        **kwargs
    )
