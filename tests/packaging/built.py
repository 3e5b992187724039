"""What has been built, and empty environments to install it into."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from email.message import Message

ROOT: Final = Path(__file__).parents[2]

#: Read here, because tests hide all variables of this project from what they test.
FOLDER: Final = os.environ.get("KINESINK_TEST_BUILT")
"""Where one wheel and one sdist are; unset outside of the session that builds them."""

_UV: Final = {
    # The Python that runs the tests is the one to have.
    "UV_PYTHON_DOWNLOADS": "never",
    # The cache may be on another disk.
    "UV_LINK_MODE": "copy",
}


def built(pattern: str) -> Path:
    """Return the one file that was built of a kind."""
    assert FOLDER is not None
    (file,) = Path(FOLDER).glob(pattern)
    return file


def metadata() -> Message:
    """Return what the wheel says of itself."""
    with zipfile.ZipFile(built("*.whl")) as wheel:
        (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(name).decode())


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """Run a program without this process's Python settings, and return what it says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ran = subprocess.run(  # noqa: S603 - our own words
        [str(part) for part in command],
        cwd=folder,
        env=environ | _UV,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def environment(folder: Path, *packages: str) -> Path:
    """Make an environment with nothing but these packages; return its Python."""
    run("uv", "venv", "--quiet", "--python", sys.executable, folder / "env")
    (python,) = (folder / "env").glob("*/python*[!0-9w].exe" if os.name == "nt" else "bin/python")
    run("uv", "pip", "install", "--quiet", "--python", python, *packages)
    run("uv", "pip", "check", "--quiet", "--python", python)
    return python
