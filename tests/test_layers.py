"""The law of the house: imports point inward, and the core does no I/O."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import kinesink

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(kinesink.__file__).parent

ROOMS: Final = {
    "core": 0,
    "spool": 1,
    "event": 1,
    "shell": 2,
    "adapters": 3,
    "testing": 4,
    "cli": 4,
}
"""How far out each folder lies; a module may import what lies as far out as itself, or less."""
DOORS: Final = {"__init__", "__main__"}
"""The modules a user enters by: they lead everywhere, and nothing inside goes out through them."""
WORDS: Final = {path.stem for path in PACKAGE.glob("*.py")} - DOORS
"""The modules between core and shell, which all share: configuration, errors, statistics."""
WAITING: Final = frozenset({"asyncio", "logging", "os", "random", "socket", "threading", "time"})
"""What the core may not have, although the standard library does: the time is an argument."""


def imported(module: str, source: str) -> Iterator[str]:
    """Yield the absolute name of every import in a source, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from .x import y` in a.b.c means a.b.x; the name behind `import` may be a module too.
            parents = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def distance(module: str) -> int:
    """Return how far out a module of kinesink lies."""
    name = (*module.split("."), "__init__")[1]
    if name in ROOMS:
        return ROOMS[name]
    return 1 if name in WORDS else max(ROOMS.values())


def violations(module: str, source: str) -> list[str]:
    """Return the imports of a module that break the law."""
    return [
        f"{module} imports {name}"
        for name in imported(module, source)
        if not _is_lawful(name, distance(module))
    ]


def _is_lawful(name: str, importer: int) -> bool:
    top = name.split(".", maxsplit=1)[0]
    if top == "kinesink":
        return distance(name) <= importer
    return importer > ROOMS["core"] or (top in sys.stdlib_module_names and top not in WAITING)


def name_of(path: Path) -> str:
    """Return the dotted name of a source file, `__init__` included."""
    return ".".join(("kinesink", *path.relative_to(PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_every_import_points_inward(path: Path) -> None:
    """Adapters → shell → core; the core has the standard library, less what waits."""
    assert violations(name_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kinesink.core.pipeline", "import time"),
        ("kinesink.core.pipeline", "from os import path"),
        ("kinesink.core.pipeline", "def late():\n    import asyncio.events"),
        ("kinesink.core.pipeline", "import httpx"),
        ("kinesink.core.pipeline", "from kinesink.config import Config"),
        ("kinesink.core.pipeline", "from kinesink import shell"),
        ("kinesink.core.pipeline", "from ..shell import sink"),
        ("kinesink.core.pipeline", "import kinesink"),
        ("kinesink.errors", "from kinesink.shell.sink import Sink"),
        ("kinesink.shell.sink", "from kinesink.adapters.stdlib import KinesisHandler"),
        ("kinesink.shell.sink", "from kinesink import KinesisHandler"),
        ("kinesink.adapters.stdlib", "from kinesink.testing import FakeKinesis"),
    ],
)
def test_an_outward_import_is_found(module: str, source: str) -> None:
    """The check itself catches each way of breaking the law."""
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kinesink.core.pipeline", "from bisect import bisect"),
        ("kinesink.core.pipeline", "from .limits import KIB"),
        ("kinesink.config", "from kinesink.core import limits"),
        ("kinesink.shell.sink", "import time\nfrom kinesink.config import Config"),
        ("kinesink.adapters.stdlib", "from kinesink.shell.sink import Sink"),
        ("kinesink.testing.service", "from kinesink.core.hash_key import HashKeyRange"),
        ("kinesink.cli.demo", "from kinesink.testing import FakeKinesis"),
        ("kinesink.__init__", "from kinesink.adapters.stdlib import KinesisHandler"),
    ],
)
def test_an_inward_import_is_lawful(module: str, source: str) -> None:
    """The check lets the ways of the house pass."""
    assert violations(module, source) == []
