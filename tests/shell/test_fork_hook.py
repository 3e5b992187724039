"""The hook that forked children run first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kinesink.shell.fork import in_each_child

SCRIPT = """
import os
from kinesink.shell.fork import in_each_child

seen = []
in_each_child(lambda: seen.append(os.getpid()))
child = os.fork()
if child == 0:
    os._exit(0 if seen == [os.getpid()] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert seen == []
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_runs_the_call_before_anything_else() -> None:
    """The call has happened when the code that forked goes on in the child."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=30)  # noqa: S603 - our own


def test_a_system_that_does_not_fork_needs_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the interpreter has no such hook, registering does nothing and raises nothing."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    in_each_child(pytest.fail)
