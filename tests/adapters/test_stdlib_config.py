"""Every way in: by hand, basicConfig, dictConfig, fileConfig, variables, pickles."""

from __future__ import annotations

import copy
import json
import logging
import logging.config
import pickle
import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from kinesink import Config, ConfigurationError, DropReason, KinesisFormatter, KinesisHandler
from kinesink.adapters.parameters import ConfigParameters
from kinesink.event.options import MAX_EVENT_BYTES
from tests.adapters.recording_sink import RecordingSink, a_record

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from kinesink.event.options import SchemaName
    from tests.adapters.conftest import Registry

pytestmark = pytest.mark.usefixtures("restored_logging")


class TestByHand:
    """The constructor."""

    def test_the_stream_is_the_one_positional_argument(self, registry: Registry) -> None:
        """All else goes by keyword, and reaches the configuration."""
        handler = KinesisHandler("app-logs", region_name="eu-west-1", linger="250ms", level="INFO")
        handler.handle(a_record())
        assert registry.sink.config == Config(
            stream_name="app-logs", region_name="eu-west-1", linger=0.25
        )
        assert handler.level == logging.INFO

    def test_does_nothing_before_the_first_record(self, registry: Registry) -> None:
        """T28, T29: not even the sink is taken, so a handler that never emits costs nothing."""
        handler = KinesisHandler("app-logs")
        assert handler.flush()
        handler.close()
        assert registry.sinks == {}

    def test_imports_nothing_that_talks(self) -> None:
        """T28: no event loop, no HTTP client, no AWS library."""
        code = (
            "import sys, logging, threading, kinesink\n"
            "logging.basicConfig(handlers=[kinesink.KinesisHandler('app-logs')])\n"
            "talks = {'anyio', 'asyncio', 'botocore', 'httpx', 'ssl', 'trio'}\n"
            "print(sorted(talks & set(sys.modules)), threading.active_count())"
        )
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[] 1"

    @pytest.mark.usefixtures("registry")
    @pytest.mark.parametrize(
        ("parameters", "parts"),
        [
            ({}, ["stream_name", "KINESINK_STREAM_NAME"]),
            ({"stream_name": "a b"}, ["stream_name", "'a b'"]),
            ({"stream_name": "s", "region": "eu-west-1"}, ["region", "region_name"]),
            ({"stream_name": "s", "linger": "soon"}, ["linger", "'soon'", "seconds"]),
            ({"stream_name": "s", "max_event_bytes": "1KiB"}, ["max_event_bytes", "2 KiB"]),
            ({"stream_name": "s", "max_event_bytes": "much"}, ["max_event_bytes", "'much'"]),
            ({"stream_name": "s", "max_event_bytes": "4 potatoes"}, ["max_event_bytes"]),
            ({"stream_name": "s", "max_event_bytes": "inf"}, ["max_event_bytes"]),
            ({"stream_name": "s", "max_event_bytes": 4096.5}, ["max_event_bytes"]),
            ({"stream_name": "s", "max_event_bytes": 0}, ["max_event_bytes", "0"]),
            (
                {"stream_name": "s", "partition_key": "loger"},
                ["partition_key", "'logger'", "'attr:loger'"],
            ),
            ({"stream_name": "s", "partition_key": ""}, ["partition_key", "'attr:'"]),
            ({"stream_name": "s", "partition_key": "attr:"}, ["partition_key", "'attr:'"]),
            ({"stream_name": "s", "partition_key": 7}, ["partition_key", "7"]),
        ],
    )
    def test_what_cannot_work_is_refused_at_once(
        self, parameters: dict[str, Any], parts: list[str]
    ) -> None:
        """With the parameter, the value and what is allowed; near names for unknown ones."""
        with pytest.raises(ConfigurationError) as refused:
            KinesisHandler(**parameters)
        for part in parts:
            assert part in str(refused.value)

    @pytest.mark.usefixtures("registry")
    def test_half_a_handler_is_not_left_behind(self) -> None:
        """What the constructor refuses is unknown to logging, which flushes what it knows."""
        known = logging._handlerList[:]  # type: ignore[attr-defined]  # private, hence not in the stubs
        with pytest.raises(ConfigurationError):
            KinesisHandler("app-logs", partition_key="loger")
        assert logging._handlerList == known  # type: ignore[attr-defined]  # as above

    def test_a_given_sink_excludes_a_configuration(self) -> None:
        """Two configurations of one sink would leave open which counts."""
        for parameters in ({"stream_name": "s"}, {"linger": 1.0}):
            with pytest.raises(ConfigurationError, match="sink"):
                KinesisHandler(sink=RecordingSink(), **parameters)

    @pytest.mark.parametrize(
        ("given", "size"),
        [(4096, 4096), ("4096", 4096), ("4KiB", 4096), (4096.0, 4096), (None, MAX_EVENT_BYTES)],
    )
    def test_the_size_of_an_event_can_be_text(self, given: Any, size: int) -> None:  # noqa: ANN401 - a float will do, too
        """As sizes everywhere else."""
        sink = RecordingSink()
        handler = KinesisHandler(sink=sink, max_event_bytes=given)
        handler.handle(a_record("x" * 2 * MAX_EVENT_BYTES))
        assert size - 10 < len(sink.lines[0]) <= size

    def test_shows_stream_and_level(self, registry: Registry) -> None:
        """What a user pastes into an issue."""
        del registry
        assert repr(KinesisHandler("app-logs", level="INFO")) == "<KinesisHandler app-logs (INFO)>"
        assert "RecordingSink" in repr(KinesisHandler(sink=RecordingSink()))


class TestVariables:
    """``KINESINK_*`` count where nothing else is said."""

    def test_configure_what_is_left_out(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A whole handler can come from the environment."""
        monkeypatch.setenv("KINESINK_STREAM_NAME", "from-environment")
        monkeypatch.setenv("KINESINK_LINGER", "2s")
        monkeypatch.setenv("KINESINK_PARTITION_KEY", "logger")
        monkeypatch.setenv("KINESINK_MAX_EVENT_BYTES", "2KiB")
        KinesisHandler().handle(a_record("x" * 9999))
        assert registry.sink.config == Config(stream_name="from-environment", linger=2.0)
        assert registry.sink.partition_keys == ["app.orders"]
        assert len(registry.sink.lines[0]) <= 2048

    def test_a_parameter_wins(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is written in the program is what counts."""
        monkeypatch.setenv("KINESINK_STREAM_NAME", "from-environment")
        monkeypatch.setenv("KINESINK_PARTITION_KEY", "logger")
        KinesisHandler("app-logs", partition_key=lambda _: "key").handle(a_record())
        assert registry.sink.config.stream_name == "app-logs"
        assert registry.sink.partition_keys == ["key"]


class TestBasicConfig:
    """``logging.basicConfig``."""

    def test_ships_json_although_basicconfig_has_a_format(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gives its text formatter only to handlers that have none."""
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        logging.basicConfig(level="INFO", handlers=[KinesisHandler("app-logs")])
        logging.getLogger("shop").info("order %s paid", 17, extra={"amount": 12.5})
        assert registry.sink.event["message"] == "order 17 paid"
        assert registry.sink.event["attributes"] == {"amount": 12.5}

    def test_force_closes_and_replaces(self, registry: Registry) -> None:
        """The old handler lets go of its sink, the new one takes it."""
        logging.basicConfig(handlers=[KinesisHandler("app-logs")], force=True)
        logging.getLogger("shop").warning("one")
        logging.basicConfig(handlers=[KinesisHandler("app-logs")], force=True)
        assert registry.held == []
        logging.getLogger("shop").warning("two")
        assert [event["message"] for event in registry.sink.events] == ["one", "two"]


YAML_LIKE: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"not_secret": {"()": f"{__name__}.NotSecret"}},
    "handlers": {
        "kinesis": {
            "class": "kinesink.KinesisHandler",
            "level": "INFO",
            "filters": ["not_secret"],
            "stream_name": "app-logs",
            "region_name": "eu-west-1",
            "endpoint_url": "http://localhost:4567",
            "verify": False,
            "partition_key": "attr:user",
            "linger": "1s",
            "time_to_live": 60,
            "max_pending_bytes": "1MiB",
            "max_event_bytes": "64KiB",
            "backend": "asyncio",
            "on_error": "ext://tests.adapters.test_stdlib_config.ignore",
        }
    },
    "root": {"level": "DEBUG", "handlers": ["kinesis"]},
}


class NotSecret(logging.Filter):
    """Rejects what is secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is not secret."""
        return "secret" not in record.getMessage()


def ignore(kind: str, text: str) -> None:
    """Do nothing about an error."""
    del kind, text


def no_schema(fields: dict[str, Any]) -> NoReturn:
    """Fail."""
    del fields
    raise RuntimeError


class TestDictConfig:
    """``logging.config.dictConfig``."""

    def test_takes_every_parameter_as_a_plain_value(self, registry: Registry) -> None:
        """Sizes and times as text, level and filters as for any handler."""
        logging.config.dictConfig(YAML_LIKE)
        logger = logging.getLogger("shop")
        logger.debug("not at this level")
        logger.info("a secret")
        logger.info("paid", extra={"user": "bob"})
        config = registry.sink.config
        assert (config.stream_name, config.backend, config.verify) == ("app-logs", "asyncio", False)
        assert (config.linger, config.time_to_live, config.max_pending_bytes) == (1, 60, 2**20)
        assert registry.sink.event["message"] == "paid"
        assert registry.sink.partition_keys == ["bob"]

    @pytest.mark.usefixtures("registry")
    def test_an_unknown_parameter_is_explained(self) -> None:
        """The cause names the nearest parameters."""
        configuration = copy.deepcopy(YAML_LIKE)
        configuration["handlers"]["kinesis"]["max_pending"] = 1
        with pytest.raises(ValueError, match="kinesis") as failed:
            logging.config.dictConfig(configuration)
        assert "did you mean max_pending_bytes" in str(failed.value.__cause__)

    def test_a_handler_closed_by_it_goes_on_shipping(self, registry: Registry) -> None:
        """T4, T25: it stays attached to its logger and takes its sink again."""
        logger = logging.getLogger("stays.attached")
        handler = KinesisHandler("app-logs")
        logger.addHandler(handler)
        try:
            logger.warning("before")
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
            assert registry.held == []
            logger.warning("after")
            assert [event["message"] for event in registry.sink.events] == ["before", "after"]
            assert registry.held == [registry.sink]
        finally:
            logger.removeHandler(handler)

    def test_it_never_waits_for_a_flush(self, registry: Registry) -> None:
        """T1: the lock it holds may be what the sending thread needs."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        registry.sink.flushed = False
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        assert set(registry.sink.flushes) == {0}

    def test_our_formatter_serves_other_handlers(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What would be shipped can be printed, with every spelling that dictConfig has."""
        for formatter in (
            {"()": "kinesink.KinesisFormatter", "max_event_bytes": "4KiB"},
            {"class": "kinesink.KinesisFormatter"},
            {"class": "kinesink.KinesisFormatter", "validate": True},
        ):
            logging.config.dictConfig(
                {
                    "version": 1,
                    "disable_existing_loggers": False,
                    "formatters": {"json": formatter},
                    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
                    "root": {"level": "INFO", "handlers": ["out"]},
                }
            )
            logging.getLogger("shop").info("paid")
            assert json.loads(capsys.readouterr().err)["message"] == "paid"

    @pytest.mark.parametrize("parameters", [{"fmt": "%(message)s"}, {"datefmt": "%H"}])
    def test_our_formatter_takes_no_format(self, parameters: dict[str, Any]) -> None:
        """A format that nobody looks at would be a mistake that nobody sees."""
        with pytest.raises(ConfigurationError, match="format"):
            KinesisFormatter(**parameters)


class TestFileConfig:
    """``logging.config.fileConfig``."""

    def test_takes_literals(self, registry: Registry, tmp_path: pathlib.Path) -> None:
        """The stream by position, all else by keyword."""
        ini = tmp_path / "logging.ini"
        ini.write_text(
            "[loggers]\nkeys=root\n[handlers]\nkeys=kinesis\n[formatters]\nkeys=\n"
            "[logger_root]\nlevel=INFO\nhandlers=kinesis\n"
            "[handler_kinesis]\nclass=kinesink.KinesisHandler\nlevel=INFO\n"
            "args=('app-logs',)\nkwargs={'linger': '1s', 'partition_key': 'logger'}\n",
            encoding="utf-8",
        )
        logging.config.fileConfig(ini, disable_existing_loggers=False)
        logging.getLogger("shop").info("paid")
        assert registry.sink.config == Config(stream_name="app-logs", linger=1)
        assert registry.sink.event["message"] == "paid"
        assert registry.sink.partition_keys == ["shop"]


class TestOptions:
    """How events are written: the same options as for every adapter."""

    OPTIONS: Final[dict[str, Any]] = {
        "schema": "default",
        "extra": "user,password",
        "rename": "message=msg",
        "static_fields": "team=shop,tier=1",
        "redact": "default",
        "oversize": "split",
        "max_event_bytes": "2KiB",
    }

    def check(self, registry: Registry) -> None:
        """Log something, and see what becomes of it."""
        extra = {"user": "bob", "password": "hush", "other": 1}
        logging.getLogger("shop").info("paid", extra=extra)
        event = registry.sink.event
        assert (event["msg"], event["team"], event["tier"]) == ("paid", "shop", "1")
        assert event["attributes"] == {"user": "bob", "password": "[redacted]"}

    def test_of_dictconfig_are_plain_values(self, registry: Registry) -> None:
        """As YAML has them; lists and mappings may be text."""
        handler = {"class": "kinesink.KinesisHandler", "stream_name": "app-logs", **self.OPTIONS}
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"kinesis": handler},
                "root": {"level": "INFO", "handlers": ["kinesis"]},
            }
        )
        self.check(registry)

    def test_of_fileconfig_are_literals(self, registry: Registry, tmp_path: pathlib.Path) -> None:
        """All by keyword."""
        ini = tmp_path / "logging.ini"
        ini.write_text(
            "[loggers]\nkeys=root\n[handlers]\nkeys=kinesis\n[formatters]\nkeys=\n"
            "[logger_root]\nlevel=INFO\nhandlers=kinesis\n"
            "[handler_kinesis]\nclass=kinesink.KinesisHandler\n"
            f"args=('app-logs',)\nkwargs={self.OPTIONS!r}\n",
            encoding="utf-8",
        )
        logging.config.fileConfig(ini, disable_existing_loggers=False)
        self.check(registry)

    def test_of_the_environment(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each has its variable."""
        for name, value in self.OPTIONS.items():
            monkeypatch.setenv(f"KINESINK_{name.upper()}", value)
        logging.basicConfig(level="INFO", handlers=[KinesisHandler("app-logs")], force=True)
        self.check(registry)

    def test_of_a_formatter_are_the_same(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By parameters and by variables, which count for other handlers, too."""
        monkeypatch.setenv("KINESINK_RENAME", "message=msg")
        options = {name: value for name, value in self.OPTIONS.items() if name != "rename"}
        handler = KinesisHandler("app-logs")
        handler.setFormatter(KinesisFormatter(**options))
        logging.basicConfig(level="INFO", handlers=[handler], force=True)
        self.check(registry)

    @pytest.mark.parametrize("schema", ["default", "ecs", "otel", "datadog", "structlog"])
    def test_each_schema_has_the_message(self, registry: Registry, schema: SchemaName) -> None:
        """Under whatever name."""
        KinesisHandler("app-logs", schema=schema).handle(a_record("a message of its own"))
        assert b'"a message of its own"' in registry.sink.lines[0]

    def test_a_schema_may_be_a_callable(self, registry: Registry) -> None:
        """It gets the fields of the default schema."""
        handler = KinesisHandler("app-logs", schema=lambda fields: {"m": fields["message"]})
        handler.handle(a_record())
        assert registry.sink.event == {"m": "order 7 accepted"}

    @pytest.mark.usefixtures("registry")
    @pytest.mark.parametrize(
        "option",
        [{"schema": "ecss"}, {"extra": "flatt"}, {"oversize": "cut"}, {"rename": "message"}],
        ids=str,
    )
    def test_what_cannot_work_is_refused_at_once(self, option: dict[str, Any]) -> None:
        """By handler and formatter alike."""
        (name,) = option
        with pytest.raises(ConfigurationError, match=name):
            KinesisHandler("app-logs", **option)
        with pytest.raises(ConfigurationError, match=name):
            KinesisFormatter(**option)


class TestOversize:
    """An event that is too large for one line."""

    @pytest.fixture
    def refused(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[DropReason]:
        """Return what was counted as dropped."""
        del registry
        refused: list[DropReason] = []
        monkeypatch.setattr(RecordingSink, "refuse", lambda _, reason, __: refused.append(reason))
        return refused

    def test_that_is_split_is_handed_over_line_by_line(
        self, registry: Registry, refused: list[DropReason]
    ) -> None:
        """All parts with the same key, and none is dropped."""
        handler = KinesisHandler(
            "app-logs", oversize="split", max_event_bytes=2048, partition_key="logger"
        )
        handler.handle(a_record("x" * 5000))
        assert "".join(event["message"] for event in registry.sink.events) == "x" * 5000
        assert set(registry.sink.partition_keys) == {"app.orders"}
        assert max(map(len, registry.sink.lines)) <= 2048
        assert refused == []

    def test_that_is_dropped_is_counted(
        self, registry: Registry, refused: list[DropReason]
    ) -> None:
        """As too large, and nobody is bothered."""
        handler = KinesisHandler("app-logs", oversize="drop", max_event_bytes=2048)
        handler.handle(a_record("x" * 5000))
        handler.handle(a_record("short"))
        assert registry.sink.event["message"] == "short"
        assert refused == [DropReason.TOO_LARGE]

    def test_printed_by_a_formatter_it_is_as_many_lines(self) -> None:
        """Or none."""
        split = KinesisFormatter(oversize="split", max_event_bytes=2048).format(
            a_record("x" * 5000)
        )
        assert len([json.loads(line) for line in split.splitlines()]) > 2
        assert KinesisFormatter(oversize="drop", max_event_bytes=2048).format(
            a_record("x" * 5000)
        ) == ""  # fmt: skip


class TestPickles:
    """T27: handlers travel with loggers, configurations and processes."""

    @pytest.fixture
    def handler(self, registry: Registry) -> KinesisHandler:
        """Return a handler with everything set."""
        del registry
        handler = KinesisHandler(
            "app-logs", linger=1, partition_key="logger", max_event_bytes="4KiB", on_error=ignore
        )
        handler.setLevel("ERROR")
        handler.addFilter(NotSecret())
        handler.name = "kinesis"
        return handler

    @pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.loads])
    def test_a_copy_does_the_same(
        self,
        clone: Callable[[Any], KinesisHandler],
        handler: KinesisHandler,
        registry: Registry,
    ) -> None:
        """Configuration, level, filters and formatter are the original's."""
        twin = clone(pickle.dumps(handler) if clone is pickle.loads else handler)
        twin.handle(a_record("a secret"))
        twin.handle(a_record("x" * 9999))
        assert registry.sink.config == Config(stream_name="app-logs", linger=1, on_error=ignore)
        assert registry.sink.partition_keys == ["app.orders"]
        assert len(registry.sink.lines[0]) <= 4096
        assert twin.level == logging.ERROR
        assert twin.lock is not handler.lock

    def test_the_name_stays_with_the_original(self, handler: KinesisHandler) -> None:
        """The one place where logging finds handlers by name has room for one."""
        assert copy.copy(handler).name is None
        assert handler.name == "kinesis"

    def test_a_formatter_of_the_applications_goes_along(self, handler: KinesisHandler) -> None:
        """Whatever it is."""
        handler.setFormatter(logging.Formatter("%(message)s"))
        twin = pickle.loads(pickle.dumps(handler))  # noqa: S301 - our own
        assert twin.format(a_record()) == "order 7 accepted"

    def test_a_copy_tells_of_trouble_by_its_own_door(self, registry: Registry) -> None:
        """Its formatter is its own, so the original can go."""
        original = KinesisHandler("app-logs", schema=no_schema)
        twin = copy.deepcopy(original)
        assert twin.formatter is not original.formatter
        twin.handle(a_record())
        assert [kind for kind, _ in registry.sink.reports] == ["schema"]
        assert registry.held == [registry.sink]

    def test_a_given_sink_is_shared(self) -> None:
        """Two handlers of one sink, never two sinks."""
        sink = RecordingSink()
        copy.deepcopy(KinesisHandler(sink=sink)).handle(a_record())
        assert sink.event["message"] == "order 7 accepted"


class TestParameters:
    """What editors and type checkers know."""

    def test_the_keywords_are_those_of_config(self) -> None:
        """A parameter of Config that the handler's keywords lack would look unknown."""
        expected = {spec.name for spec in fields(Config)} - {"stream_name"}
        assert set(ConfigParameters.__annotations__) == expected

    def test_each_keyword_takes_what_config_takes(self) -> None:
        """And text besides, wherever that can be read."""
        for spec in fields(Config):
            if spec.name != "stream_name":
                keyword = ConfigParameters.__annotations__[spec.name]
                kinds = keyword.__forward_arg__.split(" | ")
                assert set(str(spec.type).split(" | ")) <= set(kinds), spec.name
