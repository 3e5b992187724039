"""Streams of a fake in a file: another fake goes on where it stopped, or says what is wrong."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from kinesink.testing import ON_DEMAND, FakeKinesis, ShardLimits, SnapshotError
from tests.testing.calls import call, fake_with

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "shardId-000000000000"


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a file with two streams, one of which was resharded between two records."""
    fake = fake_with(shards=2)
    fake.put("s", b"\x00\xff", partition_key="a", explicit_hash_key=2**128 - 1)
    fake.split_shard("s", FIRST)
    fake.put("s", b"later", partition_key="b")
    fake.create_stream("auto", mode=ON_DEMAND, max_record_kib=2048, distribution="AUTO")
    fake.save(tmp_path / "streams")
    return tmp_path / "streams"


def test_what_was_saved_is_there_again(saved: Path) -> None:
    """Shards with their parents and numbers, records with their keys, settings of streams."""
    again = FakeKinesis()
    again.load(saved)
    again.save(saved.with_name("again"))
    assert saved.with_name("again").read_bytes() == saved.read_bytes()
    assert again.streams() == ["auto", "s"]
    assert [shard.is_open for shard in again.shards("s")] == [False, True, True, True]
    assert [record.data for record in again.records("s")] == [b"\x00\xff", b"later"]
    assert again.records("s")[0].explicit_hash_key == 2**128 - 1


def test_what_comes_afterwards_follows_what_was_there(saved: Path) -> None:
    """Sequence numbers go on, so a reader that remembers one misses nothing."""
    again = FakeKinesis()
    again.load(saved)
    before = again.records("s")[-1]
    again.put("s", b"new", partition_key="b")
    assert [record.data for record in again.records("s")] == [b"\x00\xff", b"later", b"new"]
    assert int(again.records("s")[-1].sequence_number) > int(before.sequence_number)


def test_streams_that_were_there_are_replaced(saved: Path) -> None:
    """A file holds all there is."""
    again = FakeKinesis()
    again.create_stream("other")
    again.load(saved)
    assert "other" not in again.streams()


def test_limits_hold_for_what_was_loaded(saved: Path) -> None:
    """They are options of the fake, and no part of the file."""
    again = FakeKinesis(limits=ShardLimits(records_per_second=1))
    again.load(saved)
    records = [{"Data": b"x", "PartitionKey": "a"}] * 2
    assert (
        call(again, "PutRecords", StreamName="s", Records=records).members["FailedRecordCount"] == 1
    )


def test_a_stream_that_is_being_deleted_is_left_out(tmp_path: Path) -> None:
    """It would be gone in a moment."""
    fake = fake_with(transition=30)
    call(fake, "DeleteStream", StreamName="s")
    fake.save(tmp_path / "streams")
    assert lines_of(tmp_path / "streams") == [
        {"kinesink_streams": 1, "streams": 0, "shards": 0, "records": 0, "issued": 1}
    ]


def test_only_its_owner_reads_the_file(saved: Path) -> None:
    """It holds what was logged."""
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_a_link_stays_one(saved: Path) -> None:
    """What it leads to is replaced."""
    link = saved.with_name("link")
    link.symlink_to(saved)
    fake_with().save(link)
    assert link.is_symlink()
    assert len(lines_of(saved)) == 3


def test_a_save_that_fails_leaves_the_file_as_it_was(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing beside it."""
    before = saved.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fake_with().save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["streams"]


Change = Callable[[list[dict[str, Any]]], object]


def replaced(number: int, **members: object) -> Change:
    """Return what changes members of a line."""

    def change(lines: list[dict[str, Any]]) -> None:
        lines[number].update(members)

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda lines: lines.clear(), "empty, or its end is missing"),
        (lambda lines: lines.pop(), "empty, or its end is missing"),
        (lambda lines: lines.pop(0), "line 1 is none of a file of streams"),
        (lambda lines: lines.pop(1), "line 2 is none"),
        (lambda lines: lines.insert(2, lines.pop(4)), "line 3 is none"),
        (replaced(0, kinesink_streams=2), "version 2, and this kinesink reads 1"),
        (replaced(0, issued="many"), "line 1 is none"),
        (replaced(2, start="0.5"), "line 3 is none"),
        (replaced(2, opened_at=None), "line 3 is none"),
        (replaced(3, end="7"), "the shards of s leave hash keys out"),
        (replaced(4, data="%"), r"line 5 is none of a file of streams \(ValueError\)"),
        (replaced(4, record="-"), "line 5 is none"),
    ],
)
def test_a_broken_file_changes_nothing_and_says_where(
    saved: Path, change: Change, text: str
) -> None:
    """Cut off, edited, or of another version."""
    lines = lines_of(saved)
    change(lines)
    saved.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    fake = fake_with()
    with pytest.raises(SnapshotError, match=text):
        fake.load(saved)
    assert fake.streams() == ["s"]
    assert len(fake.shards("s")) == 1


@pytest.mark.parametrize("content", [b"\x89PNG", b"[1]\n", b"7\n", b'"kinesink_streams"\n'])
def test_a_file_of_something_else_is_told_from_streams(tmp_path: Path, content: bytes) -> None:
    """Whatever its bytes are."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SnapshotError, match="line 1"):
        fake_with().load(tmp_path / "file")


def test_a_stream_without_shards_is_refused(saved: Path) -> None:
    """Nothing could be written to it."""
    lines = [
        {"kinesink_streams": 1, "streams": 1, "shards": 0, "records": 0, "issued": 1},
        lines_of(saved)[1],
    ]
    saved.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    with pytest.raises(SnapshotError, match="leave hash keys out"):
        fake_with().load(saved)
