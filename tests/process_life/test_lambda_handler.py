"""The decorator for handlers of AWS Lambda, and how the runtime's client is found."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

import kinesink
from kinesink.shell import lambda_runtime, process
from tests.shell.support import adds_up, landed, make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def nothing_was_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with an invocation of which nothing is known."""
    monkeypatch.setattr(lambda_runtime, "_invocations", lambda_runtime._Invocations())


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long each flush may take, which here takes no time."""
    allowed: list[float] = []

    def flush(timeout: float) -> bool:
        allowed.append(timeout)
        return True

    monkeypatch.setattr(process, "flush", flush)
    return allowed


class Context:
    """What a handler is told of its time."""

    def __init__(self, milliseconds: object) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> object:
        """Return it, whatever it is."""
        if isinstance(self._milliseconds, Exception):
            raise self._milliseconds
        return self._milliseconds


class Raised(Exception):  # noqa: N818 - no error, but something to recognise
    """What a handler raises."""


def test_the_result_is_the_handler_s_own(waits: list[float]) -> None:
    """The very object; arguments go through as they are, and the handler keeps its name."""
    result = object()

    @kinesink.lambda_handler
    def handler(event: object, context: object, *, more: int = 0) -> object:
        """Say what it does."""
        return result if (event, context, more) == ("event", None, 7) else None

    assert handler("event", None, more=7) is result
    assert (handler.__name__, handler.__doc__) == ("handler", "Say what it does.")
    assert waits == [lambda_runtime.LONGEST_WAIT]


def test_the_exception_is_the_handler_s_own(waits: list[float]) -> None:
    """The very object, after the flush."""
    raised = Raised()

    @kinesink.lambda_handler
    def handler(event: object, context: object) -> object:
        del event, context
        raise raised

    with pytest.raises(Raised) as caught:
        handler(None, None)
    assert caught.value is raised
    assert caught.value.__context__ is None
    assert len(waits) == 1


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        (None, 3.0),
        (object(), 3.0),
        (MagicMock(), 3.0),
        (Context(None), 3.0),
        (Context("1000"), 3.0),
        (Context(Raised()), 3.0),
        (Context(60_000), 3.0),
        (Context(1_200), 1.0),
        (Context(1_200.0), 1.0),
        (Context(150), 0.0),
        (Context(0), 0.0),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_the_wait_ends_before_the_invocation_does(
    context: object, allowed: float, waits: list[float], *, named: bool
) -> None:
    """By as much as handing in the result may take; a context that does not say is fine."""

    @kinesink.lambda_handler
    def handler(event: object, context: object) -> object:
        return event, context

    if named:
        handler(event=1, context=context)
    else:
        handler(1, context)
    assert waits == [pytest.approx(allowed)]


@pytest.mark.parametrize(
    ("timeout", "allowed"), [(0.5, 0.5), ("250ms", 0.25), (10, 10.0), (0, 0.0)]
)
def test_a_handler_may_have_a_timeout_of_its_own(
    timeout: float | str, allowed: float, waits: list[float]
) -> None:
    """As a number of seconds or as text."""

    @kinesink.lambda_handler(timeout=timeout)
    def handler() -> str:
        """Take no arguments, which only a test would."""
        return "done"

    assert handler() == "done"
    assert waits == [allowed]


@pytest.mark.parametrize("timeout", ["soon", -1, float("inf"), float("nan"), [], True])
def test_a_timeout_that_cannot_work_is_refused_at_once(timeout: Any) -> None:  # noqa: ANN401 - what a user may give
    """Before a handler is there."""
    with pytest.raises(kinesink.ConfigurationError, match="timeout="):
        kinesink.lambda_handler(timeout=timeout)


async def _coroutine() -> None:
    """Be awaited by nobody."""


async def _asynchronous_generator() -> object:
    yield


def _generator() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (_coroutine, "awaits no handler"),
        (_asynchronous_generator, "awaits no handler"),
        (_generator, "runs no generator"),
        ("module.handler", "is a function, not 'module.handler'"),
    ],
)
def test_what_the_runtime_would_not_run_is_refused(handler: Any, why: str) -> None:  # noqa: ANN401 - as above
    """The runtime would hand in a coroutine object, which is no JSON, at the first invocation."""
    with pytest.raises(TypeError, match=why):
        kinesink.lambda_handler(handler)
    with pytest.raises(TypeError, match=why):
        kinesink.lambda_handler(timeout=1)(handler)


def test_events_are_there_when_the_handler_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every sink, and none lingers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    fake = make_fake()
    sink = make_sink(fake, linger=60)

    @kinesink.lambda_handler(timeout=20)
    def handler(event: bytes, context: object) -> bool:
        del context
        return sink.emit(event)

    assert handler(b"one", None)
    assert landed(fake) == [b"one"]
    assert sink.close()
    assert adds_up(sink.statistics())


def test_a_flush_that_fails_is_no_failure_of_the_invocation(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is said, and that is all."""

    def fail(_: float) -> bool:
        raise Raised("no luck")

    monkeypatch.setattr(process, "flush", fail)
    assert kinesink.lambda_handler(lambda event, _: event)(1, None) == 1
    told = "kinesink: the flush at the end of an invocation failed: Raised('no luck')\n"
    assert capfd.readouterr().err == told


class Client:
    """A runtime's client."""

    def __init__(self) -> None:
        self.posted: list[object] = []

    def post_invocation_result(self, *arguments: object, **keywords: object) -> str:
        """Take what a handler has returned."""
        self.posted += [arguments, keywords]
        return "posted"

    def post_invocation_error(self, *arguments: object, **keywords: object) -> str:
        """Take what it has raised."""
        self.posted += [arguments, keywords]
        return "posted"


@pytest.fixture
def in_lambda(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the variables that only the runtime sets."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    return monkeypatch


@pytest.fixture(params=["lambda_runtime_client", "awslambdaric.lambda_runtime_client"])
def client(in_lambda: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> type[Client]:
    """Return the class of a runtime's client, where the runtime has it."""
    made = type("LambdaRuntimeClient", (Client,), {})
    module = ModuleType(request.param)
    in_lambda.setattr(module, "LambdaRuntimeClient", made, raising=False)
    in_lambda.setitem(sys.modules, request.param, module)
    return made


def _invoke(post: Callable[[], object], epoch_deadline_time_in_ms: object) -> object:
    """Hand something in as the runtime does: it knows the end of the invocation."""
    assert epoch_deadline_time_in_ms is not Ellipsis
    return post()


@pytest.mark.parametrize("way", ["post_invocation_result", "post_invocation_error"])
def test_the_runtime_hands_in_after_the_flush(
    way: str, client: type[Client], waits: list[float]
) -> None:
    """What it hands in goes through as it is, once, however often anything is started."""
    for _ in range(3):
        lambda_runtime.watch()
    runtime = client()
    assert getattr(runtime, way)("7", "{}", content_type="text/plain") == "posted"
    assert runtime.posted == [("7", "{}"), {"content_type": "text/plain"}]
    assert waits == [3.0]
    # The class that it inherits from may be the client of another kind of runtime.
    getattr(Client(), way)()
    assert len(waits) == 1


@pytest.mark.parametrize(("left", "least", "most"), [(60, 3, 3), (1.2, 0, 1), (0.1, 0, 0)])
def test_the_runtime_s_wait_ends_before_the_invocation_does(
    left: float, least: float, most: float, client: type[Client], waits: list[float]
) -> None:
    """It is the only one that knows of it."""
    lambda_runtime.watch()
    _invoke(client().post_invocation_result, int((time.time() + left) * 1000))
    assert least <= waits[0] <= most


def test_a_runtime_that_does_not_know_the_end_is_waited_for_as_usual(
    client: type[Client], waits: list[float]
) -> None:
    """A value of another kind says nothing."""
    lambda_runtime.watch()
    _invoke(client().post_invocation_result, "soon")
    assert waits == [3.0]


def test_who_wraps_the_runtime_as_well_is_left_alone(
    client: type[Client], waits: list[float]
) -> None:
    """Another library's wrapper around ours is not wrapped in ours once more."""
    lambda_runtime.watch()
    ours: Callable[..., object] = client.post_invocation_result

    def theirs(*arguments: object) -> object:
        return ours(*arguments)

    theirs.__dict__.update(vars(ours))
    client.post_invocation_result = theirs  # type: ignore[assignment,method-assign]  # as libraries do
    lambda_runtime.watch()
    client().post_invocation_result()
    assert len(waits) == 1


@pytest.mark.parametrize("said", ["false", "No", " off ", "0", "0s"])
def test_the_flush_of_the_runtime_can_be_switched_off(
    said: str, client: type[Client], waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the words that switch off elsewhere; a decorator waits all the same."""
    monkeypatch.setenv("KINESINK_LAMBDA_FLUSH", said)
    lambda_runtime.watch()
    client().post_invocation_result()
    assert waits == []
    assert kinesink.lambda_handler(lambda event, _: event)(1, None) == 1
    assert waits == [3.0]


@pytest.mark.parametrize(
    ("said", "allowed"), [("", 3.0), ("true", 3.0), ("ON", 3.0), ("500ms", 0.5), ("10", 10.0)]
)
def test_the_longest_wait_can_be_chosen_by_a_variable(
    said: str,
    allowed: float,
    client: type[Client],
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For the runtime's flush, and for decorators that name none."""
    monkeypatch.setenv("KINESINK_LAMBDA_FLUSH", said)
    lambda_runtime.watch()
    client().post_invocation_result()
    assert kinesink.lambda_handler(lambda event, _: event)(1, None) == 1
    assert waits == [allowed, allowed]


def test_a_variable_that_says_nothing_sensible_is_named(
    client: type[Client],
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not by an exception in the first log call, but by one where a handler is decorated."""
    monkeypatch.setenv("KINESINK_LAMBDA_FLUSH", "soon")
    lambda_runtime.watch()
    assert "kinesink: KINESINK_LAMBDA_FLUSH='soon' cannot be used" in capfd.readouterr().err
    client().post_invocation_result()
    assert waits == [3.0]
    with pytest.raises(kinesink.ConfigurationError, match="KINESINK_LAMBDA_FLUSH='soon'"):
        kinesink.lambda_handler(lambda event, _: event)


def test_another_runtime_is_left_as_it_is(in_lambda: pytest.MonkeyPatch) -> None:
    """Its client may have another name, or other methods."""
    module = ModuleType("lambda_runtime_client")
    in_lambda.setitem(sys.modules, "lambda_runtime_client", module)
    lambda_runtime.watch()
    assert not hasattr(module, "LambdaRuntimeClient")
    other = type("LambdaRuntimeClient", (), {})
    in_lambda.setattr(module, "LambdaRuntimeClient", other, raising=False)
    lambda_runtime.watch()
    assert not set(vars(other)) & {"post_invocation_result", "post_invocation_error"}


class Hooks(ModuleType):
    """What runs hooks around the snapshots of a function."""

    def __init__(self) -> None:
        super().__init__("snapshot_restore_py")
        self.registered: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self.restored: list[Callable[[], object]] = []

    def register_before_snapshot(self, call: Callable[..., object], *arguments: object) -> None:
        """Have something called before the snapshot is taken."""
        self.registered.append((call, arguments))

    def get_before_snapshot(self) -> list[tuple[Callable[..., object], tuple[object, ...]]]:
        """Return what is going to be called."""
        return self.registered

    def register_after_restore(self, call: Callable[[], object]) -> None:
        """Have something called in each copy."""
        self.restored.append(call)


def test_nothing_is_pending_in_a_snapshot(
    in_lambda: pytest.MonkeyPatch, waits: list[float]
) -> None:
    """Each copy of it would deliver that once more."""
    hooks = Hooks()
    in_lambda.setitem(sys.modules, "snapshot_restore_py", hooks)
    lambda_runtime.watch()
    assert hooks.registered == []
    in_lambda.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    for _ in range(3):
        lambda_runtime.watch()
    ((call, arguments),) = hooks.registered
    call(*arguments)
    assert waits == [3.0]


def test_each_copy_of_a_snapshot_numbers_its_events_by_itself(
    in_lambda: pytest.MonkeyPatch,
) -> None:
    """Otherwise the same number of the same process would be in the stream several times."""
    hooks = Hooks()
    in_lambda.setitem(sys.modules, "snapshot_restore_py", hooks)
    in_lambda.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    lambda_runtime.watch()
    sink = make_sink(make_fake())
    before = sink.sequence.boot_id, sink.sequence.next()
    (restored,) = hooks.restored
    restored()
    assert sink.sequence.boot_id != before[0]
    assert sink.sequence.next() == before[1] == 1


def test_a_runtime_without_hooks_for_snapshots_is_fine(in_lambda: pytest.MonkeyPatch) -> None:
    """There is nothing to register with."""
    in_lambda.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    in_lambda.setitem(sys.modules, "snapshot_restore_py", None)
    lambda_runtime.watch()
    assert sys.modules["snapshot_restore_py"] is None
