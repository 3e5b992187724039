"""Whether the commands in a block of shell can be given as they are shown."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import typer

from kinesink.cli.app import app
from tests.docs import known
from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

#: Programs of others, whose options are theirs.
OF_OTHERS: Final = {
    "aws", "celery", "coverage", "docker", "gunicorn", "jupyter", "kubectl",
    "opentelemetry-instrument", "pytest", "uvicorn",
    # Of the shell.
    ".", "cat", "curl", "cd", "echo", "export", "kill",
}  # fmt: skip
#: A reader's own files.
OF_READERS: Final = {"app.py", "shop.py"}


_BASH: Final = shutil.which("bash") or "bash"


def mistakes_of(text: str) -> list[str]:
    """Return what of a block cannot be given as shown, in words."""
    mistakes = [f"no variable {name}" for name in sorted(known.unknown_variables(text))]
    parsed = subprocess.run(  # noqa: S603 - it only reads
        [_BASH, "-n"], input=text, capture_output=True, text=True, timeout=50, check=False
    )
    mistakes += [parsed.stderr] if parsed.returncode else []
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        for words in _commands(line):
            mistakes += _mistakes(words)
    return mistakes


def _commands(line: str) -> list[list[str]]:
    """Return the commands of a line as their words, without assignments before them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&"):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):
            commands[-1].append(word)
    return [words for words in commands if words]


def _mistakes(words: list[str]) -> list[str]:
    program, *rest = words
    if program in {"python", "python3"}:
        return _of_python(rest)
    check = _CHECKS.get(program)
    if check is not None:
        return check(rest)
    return [] if program in OF_OTHERS else [f"nobody knows {program}"]


def _of_python(words: list[str]) -> list[str]:
    if words[0] == "-m":
        module, *rest = words[1:]
        check = _CHECKS.get(module)
        if check is not None:
            return check(rest)
        there = find_spec(module) is not None
        return [] if there else [f"no module {module}"]
    there = words[0] in OF_READERS or words[0].startswith("-") or (ROOT / words[0]).exists()
    return [] if there else [f"no file {words[0]}"]


def _of_kinesink(words: list[str]) -> list[str]:
    """Follow the words down the tree of commands, and look for each option there."""
    # Newer versions of typer have a click of their own, so its types have no one name.
    command: Any = typer.main.get_command(app)
    mistakes = []
    for word in words:
        options = {"--help"}.union(
            *(set(each.opts) | set(each.secondary_opts) for each in command.params)
        )
        commands = getattr(command, "commands", None)
        if word.startswith("-"):
            name = word.partition("=")[0]
            mistakes += [] if name in options else [f"{command.name} has no option {name}"]
        elif commands is not None:
            if word not in commands:
                return [*mistakes, f"no command {word}"]
            command = commands[word]
    return mistakes


def _of_pip(words: list[str]) -> list[str]:
    named = re.findall(r"(?:kinesink|\.)\[([\w,]+)\]", " ".join(words))
    wanted = {extra for each in named for extra in each.split(",")}
    return [f"no extra {extra}" for extra in sorted(wanted - known.extras())]


def _of_nox(words: list[str]) -> list[str]:
    behind = words[words.index("-s") + 1 :] if "-s" in words else []
    selected = itertools.takewhile(lambda word: not word.startswith("-"), behind)
    named = {word.partition("-")[0] for word in selected}
    return [f"no session {name}" for name in sorted(named - known.sessions())]


_CHECKS: Final[dict[str, Callable[[list[str]], list[str]]]] = {
    "kinesink": _of_kinesink,
    "nox": _of_nox,
    "pip": _of_pip,
}
