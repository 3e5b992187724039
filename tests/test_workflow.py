"""What runs on every push is what noxfile.py runs by default, and the torture besides."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
#: Says which Pythons there are; a job of its own.
OWN_JOB: Final = {"pythons"}


def default_sessions() -> set[str]:
    """Return the sessions that `nox` runs without being told which."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "nox.options.sessions":
            return set(ast.literal_eval(node.value))
    raise AssertionError("noxfile.py names no default sessions")


def sessions_of_the_workflow() -> set[str]:
    """Return the sessions that are called by name, or by the matrix of a job."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    calls = "\n".join(re.findall(r"nox -s (.*)", text))
    (matrix,) = re.findall(r" session:\n((?: +- \w+\n)+)", text)
    assert '"${{ matrix.session }}"' in calls
    return set(re.findall(r'"?(\w+)(?:-\$\{\{ matrix\.python \}\}"|$)', calls, re.MULTILINE)) | set(
        re.findall(r"- (\w+)", matrix)
    )


def test_every_push_runs_every_session() -> None:
    """No session is left to whoever remembers it."""
    assert sessions_of_the_workflow() == (default_sessions() - OWN_JOB) | {"torture"}
