"""What the documents say is so: links, parameters, defaults, events. Code is in tests/docs."""

from __future__ import annotations

import ast
import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, get_args

import pytest

import kinesink
from kinesink.event.options import SchemaName
from kinesink.event.parts import FIELDS
from kinesink.event.redaction import DEFAULT_NAMES
from kinesink.testing import FakeKinesis

ROOT: Final = Path(__file__).parents[1]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION: Final = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
OF_DOORS: Final = (ROOT / "docs" / "doors.md").read_text(encoding="utf-8")
COMMANDS: Final = {
    "demo": 'python -m pip install ".[cli]" && kinesink demo',
    "nox": "python -m pip install nox uv && python -m nox",
}
"""The two commands of a newcomer, by the word that .ci/run finds each by."""
DOCUMENTS: Final = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
DOORS: Final = {
    "stdlib.py": ["KinesisHandler"],
    "structlog.py": ["KinesisProcessor", "KinesisLogger", "KinesisLoggerFactory"],
    "opentelemetry.py": ["KinesisLogRecordExporter", "KinesisLogRecordProcessor"],
}
"""The doors by the file of their library."""
LOGGED: Final = {
    "created": 1795415316.018273,
    "process": 7,
    "threadName": "MainThread",
    "customer": "c-4",
    "amount": 12.5,
    "otelTraceID": "5b8efff798038103d269b633813fc60c",
    "otelSpanID": "eee19b7ec3c1b174",
    "otelTraceSampled": True,
}
"""What the record has that the configuration shows in each schema."""


def blocks(language: str, document: str = README) -> list[str]:
    """Return the code blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def rows(header: str) -> str:
    """Return the rows of all tables of the configuration that have one header."""
    tables = re.findall(
        rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", CONFIGURATION, re.MULTILINE
    )
    return "".join(tables)


def parameters() -> dict[str, str]:
    """Return each parameter of the tables, with its default as it stands there."""
    named = re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", rows("parameter"), re.MULTILINE)
    assert len(dict(named)) == len(named)
    return dict(named)


def of_door(file: str, door: str) -> dict[str, str]:
    """Return the parameters that a door's constructor names, with their defaults.

    Read and not imported, so that it can be asked where its library is missing.
    """
    tree = ast.parse((ROOT / "src" / "kinesink" / "adapters" / file).read_text(encoding="utf-8"))
    (constructor,) = (
        node
        for kind in tree.body
        if isinstance(kind, ast.ClassDef) and kind.name == door
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    arguments = constructor.args
    return {
        name.arg: "none" if ast.unparse(default) == "None" else ast.unparse(default)
        for name, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    }


def a_record(message: str = "order %s failed", *arguments: object) -> logging.LogRecord:
    """Return the record that the configuration shows in each schema."""
    error = ValueError("no quantity")
    record = logging.LogRecord(
        "shop.orders", logging.ERROR, "/srv/shop/orders.py", 12, message, arguments,
        (ValueError, error, None), "place",
    )  # fmt: skip
    vars(record).update(LOGGED)
    return record


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the program that the configuration shows events of."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.version=1.4.2,deployment.environment.name=prod,host.name=ip-10-0-0-17",
    )


@pytest.mark.parametrize("word", COMMANDS)
def test_a_newcomer_is_given_one_command(word: str) -> None:
    """Exactly one line, as .ci/run looks for it and runs it."""
    lines = re.findall(rf"^python -m pip install .*{word}.*$", README, re.MULTILINE)
    assert lines == [COMMANDS[word]]


@pytest.mark.slow
def test_declarative_configuration_works_as_shown(tmp_path: Path) -> None:
    """What logging logs arrives, by the file and without code."""
    pytest.importorskip("opentelemetry.configuration")
    pytest.importorskip("opentelemetry.instrumentation.logging")
    (configuration,) = blocks("yaml", OF_DOORS)
    file = tmp_path / "otel.yaml"
    file.write_text(configuration, encoding="utf-8")
    fake = FakeKinesis()
    fake.create_stream("app-logs")
    with fake.serve() as server:
        variables = {
            "OTEL_CONFIG_FILE": str(file),
            "KINESINK_ENDPOINT_URL": server.endpoint_url,
            "AWS_ACCESS_KEY_ID": "dummy",
            "AWS_SECRET_ACCESS_KEY": "dummy",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "NO_PROXY": "127.0.0.1",
        }
        code = "import logging; logging.warning('order %s', 17, extra={'token': 'x'})"
        instrument = Path(sys.executable).with_name("opentelemetry-instrument")
        subprocess.run(  # noqa: S603 - our own words
            [instrument, sys.executable, "-c", code],
            env={**os.environ, **variables},
            capture_output=True,
            timeout=50,
            check=True,
        )
    (event,) = (json.loads(record.data) for record in fake.user_records("app-logs"))
    assert (event["message"], event["service"]) == ("order 17", "shop")
    assert event["attributes"] == {"token": "[redacted]"}


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


def leads_somewhere(document: Path, link: str) -> bool:
    """Tell whether there is a file of that name, and the heading in it."""
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    if not anchor or not target.exists():
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Links inside the repository, from the folder of the document."""
    links = re.findall(r"\]\((?!https?:)([^)]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not leads_somewhere(document, link)] == []


def test_every_reason_for_a_drop_is_explained() -> None:
    """Who sees one in the account finds it in the README."""
    missing = [reason.value for reason in kinesink.DropReason if f"`{reason.value}`" not in README]
    assert missing == []


def test_every_parameter_is_documented_with_its_default() -> None:
    """Those of Config, those of EventOptions and those of each door, and no others."""
    told = {
        spec.name: "none" if spec.default in {dataclasses.MISSING, "", None} else str(spec.default)
        for options in (kinesink.Config, kinesink.EventOptions)
        for spec in dataclasses.fields(options)
    }
    for file, doors in DOORS.items():
        for door in doors:
            told |= of_door(file, door)
    # The doors take None or a constant for these, which stands for what is told.
    told |= {"level": "NOTSET", "encoding": "json", "export_timeout": "10.0"}
    assert parameters() == told


def test_every_field_is_documented() -> None:
    """In the order in which they stand in a line."""
    assert re.findall(r"^\| `(\w+)` \|", rows("field \\| what"), re.MULTILINE) == list(FIELDS)


SHOWN: Final = re.findall(
    r"^```python\nKinesisHandler\(\s*\"app-logs\", (.*)\s*\)\n```\n\n```json\n(.*)\n```$",
    CONFIGURATION,
    re.MULTILINE,
)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("options", "line"), SHOWN, ids=[options for options, _ in SHOWN])
def test_an_event_is_written_as_shown(options: str, line: str) -> None:
    """The line below a handler is what the handler ships."""
    given = eval(f"dict({options})", {})  # noqa: S307 - the document's own line
    assert kinesink.KinesisFormatter(**given).format(a_record("order %s failed", 17)) == line


@pytest.mark.usefixtures("shop")
def test_both_encoders_write_the_same_line() -> None:
    """The one that splices the default schema, and the one that goes by way of a dictionary."""
    by_dictionary = kinesink.KinesisFormatter(schema=lambda fields: fields)
    (line,) = (line for options, line in SHOWN if options == 'schema="default"')
    assert by_dictionary.format(a_record("order %s failed", 17)) == line


def test_every_schema_is_shown() -> None:
    """Another markup would leave the test above with nothing to compare."""
    assert len(SHOWN) == len(blocks("python", CONFIGURATION)) - 1
    for schema in get_args(SchemaName):
        assert any(f'schema="{schema}"' in options for options, _ in SHOWN)


@pytest.mark.usefixtures("shop")
def test_what_is_cut_says_so_as_shown() -> None:
    """The marks in the text are those of an event that is too large."""
    record = a_record("x" * 3000)
    truncated = kinesink.KinesisFormatter(max_event_bytes="2KiB").format(record)
    marks = truncated[truncated.index('"truncated"') : -1]
    assert f"says so: `{marks}`" in CONFIGURATION
    split = kinesink.KinesisFormatter(max_event_bytes="2KiB", oversize="split").format(record)
    (first, *_) = split.splitlines()
    assert f'`"chunk_id":"…",{first[first.index(chr(34) + "split") : -1]}`' in CONFIGURATION


def test_every_name_that_is_redacted_by_default_is_told() -> None:
    """Whoever relies on it can see what it covers."""
    told = re.findall(r"`(\w+)`", CONFIGURATION.partition("The names: ")[2].partition(".\n")[0])
    assert told == sorted(DEFAULT_NAMES)


def test_the_architecture_names_files_that_exist() -> None:
    """Whoever looks for the answer to a question finds the file."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:\w+/)?\w+\.py", text))
    package = ROOT / "src" / "kinesink"
    there = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    # In a sentence about one room, a file of it goes by its name alone.
    there += [name.rpartition("/")[2] for name in there] + ["tests/test_layers.py"]
    assert len(named) > 40
    assert named.difference(there) == set()


def test_the_changelog_begins_with_this_version() -> None:
    """A release without an entry would be one that nobody can judge."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, *_) = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest == kinesink.__version__
