"""Just enough reading of C++ for rules on style: no parser, and wrong only where
preprocessor conditionals split braces."""

import re

_TOKEN = re.compile(
    r"""
      (?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)
    | (?P<raw>\b(?:u8|[uUL])?R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)")
    | (?P<string>"(?:\\.|[^"\\\n])*")
    | (?P<number>\b\d[\w.']*)
    | (?P<char>'(?:\\.|[^'\\\n])+')
    """,
    re.VERBOSE | re.DOTALL,
)


def _blank(match):
    if match.lastgroup == "number":
        # Here only so that 1'000 does not begin a character.
        return match.group().replace("'", "_")
    blank = re.sub(r"[^\n]", " ", match.group())
    if match.lastgroup == "comment":
        return blank
    # Something stays where a literal was: f("") still has an argument.
    return '"' + blank[1:-1] + '"' if len(blank) > 1 else blank


def without_comments_and_strings(text):
    """The text with those blanked out; every line and column stays in place."""
    return _TOKEN.sub(_blank, text)


def _without_preprocessor(text):
    """Directives, with their continuation lines, blanked out."""
    return re.sub(
        r"^[ \t]*#(?:\\\n|[^\n])*",
        lambda match: re.sub(r"[^\n]", " ", match.group()),
        text,
        flags=re.MULTILINE,
    )


_SCOPE = re.compile(
    r"(?:template\s*<.*>\s*)?(?:inline\s+)?(?:typedef\s+)?"
    r'(?:(?:namespace|class|struct|union|enum)\b|extern\s*")',
    re.DOTALL,
)
_ACCESS = re.compile(r"\s*(?:(?:public|private|protected)\s*:\s*)*")
_BODY = re.compile(
    r"\)\s*(?:(?:const|volatile|noexcept|override|final|mutable|try|&{1,2})\s*"
    r"|noexcept\s*\([^{}]*\)\s*|->[^;{}]*|requires\b[^;{}]*)*\Z",
    re.DOTALL,
)
# A constructor's `) : a_(1), b_{2}`.
_INITIALIZED = re.compile(r"\)[^:]*[^:]:[^:].*\}\s*\Z", re.DOTALL)


def _kind(head):
    """What a brace opens, given the text since the statement began."""
    if _SCOPE.match(head):
        return "scope"
    if _BODY.search(head) or _INITIALIZED.search(head):
        return "function"
    # `= {`, `b_{` and `({`.
    return "initializer"


def function_spans(text):
    """(first line, last line) of every outermost function body with its head.

    A lambda in a function is part of that function; one at namespace scope is a
    function.
    """
    code = _without_preprocessor(without_comments_and_strings(text))
    spans = []
    stack = []
    head_start = 0
    for match in re.finditer(r"[{};]", code):
        position, mark = match.start(), match.group()
        inside = any(kind == "function" for kind, _ in stack)
        if mark == "{":
            first = _ACCESS.match(code, head_start).end()
            kind = "block" if inside else _kind(code[first:position])
            stack.append((kind, first))
            if kind == "scope":
                head_start = position + 1
        elif mark == "}":
            kind, first = stack.pop() if stack else ("scope", 0)
            if kind == "function":
                spans.append(
                    (
                        code.count("\n", 0, first) + 1,
                        code.count("\n", 0, position) + 1,
                    )
                )
            if kind in ("function", "scope"):
                head_start = position + 1
        elif not inside and all(kind == "scope" for kind, _ in stack):
            head_start = position + 1
    return spans
