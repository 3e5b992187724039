"""The probe: events that say what they are, written by the library and read back."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import anyio

from kinesink.cli.doctor.advice import refused
from kinesink.cli.doctor.results import failed, ok, warning
from kinesink.cli.doctor.subject import Probe
from kinesink.cli.words import number_of
from kinesink.core import retry_policy
from kinesink.core.records import Failure
from kinesink.decode import deaggregate
from kinesink.errors import MalformedRecordError
from kinesink.shell.exit_safe import run_in_thread, wait_finished
from kinesink.shell.sink import Sink

if TYPE_CHECKING:
    from kinesink.cli.doctor.results import Result
    from kinesink.cli.doctor.subject import Subject
    from kinesink.config import Config

_PATIENCE: Final = 20.0
"""Seconds for the probe to arrive, and then for it to be found."""

_POLL: Final = 0.25
"""Seconds between two reads: a shard answers five a second to all its readers together."""

_EVENTS: Final = 2
"""So many make an aggregated record."""


def new_events() -> list[bytes]:
    """Return events that tell who reads them what they are."""
    mark = secrets.token_hex(8)
    return [
        json.dumps({
            "timestamp": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
            "level": "INFO",
            "logger": "kinesink.doctor",
            "message": "a probe of kinesink doctor, which tries whether events arrive; ignore it",
            "attributes": {"probe": mark, "number": number, "of": _EVENTS},
        }).encode() + b"\n"
        for number in range(1, _EVENTS + 1)
    ]  # fmt: skip


async def write(subject: Subject) -> Result:
    """Send the probe through a sink with the configuration that applications have."""
    events = new_events()
    sink = Sink(_of_its_own(subject.config))
    begun = time.monotonic()
    try:
        with sink.one_wake_up():
            futures = [sink.submit(event) for event in events]
        results = [await wait_finished(future) for future in futures]
    finally:
        sink.retire()
    took = time.monotonic() - begun
    account = sink.statistics()
    for result in results:
        if not result.success:
            return failed(str(result), "see the checks above, and run it again")
    first = results[0]
    subject.probe = Probe(events, str(first.shard_id), str(first.sequence_number))
    text = (
        f"{number_of(len(events), 'event')} in {number_of(account.entries, 'record')} delivered "
        f"to {first.shard_id} in {took * 1000:.0f} ms"
    )
    return ok(text, shard_id=first.shard_id, sequence_number=first.sequence_number,
              seconds=round(took, 4))  # fmt: skip


async def read(subject: Subject) -> Result:
    """Look for the probe where Kinesis says it is, and take its record apart."""
    probe = subject.probe
    begun = time.monotonic()
    found: bytes | Failure | None = None
    with anyio.move_on_after(_PATIENCE):
        found = await _record(subject, probe)
    if isinstance(found, Failure):
        return refused(found)
    if found is None:
        return failed(
            f"{probe.sequence_number} is not in {probe.shard_id} within {_PATIENCE:g} s",
            "run it again; other readers may use up the shard's reads",
        )
    try:
        events = [each.data for each in await run_in_thread(deaggregate, found)]
    except (MalformedRecordError, ImportError) as error:
        return failed(f"its record cannot be taken apart: {error}", "report this as a bug")
    if events[:1] != probe.events[:1]:
        return failed("its record holds something else", "check what stands before the endpoint")
    took = time.monotonic() - begun
    text = f"found after {took * 1000:.0f} ms, {number_of(len(events), 'event')} in its record"
    if len(events) < _EVENTS and subject.config.framing != "none":
        return warning(f"{text}: nothing is aggregated", "see record distribution, and ListShards")
    return ok(text, events=len(events), seconds=round(took, 4))


async def _record(subject: Subject, probe: Probe) -> bytes | Failure | None:
    """Return the data of the probe's record, or why it cannot be read."""
    iterator = await subject.service.ask(
        "GetShardIterator",
        {
            **subject.service.stream,
            "ShardId": probe.shard_id,
            "ShardIteratorType": "AT_SEQUENCE_NUMBER",
            "StartingSequenceNumber": probe.sequence_number,
        },
    )
    if isinstance(iterator, Failure):
        return iterator
    following = iterator.get("ShardIterator")
    while following:
        page = await subject.service.ask("GetRecords", {"ShardIterator": following, "Limit": 10})
        if not isinstance(page, Failure):
            found = _data_in(page, probe.sequence_number)
            if found is not None:
                return found
            following = page.get("NextShardIterator")
        elif page.code not in retry_policy.THROTTLE_CODES:
            return page
        await anyio.sleep(_POLL)
    return None


def _data_in(page: dict[str, Any], sequence_number: str) -> bytes | Failure | None:
    """Return the data of one record, None if it is not there, or that this is no page."""
    try:
        for record in page["Records"]:
            if record["SequenceNumber"] == sequence_number:
                return base64.b64decode(record["Data"], validate=True)
    except (TypeError, ValueError, LookupError):
        return Failure(retry_policy.UNDECODABLE_RESPONSE, "GetRecords gives no records")
    return None


def _of_its_own(config: Config) -> Config:
    """Return the configuration without what would keep the probe, or call the application."""
    return replace(
        config,
        time_to_live=max(_PATIENCE, 2 * config.linger),
        spool_path=None,
        dead_letter=None,
        on_error=_ignore,
    )


def _ignore(kind: str, text: str) -> None:
    """Let the result speak, which has the error too."""
    del kind, text
