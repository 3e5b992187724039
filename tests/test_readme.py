"""What the documents say is so: commands, examples, links, parameters and defaults."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import logging
import re
from pathlib import Path
from typing import Final

import pytest

import kinesink

ROOT: Final = Path(__file__).parents[1]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION: Final = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
COMMANDS: Final = {
    "demo": 'python -m pip install ".[cli]" && kinesink demo',
    "nox": "python -m pip install nox && python -m nox",
}
"""The two commands of a newcomer, by the word that .ci/run finds each by."""
DOCUMENTS: Final = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "configuration.md"]


def blocks(language: str) -> list[str]:
    """Return the code blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def parameters() -> dict[str, str]:
    """Return each parameter of the tables, with its default as it stands there."""
    return dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", CONFIGURATION, re.MULTILINE))


@pytest.mark.parametrize("word", COMMANDS)
def test_a_newcomer_is_given_one_command(word: str) -> None:
    """Exactly one line, as .ci/run looks for it and runs it."""
    lines = re.findall(rf"^python -m pip install .*{word}.*$", README, re.MULTILINE)
    assert lines == [COMMANDS[word]]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_readme_uses_names_that_exist(code: str) -> None:
    """It compiles, and what it takes from kinesink is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_first_example_has_five_lines_and_configures() -> None:
    """Nothing is sent: the handler does no I/O before the first event, and none comes."""
    (first, *_) = blocks("python")
    imports, configuration = first.split("\n\n", 1)
    assert len(first.splitlines()) <= 5
    call = configuration[configuration.index("kinesink.KinesisHandler(") :].split(")")[0] + ")"
    names: dict[str, object] = {}
    exec(f"{imports}\nhandler = {call}", names)  # noqa: S102 - the README's own line
    assert repr(names["handler"]) == "<KinesisHandler app-logs (NOTSET)>"


def test_the_ini_file_is_that_of_the_example() -> None:
    """The example runs, so what the README shows works."""
    assert blocks("ini") == [(ROOT / "examples" / "logging_fileconfig.ini").read_text("utf-8")]


def test_the_yaml_file_configures_a_handler() -> None:
    """Its values are plain text to YAML, and the handler takes them as such."""
    (text,) = blocks("yaml")
    (section,) = re.findall(r"^  kinesis:\n((?:    .*\n)+)", text, re.MULTILINE)
    values = dict(line.strip().split(": ") for line in section.splitlines())
    assert values.pop("class") == "kinesink.KinesisHandler"
    handler = kinesink.KinesisHandler(**values)
    assert handler.level == logging.INFO


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Links inside the repository, from the folder of the document."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_reason_for_a_drop_is_explained() -> None:
    """Who sees one in the account finds it in the README."""
    missing = [reason.value for reason in kinesink.DropReason if f"`{reason.value}`" not in README]
    assert missing == []


def test_every_parameter_is_documented_with_its_default() -> None:
    """Those of Config and those of the handler, and no others."""
    defaults: dict[str, object] = {
        spec.name: None if spec.default in {dataclasses.MISSING, ""} else spec.default
        for spec in dataclasses.fields(kinesink.Config)
    }
    for name, parameter in inspect.signature(kinesink.KinesisHandler).parameters.items():
        if name not in {"stream_name", "parameters"}:
            defaults[name] = parameter.default
    # The handler takes None for these, to look at the variable first.
    defaults |= {"level": "NOTSET", "max_event_bytes": 262144}
    told = {name: "none" if value is None else str(value) for name, value in defaults.items()}
    assert parameters() == told


def test_the_changelog_begins_with_this_version() -> None:
    """A release without an entry would be one that nobody can judge."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, *_) = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest == kinesink.__version__
