"""The wheel in empty environments: each extra by itself does what it is for."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.packaging.built import built, environment, metadata, run

HERE: Final = Path(__file__).parent
PROGRAMS: Final = {
    "": "alone",
    "structlog": "structlog_alone",
    "otel": "opentelemetry_alone",
    "otlp": "otlp_protobuf",
    "cli": "command_line",
    "zstd": "zstandard",
    "trio": "on_trio",
}
"""What tries an extra, by the extra; empty for none."""


def wheel(extra: str) -> str:
    """Return how to ask for the wheel with an extra."""
    return f"kinesink[{extra}] @ {built('*.whl').as_uri()}" if extra else str(built("*.whl"))


def try_program(python: Path, extra: str) -> None:
    """Run what tries an extra; a warning fails it. Isolated, so that only the wheel is there."""
    run(python, "-I", "-W", "error", HERE / "programs" / f"{PROGRAMS[extra]}.py")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("extra", PROGRAMS)
def test_an_extra_is_enough(tmp_path: Path, extra: str) -> None:
    """Nothing is needed that it does not bring."""
    try_program(environment(tmp_path, wheel(extra)), extra)


@pytest.mark.timeout(240)
def test_all_of_them_get_along(tmp_path: Path) -> None:
    """In one environment, and types are there for mypy and pyright, both as strict as can be."""
    python = environment(tmp_path, wheel("all"))
    for extra in PROGRAMS:
        if extra:
            try_program(python, extra)
    consumer = tmp_path / "consumer"
    shutil.copytree(HERE / "consumer", consumer)
    run("mypy", "--config-file", "mypy.ini", "--python-executable", python, ".", folder=consumer)
    run("pyright", "--pythonpath", python, folder=consumer)


@pytest.mark.timeout(180)
def test_pytest_finds_the_fixture(tmp_path: Path) -> None:
    """By the entry point; the files are those of the page about it."""
    page = HERE.parents[1] / "docs" / "testing-your-application.md"
    for name, text in re.findall(
        r"```python\n# (\w+\.py)\n(.*?)```", page.read_text("utf-8"), re.DOTALL
    ):
        (tmp_path / name).write_text(text)
    python = environment(tmp_path, wheel(""), "pytest")
    said = run(python, "-m", "pytest", "-q", "--ignore", "env", folder=tmp_path)
    assert "4 passed" in said


def test_every_extra_is_tried() -> None:
    """A new one needs a program."""
    extras = set(metadata().get_all("Provides-Extra", []))
    assert extras == {*PROGRAMS, "all"} - {""}
