"""What is in the wheel and in the sdist, and what the wheel says of itself."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import pytest

import kinesink
from tests.packaging.built import ROOT, built, metadata, run

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = kinesink.__version__
SOURCES: Final = ROOT / "src"


def in_the_wheel() -> set[str]:
    """Return the names of its files."""
    with zipfile.ZipFile(built("*.whl")) as wheel:
        return set(wheel.namelist())


def in_the_sdist() -> set[str]:
    """Return the names of its files, without the folder that all are in."""
    with tarfile.open(built("*.tar.gz")) as sdist:
        files = [each.name for each in sdist.getmembers() if each.isfile()]
    assert {PurePosixPath(name).parts[0] for name in files} == {f"kinesink-{VERSION}"}
    return {name.partition("/")[2] for name in files}


def tracked() -> set[str]:
    """Return the files of the repository; skip where there is none."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no repository")
    command = ("git", "ls-files", "-z")
    ran = subprocess.run(  # noqa: S603 - our own words
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name for name in ran.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_wheel_has_the_package_and_nothing_else() -> None:
    """Every module and the marker of types; no tests, no caches."""
    names = in_the_wheel()
    beside = {f"kinesink-{VERSION}.dist-info/{name}" for name in (
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE",
    )}  # fmt: skip
    modules = {path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.py")}
    assert names == {"kinesink/py.typed", *modules, *beside}


def test_the_wheel_is_for_every_python_and_every_machine() -> None:
    """It is pure Python."""
    assert built("*.whl").name == f"kinesink-{VERSION}-py3-none-any.whl"


def test_the_sdist_has_what_builds_and_tests_it() -> None:
    """Everything that is kept in the repository."""
    assert in_the_sdist() == tracked() | {"PKG-INFO"}


def test_the_sdist_builds_the_same_wheel(tmp_path: Path) -> None:
    """To the byte."""
    run("uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path, built("*.tar.gz"))
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.read_bytes() == built("*.whl").read_bytes()


def test_the_wheel_says_what_it_is() -> None:
    """Name, version, licence, Pythons, and a readme."""
    said = metadata()
    assert (said["Name"], said["Version"]) == ("kinesink", VERSION)
    assert (said["License-Expression"], said["License-File"]) == ("Apache-2.0", "LICENSE")
    assert said["Requires-Python"] == ">=3.10"
    assert said["Description-Content-Type"] == "text/markdown"
    assert str(said.get_payload()).startswith("# kinesink\n")
    assert "Typing :: Typed" in said.get_all("Classifier", [])


def test_the_version_is_a_semantic_one() -> None:
    """Three numbers, and what comes before them is marked as such."""
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+|\.dev\d+)?", VERSION)


def test_few_packages_are_needed() -> None:
    """Four, each with a bound below and none above, which would hold up the applications."""
    needed = metadata().get_all("Requires-Dist", [])
    always = [each for each in needed if "extra ==" not in each]
    assert sorted(re.split(r"\W", each)[0] for each in always) == [
        "anyio",
        "botocore",
        "httpx",
        "orjson",
    ]
    bounds = [each.partition(";")[0].strip() for each in needed if "kinesink[" not in each]
    unbounded = [each for each in bounds if not re.fullmatch(r"[\w.-]+>=[\d.]+", each)]
    assert unbounded == []
