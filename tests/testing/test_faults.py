"""Scripted faults: whom they strike, what happens, and how often."""

import pytest

from kinesink.testing import (
    AccessDenied,
    Ending,
    FailEntries,
    FakeKinesis,
    Fault,
    Hang,
    Held,
    Latency,
    RawAnswer,
    RejectRequest,
    Reply,
    RequestError,
    Reset,
    Rewrite,
    ThrottleEntries,
    Truncate,
    WrongResultCount,
)
from tests.testing.calls import CBOR, Answer, Clock, call, entry, fake_with, request_of, send

THROTTLED = "ProvisionedThroughputExceededException"
TOP = 2**128 - 1


def put(fake: FakeKinesis, entries: int = 1, **members: object) -> Answer:
    """Send that many entries to the stream ``s``, with their positions as data."""
    records = [entry(str(position).encode()) for position in range(entries)]
    return call(fake, "PutRecords", **{"StreamName": "s", "Records": records, **members})


def codes(answer: Answer) -> list[str]:
    """Return the error codes of the results, empty for success."""
    return [result.get("ErrorCode", "") for result in answer.members["Records"]]


def landed(fake: FakeKinesis) -> list[int]:
    """Return the positions of the entries that landed."""
    return [int(record.data) for record in fake.records("s")]


class TestWhichCalls:
    """A fault strikes the calls that fit all its conditions."""

    @pytest.mark.parametrize(
        ("fault", "struck"),
        [
            (RequestError("X"), True),
            (RequestError("X", operation="PutRecords", stream="s"), True),
            (RequestError("X", operation="ListShards"), False),
            (RequestError("X", stream="t"), False),
            (RequestError("X", when=lambda made: made.entries == 1), True),
            (RequestError("X", when=lambda made: "x-forwarded-for" in made.headers), False),
            (RequestError("X", times=0), False),
            (RequestError("X", share=0.0), False),
        ],
    )
    def test_all_conditions_have_to_fit(self, fault: Fault, *, struck: bool) -> None:
        """Operation, stream, predicate, number and share."""
        fake = fake_with()
        fake.faults.append(fault)

        assert put(fake).code == ("X" if struck else "")

    def test_a_fault_is_used_up(self) -> None:
        """After ``times`` strikes it is out of the script; the value can be added again."""
        fake = fake_with()
        fault = RequestError("X", times=2)
        fake.script(fault)

        assert [put(fake).code for _ in range(3)] == ["X", "X", ""]
        assert list(fake.faults) == []
        fake.script(fault)
        assert put(fake).code == "X"

    def test_a_share_of_calls_is_struck(self) -> None:
        """About that share, and the same calls for the same seed."""

        def struck(seed: int) -> list[str]:
            fake = fake_with(seed=seed)
            fake.script(RequestError("X", share=0.3))
            return [put(fake).code for _ in range(200)]

        assert 35 < struck(1).count("X") < 85
        assert struck(1) == struck(1) != struck(2)

    def test_faults_can_be_taken_out(self) -> None:
        """One by value, or all at once."""
        fake = fake_with()
        fake.faults.extend([RequestError("A"), RequestError("B"), RequestError("C")])

        fake.faults.remove(RequestError("B"))
        fake.faults.remove(RequestError("A"))
        assert (put(fake).code, len(fake.faults)) == ("C", 1)
        fake.faults.clear()
        assert put(fake).status == 200
        with pytest.raises(ValueError, match="is not in the script"):
            fake.faults.remove(RequestError("A"))

    def test_nothing_strikes_what_is_no_proper_call(self) -> None:
        """A malformed request is refused before any fault, which is not used up."""
        fake = fake_with()
        fake.script(RequestError("X", times=1))

        assert put(fake, Records=7).code == "SerializationException"
        assert len(fake.faults) == 1


class TestEntries:
    """Entries fail one by one, in the place of their result."""

    def test_results_align_with_what_was_scripted(self) -> None:
        """Ok, throttled, InternalFailure, ok: the neighbours are written."""
        fake = fake_with()
        fake.script(ThrottleEntries(positions=[1]), FailEntries(positions=[2]))

        answer = put(fake, 4)

        assert codes(answer) == ["", THROTTLED, "InternalFailure", ""]
        assert answer.members["FailedRecordCount"] == 2
        assert [result.get("ErrorMessage") for result in answer.members["Records"][1:3]] == [
            "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.",
            "Internal Service Failure",
        ]
        assert landed(fake) == [0, 3]

    def test_entries_of_one_shard_are_throttled(self) -> None:
        """The others are not."""
        fake = fake_with(shards=2)
        fake.script(ThrottleEntries(shard_id="shardId-000000000001"))

        answer = put(fake, Records=[entry(hash_key=0), entry(hash_key=TOP)])

        assert codes(answer) == ["", THROTTLED]

    def test_entries_are_chosen_by_what_is_in_them(self) -> None:
        """A predicate sees data and keys; the code may be one that nobody knows."""
        fake = fake_with()
        fake.script(
            FailEntries(
                code="NewInTwentyThirty", message="", entry=lambda put: put.partition_key == "bad"
            )
        )

        answer = put(fake, Records=[entry(key="good"), entry(key="bad")])

        assert codes(answer) == ["", "NewInTwentyThirty"]

    def test_times_counts_entries(self) -> None:
        """Three entries are struck, over however many calls."""
        fake = fake_with()
        fake.script(ThrottleEntries(times=3))

        assert codes(put(fake, 2)) == [THROTTLED, THROTTLED]
        assert codes(put(fake, 2)) == [THROTTLED, ""]

    def test_a_share_of_entries_is_struck(self) -> None:
        """About a tenth of a thousand."""
        fake = fake_with()
        fake.script(ThrottleEntries(share=0.1))

        struck = sum(codes(put(fake, 500)).count(THROTTLED) for _ in range(2))

        assert 60 < struck < 140

    def test_a_failed_entry_may_have_been_written(self) -> None:
        """``applied``: the record is there, and the client is told it failed."""
        fake = fake_with()
        fake.script(FailEntries(applied=True))

        assert codes(put(fake)) == ["InternalFailure"]
        assert landed(fake) == [0]

    def test_a_single_record_is_an_entry_too(self) -> None:
        """PutRecord is refused with what its entry would have been told."""
        fake = fake_with()
        fake.script(ThrottleEntries(message="slow down"))

        answer = call(fake, "PutRecord", StreamName="s", **entry())

        assert (answer.code, answer.message) == (THROTTLED, "slow down")

    def test_listings_have_no_entries(self) -> None:
        """A fault of entries leaves other operations alone."""
        fake = fake_with()
        fake.script(ThrottleEntries(times=1))

        assert call(fake, "ListShards", StreamName="s").status == 200
        assert len(fake.faults) == 1

    def test_a_bad_entry_rejects_the_whole_request(self) -> None:
        """As long as it is in it; halves without it pass."""
        fake = fake_with()
        fake.script(FailEntries(times=0), RejectRequest(entry=lambda put: put.data == b"2"))

        answer = put(fake, 4)

        assert (answer.status, answer.code) == (400, "InvalidArgumentException")
        assert landed(fake) == []
        assert put(fake, 2).status == 200


class TestRequests:
    """The call as a whole is refused, or its answer spoiled."""

    def test_an_error_with_code_status_and_headers(self) -> None:
        """In the format of the call; nothing is written."""
        fake = fake_with()
        fake.script(RequestError("SlowDown", "Please.", status=503, headers={"Retry-After": "2"}))

        answer = send(
            fake, request_of("PutRecords", {"StreamName": "s", "Records": [entry()]}, CBOR)
        )

        assert answer.status == 503
        assert answer.members == {"__type": "SlowDown", "message": "Please."}
        assert answer.headers["Retry-After"] == "2"
        assert landed(fake) == []

    def test_a_missing_permission_names_the_action(self) -> None:
        """As IAM words it."""
        fake = fake_with()
        fake.script(AccessDenied(operation="ListShards"))

        answer = call(fake, "ListShards", StreamName="s")

        assert (answer.status, answer.code) == (400, "AccessDeniedException")
        assert "is not authorized to perform: kinesis:ListShards on resource: s" in answer.message
        assert put(fake).status == 200

    def test_a_call_without_a_stream_is_denied_for_any(self) -> None:
        """The resource is a star."""
        fake = fake_with()
        fake.script(AccessDenied())

        assert "on resource: *" in call(fake, "ListStreams").message

    @pytest.mark.parametrize(
        ("fault", "status", "body"),
        [
            (RawAnswer(), 502, b"<html>"),
            (RawAnswer(503, b"", "text/plain"), 503, b""),
            (RawAnswer(200, b"{", "application/x-amz-json-1.1"), 200, b"{"),
        ],
    )
    def test_a_proxy_answers_in_its_own_way(
        self, fault: RawAnswer, status: int, body: bytes
    ) -> None:
        """Any status, type and body."""
        fake = fake_with()
        fake.script(fault)

        reply = fake.answer(request_of("PutRecords", {"StreamName": "s", "Records": [entry()]}))

        assert isinstance(reply, Reply)
        assert reply.status == status
        assert reply.headers["Content-Type"] == fault.content_type
        assert reply.body.startswith(body)
        assert landed(fake) == []

    @pytest.mark.parametrize(
        "fault", [RequestError("InternalFailure", applied=True), RawAnswer(applied=True)]
    )
    def test_a_refused_call_may_have_been_carried_out(self, fault: Fault) -> None:
        """``applied``: the client is told that it failed, and it did not."""
        fake = fake_with()
        fake.script(fault)

        fake.answer(request_of("PutRecords", {"StreamName": "s", "Records": [entry(b"0")]}))

        assert landed(fake) == [0]

    def test_an_error_of_the_call_itself_comes_first(self) -> None:
        """A fault that lets the call be carried out does not hide that it was wrong."""
        fake = fake_with()
        fake.script(RequestError("InternalFailure", applied=True))

        assert put(fake, StreamName="t").code == "ResourceNotFoundException"

    def test_the_first_refusal_counts(self) -> None:
        """Later ones do not change it."""
        fake = fake_with()
        fake.script(RequestError("A"), RequestError("B", applied=True))

        assert put(fake).code == "A"
        assert landed(fake) == []

    @pytest.mark.parametrize(("by", "results"), [(-1, 2), (-3, 0), (2, 5)])
    def test_results_too_few_or_too_many(self, by: int, results: int) -> None:
        """All entries are written; the last result is repeated or missing."""
        fake = fake_with()
        fake.script(WrongResultCount(by=by))

        assert len(put(fake, 3).members["Records"]) == results
        assert landed(fake) == [0, 1, 2]

    def test_a_single_record_has_no_results_to_miscount(self) -> None:
        """PutRecord is answered as ever."""
        fake = fake_with()
        fake.script(WrongResultCount())

        assert call(fake, "PutRecord", StreamName="s", **entry()).members["SequenceNumber"]

    def test_any_answer_can_be_rewritten(self) -> None:
        """The change sees the right answer and returns another."""
        fake = fake_with()
        fake.script(Rewrite(operation="ListShards", change=lambda right: {**right, "Shards": []}))

        assert call(fake, "ListShards", StreamName="s").members == {"Shards": []}

    def test_a_body_ends_too_early(self) -> None:
        """What is left is no JSON."""
        fake = fake_with()
        fake.script(Truncate(keep=5))

        reply = fake.answer(request_of("PutRecords", {"StreamName": "s", "Records": [entry(b"0")]}))

        assert isinstance(reply, Reply)
        assert (reply.status, len(reply.body)) == (200, 5)
        assert landed(fake) == [0]


class TestTime:
    """Nothing waits here: pauses and gates are returned to whoever carries them out."""

    @staticmethod
    def ask(fake: FakeKinesis) -> Reply | Held:
        """Send one entry."""
        return fake.answer(request_of("PutRecords", {"StreamName": "s", "Records": [entry(b"0")]}))

    def test_latency_after_the_effect(self) -> None:
        """The write is there while the answer is still on its way; latencies add up."""
        fake = fake_with()
        fake.script(Latency(answer=0.2), Latency(answer=0.1))

        reply = self.ask(fake)

        assert isinstance(reply, Reply)
        assert reply.pause.seconds == pytest.approx(0.3)
        assert landed(fake) == [0]

    def test_latency_before_the_effect(self) -> None:
        """What happens meanwhile happens first: the record lands in a child."""
        clock = Clock(1000.0)
        fake = fake_with(clock=clock)
        fake.script(Latency(request=0.5))

        held = self.ask(fake)
        assert isinstance(held, Held)
        assert (held.pause.seconds, landed(fake)) == (0.5, [])
        clock.now = 1000.5
        fake.split_shard("s", "shardId-000000000000")
        held.arrive()

        (record,) = fake.records("s")
        assert record.shard_id != "shardId-000000000000"
        assert record.arrival == 1000.5
        assert fake.calls[0].time == 1000.0

    @pytest.mark.parametrize("applied", [False, True])
    def test_a_hanging_call_waits_for_its_release(self, *, applied: bool) -> None:
        """Its effect comes before or after the wait."""
        fake = fake_with()
        fake.script(Hang(applied=applied))

        waiting = self.ask(fake)
        opened: list[bool] = []
        gate = waiting.pause.gate
        assert gate is not None
        gate.on_open(lambda: opened.append(True))

        assert (isinstance(waiting, Reply), landed(fake) == [0]) == (applied, applied)
        assert (fake.hanging, opened) == (1, [])
        fake.release()
        assert (fake.hanging, opened) == (0, [True])
        gate.on_open(lambda: opened.append(False))
        assert opened == [True, False]

    def test_a_listener_may_lose_interest(self) -> None:
        """It is not called, however often it takes back its name."""
        fake = fake_with()
        fake.script(Hang())
        gate = self.ask(fake).pause.gate
        assert gate is not None

        def listener() -> None:
            raise AssertionError

        gate.on_open(listener)
        gate.forget(listener)
        gate.forget(listener)
        fake.release()

        assert fake.hanging == 0

    def test_calls_after_a_release_hang_again(self) -> None:
        """A release frees those that wait, not those to come."""
        fake = fake_with()
        fake.script(Hang())
        first = self.ask(fake).pause.gate
        fake.release()

        assert self.ask(fake).pause.gate is not first

    @pytest.mark.parametrize(
        ("fault", "written"),
        [
            (Reset(), []),
            (Reset(applied=True), [0]),
            (Reset(ending=Ending.REFUSE), []),
            (Reset(ending=Ending.CUT), [0]),
        ],
    )
    def test_a_connection_breaks(self, fault: Reset, written: list[int]) -> None:
        """Before or after the write; an answer that is cut was preceded by one."""
        fake = fake_with()
        fake.script(fault)

        reply = self.ask(fake)

        assert isinstance(reply, Reply)
        assert reply.ending is fault.ending
        assert landed(fake) == written


class TestPredicates:
    """Predicates of tests may ask the fake they belong to."""

    def test_a_predicate_may_look_at_the_fake(self) -> None:
        """The lock does not stand in its way."""
        fake = fake_with()
        fake.script(RequestError("X", when=lambda _: fake.count("PutRecords") > 1))

        assert [put(fake).code for _ in range(2)] == ["", "X"]
