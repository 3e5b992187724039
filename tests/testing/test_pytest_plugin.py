"""The fixture as pytest finds it, in a process of its own, and the page that shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import kinesink.testing
from kinesink.testing import KinesisCapture

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = (Path(__file__).parents[2] / "docs" / "testing-your-application.md").read_text(
    "utf-8"
)
FILES: Final = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
#: By its module, in case it is not installed; then under its name it would be there twice.
PLUGIN: Final = ("-p", "no:kinesink", "-p", "kinesink.testing.pytest_plugin")

PYTEST: Final = """
import threading
import pytest
import shop

seen = []

def test_one(kinesis_sink):
    shop.configure_logging()
    shop.pay(17, 12.5)
    kinesis_sink.assert_logged(message="order 71 paid", amuont=12.5)

def test_two(kinesis_sink):
    shop.configure_logging()
    shop.pay(17, 12.5)
    kinesis_sink.assert_logged(message="order 17 paid", times=1)

def test_three():
    assert threading.enumerate() == [threading.main_thread()]
    assert {type(each).__module__ for each in shop.LOG.root.handlers} <= {"_pytest.logging"}
"""


def run_pytest(
    folder: Path, *arguments: str, files: Mapping[str, str] = FILES
) -> subprocess.CompletedProcess[str]:
    """Run pytest on files, with every warning an error and without this project's settings."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = (sys.executable, "-W", "error", "-m", "pytest", *PLUGIN, "-p", "no:randomly")
    return subprocess.run(  # noqa: S603 - our own words
        [*command, "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "with_xdist"])
def test_the_example_of_the_page_passes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """As a reader would run it, in one process and in several."""
    ran = run_pytest(tmp_path, *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^=* 4 passed in ", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.slow
def test_a_failure_is_shown_as_on_the_page(tmp_path: Path) -> None:
    """And later tests find nothing of it: no event, no handler, no thread."""
    ran = run_pytest(tmp_path, files={"shop.py": FILES["shop.py"], "test_shop.py": PYTEST})
    assert "1 failed, 2 passed" in ran.stdout, ran.stdout + ran.stderr
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    told = "\n".join(
        line.removeprefix("E").removeprefix("       ").removeprefix("AssertionError: ")
        for line in ran.stdout.splitlines()
        if line.startswith("E   ")
    )
    assert told == shown.strip()
    # Where the assertion is, and not inside of what it calls.
    assert re.findall(r"^(\S+\.py):\d+: ", ran.stdout, re.MULTILINE) == ["test_shop.py"]


@pytest.mark.slow
def test_every_test_of_a_project_can_be_kept_from_aws(tmp_path: Path) -> None:
    """By the setting on the page."""
    (setting,) = re.findall(r"```ini\n\[pytest\]\n(\w+) = (\w+)\n```", PAGE)
    text = "import shop\n\ndef test_one():\n    shop.configure_logging()\n    shop.pay(17, 1)\n"
    files = {"shop.py": FILES["shop.py"], "test_shop.py": text}
    ran = run_pytest(tmp_path, "-o", "=".join(setting), "--setup-show", files=files)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SETUP    F kinesis_sink" in ran.stdout


def test_the_page_names_what_there_is() -> None:
    """Methods and properties, in its tables."""
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`(?:await )?(\w+)", row)
    }
    assert len(named) > 10
    there = {name for name in dir(KinesisCapture) if not name.startswith("_")} - {"client"}
    assert named == there


def test_the_plugin_costs_next_to_nothing_where_it_is_not_used() -> None:
    """It brings in no library, and of kinesink itself a handful of small modules."""
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import kinesink.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [
        "kinesink",
        "kinesink._version",
        "kinesink.testing",
        "kinesink.testing.pytest_plugin",
    ]


def test_nothing_else_of_the_package_needs_pytest() -> None:
    """Applications do not install it."""
    package = Path(kinesink.testing.__file__).parents[1]
    needing = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) _?pytest\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert needing == ["pytest_plugin.py"]


@pytest.mark.parametrize("name", kinesink.testing.__all__)
def test_every_name_of_the_test_kit_is_there(name: str) -> None:
    """Resolved at first use, and found again afterwards."""
    assert getattr(kinesink.testing, name) is getattr(kinesink.testing, name)
    assert name in dir(kinesink.testing)
    assert kinesink.testing._HOMES[name].startswith("kinesink.testing.")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match=r"'kinesink\.testing' has no attribute 'Nothing'"):
        _ = kinesink.testing.Nothing  # type: ignore[attr-defined]  # what is tested
    assert set(kinesink.testing._HOMES) == set(kinesink.testing.__all__)
