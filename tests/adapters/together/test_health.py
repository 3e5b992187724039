"""Every door tells how its sink fares, and gives up what has no room before it is written."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry._logs import SeverityNumber

import kinesink
from kinesink.readiness import Health
from tests.adapters.otel.support import writable
from tests.adapters.recording_sink import RecordingSink, a_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from kinesink.adapters.parameters import EventParameters


class CrowdedSink(RecordingSink):
    """A sink without room for anything below WARNING."""

    def __init__(self) -> None:
        super().__init__()
        self.pressure.high = True
        self.asked: list[int | None] = []

    def turns_away(self, level: int | None) -> bool:
        """Give up what is below WARNING."""
        self.asked.append(level)
        return level is not None and level < logging.WARNING


def by_handler(sink: RecordingSink, **options: Unpack[EventParameters]) -> Callable[[str], object]:
    """Return what logs by logging, given a level."""
    handler = kinesink.KinesisHandler(sink=sink, **options)
    return lambda level: handler.handle(
        a_record(levelname=level.upper(), levelno=getattr(logging, level.upper()))
    )


def by_structlog(
    sink: RecordingSink, **options: Unpack[EventParameters]
) -> Callable[[str], object]:
    """Return what logs by structlog, given a level."""
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(), [kinesink.KinesisProcessor(sink=sink, drop=True, **options)]
    )
    return lambda level: getattr(logger, level)("event")


def by_opentelemetry(
    sink: RecordingSink, **options: Unpack[EventParameters]
) -> Callable[[str], object]:
    """Return what logs by OpenTelemetry, given a level."""
    processor = kinesink.KinesisLogRecordProcessor(sink=sink, **options)
    numbers = {"info": SeverityNumber.INFO, "error": SeverityNumber.ERROR}
    return lambda level: processor.on_emit(writable("event", severity_number=numbers[level]))


DOORS = [by_handler, by_structlog, by_opentelemetry]


@pytest.mark.parametrize("options", [{}, {"partition_key": "logger"}])
@pytest.mark.parametrize("door", DOORS)
def test_what_has_no_room_is_never_written(
    door: Callable[..., Callable[[str], object]], options: dict[str, Any]
) -> None:
    """Its level is asked first, whatever the library calls it, with a key or without."""
    sink = CrowdedSink()
    log = door(sink, **options)
    log("info")
    log("error")
    assert sink.asked == [logging.INFO, logging.ERROR]
    assert len(sink.lines) == 1


@pytest.mark.parametrize(
    "door",
    [
        kinesink.KinesisHandler,
        kinesink.KinesisProcessor,
        kinesink.KinesisLoggerFactory,
        kinesink.KinesisLogRecordProcessor,
        kinesink.KinesisLogRecordExporter,
    ],
)
def test_every_door_tells_how_its_sink_fares(door: Callable[..., Any]) -> None:
    """Well, as long as nothing waits."""
    assert door(sink=RecordingSink()).health() == Health("ok", "", 0.0)
    assert door("app-logs").health() == Health("ok", "", 0.0)
