"""The fake over HTTP on the loopback interface: boto3, raw sockets, trouble, and a clean end."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError

from kinesink.testing import (
    Ending,
    FakeKinesis,
    Hang,
    Latency,
    RawAnswer,
    RequestError,
    Reset,
    Server,
)
from tests.testing.calls import entry, fake_with, headers_of, request_of


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with the stream ``s`` of four shards, on the real clock."""
    return fake_with(shards=4, clock=time.time)


@pytest.fixture
def server(fake: FakeKinesis) -> Iterator[Server]:
    """Serve the fake, and prove that nothing is left afterwards."""
    before = set(threading.enumerate())
    with fake.serve() as running:
        yield running
    assert set(threading.enumerate()) <= before


def client_of(server: Server, **options: Any) -> Any:  # noqa: ANN401 - boto3 makes its types
    """Return a boto3 client that does not retry; close it with ``contextlib.closing``."""
    return boto3.client(
        "kinesis",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, **options),
    )


def connect(server: Server) -> socket.socket:
    """Return a socket that a test closes by ``with``."""
    made = socket.create_connection(("127.0.0.1", server.port))
    made.settimeout(10)
    return made


def put_request(extra: str = "") -> bytes:
    """Return a PutRecord request as bytes."""
    request = request_of("PutRecord", {"StreamName": "s", **entry()})
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    length = f"Content-Length: {len(request.body)}\r\n"
    return f"POST / HTTP/1.1\r\n{headers}{length}{extra}\r\n".encode() + request.body


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


class TestBoto3:
    """The AWS SDK takes it for the service."""

    def test_records_go_in_and_come_out(self, server: Server, fake: FakeKinesis) -> None:
        """Written with PutRecords, read back through iterators of all shards."""
        with contextlib.closing(client_of(server)) as kinesis:
            kinesis.put_records(
                StreamName="s",
                Records=[{"Data": b"%d" % n, "PartitionKey": str(n)} for n in range(100)],
            )
            found = []
            for shard in kinesis.list_shards(StreamName="s")["Shards"]:
                iterator = kinesis.get_shard_iterator(
                    StreamName="s", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
                found += kinesis.get_records(ShardIterator=iterator)["Records"]

        assert sorted(int(record["Data"]) for record in found) == list(range(100))
        assert {record["ApproximateArrivalTimestamp"].date() for record in found}
        assert len(fake.records("s")) == 100

    def test_waiters_see_streams_come_and_go(self, server: Server) -> None:
        """DescribeStream says what they wait for."""
        with contextlib.closing(client_of(server)) as kinesis:
            kinesis.create_stream(StreamName="t", ShardCount=2)
            kinesis.get_waiter("stream_exists").wait(StreamName="t")
            kinesis.delete_stream(StreamName="t")
            kinesis.get_waiter("stream_not_exists").wait(StreamName="t")

            assert kinesis.list_streams()["StreamNames"] == ["s"]

    def test_its_signature_is_dated_right(self, server: Server, fake: FakeKinesis) -> None:
        """With the clock checked, a right one passes."""
        fake.check_clock = True
        with contextlib.closing(client_of(server)) as kinesis:
            kinesis.describe_stream_summary(StreamName="s")

        assert fake.calls[0].headers["x-amz-date"].endswith("Z")

    def test_errors_arrive_with_code_and_request_id(
        self, server: Server, fake: FakeKinesis
    ) -> None:
        """As ``ClientError``, from the service or from a proxy."""
        fake.script(RawAnswer(operation="ListShards"))
        with contextlib.closing(client_of(server)) as kinesis:
            with pytest.raises(ClientError) as refused:
                kinesis.put_record(StreamName="t", Data=b"x", PartitionKey="p")
            with pytest.raises(ClientError) as proxied:
                kinesis.list_shards(StreamName="s")

        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
        assert refused.value.response["ResponseMetadata"]["RequestId"]
        assert proxied.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502

    @pytest.mark.parametrize("ending", [Ending.REFUSE, Ending.RESET])
    def test_broken_connections_are_told_as_such(
        self, server: Server, fake: FakeKinesis, ending: Ending
    ) -> None:
        """And the next call, on a new connection, is fine."""
        fake.script(Reset(ending=ending, times=1))
        with contextlib.closing(client_of(server)) as kinesis:
            with pytest.raises((HTTPClientError, EndpointConnectionError)):
                kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="p")

            assert kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="p")

    def test_half_an_answer_is_half_an_answer(self, server: Server, fake: FakeKinesis) -> None:
        """The length announced is that of the whole; boto3 does not look, so httpx is asked."""
        fake.script(Reset(ending=Ending.CUT))

        with pytest.raises(
            httpx.RemoteProtocolError, match="without sending complete message body"
        ):
            httpx.post(
                server.endpoint_url,
                content=b"{}",
                headers=headers_of("ListStreams"),
                trust_env=False,
            )

    def test_many_clients_at_once_lose_nothing(self, server: Server, fake: FakeKinesis) -> None:
        """Every call of eight threads lands once."""
        with contextlib.closing(client_of(server, max_pool_connections=8)) as kinesis:

            def put(number: int) -> None:
                kinesis.put_record(StreamName="s", Data=b"%d" % number, PartitionKey="p")

            with ThreadPoolExecutor(8) as threads:
                list(threads.map(put, range(80)))

        assert sorted(int(record.data) for record in fake.records("s")) == list(range(80))


class TestHttp:
    """As much HTTP/1.1 as clients speak, and a status for the rest."""

    def test_requests_follow_each_other_on_one_connection(
        self, server: Server, fake: FakeKinesis
    ) -> None:
        """Also when they are sent at once, or byte by byte."""
        twice = put_request() * 2
        with connect(server) as connection:
            connection.sendall(twice[:7])
            connection.sendall(twice[7:])
            for byte in put_request("Connection: close\r\n"):
                connection.sendall(bytes([byte]))
            received = read_all(connection)

        assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert received.count(b"Connection: close\r\n") == 1
        assert len(fake.records("s")) == 3

    def test_an_older_client_is_not_kept(self, server: Server) -> None:
        """HTTP/1.0 means one request per connection."""
        with connect(server) as connection:
            connection.sendall(put_request().replace(b"HTTP/1.1", b"HTTP/1.0"))

            assert b" 200 OK\r\n" in read_all(connection)

    def test_a_client_that_asks_first_is_told_to_go_on(self, server: Server) -> None:
        """``Expect: 100-continue``."""
        head, _, body = put_request("Expect: 100-continue\r\nConnection: close\r\n").partition(
            b"\r\n\r\n"
        )
        with connect(server) as connection:
            connection.sendall(head + b"\r\n\r\n")
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)

            assert b"HTTP/1.1 200 OK\r\n" in read_all(connection)

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"POST / HTTP/2\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            (b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        ],
        ids=lambda value: value[-20:].decode() if isinstance(value, bytes) else str(value),
    )
    def test_what_it_does_not_take_is_refused(
        self, server: Server, sent: bytes, status: int
    ) -> None:
        """With the status that says why, and the connection closed."""
        with connect(server) as connection:
            connection.sendall(sent)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                received = read_all(connection)

        assert received.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close" in received

    def test_a_client_may_leave_in_the_middle(self, server: Server, fake: FakeKinesis) -> None:
        """Half a request has no effect."""
        with connect(server) as connection:
            connection.sendall(put_request()[:-5])
        with connect(server) as connection:
            connection.sendall(put_request("Connection: close\r\n"))
            read_all(connection)

        assert len(fake.records("s")) == 1

    def test_a_get_is_answered_too(self, server: Server) -> None:
        """As something that is no request of this API."""
        assert httpx.get(server.endpoint_url, trust_env=False).status_code == 403

    def test_an_answer_without_a_body_has_length_zero(self, server: Server) -> None:
        """Control operations."""
        response = httpx.post(
            server.endpoint_url,
            content=b'{"StreamName":"t","ShardCount":1}',
            headers=headers_of("CreateStream"),
            trust_env=False,
        )

        assert (response.status_code, response.headers["content-length"]) == (200, "0")

    def test_unusual_status_codes_are_sent(self, server: Server, fake: FakeKinesis) -> None:
        """Also one without a name."""
        fake.script(RequestError("X", status=599))

        response = httpx.post(
            server.endpoint_url, content=b"{}", headers=headers_of("ListStreams"), trust_env=False
        )

        assert response.status_code == 599


class TestTime:
    """Latency and hangs take real time here, and closing the server ends them."""

    def test_latency_delays_the_answer(self, server: Server, fake: FakeKinesis) -> None:
        """On the way in and on the way out."""
        fake.script(Latency(request=0.03, answer=0.03))
        begun = time.monotonic()

        with contextlib.closing(client_of(server)) as kinesis:
            kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="p")

        assert time.monotonic() - begun >= 0.06

    def test_a_hanging_call_goes_on_when_released(self, server: Server, fake: FakeKinesis) -> None:
        """From any thread."""
        fake.script(Hang(times=1))
        with connect(server) as connection:
            connection.sendall(put_request("Connection: close\r\n"))
            while not fake.hanging:
                threading.Event().wait(0.001)
            assert fake.records("s") == []
            fake.release()

            assert b"200 OK" in read_all(connection)

    @pytest.mark.parametrize(
        "fault", [Hang(), Latency(request=3600), Latency(answer=3600), Hang(applied=True)]
    )
    def test_closing_breaks_what_waits(self, fake: FakeKinesis, fault: Hang | Latency) -> None:
        """At once, and its connection is gone."""
        fake.script(fault)
        begun = time.monotonic()

        with fake.serve() as server:
            connection = connect(server)
            connection.sendall(put_request())
            while not fake.count("PutRecord"):
                threading.Event().wait(0.001)

        with connection, contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        assert time.monotonic() - begun < 30
        assert fake.hanging == 0


class TestRunning:
    """Starting, stopping, and running as a program."""

    def test_the_port_can_be_chosen(self, server: Server, fake: FakeKinesis) -> None:
        """A port that is taken is an error; before it runs, port 0 is any."""
        with pytest.raises(OSError, match="in use"):
            fake.serve(server.port).open()
        assert server.endpoint_url == f"http://127.0.0.1:{server.port}"
        assert fake.serve().port == 0

    def test_a_second_close_does_nothing(self, fake: FakeKinesis) -> None:
        """Nor does closing what never ran."""
        server = fake.serve()
        server.close()
        with fake.serve() as running:
            running.close()
        running.close()

    def test_a_program_waits_until_it_is_closed(self, fake: FakeKinesis) -> None:
        """``wait_closed`` returns when another thread closes."""
        server = fake.serve()
        server.open()
        waiting = threading.Thread(target=server.wait_closed)
        waiting.start()

        assert waiting.is_alive()
        server.close()
        waiting.join(10)

        assert not waiting.is_alive()

    def test_idle_connections_do_not_hold_up_the_end(self, fake: FakeKinesis) -> None:
        """They are closed."""
        with fake.serve() as server:
            connections = [connect(server) for _ in range(5)]
        for connection in connections:
            with connection, contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""

    def test_connections_are_bounded(
        self, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The third client waits until one of two leaves; a full house can be closed."""
        monkeypatch.setattr("kinesink.testing.server.MAX_CONNECTIONS", 2)
        with fake.serve() as server:
            first, second = connect(server), connect(server)
            for connection in (first, second):
                connection.sendall(put_request())
                connection.recv(65536)
            third = connect(server)
            third.sendall(put_request("Connection: close\r\n"))
            assert len(fake.records("s")) == 2
            first.close()

            assert b"200 OK" in read_all(third)
            fourth = connect(server)
            fourth.sendall(put_request())
            fourth.recv(65536)
        for connection in (second, third, fourth):
            connection.close()
