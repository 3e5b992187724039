"""Write docs/parameters.md from the source: `python tests/docs/parameters.py`.

Law: what stands on that page stands in the source once: names, defaults, what is allowed and
what it means. A test compares the two.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).parents[2]
# As a script it is not told where the tests are.
sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]

from kinesink import Config, EventOptions, config  # noqa: E402 - see above
from kinesink.event import options  # noqa: E402 - see above

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = ROOT / "docs" / "parameters.md"
_ALLOWED: Final[dict[str, str]] = {
    name: words for table in (config._RULES, options._READ) for name, (words, _) in table.items()
}
_INTRODUCTION: Final = """\
# Parameters

Each parameter of [`Config`](api.md#configuration) and `EventOptions`, in the words of the source.
How they work together is told in [configuration](configuration.md), with tables by subject and with
what single doors take beside these. Each door takes all of them by keyword, in YAML and INI files
as plain values, and from the variable; a keyword wins.

<!-- Written by tests/docs/parameters.py; change the source, not this page. -->
"""
_SECTIONS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("About the stream", Config),
    ("About events", EventOptions),
)
_PARTITION_KEYS: Final = (
    "What events share a shard: [a name or a callable](configuration.md#partition-keys)."
)
_MARKUP: Final = (
    (r"See :mod:`kinesink.adapters.partition_key`\.", _PARTITION_KEYS),
    (r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`"),
    (r"``([^`]*)``", r"`\1`"),
)
"""From the markup of docstrings to that of the page."""


def page() -> str:
    """Return the whole page."""
    return "\n".join([_INTRODUCTION, *(line for each in _SECTIONS for line in _section(*each))])


def _section(title: str, kind: type[Any]) -> Iterator[str]:
    yield f"## {title}\n"
    meanings = _meanings(kind)
    for spec in sorted(dataclasses.fields(kind), key=lambda each: each.name):
        yield f"### {spec.name}\n"
        yield f"{_in_markdown(meanings[spec.name])}\n"
        yield from (f"- {fact}" for fact in _facts(spec))
        yield ""


def _meanings(kind: type[Any]) -> dict[str, str]:
    """Return the text below each field of a class and of those that it extends."""
    found: dict[str, str] = {}
    for each in kind.__mro__[-2::-1]:
        (tree,) = ast.parse(inspect.getsource(each)).body
        assert isinstance(tree, ast.ClassDef)
        for node, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(below, ast.Expr):
                text = ast.literal_eval(below.value)
                found[ast.unparse(node.target)] = " ".join(inspect.cleandoc(text).split())
    return found


def _in_markdown(text: str) -> str:
    for pattern, replacement in _MARKUP:
        text = re.sub(pattern, replacement, text)
    return text


def _facts(spec: dataclasses.Field[Any]) -> Iterator[str]:
    allowed = _ALLOWED.get(spec.name, "")
    if allowed:
        yield f"Allowed: {allowed}"
    yield f"Default: {_default(spec.default, in_bytes=allowed.startswith('bytes'))}"
    has_variable = spec.name not in config._NO_VARIABLE
    yield f"Variable: `KINESINK_{spec.name.upper()}`" if has_variable else "No variable"


def _default(value: object, *, in_bytes: bool) -> str:
    if value is None or value == "":
        return "none"
    if in_bytes and isinstance(value, int):
        return f"`{value}` ({value // 1024:,} KiB)"
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
