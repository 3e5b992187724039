"""Every code block of the documents is tried, by its language."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from kinesink.testing import FakeKinesis
from tests.docs import known
from tests.docs.blocks import BLOCKS, DOCUMENTS, in_language
from tests.docs.commands import mistakes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docs.blocks import Block

LANGUAGES: Final = {
    "", "ini", "json", "python", "sh", "sql", "text", "yaml",
    # Commands with what they say: tests/cli/test_command_line_page.py.
    "console",
    # Of the site.
    "{eval-rst}", "{include} ../CHANGELOG.md", "{toctree}",
}  # fmt: skip
STREAMS: Final = ("app-logs", "clicks", "measurements", "orders")
#: What a block takes for granted that imports nothing by itself.
FRAGMENT: Final = "import logging.config\nimport kinesink\nfrom kinesink import *\n"

#: What else has a value in inline code: mappings given as text, and parameters of others.
NO_PARAMETERS: Final = {"enqueue", "message", "name", "synchronous", "team"}
RE_BLOCK: Final = re.MULTILINE | re.DOTALL

PYTHON: Final = in_language("python")
RUN: Final = [block for block in PYTHON if block.not_run is None]


def program_of(block: Block) -> str:
    """Return the block as a program, with what its comments say."""
    imports = any(
        isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(ast.parse(block.text))
    )
    begin = "" if imports else FRAGMENT
    return f"{begin}\n{block.given}\n{block.text}\n{block.then}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where a Kinesis in memory is that has the streams of the documents."""
    fake = FakeKinesis()
    for name in STREAMS:
        fake.create_stream(name, shards=2)
    with fake.serve() as server:
        yield server.endpoint_url


@pytest.fixture
def environment(endpoint: str) -> dict[str, str]:
    """Return the variables of a program that finds it."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OTEL_"))
    }
    return {
        **ours,
        "AWS_ENDPOINT_URL_KINESIS": endpoint,
        "AWS_ACCESS_KEY_ID": "dummy",
        "AWS_SECRET_ACCESS_KEY": "dummy",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_in_a_language_that_is_tried(block: Block) -> None:
    """A new language needs a test here, or nobody tries it."""
    assert block.language in LANGUAGES


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_uses_names_that_exist(block: Block) -> None:
    """It compiles, and what it takes from kinesink is there; what is not run says why."""
    assert known.names_missing(ast.parse(program_of(block))) == []
    assert block.not_run != ""


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=str)
def test_python_runs_as_shown(block: Block, environment: dict[str, str], tmp_path: Path) -> None:
    """As a program of its own; it ends by itself with status 0, and warns of nothing."""
    ran = subprocess.run(  # noqa: S603 - the document's own lines
        [sys.executable, "-W", "error", "-c", program_of(block)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert block.printed in {None, ran.stdout}


@pytest.mark.parametrize("block", in_language("json"), ids=str)
def test_json_can_be_read(block: Block) -> None:
    """As one value, or as a value in each line."""
    try:
        json.loads(block.text)
    except ValueError:
        assert all(json.loads(line) for line in block.text.splitlines())


def handlers_in(value: object) -> Iterator[tuple[str, set[str]]]:
    """Yield each handler or exporter of ours in a configuration: its class and parameters."""
    if isinstance(value, list):
        for each in value:
            yield from handlers_in(each)
    if not isinstance(value, dict):
        return
    kind = str(value.get("class", ""))
    if kind.startswith("kinesink."):
        yield kind.removeprefix("kinesink."), set(value)
    for name, inner in value.items():
        if name == "exporter" and "kinesis" in inner:
            yield "KinesisLogRecordExporter", set(inner["kinesis"])
        yield from handlers_in(inner)


def mistakes_in(configuration: object) -> list[str]:
    """Return the parameters in a configuration that nobody takes."""
    return [
        name
        for kind, names in handlers_in(configuration)
        for name in known.unknown_in_configuration(kind, names)
    ]


@pytest.mark.parametrize("block", in_language("yaml"), ids=str)
def test_yaml_can_be_read(block: Block) -> None:
    """And a handler in it takes the parameters that it is given."""
    documents: list[Any] = list(yaml.safe_load_all(block.text))
    assert mistakes_in(documents) == []


@pytest.mark.parametrize("block", in_language("ini"), ids=str)
def test_ini_can_be_read(block: Block) -> None:
    """And a handler in it takes the keywords that it is given."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block.text)
    for section in parser.values():
        if section.get("class", "").startswith("kinesink."):
            kind = section["class"].removeprefix("kinesink.")
            names = set(ast.literal_eval(section.get("kwargs", "{}")))
            assert known.unknown_parameters(kind, names) == set()


@pytest.mark.parametrize("block", in_language("sh"), ids=str)
def test_commands_exist(block: Block) -> None:
    """Programs, subcommands, options, sessions, extras and variables."""
    assert mistakes_of(block.text) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_variables_exist(document: Path) -> None:
    """Wherever one is named, in text as well as in code."""
    assert known.unknown_variables(document.read_text(encoding="utf-8")) == set()


def inline_code_in(text: str) -> list[str]:
    """Return what is marked as code within the sentences and tables of a document."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=RE_BLOCK))


def parameters_in(text: str) -> set[str]:
    """Return what stands before an equals sign in a document's inline code."""
    found = (re.match(r"([a-z_]+)=", code) for code in inline_code_in(text))
    return {match[1] for match in found if match}


def commands_in(text: str) -> list[str]:
    """Return the commands in a document's inline code; of a choice in a table, the last."""
    return [
        re.sub(r"(?:\w+\\\|)+", "", code)
        for code in inline_code_in(text)
        if re.match(r"(?:kinesink|nox|pip|python) ", code)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_parameters_exist(document: Path) -> None:
    """Wherever one is given a value in text, as in `linger="1s"`."""
    named = parameters_in(document.read_text(encoding="utf-8"))
    assert known.unknown_parameters_of_any(named - NO_PARAMETERS) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_text_exist(document: Path) -> None:
    """Wherever one is named, as in `kinesink demo --faults`."""
    commands = commands_in(document.read_text(encoding="utf-8"))
    assert [mistake for command in commands for mistake in mistakes_of(command)] == []
