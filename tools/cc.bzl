"""cc_library and cc_test whose compiler finds other people's headers read.

Those of the standard library, Abseil, glog and googletest are by far the most of
what a compiler reads for a file of ours. Here clang reads them once a
configuration, unless it optimizes. g++ reads them each time: its configuration is
where a file fails that does not include what it uses.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@rules_cc//cc:defs.bzl", native_cc_library = "cc_library", native_cc_test = "cc_test")

def _precompile(ctx, toolchain, output):
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts
    for header in ctx.attr.headers[:-1]:
        flags = flags + ["-include", header]

    # Clang lists what it read for a precompiled header among what it reads for
    # each file, and Bazel lets only the system's be there undeclared: so the
    # main file is one of those.
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = flags + [
            # What those headers instantiate, once and not in each file: a third
            # of what a short file takes.
            "-fpch-instantiate-templates",
            "-x",
            "c++-header",
        ],
        source_file = ctx.attr.headers[-1],
        output_file = output.path,
        use_pic = True,
    )
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
        ),
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        env = {"PATH": "/usr/bin:/bin", "PWD": "/proc/self/cwd"},
        inputs = toolchain.all_files,
        outputs = [output],
        mnemonic = "CppPrecompile",
    )

def _precompiled_headers_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    outputs = []
    option = ""

    # With -c opt some files are compiled as position-independent and some not.
    is_fastbuild = ctx.var["COMPILATION_MODE"] == "fastbuild"
    if is_fastbuild and "clang" in toolchain.compiler_executable:
        outputs = [ctx.actions.declare_file(ctx.label.name + ".pch")]
        option = "-include-pch " + outputs[0].path
        _precompile(ctx, toolchain, outputs[0])
    return [
        DefaultInfo(files = depset(outputs)),
        CcInfo(compilation_context = cc_common.create_compilation_context(
            headers = depset(outputs),
        )),
        platform_common.TemplateVariableInfo({"PRECOMPILED": option}),
    ]

precompiled_headers = rule(
    implementation = _precompiled_headers_impl,
    attrs = {
        "headers": attr.string_list(
            doc = "As in #include; the last one with its absolute path.",
            mandatory = True,
        ),
        "_cc_toolchain": attr.label(
            default = "@bazel_tools//tools/cpp:current_cc_toolchain",
        ),
    },
    doc = "System headers, for a target that has this one among its deps and " +
          "toolchains and $(PRECOMPILED) in its copts.",
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def _with(precompiled, rule, srcs, copts, deps, toolchains, kwargs):
    # An application may have brought headers of its own: it says that it has not.
    if srcs and native.repository_name() == "@":
        copts = copts + ["$(PRECOMPILED)"]
        deps = deps + [precompiled]
        toolchains = toolchains + [precompiled]
    elif srcs:
        copts = copts + select({
            "//tools:debian_headers": ["$(PRECOMPILED)"],
            "//conditions:default": [],
        })
        deps = deps + select({
            "//tools:debian_headers": [precompiled],
            "//conditions:default": [],
        })
        toolchains = toolchains + [precompiled]
    rule(srcs = srcs, copts = copts, deps = deps, toolchains = toolchains, **kwargs)

def cc_library(srcs = [], copts = [], deps = [], toolchains = [], **kwargs):
    _with("//tools:precompiled", native_cc_library, srcs, copts, deps, toolchains, kwargs)

def cc_test(srcs = [], copts = [], deps = [], toolchains = [], **kwargs):
    _with("//tools:precompiled_for_tests", native_cc_test, srcs, copts, deps, toolchains, kwargs)
