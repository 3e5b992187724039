"""The names that users import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kinesink

#: What each extra brings in, by its name and the package that is missing without it.
EXTRAS = {"structlog": "structlog", "otel": "opentelemetry"}


def run_without(package: str, code: str) -> str:
    """Return what a program prints where a package cannot be imported."""
    blocked = f"import sys; sys.modules[{package!r}] = None\n{code}"
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", blocked], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


@pytest.mark.parametrize("name", kinesink.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Resolved at first use, and found again afterwards."""
    assert getattr(kinesink, name) is getattr(kinesink, name)
    assert name in dir(kinesink)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module, with the name in the message."""
    with pytest.raises(AttributeError, match="'kinesink' has no attribute 'Nothing'"):
        _ = kinesink.Nothing  # type: ignore[attr-defined]  # what is tested


def test_every_home_is_public_and_the_other_way_round() -> None:
    """Nothing is resolved that is not listed."""
    assert {*kinesink._HOMES, "__version__"} == set(kinesink.__all__)
    assert not set(kinesink._EXTRAS).intersection(kinesink.__all__)


@pytest.mark.parametrize("name", kinesink._EXTRAS)
def test_a_name_that_needs_an_extra_is_there_with_it(name: str) -> None:
    """Resolved at first use, like any other."""
    pytest.importorskip(EXTRAS[kinesink._EXTRAS[name][1]])
    assert getattr(kinesink, name) is getattr(kinesink, name)


@pytest.mark.parametrize("name", kinesink._EXTRAS)
def test_without_the_extra_the_error_names_it(name: str) -> None:
    """And the name is listed all the same, so that whoever looks finds it."""
    extra = kinesink._EXTRAS[name][1]
    code = (
        "import kinesink\n"
        f"try: from kinesink import {name}\n"
        f"except ImportError as error: print(error, error.name, {name!r} in dir(kinesink))"
    )
    told = run_without(EXTRAS[extra], code)
    assert f"kinesink.{name} needs" in told
    assert f"pip install 'kinesink[{extra}]'" in told
    assert told.endswith("True")


@pytest.mark.parametrize("package", EXTRAS.values())
def test_everything_else_works_without_an_extra(package: str) -> None:
    """``import *`` as well."""
    code = (
        "from kinesink import *\n"
        "import logging\n"
        "logging.basicConfig(handlers=[KinesisHandler('app-logs')])\n"
        "print(KinesisHandler('app-logs'))"
    )
    assert run_without(package, code) == "<KinesisHandler app-logs (NOTSET)>"


def test_an_error_inside_of_kinesink_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would send people to install what they have."""
    monkeypatch.setitem(kinesink._EXTRAS, "Nowhere", ("kinesink.nowhere", "otel"))
    with pytest.raises(ModuleNotFoundError, match=r"kinesink\.nowhere"):
        _ = kinesink.Nowhere  # type: ignore[attr-defined]  # what is tested
