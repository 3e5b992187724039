"""Events that were given up for good, and who gets them."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from kinesink import DeadLetter, DropReason
from kinesink.dead_letter import append_to
from kinesink.shell.dead_letters import MOST_WAITING, DeadLetters
from kinesink.testing import Hang
from tests.shell.scripts import run_script
from tests.shell.support import (
    PATIENCE,
    adds_up,
    landed,
    make_config,
    make_fake,
    make_sink,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("signed")


A_LETTER = DeadLetter("app", b'{"a":"\xc3\xa9"}\n', DropReason.EXPIRED, "too late", 1767323045.5)


class TestFile:
    """Lines of JSON in a file."""

    def test_a_line_tells_what_when_and_why(self, tmp_path: Path) -> None:
        """And holds the event as it was."""
        file = tmp_path / "given-up.jsonl"
        append_to(str(file), [A_LETTER])
        assert json.loads(file.read_bytes()) == {
            "at": "2026-01-02T03:04:05.500000Z",
            "stream": "app",
            "reason": "expired",
            "error": "too late",
            "data": '{"a":"é"}\n',
        }

    def test_bytes_that_are_no_text_are_there_all_the_same(self) -> None:
        """In base64, under another name."""
        line = json.loads(A_LETTER._replace(data=b"\xff\x00").as_line())
        assert base64.b64decode(line["data_base64"]) == b"\xff\x00"
        assert "data" not in line

    def test_an_error_of_any_text_is_one_line(self) -> None:
        """Whatever the service or an exception says."""
        line = A_LETTER._replace(error="two\nlines and \ud800").as_line()
        assert line.count(b"\n") == 1
        assert json.loads(line)["reason"] == "expired"

    def test_lines_are_added(self, tmp_path: Path) -> None:
        """What is there stays."""
        file = tmp_path / "given-up.jsonl"
        append_to(str(file), [A_LETTER])
        append_to(str(file), [A_LETTER, A_LETTER])
        assert len(file.read_bytes().splitlines()) == 3

    @pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
    def test_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        """Events may hold anything."""
        file = tmp_path / "given-up.jsonl"
        append_to(str(file), [A_LETTER])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


class Receiver:
    """Takes letters."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def __call__(self, letters: list[DeadLetter]) -> None:
        """Keep them."""
        self.letters += letters


class TestCourier:
    """On the way to the receiver."""

    def dead_letters(self, receiver: object) -> tuple[DeadLetters, list[str]]:
        """Return what hands over to a receiver, and what an operator is told."""
        told: list[str] = []
        config = make_config(dead_letter=receiver)
        return DeadLetters(config, lambda _, text: told.append(text)), told

    def test_without_a_receiver_nothing_happens(self) -> None:
        """The usual case."""
        letters, told = self.dead_letters(None)
        assert not letters.wanted
        letters.send(DropReason.EXPIRED, "late", [b"event"])
        assert letters.idle
        assert told == []

    def test_no_event_is_no_letter(self) -> None:
        """The receiver is not bothered."""
        receiver = Receiver()
        letters, _ = self.dead_letters(receiver)
        letters.send(DropReason.EXPIRED, "late", [])
        assert letters.wait_idle(PATIENCE)
        assert receiver.letters == []

    @pytest.mark.parametrize(("events", "noun"), [([b"1"], "an event"), ([b"1", b"2"], "2 events")])
    def test_one_that_raises_is_told_about(self, events: list[bytes], noun: str) -> None:
        """And nothing else suffers."""

        def refuse(_: list[DeadLetter]) -> None:
            raise ValueError("no")

        letters, told = self.dead_letters(refuse)
        letters.send(DropReason.EXPIRED, "late", events)
        assert letters.wait_idle(PATIENCE)
        assert told == [f"dead_letter did not take {noun}: ValueError('no')"]

    def test_a_file_that_cannot_be_written_is_told_about(self, tmp_path: Path) -> None:
        """A full disk is no reason to stop."""
        letters, told = self.dead_letters(str(tmp_path / "missing" / "file"))
        letters.send(DropReason.EXPIRED, "late", [b"event"])
        assert letters.wait_idle(PATIENCE)
        assert len(told) == 1
        assert "FileNotFoundError" in told[0]

    def test_one_that_hangs_costs_no_more_than_so_much_memory(self) -> None:
        """What comes beyond is counted as ever, and not kept."""
        gate = threading.Event()
        taken: list[int] = []

        def hang(received: list[DeadLetter]) -> None:
            gate.wait()
            taken.append(len(received))

        letters, told = self.dead_letters(hang)
        for _ in range(3):
            letters.send(DropReason.EXPIRED, "late", [b"event"] * (MOST_WAITING // 2))
        assert told == ["dead_letter is too slow: events given up are not kept"]
        gate.set()
        assert letters.wait_idle(PATIENCE)
        assert taken == [MOST_WAITING // 2] * 2
        letters.send(DropReason.EXPIRED, "late", [b"event"] * MOST_WAITING)
        assert letters.wait_idle(PATIENCE)
        assert taken[2:] == [MOST_WAITING]


class TestSink:
    """What a sink gives up."""

    def test_what_expires_goes_there(self, anyio_backend: str) -> None:
        """With the reason, and the account agrees."""
        fake = make_fake()
        fake.faults.append(Hang(operation="PutRecords"))
        receiver = Receiver()
        sink = make_sink(fake, backend=anyio_backend, time_to_live=0.3, dead_letter=receiver)
        sink.emit(b"keyless")
        sink.emit(b"keyed", "key")
        wait_until(lambda: len(receiver.letters) == 2)
        assert {(each.data, each.reason) for each in receiver.letters} == {
            (b"keyless", DropReason.EXPIRED),
            (b"keyed", DropReason.EXPIRED),
        }
        fake.faults.clear()
        fake.release()
        sink.close()
        assert adds_up(sink.statistics())
        assert sink.statistics().lost == 2

    def test_what_a_closing_sink_gives_up_is_there_when_it_is_closed(
        self, tmp_path: Path, anyio_backend: str
    ) -> None:
        """Nobody looks into the file before."""
        fake = make_fake()
        fake.faults.append(Hang(operation="PutRecords"))
        file = tmp_path / "given-up.jsonl"
        sink = make_sink(fake, backend=anyio_backend, shutdown_timeout=0.2, dead_letter=str(file))
        sink.emit(b"event")
        sink.close()
        wait_until(lambda: sink._background.idle)
        assert json.loads(file.read_bytes())["data"] == "event"
        fake.release()

    def test_the_oldest_go_there_where_room_is_scarce(self) -> None:
        """The newest arrive, and each event is in one place."""
        fake = make_fake()
        fake.faults.append(Hang(operation="PutRecords"))
        receiver = Receiver()
        sink = make_sink(
            fake, overflow="drop_oldest", dead_letter=receiver, max_pending_events=100,
            linger=0.001, max_requests_in_flight=1,
        )  # fmt: skip
        events = [b"%04d" % number for number in range(1000)]
        # One event is in a call, which nobody can take it out of.
        sink.emit(events[0])
        wait_until(lambda: sink.statistics().requests == 1)
        for position in range(0, 1000, 10):
            for event in events[max(1, position) : position + 10]:
                assert sink.emit(event)
            wait_until(lambda: not sink._intake.waiting)
        assert sink.statistics().pending <= 100
        fake.faults.clear()
        fake.release()
        assert sink.close()
        arrived, given_up = landed(fake), [letter.data for letter in receiver.letters]
        wait_until(lambda: len(receiver.letters) == sink.statistics().lost)
        assert sorted([*arrived, *given_up]) == events
        assert arrived[-1] == b"0999"
        assert adds_up(sink.statistics())
        assert sink.statistics().dropped.keys() == {DropReason.QUEUE_FULL}


def test_what_is_left_at_exit_goes_there_and_is_told(tmp_path: Path) -> None:
    """Also where nobody has closed anything."""
    file = tmp_path / "given-up.jsonl"
    ran = run_script(
        """
        import kinesink
        sink = kinesink.Sink(kinesink.Config.from_environment())
        for number in range(3):
            sink.emit(b"event %d" % number)
        """,
        KINESINK_STREAM_NAME="app",
        KINESINK_ENDPOINT_URL="http://127.0.0.1:9",
        KINESINK_SHUTDOWN_TIMEOUT="1",
        KINESINK_DEAD_LETTER=str(file),
    )
    assert ran.status == 0
    assert "3 events (21 bytes) not delivered to 'app' within 1 s" in ran.err
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [line["data"] for line in lines] == ["event 0", "event 1", "event 2"]
    assert {line["reason"] for line in lines} == {"shutdown"}


def test_who_waits_for_a_result_is_not_given_up_for_newer_ones() -> None:
    """And what cannot be given up is not looked through again at once."""
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, overflow="drop_oldest", max_pending_events=8)
    futures = []
    for number in range(8):
        futures.append(sink.submit(b"%d" % number))
        wait_until(lambda: not sink._intake.waiting)
    producer = sink._background._producer
    assert producer is not None
    task = producer._task
    assert task is not None
    wait_until(lambda: task._room_at > 0)
    fake.faults.clear()
    fake.release()
    assert all(future.result(PATIENCE).success for future in futures)
    assert sink.close()
    assert sink.statistics().lost == 0
