"""Each example runs as a reader would run it, and what it asserts holds."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import WITHOUT_EXTRAS

FOLDER: Final = Path(__file__).parents[1] / "examples"
EXAMPLES: Final = sorted(FOLDER.glob("*.py"))
NEEDS: Final[dict[str, set[str]]] = {
    "fastapi_app": {"fastapi", "starlette"},
    "loguru_app": {"loguru"},
    "opentelemetry_app": {"opentelemetry"},
    "opentelemetry_otlp": {"opentelemetry"},
    "producer_trio": {"trio"},
    "structlog_app": {"structlog"},
}
"""What an example imports that kinesink does not bring with it, by the name of the package."""
BROUGHT: Final = {"httpx", "kinesink"}


def packages_of(example: Path) -> set[str]:
    """Return the packages that an example imports while it runs, the standard library's aside."""
    found: set[str] = set()
    for node in ast.parse(example.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names) - BROUGHT


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path) -> None:
    """It ends with status 0, and nothing is left to warn of."""
    if WITHOUT_EXTRAS and not all(map(find_spec, NEEDS.get(example.stem, ()))):
        pytest.skip("what it shows is left out on purpose")
    ran = subprocess.run(  # noqa: S603 - our own examples
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout != ""


def test_every_way_of_using_it_has_an_example() -> None:
    """A folder that moved would otherwise leave the test above with nothing to run."""
    names = {example.stem for example in EXAMPLES}
    assert {"stdlib_logging", "dictconfig_app", "sink_direct", "producer_asyncio", *NEEDS} <= names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_table_says_what_an_example_needs(example: Path) -> None:
    """An example that is not in it would fail where its package is left out on purpose."""
    assert packages_of(example) == NEEDS.get(example.stem, set())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_to_change_for_aws(example: Path) -> None:
    """It runs against the fake, which is what nobody wants in the end."""
    assert "On AWS" in example.read_text(encoding="utf-8")
