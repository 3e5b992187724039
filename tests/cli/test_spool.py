"""``kinesink spool``: what is on disk is counted, written out, sent, and removed, and no more."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread

from kinesink.cli.spool import files, holders, listing, purging
from kinesink.cli.spool.files import HeldError, UnusableError, opened
from kinesink.cli.spool.sending import Sent, StoppedError, opened_in_thread, send
from kinesink.cli.words import size_of
from kinesink.config import Config
from kinesink.shell.kinesis import KinesisClient
from kinesink.shell.producer import Producer
from kinesink.spool.directory import SpoolDirectory
from kinesink.spool.event import SpooledEvent
from kinesink.testing import FakeKinesis, RejectRequest
from tests.cli.commands import Terminal, run, words
from tests.cli.endpoints import kinesis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.spool.file import SpoolFile

AT = 1_795_415_316.0
"""2026-11-23T06:28:36Z"""


def event(number: int, **members: Any) -> SpooledEvent:  # noqa: ANN401 - any member
    """Return an event that tells its number."""
    return SpooledEvent(b'{"n":%d}' % number, None, None, 20, AT + number)._replace(**members)


def new_file(path: Path, *events: SpooledEvent, stream: str = "app") -> SpoolFile:
    """Return a file of a stream that this process has, with events in it."""
    file = SpoolDirectory(path, stream, 2**30).open()
    file.append(events)
    return file


def left_file(path: Path, *events: SpooledEvent, stream: str = "app") -> Path:
    """Return the path of a file that nobody has."""
    file = new_file(path, *events, stream=stream)
    file.close(remove_if_empty=False)
    return file.path


async def there(path: Path, *events: SpooledEvent) -> Path:
    """Return the same from within an event loop."""
    return await to_thread.run_sync(left_file, path, *events)


def garbage(path: Path, name: str = "1-2-3.db") -> Path:
    """Return the path of a file that is no spool, beside those of a stream."""
    folder = left_file(path, event(0)).parent
    (folder / name).write_bytes(b"garbage")
    return folder / name


@pytest.fixture
def held(tmp_path: Path) -> Iterator[SpoolFile]:
    """Return a file that a process has."""
    file = new_file(tmp_path, event(7))
    yield file
    file.close()


class TestLs:
    """What is there is counted."""

    def test_events_bytes_and_times(self, tmp_path: Path) -> None:
        """Of each file, and in all."""
        path = left_file(tmp_path, event(0), event(60))
        other = left_file(tmp_path, event(120), stream="other")
        status, out, err = run("spool", "ls", str(tmp_path))
        assert (status, err) == (0, "")
        assert out == (
            f"{path.parent}\n"
            f"  {path.name}  2 events, 15 B, 2026-11-23T06:28:36Z to 2026-11-23T06:29:36Z\n"
            f"{other.parent}\n"
            f"  {other.name}  1 event, 9 B, 2026-11-23T06:30:36Z to 2026-11-23T06:30:36Z\n"
            "left in all: 3 events, 24 B, 2026-11-23T06:28:36Z to 2026-11-23T06:30:36Z\n"
        )

    def test_a_folder_or_a_file_by_itself(self, tmp_path: Path) -> None:
        """The others are left alone."""
        path = left_file(tmp_path, event(0))
        left_file(tmp_path, event(1), stream="other")
        for place in (path, path.parent):
            assert "left in all: 1 event, " in run("spool", "ls", str(place)).out

    def test_nothing_is_changed(self, tmp_path: Path) -> None:
        """Neither an event nor a name, and no lock is left."""
        path = left_file(tmp_path, event(0))
        left_file(tmp_path)
        before = sorted(path.parent.iterdir())
        assert "  0 events, 0 B" in run("spool", "ls", str(tmp_path), "--json").out.replace(
            '"events":0,"bytes":0', "  0 events, 0 B"
        )
        assert sorted(path.parent.iterdir()) == before
        with opened(path) as file:
            assert list(file.events()) == [event(0)]

    def test_what_a_killed_process_has_left_is_counted_whole(self, tmp_path: Path) -> None:
        """Its last events are in a log beside the file."""
        file = new_file(tmp_path, event(0))
        copies = tmp_path / "copies" / "app-1"
        copies.mkdir(parents=True)
        for each in file.path.parent.iterdir():
            if each.suffix != ".lock":
                (copies / each.name).write_bytes(each.read_bytes())
        file.close()
        assert "1 event, 7 B" in run("spool", "ls", str(copies)).out

    def test_a_file_in_use_is_told_and_not_opened(
        self, tmp_path: Path, held: SpoolFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the process, where the system knows."""
        monkeypatch.setattr(listing, "holder_of", lambda _: 4711)
        assert (
            f"{held.path.name}  in use by process 4711, " in run("spool", "ls", str(tmp_path)).out
        )
        monkeypatch.setattr(listing, "holder_of", lambda _: None)
        assert f"{held.path.name}  in use, " in run("spool", "ls", str(tmp_path)).out
        assert held.read(10)[0][1] == event(7)

    @pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells")
    def test_linux_tells_the_process(self, held: SpoolFile) -> None:
        """This one."""
        assert holders.holder_of(held.path.with_suffix(".lock")) == os.getpid()

    @pytest.mark.parametrize(
        ("locks", "found"),
        [
            ("1: FLOCK  ADVISORY  WRITE 4711 fd:00:{inode} 0 EOF", 4711),
            ("1: POSIX  ADVISORY  WRITE 4711 fd:00:{inode} 0 EOF", None),
            ("1: FLOCK  ADVISORY  WRITE 0 fd:00:{inode} 0 EOF", None),
            ("1: -> FLOCK  ADVISORY", None),
            ("1: FLOCK A W 5 fd:00:{inode} 0 EOF\n2: FLOCK A W 6 fe:00:{inode} 0 EOF", None),
            ("", None),
        ],
    )  # fmt: skip
    def test_a_process_is_told_only_if_it_is_certain(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str, found: int | None
    ) -> None:
        """Of another kind of lock, another file system or another container nothing is known."""
        lock, table = tmp_path / "lock", tmp_path / "locks"
        lock.touch()
        table.write_text(locks.format(inode=lock.stat().st_ino))
        monkeypatch.setattr(holders, "_LOCKS", table)
        assert holders.holder_of(lock) == found

    def test_a_system_that_tells_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There the file is in use, and that is all."""
        monkeypatch.setattr(holders, "_LOCKS", tmp_path / "none")
        assert holders.holder_of(tmp_path) is None

    def test_what_is_no_spool_is_told_and_left(self, tmp_path: Path) -> None:
        """With the reason."""
        path = garbage(tmp_path)
        out = run("spool", "ls", str(tmp_path)).out
        assert f"{path.name}  unreadable (file is not a database), 7 B on disk\n" in out
        assert path.read_bytes() == b"garbage"

    def test_a_newer_version_is_told(self, tmp_path: Path) -> None:
        """Who knows it reads it."""
        path = left_file(tmp_path, event(0))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=9")
        connection.close()
        assert "it is of version 9; this one knows 1" in run("spool", "ls", str(tmp_path)).out

    def test_what_was_set_aside_is_told(self, tmp_path: Path) -> None:
        """It was found corrupt before."""
        path = garbage(tmp_path, "1-2-3.db.corrupt-20261123T062836Z")
        assert f"{path.name}  set aside, 7 B on disk" in run("spool", "ls", str(tmp_path)).out

    def test_a_line_of_json_for_each_file(self, tmp_path: Path) -> None:
        """For programs."""
        left = left_file(tmp_path, event(0))
        broken = garbage(tmp_path)
        lines = map(json.loads, run("spool", "ls", str(tmp_path), "--json").out.splitlines())
        found = {line["file"]: line for line in lines}
        assert found[str(left)] == {
            "file": str(left), "state": "left", "process": None,
            "disk_bytes": left.stat().st_size, "events": 1, "bytes": 7,
            "oldest": "2026-11-23T06:28:36Z", "newest": "2026-11-23T06:28:36Z", "why": None,
        }  # fmt: skip
        assert found[str(broken)]["state"] == "unreadable"
        assert found[str(broken)]["events"] is None

    def test_an_empty_directory_holds_nothing(self, tmp_path: Path) -> None:
        """Which is no error."""
        (tmp_path / "a" / "b").mkdir(parents=True)
        assert run("spool", "ls", str(tmp_path)) == (0, "left in all: 0 events, 0 B\n", "")

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        """It is an error, for it is misspelt."""
        status, _, err = run("spool", "ls", str(tmp_path / "none"))
        assert status == 1
        assert err == (
            f"kinesink: {tmp_path / 'none'} cannot be read: No such file or directory.\n"
        )

    def test_a_file_that_disappears_meanwhile(self, tmp_path: Path) -> None:
        """Whoever looks at the same time may have adopted and emptied it."""
        path = left_file(tmp_path, event(0))
        path.unlink()
        assert listing._look(path).why == "it has been taken over or removed meanwhile"
        assert listing._look(path).disk_bytes == 0

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (5 * 2**20, "5.0 MiB"),
            (2**40, "1,024.0 GiB"),
        ],
    )
    def test_sizes(self, size: int, text: str) -> None:
        """In units of 1,024."""
        assert size_of(size) == text


class TestExport:
    """What is there is written out."""

    def test_lines_of_json_hold_all_of_it(self, tmp_path: Path) -> None:
        """Text as text, bytes in base64."""
        left_file(
            tmp_path,
            event(0),
            SpooledEvent(b"\xff", "key", 2**128 - 1, None, AT),
        )
        status, out, err = run("spool", "export", str(tmp_path))
        assert (status, err) == (0, "")
        assert [json.loads(line) for line in out.splitlines()] == [
            {
                "data": '{"n":0}', "partition_key": None, "explicit_hash_key": None,
                "level": 20, "at": AT,
            },
            {
                "base64": "/w==", "partition_key": "key", "explicit_hash_key": str(2**128 - 1),
                "level": None, "at": AT,
            },
        ]  # fmt: skip

    def test_raw_data_are_lines(self, tmp_path: Path) -> None:
        """One that ends with a line feed gets no second."""
        left_file(tmp_path, event(1), event(2, data=b"two\n"))
        assert run("spool", "export", str(tmp_path), "--raw").out == '{"n":1}\ntwo\n'

    def test_more_than_is_read_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In order."""
        monkeypatch.setattr(files, "PAGE", 3)
        path = left_file(tmp_path, *map(event, range(10)))
        with opened(path) as file:
            assert list(file.events()) == list(map(event, range(10)))

    @pytest.mark.usefixtures("held")
    def test_what_is_in_use_is_left_out(self, tmp_path: Path) -> None:
        """And said."""
        status, out, err = run("spool", "export", str(tmp_path))
        assert (status, out) == (0, "")
        assert err.endswith("is in use, and left out\n")

    def test_what_cannot_be_read_gives_status_1(self, tmp_path: Path) -> None:
        """The rest is written."""
        path = garbage(tmp_path)
        status, out, err = run("spool", "export", str(tmp_path), "--raw")
        assert (status, out) == (1, '{"n":0}\n')
        assert err.splitlines() == [
            f"kinesink: {path} cannot be read: file is not a database",
            "kinesink: only 1 event written, for 1 file cannot be read.",
        ]


class TestSend:
    """What has arrived is removed, and nothing else."""

    @pytest.fixture
    def fake(self) -> FakeKinesis:
        """Return a service with a stream."""
        fake = FakeKinesis()
        fake.create_stream("app", shards=2)
        return fake

    @staticmethod
    def producer(fake: FakeKinesis, **options: Any) -> Producer:  # noqa: ANN401 - any option
        """Return a producer that talks to a service."""
        given = {
            "region_name": "us-east-1",
            "credentials": ("local", "local"),
            "linger": 0.01,
            **options,
        }
        config = Config("app", on_error=lambda *_: None, **given)
        return Producer(config, client=KinesisClient(config, transport=fake.transport()))

    async def test_what_arrives_is_removed(
        self, tmp_path: Path, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With its keys; a file that is empty then disappears."""
        monkeypatch.setattr(files, "PAGE", 2)
        path = await there(
            tmp_path, event(0), event(1, partition_key="k"), event(2, explicit_hash_key=5)
        )
        sent = Sent()
        async with self.producer(fake) as producer, opened_in_thread(path) as file:
            await send(file, producer, sent)
        assert (sent.delivered, sent.left.total()) == (3, 0)
        assert list(path.parent.iterdir()) == []
        found = {record.data: record for record in fake.user_records("app")}
        assert found[b'{"n":1}'].partition_key == "k"
        assert found[b'{"n":2}'].explicit_hash_key == 5
        assert len(found) == 3

    async def test_nothing_is_removed_that_has_not_arrived(
        self, tmp_path: Path, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nothing more is tried where nothing arrives."""
        monkeypatch.setattr(files, "PAGE", 2)
        fake.script(RejectRequest())
        path = await there(tmp_path, *map(event, range(5)))
        sent = Sent()
        async with (
            self.producer(fake) as producer,
            opened_in_thread(path) as file,
        ):
            with pytest.raises(StoppedError):
                await send(file, producer, sent)
            left = await to_thread.run_sync(file.content)
        assert left.events == 5
        assert (sent.delivered, sent.left.total()) == (0, 2)
        assert "One of the records is invalid" in sent.error

    async def test_one_that_no_stream_takes_stays(self, tmp_path: Path, fake: FakeKinesis) -> None:
        """The others go."""
        path = await there(tmp_path, event(0), event(1, data=bytes(2**20 + 1)), event(2))
        sent = Sent()
        async with self.producer(fake) as producer, opened_in_thread(path) as file:
            await send(file, producer, sent)
            left = await to_thread.run_sync(file.read, 0)
        assert [row for row, _ in left] == [2]
        assert (sent.delivered, dict(sent.left)) == (2, {"invalid": 1})

    async def test_a_page_of_those_alone_stops_nothing(
        self, tmp_path: Path, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It says nothing of the stream."""
        monkeypatch.setattr(files, "PAGE", 1)
        path = await there(tmp_path, event(1, data=bytes(2**20 + 1)), event(2))
        sent = Sent()
        async with self.producer(fake) as producer, opened_in_thread(path) as file:
            await send(file, producer, sent)
        assert (sent.delivered, sent.left.total()) == (1, 1)


class TestReplay:
    """As a person does it."""

    @pytest.fixture
    def fake(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKinesis]:
        """Return a service with a stream, which the environment tells of."""
        fake = FakeKinesis()
        fake.create_stream("app")
        fake.create_stream("other")
        with kinesis(fake, monkeypatch):
            yield fake

    def test_the_folder_of_the_stream_is_sent(self, tmp_path: Path, fake: FakeKinesis) -> None:
        """Other streams' events stay."""
        left_file(tmp_path, event(0), event(1))
        other = left_file(tmp_path, event(2), stream="other")
        status, out, err = run("spool", "replay", str(tmp_path), "--stream", "app")
        assert (status, err) == (0, "")
        assert out == "2 events delivered to app, 0 tried and still in the spool\n"
        assert [record.data for record in fake.user_records("app")] == [b'{"n":0}', b'{"n":1}']
        assert other.exists()

    def test_another_stream_s_folder_by_its_name(self, tmp_path: Path, fake: FakeKinesis) -> None:
        """Because somebody might mean it."""
        path = left_file(tmp_path, event(0))
        refused = run("spool", "replay", str(tmp_path), "--stream", "other")
        assert refused.status == 1
        assert "there is no folder of stream other in" in refused.err
        assert path.parent.name in refused.err
        assert run("spool", "replay", str(path.parent), "--stream", "other").status == 0
        assert len(fake.user_records("other")) == 1

    def test_a_stream_by_its_arn(self, tmp_path: Path, fake: FakeKinesis) -> None:
        """Its folder is that of its name."""
        left_file(tmp_path, event(0))
        left_file(tmp_path, event(1), stream="other")
        arn = f"arn:aws:kinesis:us-east-1:{fake.account}:stream/app"
        ran = run("spool", "replay", str(tmp_path), "--stream", arn)
        assert (ran.status, ran.err) == (0, "")
        assert [record.data for record in fake.user_records("app")] == [b'{"n":0}']

    def test_the_framing_of_the_application(
        self, tmp_path: Path, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the variable that the application has."""
        monkeypatch.setenv("KINESINK_FRAMING", "lines")
        path = left_file(tmp_path, event(0), event(1))
        assert run("spool", "replay", str(path), "--stream", "app").status == 0
        assert [record.data for record in fake.records("app")] == [b'{"n":0}\n{"n":1}\n']

    @pytest.mark.usefixtures("held", "fake")
    def test_what_is_in_use_is_left_to_its_process(self, tmp_path: Path) -> None:
        """It is on its way."""
        status, out, err = run("spool", "replay", str(tmp_path), "--stream", "app")
        assert (status, out[:8]) == (0, "0 events")
        assert "is in use, and its process sends it" in err

    @pytest.mark.usefixtures("fake")
    def test_what_cannot_be_read_gives_status_1(self, tmp_path: Path) -> None:
        """The rest is sent."""
        garbage(tmp_path)
        status, out, err = run("spool", "replay", str(tmp_path), "--stream", "app")
        assert (status, out[:7]) == (1, "1 event")
        assert err.endswith("kinesink: 1 file cannot be read; see kinesink spool ls.\n")

    def test_what_does_not_arrive_gives_status_1(self, tmp_path: Path, fake: FakeKinesis) -> None:
        """With the reason, and it stays."""
        fake.script(RejectRequest())
        path = left_file(tmp_path, event(0))
        status, out, err = run("spool", "replay", str(tmp_path), "--stream", "app")
        assert status == 1
        assert out.startswith("0 events delivered to app, 1 tried and still in the spool (")
        last = err.splitlines()[-1]
        assert last.startswith("kinesink: not all of it reached stream app, because ")
        assert "One of the records is invalid" in last
        assert path.exists()

    def test_a_name_that_no_stream_has(self, tmp_path: Path) -> None:
        """In one sentence."""
        status, _, err = run("spool", "replay", str(tmp_path), "--stream", "a b")
        assert status == 1
        assert err.startswith("kinesink: stream_name='a b' cannot be used: ")
        assert err.count("\n") == 1

    def test_options_tell_where(
        self, tmp_path: Path, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rather than the environment."""
        left_file(tmp_path, event(0))
        url = os.environ["AWS_ENDPOINT_URL_KINESIS"]
        monkeypatch.delenv("AWS_ENDPOINT_URL_KINESIS")
        monkeypatch.delenv("AWS_REGION")
        ran = run(
            "spool", "replay", str(tmp_path), "--stream", "app",
            "--endpoint-url", url, "--region", "eu-west-1",
        )  # fmt: skip
        assert ran.status == 0, ran.err
        assert len(fake.user_records("app")) == 1


class TestPurge:
    """What is left is removed, if it is wanted."""

    TOLD = "1 event, 7 B, 2026-11-23T06:28:36Z to 2026-11-23T06:28:36Z (1 file)"

    def test_it_asks(self, tmp_path: Path) -> None:
        """And takes only yes for a yes."""
        path = left_file(tmp_path, event(0))
        for answer in ("n\n", "\n", ""):
            ran = run("spool", "purge", str(tmp_path), answer=answer)
            assert ran.status == 1
            assert ran.out.startswith(f"to be removed: {self.TOLD}\n")
            assert ran.err.endswith("nothing was removed\n")
            assert path.exists()
        ran = run("spool", "purge", str(tmp_path), answer="y\n")
        assert ran.status == 0
        assert ran.out.endswith(f"removed: {self.TOLD}\n")
        assert list(path.parent.iterdir()) == []

    def test_it_does_not_ask_for_nothing(self, tmp_path: Path) -> None:
        """There is nothing to lose."""
        assert run("spool", "purge", str(tmp_path)).out == (
            "to be removed: 0 events, 0 B (0 files)\nremoved: 0 events, 0 B (0 files)\n"
        )

    def test_what_cannot_be_read_goes_if_it_is_wanted(self, tmp_path: Path) -> None:
        """Somebody may know how to save it."""
        broken = garbage(tmp_path)
        aside = garbage(tmp_path, "1-2-3.db.corrupt-20261123T062836Z")
        assert run("spool", "purge", str(tmp_path), "--yes").status == 0
        assert broken.exists()
        ran = run("spool", "purge", str(tmp_path), "--yes", "--corrupt")
        assert ran.out.endswith("removed: 0 events, 0 B; 2 files unread, 14 B on disk (2 files)\n")
        assert not broken.exists()
        assert not aside.exists()

    def test_what_is_in_use_stays(self, tmp_path: Path, held: SpoolFile) -> None:
        """Whatever is wanted."""
        assert run("spool", "purge", str(tmp_path), "--yes", "--corrupt").status == 0
        assert held.read(10)[0][1] == event(7)

    @pytest.mark.parametrize(
        ("error", "told"),
        [(HeldError(), "is in use by now, and stays"), (UnusableError("why"), "removed: why")],
    )
    def test_what_stays_against_the_will_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
    ) -> None:
        """Somebody has adopted it meanwhile, or the disk refuses."""

        def refuse(_: Path) -> None:
            raise error

        left_file(tmp_path, event(0))
        monkeypatch.setattr(purging, "remove", refuse)
        ran = run("spool", "purge", str(tmp_path), "--yes")
        assert ran.status == 1
        assert told in ran.err
        assert ran.err.endswith("removed: 0 events, 0 B (0 files); the rest is still there.\n")

    def test_a_file_that_is_gone_is_no_file(self, tmp_path: Path) -> None:
        """It is said."""
        with pytest.raises(UnusableError, match="taken over or removed"):
            files.remove(tmp_path / "1-2-3.db")

    @pytest.mark.slow
    def test_in_a_terminal(self, tmp_path: Path) -> None:
        """By a key, and Ctrl-C is no."""
        path = left_file(tmp_path, event(0))
        terminal = Terminal("spool", "purge", str(tmp_path))
        terminal.wait_for("Remove it for good? [y/N]: ")
        assert terminal.interrupt() == 1
        assert "nothing was removed" in terminal.screen
        assert path.exists()
        terminal = Terminal("spool", "purge", str(tmp_path))
        terminal.wait_for("Remove it for good? [y/N]: ")
        terminal.press("y\r")
        assert terminal.end() == 0
        assert not path.exists()


def test_help_names_the_commands() -> None:
    """One line for each."""
    ran = run("spool", "--help")
    for name in ("ls", "export", "replay", "purge"):
        assert name in words(ran.out)
