"""What a document may name: parameters, variables, extras, sessions, commands."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Final

import kinesink
from tests.docs.blocks import ROOT

_OF_CONFIG: Final = {spec.name for spec in dataclasses.fields(kinesink.Config)}
_OF_EVENTS: Final = {spec.name for spec in dataclasses.fields(kinesink.EventOptions)}
_OPTIONS: Final = _OF_CONFIG | _OF_EVENTS
_TAKES: Final = {
    "Config": _OF_CONFIG,
    "KinesisFormatter": _OF_EVENTS,
    "KinesisHandler": _OPTIONS | {"level", "sink"},
    "KinesisLogRecordExporter": _OPTIONS | {"sink", "encoding", "export_timeout", "acknowledge"},
    "KinesisLogRecordProcessor": _OPTIONS | {"sink"},
    "KinesisLogger": _OPTIONS | {"sink", "name"},
    "KinesisLoggerFactory": _OPTIONS | {"sink"},
    "KinesisProcessor": _OPTIONS | {"sink", "drop"},
}
#: What `logging` itself reads of a handler in a configuration.
_OF_LOGGING: Final = {"class", "level", "formatter", "filters"}

#: Parameters without a variable, for they are no plain values.
_NO_VARIABLE: Final = {"credentials", "on_error", "on_statistics"}
VARIABLES: Final = {
    *(f"KINESINK_{name.upper()}" for name in _OPTIONS - _NO_VARIABLE),
    "KINESINK_ENCODING",
    "KINESINK_EXPORT_TIMEOUT",
    "KINESINK_LAMBDA_FLUSH",
    # Those of the tests and their sessions.
    *(
        name
        for file in ("noxfile.py", "tests/kinesis_mock.py")
        for name in re.findall(
            r"\bKINESINK_[A-Z_]*[A-Z]\b", (ROOT / file).read_text(encoding="utf-8")
        )
    ),
}
"""Each variable of kinesink's that a document may name."""


def unknown_parameters(kind: str, names: set[str]) -> set[str]:
    """Return those of some names that a class of kinesink does not take; of others none."""
    return names - _TAKES.get(kind, names)


def unknown_parameters_of_any(names: set[str]) -> set[str]:
    """Return those of some names that nothing of kinesink takes."""
    return names.difference(*_TAKES.values())


def unknown_in_configuration(kind: str, names: set[str]) -> set[str]:
    """Return those of some names that a handler in a configuration of logging does not take."""
    return unknown_parameters(kind, names - _OF_LOGGING)


def unknown_variables(text: str) -> set[str]:
    """Return the variables of kinesink's that a text names and that do not exist."""
    return set(re.findall(r"\bKINESINK_[A-Z_]*[A-Z]\b", text)) - VARIABLES


def names_missing(tree: ast.AST) -> list[str]:
    """Return what a program takes from kinesink, calls with or gives in vain."""
    missing = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "kinesink":
            module = __import__(str(node.module), fromlist=["*"])
            names = [each.name for each in node.names if each.name != "*"]
            missing += [name for name in names if not hasattr(module, name)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "kinesink":
            missing += [] if hasattr(kinesink, node.attr) else [node.attr]
        elif isinstance(node, ast.Call):
            kind = ast.unparse(node.func).removeprefix("kinesink.")
            given = {each.arg for each in node.keywords if each.arg is not None}
            missing += unknown_parameters(kind, given)
        elif isinstance(node, ast.Dict):
            missing += _unknown_of(node)
    return missing


def _unknown_of(node: ast.Dict) -> set[str]:
    """Return the keys in vain of a dictionary that configures one of our handlers."""
    given = {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant)
    }
    kind = given.get("class")
    if not isinstance(kind, ast.Constant):
        return set()
    return unknown_in_configuration(
        str(kind.value).removeprefix("kinesink."), {str(name) for name in given}
    )


def sessions() -> set[str]:
    """Return the names of nox's sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any("nox.session" in ast.unparse(each) for each in node.decorator_list)
    }


def extras() -> set[str]:
    """Return the extras that pyproject.toml offers."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("\n[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return set(re.findall(r"^(\w+) = ", table, re.MULTILINE))
