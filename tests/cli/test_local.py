"""``kinesink local``: what it says, what it keeps, and that real clients can use it."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

import boto3
import pytest

from kinesink.testing import FakeKinesis, Server
from tests.cli.commands import PATIENCE, run, start, words

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.commands import Ran

    Actions = list[Callable[[FakeKinesis], object]]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Actions:
    """Collect what is to be done while the server runs; a signal in it ends the server."""
    actions: Actions = []
    fakes: list[FakeKinesis] = []
    serve = FakeKinesis.serve

    def remember(self: FakeKinesis, port: int = 0) -> Server:
        fakes.append(self)
        return serve(self, port)

    def act(_: Server) -> None:
        for action in actions:
            action(fakes[-1])
        threading.Event().wait(PATIENCE)

    monkeypatch.setattr(FakeKinesis, "serve", remember)
    monkeypatch.setattr(Server, "wait_closed", act)
    return actions


def local(*arguments: str) -> Ran:
    """Run a server on any free port."""
    return run("local", "--port", "0", *arguments)


def stop(_: FakeKinesis) -> None:
    """End the server as Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def test_it_says_what_to_paste(meanwhile: Actions) -> None:
    """And what there is, and at the end what there was."""
    meanwhile += [lambda fake: fake.put("app-logs", b"x"), stop]
    status, out, err = local("--stream", "app-logs:4", "--stream", "b")
    assert (status, err) == (130, "")
    assert "export AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:" in out
    assert "export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local" in out
    assert "AWS_DEFAULT_REGION=us-east-1" in out
    assert "  app-logs  4 shards, 0 records\n  b  1 shard, 0 records\n" in out
    assert out.endswith("stopped; 2 streams, 1 record\n")


def test_without_streams_it_says_how_to_make_one(
    meanwhile: Actions,
) -> None:
    """A client may do it as well."""
    meanwhile += [stop]
    assert "No streams yet: --stream NAME" in local().out


def test_it_keeps_streams_from_one_run_to_the_next(meanwhile: Actions, tmp_path: Path) -> None:
    """A stream that was brought back stays as it is, whatever is asked for."""
    file = str(tmp_path / "streams")
    meanwhile += [lambda fake: fake.put("app-logs", b"x"), stop]
    first = local("--stream", "app-logs:2", "--persist", file)
    assert first.out.endswith(f"stopped; 1 stream, 1 record; saved to {file}\n")
    second = local("--stream", "app-logs:3", "--persist", file)
    assert f"Kept in {file}." in second.out
    assert "  app-logs  2 shards, 1 record\n" in second.out
    assert "1 stream, 2 records" in second.out


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_every_signal_that_ends_it_saves(meanwhile: Actions, tmp_path: Path, name: str) -> None:
    """Containers and closed terminals send others than Ctrl-C does."""
    number = getattr(signal, name)
    meanwhile += [
        lambda fake: fake.create_stream("made-later"),
        lambda _: signal.raise_signal(number),
    ]
    assert local("--persist", str(tmp_path / "streams")).status == 128 + number
    assert b"made-later" in (tmp_path / "streams").read_bytes()


def test_a_second_signal_does_not_interrupt_the_saving(
    meanwhile: Actions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An impatient person would lose everything otherwise."""
    save = FakeKinesis.save

    def interrupted(self: FakeKinesis, path: Path) -> None:
        if self.streams():
            signal.raise_signal(signal.SIGINT)
        save(self, path)

    monkeypatch.setattr(FakeKinesis, "save", interrupted)
    meanwhile += [stop]
    assert local("--stream", "a", "--persist", str(tmp_path / "streams")).status == 130
    assert b'"a"' in (tmp_path / "streams").read_bytes()


def test_handlers_are_put_back(meanwhile: Actions) -> None:
    """A program that calls the command has its own."""
    before = signal.getsignal(signal.SIGTERM)
    meanwhile += [stop]
    local()
    assert signal.getsignal(signal.SIGTERM) is before


def test_limits_are_those_of_the_service(
    meanwhile: Actions,
) -> None:
    """Of writes and of reads; without the option there are none."""
    seen = []
    meanwhile += [lambda fake: seen.append(fake.shard_limits), stop]
    local("--limits")
    local()
    limits, none = seen
    assert limits is not None
    assert (limits.records_per_second, limits.bytes_per_second) == (1000, 2**20)
    assert (limits.reads_per_second, limits.read_bytes_per_second) == (5, 2**21)
    assert none is None


def test_a_signal_that_comes_before_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends it as any other does."""
    monkeypatch.setattr(Server, "open", lambda _: signal.raise_signal(signal.SIGINT))
    assert local() == (130, "stopped; 0 streams, 0 records\n", "")


@pytest.mark.parametrize("text", ["", "a b", "a:0", "a:x", "a:", ":4", "a" * 129])
def test_what_is_no_stream_is_refused(text: str) -> None:
    """Before anything runs."""
    status, _, err = local("--stream", text)
    assert status == 2
    assert "is no stream" in words(err)


def test_a_port_that_is_taken_is_told() -> None:
    """With what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = run("local", "--port", str(port))
    assert status == 1
    assert err.startswith(f"kinesink: port {port} of 127.0.0.1 cannot be used: ")
    assert err.endswith("; choose another one with --port.\n")


def test_a_broken_file_is_told_and_left_alone(tmp_path: Path) -> None:
    """Nothing is served that is not all there."""
    file = tmp_path / "streams"
    file.write_text("{}\n")
    status, _, err = local("--persist", str(file))
    assert status == 1
    assert err == (
        f"kinesink: the streams in {file} cannot be read: line 1 is none of a file of streams "
        "(KeyError); move the file away to begin anew.\n"
    )
    assert file.read_text() == "{}\n"


def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence."""

    def denied(self: FakeKinesis, path: Path) -> None:
        del self, path
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FakeKinesis, "load", denied)
    file = tmp_path / "streams"
    assert local("--persist", str(file)) == (
        1, "", f"kinesink: {file} cannot be read: Permission denied.\n",
    )  # fmt: skip


def test_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    """At the end it would cost what was written meanwhile."""
    file = tmp_path / "none" / "streams"
    status, _, err = local("--persist", str(file))
    assert status == 1
    assert err == f"kinesink: streams cannot be saved to {file}: No such file or directory.\n"


# -- as a program -------------------------------------------------------------------------------


def ready(server: subprocess.Popen[str]) -> str:
    """Return the endpoint of a server that runs, once its introduction is there."""
    assert server.stdout is not None
    endpoint = ""
    for line in server.stdout:
        if "AWS_ENDPOINT_URL_KINESIS=" in line:
            endpoint = line.strip().partition("=")[2]
        if line.startswith(("Streams:", "No streams")):
            return endpoint
    raise AssertionError(server.communicate())


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[str]]]:
    """Collect programs, which end with the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for server in started:
        server.kill()
        server.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_boto3_uses_it_from_one_run_to_the_next(
    servers: list[subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variables that it tells to paste, and nothing else."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    arguments = ("local", "--port", "0", "--persist", str(tmp_path / "streams"))

    servers.append(start(*arguments))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", ready(servers[-1]))
    client = boto3.client("kinesis")
    client.create_stream(StreamName="orders", ShardCount=2)
    client.get_waiter("stream_exists").wait(StreamName="orders")
    put = client.put_record(StreamName="orders", PartitionKey="a", Data=b"\x00kept")
    client.close()
    servers[-1].send_signal(signal.SIGINT)
    out, err = servers[-1].communicate(timeout=PATIENCE)
    assert (servers[-1].returncode, err) == (130, "")
    assert "stopped; 1 stream, 1 record; saved to" in out

    servers.append(start(*arguments))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", ready(servers[-1]))
    client = boto3.client("kinesis")
    iterator = client.get_shard_iterator(
        StreamName="orders", ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = client.get_records(ShardIterator=iterator)["Records"]
    client.close()
    assert (record["Data"], record["SequenceNumber"]) == (b"\x00kept", put["SequenceNumber"])
    servers[-1].send_signal(signal.SIGTERM)
    servers[-1].communicate(timeout=PATIENCE)
    assert servers[-1].returncode == 143
