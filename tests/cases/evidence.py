"""What tests of cases look at: results, requests, records and credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinesink.core.aggregated_record import decode
from kinesink.shell import credentials
from tests.cases.scene import APP

if TYPE_CHECKING:
    import pytest

    from kinesink.core.records import RecordResult
    from kinesink.testing import FakeKinesis
    from kinesink.testing.exchange import Call


def shard_ids(fake: FakeKinesis) -> list[str]:
    """Return the ids of the open shards in the order of their ranges."""
    return [shard.shard_id for shard in fake.open_shards(APP)]


def aggregated(records: list[bytes]) -> list[bytes]:
    """Return those that are aggregated records."""
    return [data for data in records if decode(data) is not None]


def codes(result: RecordResult) -> list[str | None]:
    """Return the error codes of a record's attempts; None is success."""
    return [attempt.error_code for attempt in result.attempts]


def carried(call: Call) -> list[bytes]:
    """Return the data of the entries of a request."""
    entries = call.body["Records"]
    assert isinstance(entries, list)
    return [entry["Data"] for entry in entries]


class Lookups:
    """Counts how often credentials are looked up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        look_up = credentials._look_up

        def counted(*arguments: Any) -> Any:  # noqa: ANN401 - whatever it takes
            self.count += 1
            return look_up(*arguments)

        monkeypatch.setattr(credentials, "_look_up", counted)
