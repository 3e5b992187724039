"""What can go wrong, as values: append them to ``FakeKinesis.faults``.

A fault says *which* calls or entries it strikes and *what* happens to them. It holds no
state, so one value can be used in many tests; how often it has struck is counted by the
:class:`FaultScript` it was appended to, and each append counts for itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import ClassVar, Final

from kinesink.testing.errors import ApiError
from kinesink.testing.exchange import NO_PAUSE, Call, Ending, Gate, Pause, Reply
from kinesink.testing.streams import Put, Shard, Stream

__all__ = [
    "AccessDenied",
    "CallFault",
    "EntryFault",
    "FailEntries",
    "Fault",
    "FaultScript",
    "Hang",
    "Latency",
    "Plan",
    "RawAnswer",
    "RejectRequest",
    "RequestError",
    "Reset",
    "Rewrite",
    "ThrottleEntries",
    "Truncate",
    "WrongResultCount",
]

Answer = Mapping[str, object]

_WRITES: Final = ("PutRecords", "PutRecord")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Which calls are struck: all that fit every condition given."""

    operation: str | None = None
    """Only this operation; None: every one."""
    stream: str | None = None
    """Only this stream, by name."""
    times: int | None = None
    """How often it strikes before it is used up; None: as long as it is in the list.
    Faults of entries count entries, all others calls."""
    share: float = 1.0
    """The share of fitting calls, or entries, that are struck, by the fake's random numbers."""
    when: Callable[[Call], bool] | None = None
    """Only calls for which this is true; called under the fake's lock."""

    operations: ClassVar[Container[str] | None] = None
    """What the kind of fault can strike at all."""

    def fits(self, call: Call) -> bool:
        """Tell whether ``call`` is one of those described."""
        return (
            (self.operations is None or call.operation in self.operations)
            and self.operation in (None, call.operation)
            and self.stream in (None, call.stream)
            and (self.when is None or self.when(call))
        )


@dataclass(frozen=True, kw_only=True)
class CallFault(Fault, ABC):
    """A fault of a whole call."""

    @abstractmethod
    def strike(self, plan: "Plan") -> None:
        """Change what is going to happen to the call."""


@dataclass(frozen=True, kw_only=True)
class EntryFault(Fault):
    """Which entries are struck, of PutRecords and PutRecord."""

    operations: ClassVar[Container[str] | None] = _WRITES

    positions: Container[int] | None = None
    """Only entries at these positions of the request, from 0."""
    shard_id: str | None = None
    """Only entries that this shard would take."""
    entry: Callable[[Put], bool] | None = None
    """Only entries for which this is true; called under the fake's lock."""

    def fits_entry(self, position: int, put: Put, shard: Shard) -> bool:
        """Tell whether an entry is one of those described."""
        return (
            (self.positions is None or position in self.positions)
            and self.shard_id in (None, shard.shard_id)
            and (self.entry is None or self.entry(put))
        )


@dataclass(frozen=True, kw_only=True)
class FailEntries(EntryFault):
    """Entries fail on their own, their neighbours do not."""

    code: str = "InternalFailure"
    """Anything: the service calls the member a plain string."""
    message: str = "Internal Service Failure"
    applied: bool = False
    """Whether the record is stored all the same."""

    def error(self, stream: Stream, shard: Shard) -> ApiError:
        """Return what the entry is told."""
        del stream, shard
        return ApiError(self.code, self.message)


@dataclass(frozen=True, kw_only=True)
class ThrottleEntries(FailEntries):
    """Entries are refused for the rate of their shard, in the service's words."""

    code: str = "ProvisionedThroughputExceededException"
    message: str = ""

    def error(self, stream: Stream, shard: Shard) -> ApiError:
        """Return the refusal; a ``message`` of one's own replaces the service's."""
        usual = stream.rate_exceeded(shard)
        return ApiError(self.code, self.message or usual.message)


@dataclass(frozen=True, kw_only=True)
class RejectRequest(EntryFault):
    """One fitting entry has the whole request refused; nothing of it is written."""

    code: str = "InvalidArgumentException"
    message: str = "One of the records is invalid."


@dataclass(frozen=True)
class RequestError(CallFault):
    """The whole call is refused with an error of the service."""

    code: str
    message: str = ""
    status: int = HTTPStatus.BAD_REQUEST
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, such as ``Retry-After``."""
    applied: bool = False
    """Whether the call has its effect all the same."""

    def strike(self, plan: "Plan") -> None:
        """Refuse the call."""
        plan.refuse(ApiError(self.code, self.message, self.status), applied=self.applied)
        plan.headers.update(self.headers)


@dataclass(frozen=True, kw_only=True)
class AccessDenied(CallFault):
    """The caller lacks a permission."""

    def strike(self, plan: "Plan") -> None:
        """Refuse the call in the words of IAM."""
        action = f"kinesis:{plan.call.operation}"
        message = (
            f"User: arn:aws:iam::000000000000:user/someone is not authorized to perform: {action} "
            f"on resource: {plan.call.stream or '*'} because no identity-based policy allows "
            f"the {action} action"
        )
        plan.refuse(ApiError("AccessDeniedException", message), applied=False)


@dataclass(frozen=True)
class RawAnswer(CallFault):
    """Something between client and service answers in its own format."""

    status: int = HTTPStatus.BAD_GATEWAY
    body: bytes = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    applied: bool = field(default=False, kw_only=True)
    """Whether the call has its effect all the same."""

    def strike(self, plan: "Plan") -> None:
        """Answer in the service's stead."""
        headers = {"Content-Type": self.content_type, **self.headers}
        plan.refuse(Reply(self.status, headers, self.body), applied=self.applied)


@dataclass(frozen=True, kw_only=True)
class Latency(CallFault):
    """The call takes its time."""

    request: float = 0.0
    """Seconds until it arrives and has its effect."""
    answer: float = 0.0
    """Seconds from its effect until the answer leaves."""

    def strike(self, plan: "Plan") -> None:
        """Add the pauses."""
        plan.arrival = Pause(plan.arrival.seconds + self.request, plan.arrival.gate)
        plan.departure = Pause(plan.departure.seconds + self.answer, plan.departure.gate)


@dataclass(frozen=True, kw_only=True)
class Hang(CallFault):
    """The call is not answered until ``FakeKinesis.release()``."""

    applied: bool = False
    """True: it has its effect at once. False: when it is released, and not at all if never."""

    def strike(self, plan: "Plan") -> None:
        """Put the gate before the effect, or behind it."""
        if self.applied:
            plan.departure = Pause(plan.departure.seconds, plan.gate)
        else:
            plan.arrival = Pause(plan.arrival.seconds, plan.gate)


@dataclass(frozen=True, kw_only=True)
class Reset(CallFault):
    """The connection breaks."""

    ending: Ending = Ending.RESET
    """REFUSE: no connection; RESET: before the answer; CUT: in the middle of it."""
    applied: bool = False
    """Whether the call has its effect; always so when the answer is cut."""

    def strike(self, plan: "Plan") -> None:
        """Break it."""
        plan.ending = self.ending
        plan.applied = plan.applied and (self.applied or self.ending is Ending.CUT)


@dataclass(frozen=True, kw_only=True)
class Rewrite(CallFault):
    """The call has its effect, and the members of a successful answer are changed."""

    change: Callable[[Answer], Answer]
    """From the right answer to the one that is sent."""

    def strike(self, plan: "Plan") -> None:
        """Change the answer."""
        plan.rewrites.append(self.change)


@dataclass(frozen=True, kw_only=True)
class WrongResultCount(CallFault):
    """PutRecords has its effect, and its answer holds more or fewer results than entries."""

    operations: ClassVar[Container[str] | None] = _WRITES

    by: int = -1
    """How many results too many (the last one is repeated) or too few."""

    def strike(self, plan: "Plan") -> None:
        """Change the answer."""
        plan.rewrites.append(self._change)

    def _change(self, answer: Answer) -> Answer:
        results = answer.get("Records")
        if not isinstance(results, list):
            return answer
        return {**answer, "Records": (results + results[-1:] * self.by)[: len(results) + self.by]}


@dataclass(frozen=True, kw_only=True)
class Truncate(CallFault):
    """The call has its effect, and its answer ends too early, though with the length to match."""

    keep: int = 10
    """Bytes of the body that are sent."""

    def strike(self, plan: "Plan") -> None:
        """Cut the body."""
        plan.keep_bytes = self.keep


@dataclass(eq=False)
class _Armed:
    """A fault in a script, and how often it may still strike."""

    fault: Fault
    left: int | None

    def strikes(self, random: Random) -> bool:
        """Roll the dice, and count."""
        if self.left == 0 or (self.fault.share < 1 and random.random() >= self.fault.share):
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass
class Plan:
    """What is going to happen to one call; the faults that fit have each changed it."""

    call: Call
    gate: Gate
    random: Random
    arrival: Pause = NO_PAUSE
    departure: Pause = NO_PAUSE
    refusal: ApiError | Reply | None = None
    applied: bool = True
    ending: Ending = Ending.ANSWER
    keep_bytes: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    rewrites: list[Callable[[Answer], Answer]] = field(default_factory=list)
    entry_faults: list[_Armed] = field(default_factory=list)

    def refuse(self, refusal: ApiError | Reply, *, applied: bool) -> None:
        """Refuse the call; the first refusal counts."""
        if self.refusal is None:
            self.refusal = refusal
            self.applied = self.applied and applied

    def rewritten(self, answer: Answer) -> Answer:
        """Return the answer as it is sent."""
        for change in self.rewrites:
            answer = change(answer)
        return answer

    def entry_error(
        self, position: int, put: Put, stream: Stream, shard: Shard
    ) -> tuple[ApiError, bool] | None:
        """Return what an entry is told instead of success, and whether it is stored."""
        for armed in self.entry_faults:
            fault = armed.fault
            if (
                isinstance(fault, FailEntries)
                and fault.fits_entry(position, put, shard)
                and armed.strikes(self.random)
            ):
                return fault.error(stream, shard), fault.applied
        return None

    def check_entries(self, placed: list[tuple[Put, Shard]]) -> None:
        """Raise if one of the entries has the whole request refused."""
        for armed in self.entry_faults:
            fault = armed.fault
            if not isinstance(fault, RejectRequest):
                continue
            for position, (put, shard) in enumerate(placed):
                if fault.fits_entry(position, put, shard) and armed.strikes(self.random):
                    raise ApiError(fault.code, fault.message)


class FaultScript:
    """The faults of one fake, in the order in which they are asked. Guarded by the fake's lock."""

    def __init__(self) -> None:
        """Start without any."""
        self._armed: list[_Armed] = []

    def append(self, fault: Fault) -> None:
        """Add a fault; the same value may be added again and then counts anew."""
        self._armed.append(_Armed(fault, fault.times))

    def extend(self, faults: Iterable[Fault]) -> None:
        """Add several faults."""
        for fault in faults:
            self.append(fault)

    def remove(self, fault: Fault) -> None:
        """Take the first fault equal to ``fault`` out; raise ValueError if there is none."""
        for armed in self._armed:
            if armed.fault == fault:
                self._armed.remove(armed)
                return
        message = f"{fault!r} is not in the script"
        raise ValueError(message)

    def clear(self) -> None:
        """Take all faults out: the service is healthy again."""
        self._armed.clear()

    def __iter__(self) -> Iterator[Fault]:
        """Yield the faults that may still strike."""
        return iter([armed.fault for armed in self._armed if armed.left != 0])

    def __len__(self) -> int:
        """Count the faults that may still strike."""
        return len(list(iter(self)))

    def plan(self, call: Call, gate: Gate, random: Random) -> Plan:
        """Ask every fault what is to happen to ``call``, and count those that strike."""
        plan = Plan(call, gate, random)
        for armed in list(self._armed):
            if not armed.fault.fits(call):
                continue
            if isinstance(armed.fault, CallFault):
                if armed.strikes(random):
                    armed.fault.strike(plan)
            else:
                plan.entry_faults.append(armed)
        return plan
