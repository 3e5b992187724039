"""With the command line: its help, its version and the demo."""

import subprocess
import sysconfig
from pathlib import Path

import kinesink

COMMAND = str(Path(sysconfig.get_path("scripts"), "kinesink"))


def run(*arguments: str) -> str:
    """Return what a command says, which must succeed without a complaint."""
    ran = subprocess.run(  # noqa: S603 - our own words
        [COMMAND, *arguments], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


assert run("--version") == f"kinesink {kinesink.__version__}\n"
assert "--faults" in run("demo", "--help")
assert "They agree" in run("demo")
