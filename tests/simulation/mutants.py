"""Ways to break the core, each of which the simulator must notice.

Each is a small lie in one place, such as a careless change could make.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, TypeVar

from kinesink.core import answers, pipeline
from kinesink.core.attempts import AttemptLog
from kinesink.core.calls import Calls
from kinesink.core.ledger import Ledger
from kinesink.core.pace import ShardPace
from kinesink.core.pipeline import Pipeline
from kinesink.core.rate_limiter import RateLimiter
from kinesink.core.records import Answered, Chunk, DropReason
from kinesink.core.refresh import Refresh
from kinesink.core.router import Router
from kinesink.core.stock import Stock
from kinesink.core.verdict import Action, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from kinesink.core.aggregator import Group
    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.entry import Entry
    from kinesink.core.records import Content, EntryResult, Failure

    Mutation = Callable[[pytest.MonkeyPatch], None]

P = ParamSpec("P")
R = TypeVar("R")


class Mutant(NamedTuple):
    """A broken core, and the invariants of which one must be found violated."""

    mutate: Mutation
    invariants: tuple[str, ...]


def altered(function: Callable[P, R], change: Callable[[R], R]) -> Callable[P, R]:
    """Return a function that returns what ``change`` makes of the other's result."""

    def changed(*args: P.args, **kwargs: P.kwargs) -> R:
        return change(function(*args, **kwargs))

    return changed


def count_a_stray_aggregate_as_delivered(patch: pytest.MonkeyPatch) -> None:
    """Believe a shard that took an aggregated record, whatever its range."""

    def credulous(verdict: Verdict) -> Verdict:
        if verdict.action in {Action.REROUTE, Action.HOLD, Action.SEND_ALONE}:
            return Verdict(Action.DELIVER)
        return verdict

    patch.setattr(answers, "judge", altered(judge, credulous))


def lose_an_entry_on_retry(patch: pytest.MonkeyPatch) -> None:
    """Forget an entry that is to be sent again."""
    patch.setattr(Stock, "queue_again", lambda *_: None)


def count_a_throttled_entry_as_delivered(patch: pytest.MonkeyPatch) -> None:
    """Take a refusal for rate for a success."""

    def credulous(verdict: Verdict) -> Verdict:
        return Verdict(Action.DELIVER) if verdict.action is Action.SLOW_DOWN else verdict

    patch.setattr(answers, "judge", altered(judge, credulous))


def ignore_the_limiter_on_flush(patch: pytest.MonkeyPatch) -> None:
    """Let everything go at once from the first flush on."""
    flush, wait = Pipeline.flush, ShardPace.wait
    hurried: list[bool] = []

    def careless_flush(self: Pipeline) -> int:
        hurried.append(True)
        return flush(self)

    def careless_wait(self: ShardPace, size: int, now: float) -> float:
        return 0.0 if hurried else wait(self, size, now)

    patch.setattr(Pipeline, "flush", careless_flush)
    patch.setattr(ShardPace, "wait", careless_wait)


def forget_to_pace(patch: pytest.MonkeyPatch) -> None:
    """Spend no tokens."""
    patch.setattr(ShardPace, "spend", lambda *_: None)


def send_what_has_arrived_again(patch: pytest.MonkeyPatch) -> None:
    """Take every fourth success of an entry for a fault."""
    verdicts: list[Verdict] = []

    def doubtful(verdict: Verdict) -> Verdict:
        verdicts.append(verdict)
        if verdict.action is Action.DELIVER and len(verdicts) % 4 == 0:
            return Verdict(Action.RETRY)
        return verdict

    patch.setattr(answers, "judge", altered(judge, doubtful))


def credit_the_neighbour(patch: pytest.MonkeyPatch) -> None:
    """Read the results of a request from the wrong end."""
    request_done = Pipeline.request_done

    def careless(
        self: Pipeline, request: PutRecordsRequest, outcome: Answered | Failure, now: float
    ) -> None:
        if isinstance(outcome, Answered):
            outcome = Answered(outcome.results[::-1])
        request_done(self, request, outcome, now)

    patch.setattr(Pipeline, "request_done", careless)


def retry_what_was_to_fail(patch: pytest.MonkeyPatch) -> None:
    """Ignore the wish to fail at a throttle, at the first one."""
    drop = Stock.drop

    def stubborn(
        self: Stock, contents: list[Content], reason: DropReason, error: str, now: float
    ) -> None:
        if reason is DropReason.THROTTLED:
            self.admit(contents, now)
        else:
            drop(self, contents, reason, error, now)

    patch.setattr(Stock, "drop", stubborn)


def never_expire(patch: pytest.MonkeyPatch) -> None:
    """Keep events past their time to live."""
    patch.setattr(Stock, "expiry_at", math.inf)


def expire_early(patch: pytest.MonkeyPatch) -> None:
    """Give events up at half their time to live."""

    def hasty(stock: Stock) -> Stock:
        stock._time_to_live /= 2
        return stock

    patch.setattr(pipeline, "Stock", altered(Stock, hasty))


def drop_in_silence(patch: pytest.MonkeyPatch) -> None:
    """Tell nobody of what is given up."""
    patch.setattr(AttemptLog, "dropped", lambda *_, **__: None)


def count_what_was_dropped_twice(patch: pytest.MonkeyPatch) -> None:
    """Count each drop once more."""
    gave_up = Ledger.gave_up

    def twice(self: Ledger, contents: Iterable[Content], reason: DropReason) -> None:
        gave_up(self, contents, reason)
        self.dropped[reason] += 1

    patch.setattr(Ledger, "gave_up", twice)


def forget_failed_attempts(patch: pytest.MonkeyPatch) -> None:
    """Write nothing down of calls that failed."""
    patch.setattr(AttemptLog, "failed", lambda *_, **__: None)


def tell_twice(patch: pytest.MonkeyPatch) -> None:
    """Resolve what somebody waits for once more."""
    delivered = AttemptLog.delivered

    def twice(self: AttemptLog, entry: Entry, result: EntryResult) -> None:
        delivered(self, entry, result)
        delivered(self, entry, result)

    patch.setattr(AttemptLog, "delivered", twice)


def ask_while_a_question_is_under_way(patch: pytest.MonkeyPatch) -> None:
    """Forget that a listing is under way."""
    ask = Refresh.ask

    def impatient(self: Refresh, now: float) -> bool:
        self.asked_at = None
        return ask(self, now)

    patch.setattr(Refresh, "ask", impatient)


def ask_at_every_look(patch: pytest.MonkeyPatch) -> None:
    """Ask again as soon as there is an answer."""
    answered = Refresh.answered

    def curious(self: Refresh, now: float, jitter: float) -> None:
        answered(self, now, jitter)
        self.due_at = now

    patch.setattr(Refresh, "answered", curious)


def look_again_at_once(patch: pytest.MonkeyPatch) -> None:
    """Name a deadline that has come."""
    patch.setattr(Pipeline, "deadline", lambda _, now: now)


def wait_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Name no deadline after a failure."""
    deadline = Pipeline.deadline

    def forgetful(self: Pipeline, now: float) -> float:
        return math.inf if self._stock.calls.failures else deadline(self, now)

    patch.setattr(Pipeline, "deadline", forgetful)


def remember_dead_shards(patch: pytest.MonkeyPatch) -> None:
    """Keep the pace of shards that are gone."""
    patch.setattr(RateLimiter, "bequeath", lambda *_: None)


def hoard(patch: pytest.MonkeyPatch) -> None:
    """Keep every request that was ever sent."""
    begin = Calls.begin

    def hoarding(self: Calls, request: PutRecordsRequest, now: float) -> float:
        kept = self.__dict__.setdefault("kept", [])
        kept.append(request)
        kept.extend(range(500))
        return begin(self, request, now)

    patch.setattr(Calls, "begin", hoarding)


def send_too_much_at_once(patch: pytest.MonkeyPatch) -> None:
    """Fill requests without end."""
    patch.setattr("kinesink.core.collector._Draft.has_room", lambda *_: True)


def crash(patch: pytest.MonkeyPatch) -> None:
    """Raise where an entry is refused."""

    def fail(*_: object) -> None:
        msg = "a stage fails"
        raise RuntimeError(msg)

    patch.setattr(Stock, "queue_again", fail)


def send_a_chunk_where_its_first_event_goes(patch: pytest.MonkeyPatch) -> None:
    """Look up the shard of one event for all that arrived with it."""

    def careless(self: Router, content: Content) -> list[tuple[Group, Content]]:
        return [(self._groups[content.each_keys()[0]], content)]

    patch.setattr(Router, "_by_group", careless)


def give_an_event_its_neighbour_s_keys(patch: pytest.MonkeyPatch) -> None:
    """Cut keys at another place than data."""
    part = Chunk.part

    def shifted(self: Chunk, start: int, end: int) -> Chunk:
        cut = part(self, start, end)
        if self.keys is not None and cut is not self and start:
            cut.keys = self.keys[start - 1 : end - 1]
        return cut

    patch.setattr(Chunk, "part", shifted)


def lose_the_last_of_those_that_fit(patch: pytest.MonkeyPatch) -> None:
    """Forget an event where others of its chunk are too large."""
    only = Chunk.only

    def careless(self: Chunk, chosen: list[bool]) -> Chunk:
        fit = only(self, chosen)
        return fit.part(0, len(fit) - 1) if len(fit) > 1 else fit

    patch.setattr(Chunk, "only", careless)


def remember_where_keys_went(patch: pytest.MonkeyPatch) -> None:
    """Look up the shard of a key once and for all."""
    patch.setattr("kinesink.core.router._Groups.clear", lambda _: None)


MUTANTS: Final = (
    Mutant(count_a_stray_aggregate_as_delivered, ("delivery",)),
    Mutant(lose_an_entry_on_retry, ("memory", "progress")),
    Mutant(count_a_throttled_entry_as_delivered, ("delivery",)),
    Mutant(ignore_the_limiter_on_flush, ("rate",)),
    Mutant(forget_to_pace, ("rate",)),
    Mutant(send_what_has_arrived_again, ("copies",)),
    Mutant(credit_the_neighbour, ("delivery", "copies")),
    Mutant(retry_what_was_to_fail, ("results",)),
    Mutant(never_expire, ("time to live", "progress")),
    Mutant(expire_early, ("reasons",)),
    Mutant(drop_in_silence, ("conservation",)),
    Mutant(count_what_was_dropped_twice, ("conservation",)),
    Mutant(forget_failed_attempts, ("attempts",)),
    Mutant(tell_twice, ("results",)),
    Mutant(ask_while_a_question_is_under_way, ("questions",)),
    Mutant(ask_at_every_look, ("questions",)),
    Mutant(look_again_at_once, ("progress",)),
    Mutant(wait_for_ever, ("progress", "time to live")),
    Mutant(remember_dead_shards, ("memory",)),
    Mutant(hoard, ("memory",)),
    Mutant(send_too_much_at_once, ("requests",)),
    Mutant(crash, ("an error",)),
    Mutant(send_a_chunk_where_its_first_event_goes, ("copies", "delivery")),
    Mutant(give_an_event_its_neighbour_s_keys, ("delivery",)),
    Mutant(lose_the_last_of_those_that_fit, ("memory", "delivery")),
    Mutant(remember_where_keys_went, ("memory",)),
)
