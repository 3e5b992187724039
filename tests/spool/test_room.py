"""The law of the room: what it imports, what imports it, and what it leaves of a connection."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

import kinesink.spool
from kinesink.spool.errors import SpoolUnavailableError, Trouble
from tests.spool.support import append, directory_in, numbers
from tests.test_layers import imported, name_of

ROOM = Path(kinesink.spool.__file__).parent


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=name_of)
def test_it_stands_beside_the_others(path: Path) -> None:
    """The core, the errors, the standard library, and nothing else."""
    for name in imported(name_of(path), path.read_text(encoding="utf-8")):
        top, *room = name.split(".")[:2]
        if top == "kinesink":
            assert room[0] in {"core", "errors", "spool"}
        else:
            assert top in sys.stdlib_module_names


def test_it_is_imported_by_those_who_use_it() -> None:
    """Neither it nor sqlite3 comes with the package."""
    code = (
        "import sys; before = {*sys.modules}; import kinesink;"
        "print({'sqlite3', 'kinesink.spool'} & ({*sys.modules} - before))"
    )
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "set()\n"


def test_an_error_tells_what_and_why() -> None:
    """In one line, with the reason as a value."""
    error = SpoolUnavailableError(Trouble.FULL, Path("here.db"), "its bound is reached")
    assert str(error) == "spool here.db: its bound is reached"
    assert (error.trouble, error.trouble.value, error.saved) == (Trouble.FULL, "full", ())


def test_a_python_without_ctypes_has_a_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only has no guard against forks behind its back."""
    monkeypatch.delattr(ctypes, "pythonapi")
    file = directory_in(tmp_path).open()
    append(file, 1)
    assert numbers([file]) == [1]
    file.delete([1])
    file.close()


def test_a_connection_is_let_go_when_it_is_closed(tmp_path: Path) -> None:
    """What keeps it alive meanwhile is taken back."""
    file = directory_in(tmp_path).open()
    connection = file._connection
    file.close()
    # The name above, and the argument of the function that counts.
    assert sys.getrefcount(connection) == 2
