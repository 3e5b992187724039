"""The tests of the documents can fail: what is wrong in a block is found."""

from __future__ import annotations

import ast

import pytest

from tests.docs import known
from tests.docs.blocks import BLOCKS, in_language
from tests.docs.commands import mistakes_of
from tests.docs.test_code_blocks import commands_in, mistakes_in, parameters_in


@pytest.mark.parametrize(
    "command",
    [
        "kinesink demo --no-such-option",
        "kinesink no-such-command",
        "python -m nox -s no_such_session",
        "nox -s lint no_such_session -- tests/docs",
        "python -m pip install 'kinesink[no_such_extra]'",
        "python no_such_file.py",
        "python -m kinesink.no_such_module",
        "KINESINK_NO_SUCH_PARAMETER=1 python app.py",
        "true && no-such-program",
        "if true; then echo",
    ],
)
def test_a_command_that_cannot_be_given_is_found(command: str) -> None:
    """In words."""
    assert mistakes_of(command)


@pytest.mark.parametrize(
    "code",
    [
        "from kinesink import NoSuchName",
        "from kinesink.testing import NoSuchName",
        "import kinesink; kinesink.no_such_name()",
        'kinesink.KinesisHandler("app-logs", no_such_parameter=1)',
        'Config("app-logs", redact="default")',
        '{"class": "kinesink.KinesisHandler", "no_such_parameter": 1}',
    ],
)
def test_a_name_that_does_not_exist_is_found(code: str) -> None:
    """Whether it is imported, called or given."""
    assert known.names_missing(ast.parse(code))


@pytest.mark.parametrize(
    "configuration",
    [
        {"handlers": {"kinesis": {"class": "kinesink.KinesisHandler", "no_such_parameter": 1}}},
        {"processors": [{"batch": {"exporter": {"kinesis": {"no_such_parameter": 1}}}}]},
    ],
    ids=["logging", "OpenTelemetry"],
)
def test_a_parameter_that_nobody_takes_is_found(configuration: object) -> None:
    """However deep it stands."""
    assert mistakes_in(configuration) == ["no_such_parameter"]


def test_what_stands_in_text_is_found() -> None:
    """In inline code, and not in blocks, which are tried as a whole."""
    text = "Set `linger=1` or\n`kinesink demo --faults`.\n\n```sh\nkinesink no-such-command\n```\n"
    assert parameters_in(text) == {"linger"}
    assert commands_in(text) == ["kinesink demo --faults"]


def test_blocks_are_found() -> None:
    """Another markup would leave the tests with nothing to try."""
    assert len(in_language("python")) > 20
    assert len(BLOCKS) > 50
    assert sum(bool(block.given) for block in BLOCKS) > 3
    assert sum(bool(block.then) for block in BLOCKS) > 0
