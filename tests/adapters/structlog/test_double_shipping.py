"""Two doors of one configuration on the same way are told of, once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import structlog
from structlog.stdlib import ProcessorFormatter

from kinesink import KinesisHandler, KinesisProcessor
from tests.adapters.structlog.chains import a_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.adapters.parameters import Parameters
    from tests.adapters.conftest import Registry

pytestmark = pytest.mark.usefixtures("registry", "restored_logging")

NAME = "kinesink.tests.twice"
WRAP = ProcessorFormatter.wrap_for_formatter


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of its own, below one that may have handlers as well."""
    above, logger = logging.getLogger(NAME), logging.getLogger(f"{NAME}.below")
    above.propagate = False
    above.setLevel(logging.INFO)
    yield logger
    for each in (above, logger):
        each.handlers.clear()
        each.propagate = True
    above.setLevel(logging.NOTSET)


def messages(registry: Registry) -> list[str]:
    """Return what arrived, in order of time."""
    return [event["message"] for sink in registry.sinks.values() for event in sink.events]


def told(registry: Registry) -> list[str]:
    """Return what was told of it."""
    return [text for sink in registry.sinks.values() for _, text in sink.reports]


def of_both(logger: logging.Logger, *, drop: bool = False) -> Any:  # noqa: ANN401 - structlog has no narrower types
    """Return a logger whose chain ships, and leads to a logger of logging."""
    return a_logger(KinesisProcessor("app-logs", drop=drop), WRAP, logger=logger)


class TestTold:
    """By ``on_error``, with both names."""

    @pytest.mark.parametrize("where", [NAME, f"{NAME}.below"])
    def test_a_handler_behind_the_chain(
        self, registry: Registry, logger: logging.Logger, where: str
    ) -> None:
        """On the logger itself or on one above; once, however many events there are."""
        logging.getLogger(where).addHandler(KinesisHandler("app-logs"))
        log = of_both(logger)
        log.info("one")
        log.info("two")
        assert messages(registry) == ["one", "one", "two", "two"]
        (text,) = told(registry)
        for name in ("KinesisProcessor", "KinesisHandler", "'app-logs'", f"'{NAME}.below'"):
            assert name in text

    @pytest.mark.parametrize("drop", [True, False])
    def test_a_handler_beside_a_formatter_that_ships(
        self,
        registry: Registry,
        logger: logging.Logger,
        *,
        drop: bool,
    ) -> None:
        """The record leads to its handlers; dropping does not help there."""
        stream = logging.StreamHandler()
        stream.setFormatter(
            ProcessorFormatter(
                processors=[
                    KinesisProcessor("app-logs", drop=drop), structlog.dev.ConsoleRenderer(),
                ]
            )
        )  # fmt: skip
        logger.addHandler(stream)
        logger.addHandler(KinesisHandler("app-logs"))
        logger.info("paid")
        assert messages(registry) == ["paid", "paid"]
        assert len(told(registry)) == 1

    def test_on_the_root_as_well(self, registry: Registry) -> None:
        """Its name leads to no other logger."""
        root = logging.getLogger()
        root.addHandler(KinesisHandler("app-logs"))
        record = logging.makeLogRecord({"name": "root", "msg": "x"})
        KinesisProcessor("app-logs")(None, "info", {"event": "x", "_record": record})
        assert len(told(registry)) == 1


class TestNotTold:
    """Where each event arrives once."""

    def test_where_the_chain_ends(self, registry: Registry, logger: logging.Logger) -> None:
        """With ``drop`` nothing reaches the handler."""
        logger.addHandler(KinesisHandler("app-logs"))
        of_both(logger, drop=True).info("paid")
        assert messages(registry) == ["paid"]
        assert told(registry) == []

    @pytest.mark.parametrize(
        ("stream_name", "parameters"), [("audit", {}), ("app-logs", {"region_name": "eu-west-1"})]
    )
    def test_where_the_streams_differ(
        self,
        registry: Registry,
        logger: logging.Logger,
        stream_name: str,
        parameters: Parameters,
    ) -> None:
        """That is what two doors are for."""
        logger.addHandler(KinesisHandler(stream_name, **parameters))
        of_both(logger).info("paid")
        assert messages(registry) == ["paid", "paid"]
        assert told(registry) == []

    def test_where_the_record_does_not_get_there(
        self, registry: Registry, logger: logging.Logger
    ) -> None:
        """``propagate`` says so."""
        logging.getLogger(NAME).addHandler(KinesisHandler("app-logs"))
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        of_both(logger).info("paid")
        assert messages(registry) == ["paid"]
        assert told(registry) == []

    def test_where_the_chain_leads_elsewhere(self, registry: Registry) -> None:
        """Not each logger is one of logging."""
        logging.getLogger().addHandler(KinesisHandler("app-logs"))
        log = a_logger(KinesisProcessor("app-logs"), structlog.processors.KeyValueRenderer())
        log.info("paid")
        assert messages(registry) == ["paid"]
        assert told(registry) == []

    def test_by_a_handler_alone(self, registry: Registry, logger: logging.Logger) -> None:
        """The bridge, and nothing else in the chain."""
        logger.addHandler(KinesisHandler("app-logs"))
        a_logger(WRAP, logger=logger).info("paid")
        assert messages(registry) == ["paid"]
        assert told(registry) == []


class TestNothingEscapes:
    """Looking for handlers is part of a log call."""

    def test_a_logger_that_raises(self, registry: Registry) -> None:
        """It is told, and the chain goes on."""

        class Broken(logging.Logger):
            @property
            def handlers(self) -> NoReturn:
                raise RuntimeError("no")

            @handlers.setter
            def handlers(self, _: object) -> None:
                pass

        event_dict = {"event": "x"}
        assert KinesisProcessor("app-logs")(Broken("x"), "info", event_dict) is event_dict
        assert messages(registry) == ["x"]
        assert [kind for kind, _ in registry.sink.reports] == ["double shipping"]

    def test_a_record_of_an_unknown_logger(self, registry: Registry) -> None:
        """No logger is made for it."""
        record = logging.makeLogRecord({"name": f"{NAME}.unknown", "msg": "x"})
        KinesisProcessor("app-logs")(None, "info", {"event": "x", "_record": record})
        assert f"{NAME}.unknown" not in logging.root.manager.loggerDict
        assert told(registry) == []
