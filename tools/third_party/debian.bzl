"""A repository whose content is the system's, described by files of ours."""

def _debian_repository_impl(ctx):
    for source, destination in ctx.attr.files.items():
        ctx.symlink(source, destination)
    for folder in ctx.attr.folders:
        for entry in ctx.path(folder).readdir():
            ctx.symlink(entry, entry.basename)
    for source, destination in ctx.attr.system_files.items():
        if not ctx.path(source).exists:
            fail("%s is not there: tools/setup installs it" % source)
        ctx.symlink(source, destination)

debian_repository = repository_rule(
    implementation = _debian_repository_impl,
    attrs = {
        "files": attr.label_keyed_string_dict(
            doc = "Our file -> its place in the repository.",
            mandatory = True,
        ),
        "folders": attr.string_list(
            doc = "Folders of the system whose entries appear at its top.",
        ),
        "system_files": attr.string_dict(
            doc = "File of the system -> its place in the repository.",
        ),
    },
    doc = "Headers and archives are on the compiler's own search path, so " +
          "mostly nothing but BUILD and .bzl files is laid here.",
    local = True,
)
