"""The account of this process as metrics of OpenTelemetry.

Law: what is counted is what the sinks count anyway; it is looked at when a reader of metrics
asks, and nothing is done for an event. Totals are cumulative, so each reading is right,
however long after the one before.

Names: OpenTelemetry's semantic conventions for the SDK's own metrics, where they have one, and
``kinesink.…`` for the rest. Only OpenTelemetry's API is needed.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry import metrics

from kinesink._version import __version__
from kinesink.core.records import DropReason
from kinesink.shell.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

    from kinesink.shell.totals import Place, Total

    Attributes = Mapping[str, str | int]
    Drops = Mapping[DropReason, int]
    Values = Iterable[tuple[int, Attributes]]

__all__ = ["instrument"]

_ERROR: Final = "error.type"

#: Where each reason to give an event up comes from: the queue's want of room, which the
#: conventions ask a processor of, or what comes after it, of which they ask an exporter.
_OF_THE_QUEUE: Final = frozenset({DropReason.QUEUE_FULL, DropReason.SHED})

_COMPONENT: Final = "kinesink.Sink"

_NONE: Final[Attributes] = {}


class Metric(NamedTuple):
    """One instrument."""

    name: str
    unit: str
    description: str
    values: Callable[[Total], Values]
    """Returns numbers, each with what tells it from the others."""
    grows: bool = True
    """Whether it is a counter; otherwise it is the state of now."""


def _one(read: Callable[[Total], int]) -> Callable[[Total], Values]:
    return lambda total: [(read(total), _NONE)]


def _processed(total: Total) -> Values:
    """Yield how many have left the queue, and how many never got into it, by reason."""
    dropped = total.statistics.dropped
    yield total.statistics.delivered + sum(_some(dropped, of_the_queue=False).values()), _NONE
    yield from _failed(_some(dropped, of_the_queue=True))


def _exported(total: Total) -> Values:
    yield total.statistics.delivered, _NONE
    yield from _failed(_some(total.statistics.dropped, of_the_queue=False))


def _dropped(total: Total) -> Values:
    return _failed(total.statistics.dropped)


def _some(dropped: Drops, *, of_the_queue: bool) -> Drops:
    return {
        reason: events
        for reason, events in dropped.items()
        if (reason in _OF_THE_QUEUE) is of_the_queue
    }


def _failed(dropped: Drops) -> Values:
    return [(events, {_ERROR: reason.value}) for reason, events in dropped.items()]


def _capacity(total: Total) -> Values:
    if total.max_pending_events:
        yield total.max_pending_events, _NONE


#: All instruments, as ``docs/metrics.md`` lists them.
METRICS: Final = (
    Metric(
        "otel.sdk.processor.log.processed", "{log_record}",
        "Events that have left the queue, and by error.type those it had no room for.",
        _processed,
    ),
    Metric(
        "otel.sdk.processor.log.queue.size", "{log_record}",
        "Events that wait or are under way.",
        _one(lambda total: total.statistics.pending), grows=False,
    ),
    Metric(
        "otel.sdk.processor.log.queue.capacity", "{log_record}",
        "Bound on the events that wait or are under way, where there is one.",
        _capacity, grows=False,
    ),
    Metric(
        "otel.sdk.exporter.log.exported", "{log_record}",
        "Events that Kinesis has acknowledged, and by error.type those given up.",
        _exported,
    ),
    Metric(
        "otel.sdk.exporter.log.inflight", "{log_record}",
        "Events that were taken and are neither acknowledged nor given up.",
        _one(lambda total: total.statistics.pending), grows=False,
    ),
    Metric(
        "kinesink.accepted", "{event}",
        "Events handed over, those included that were dropped at once.",
        _one(lambda total: total.statistics.accepted),
    ),
    Metric(
        "kinesink.dropped", "{event}", "Events given up, by error.type for whatever reason.",
        _dropped,
    ),
    Metric(
        "kinesink.retried", "{event}", "Times an event was sent once more.",
        _one(lambda total: total.statistics.retried),
    ),
    Metric(
        "kinesink.throttled", "{entry}", "Kinesis records refused for rate.",
        _one(lambda total: total.statistics.throttled),
    ),
    Metric(
        "kinesink.requests", "{request}", "PutRecords calls.",
        _one(lambda total: total.statistics.requests),
    ),
    Metric(
        "kinesink.entries", "{entry}", "Kinesis records in PutRecords calls.",
        _one(lambda total: total.statistics.entries),
    ),
    Metric(
        "kinesink.wrong_shard", "{entry}", "Kinesis records put into another shard than predicted.",
        _one(lambda total: total.statistics.wrong_shard),
    ),
    Metric(
        "kinesink.refreshes", "{request}", "Shard listings read.",
        _one(lambda total: total.statistics.refreshes),
    ),
    Metric(
        "kinesink.sent.size", "By", "Data and partition keys in PutRecords calls.",
        _one(lambda total: total.statistics.sent_bytes),
    ),
    Metric(
        "kinesink.delivered.size", "By", "Data of the events that Kinesis has acknowledged.",
        _one(lambda total: total.statistics.delivered_bytes),
    ),
    Metric(
        "kinesink.pending.size", "By", "Data of the events that wait or are under way.",
        _one(lambda total: total.statistics.pending_bytes), grows=False,
    ),
    Metric(
        "kinesink.pending.limit", "By", "Bound on what waits or is under way: max_pending_bytes.",
        _one(lambda total: total.max_pending_bytes), grows=False,
    ),
)  # fmt: skip


class _Instrumentation:
    """Which providers have the instruments already."""

    def __init__(self) -> None:
        self._totals: Final = Totals()
        self._providers: weakref.WeakSet[MeterProvider] = weakref.WeakSet()
        self._has_global = False

    def add(self, provider: MeterProvider | None) -> None:
        # The global one is a stand-in at first, which hands its instruments on.
        usual = metrics.get_meter_provider()
        provider = usual if provider is None else provider
        is_global = provider is usual
        if provider in self._providers or (is_global and self._has_global):
            return
        self._providers.add(provider)
        self._has_global = self._has_global or is_global
        # As long as there is a provider, sinks are known that end before its first reading.
        self._totals.read()
        meter = provider.get_meter("kinesink", __version__)
        for metric in METRICS:
            create = (
                meter.create_observable_counter
                if metric.grows
                else meter.create_observable_up_down_counter
            )
            callback = partial(self._observe, metric)
            create(metric.name, [callback], metric.unit, metric.description)

    def _observe(self, metric: Metric, _: CallbackOptions) -> Iterator[Observation]:
        for place, total in self._totals.read().items():
            attributes = _attributes(place)
            for value, more in metric.values(total):
                yield metrics.Observation(value, {**attributes, **more})


def _attributes(place: Place) -> Attributes:
    attributes: dict[str, str | int] = {
        "otel.component.type": _COMPONENT,
        "otel.component.name": f"{_COMPONENT}/{place.stream_name}",
        "aws.kinesis.stream_name": place.stream_name,
    }
    if place.endpoint_url is not None:
        server = urlsplit(place.endpoint_url)
        attributes["server.address"] = str(server.hostname)
        if server.port:
            attributes["server.port"] = server.port
    return attributes


_instrumentation: Final = _Instrumentation()


def instrument(meter_provider: MeterProvider | None = None) -> None:
    """Have the account of all sinks of this process read as metrics.

    Once for each provider, however often it is called; for the life of the process. Sinks
    that are made later are in it, too, and what those had counted that are gone stays in it.
    In a forked child all counts begin at zero.

    Nothing happens for an event: a reader of metrics looks at what is counted anyway, and
    holds up neither log calls nor deliveries. See ``docs/metrics.md`` for the names.

    :param meter_provider: whose readers are to see them; None for the global one, also if it
        is set later.
    """
    _instrumentation.add(meter_provider)
