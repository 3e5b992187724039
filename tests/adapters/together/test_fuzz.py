"""Whatever an application logs, at whichever door: no call raises, and no event is lost."""

from __future__ import annotations

import builtins
import enum
import json
import logging
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesink import KinesisHandler, KinesisLogRecordProcessor, KinesisProcessor, Sink
from tests.adapters.otel.support import writable
from tests.shell.conftest import aws
from tests.shell.support import PATIENCE, adds_up, landed, make_client, make_config, make_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.strategies import SearchStrategy

    from kinesink.testing import FakeKinesis
    from tests.shell.conftest import AwsEnvironment

__all__ = ["aws"]


class Unprintable(Exception):  # noqa: N818 - an error that is worse than others
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise self

    __repr__ = __str__


class Endless:
    """An object whose text is that of itself."""

    def __str__(self) -> str:
        return str(self)

    __repr__ = __str__


class Odd(enum.Enum):
    """Members with values of other kinds."""

    NOTHING = None
    TUPLE = (1, 2)
    SURROGATE = "\udcff"


#: What a class can refuse to do. Not ``__hash__`` alone: without it nothing is a key.
REFUSALS: Final = (
    "__str__", "__repr__", "__format__", "__eq__", "__hash__", "__len__", "__iter__", "__bool__",
    "__getattr__", "__getattribute__", "__getitem__", "__contains__", "__int__", "__float__",
    "__index__", "__reduce_ex__", "__dir__", "__sizeof__", "__class__", "__dict__", "keys", "items",
    "__mod__", "__call__", "__del__",
)  # fmt: skip
ERRORS: Final = (
    ValueError, TypeError, AttributeError, KeyError, StopIteration, MemoryError, UnicodeError,
    OSError, Unprintable, RuntimeError, AssertionError, LookupError,
)  # fmt: skip
#: What a class can be besides; what fails in those is found out late, if at all.
BASES: Final = (object, str, int, float, dict, list, tuple, set, bytes, Exception)


def refuses(names: frozenset[str], error: type[Exception], base: type) -> object:
    """Return an object that raises ``error`` at each thing in ``names``."""

    def refuse(*_: object, **__: object) -> object:
        raise error

    namespace: dict[str, Any] = dict.fromkeys(names - {"__class__", "__dict__", "__del__"}, refuse)
    namespace.update(dict.fromkeys(names & {"__class__", "__dict__"}, property(refuse)))
    try:
        return type("Refuses", (base,), namespace)()
    except Exception:  # noqa: BLE001 - it refuses even that
        return type("Refuses", (object,), dict.fromkeys(namespace, refuse))


def within_itself(kind: str) -> object:
    """Return a container that is inside of itself."""
    around: list[Any] = []
    inside: dict[Any, Any] = {"around": around}
    around.append(inside)
    return around if kind == "list" else inside


def nested(depth: int) -> object:
    """Return lists in lists, deeper than some serialisers go."""
    tree: object = "leaf"
    for _ in range(depth):
        tree = [tree]
    return tree


def generator() -> Iterator[int]:
    """Yield, and then fail."""
    yield 1
    raise ValueError


ODDITIES: Final[dict[str, Callable[[], object]]] = {
    "NaN": lambda: float("nan"),
    "infinity": lambda: -float("inf"),
    "a huge integer": lambda: 10**5000,
    "a large integer": lambda: 2**64,
    "a lone surrogate": lambda: "\ud800",
    "a text with one": lambda: "x\udfff y",
    "a template": lambda: "%s %d %(a)s",
    "control characters": lambda: '\x00\n\r\u2028\x7f"\\',
    "a long text": lambda: "é" * 150_000,
    "bytes": lambda: b"\xff\x00",
    "a bytearray": lambda: bytearray(b"x"),
    "a memoryview": lambda: memoryview(b"abc"),
    "an object": object,
    "a class": lambda: Unprintable,
    "a metaclass": lambda: type,
    "a module": lambda: builtins,
    "a function": lambda: print,
    "endless": Endless,
    "a member of nothing": lambda: Odd.NOTHING,
    "a member of a tuple": lambda: Odd.TUPLE,
    "a member of a surrogate": lambda: Odd.SURROGATE,
    "Ellipsis": lambda: ...,
    "a complex number": lambda: complex(1, 2),
    "a long range": lambda: range(10**9),
    "a generator": generator,
    "a list in itself": lambda: within_itself("list"),
    "a dict in itself": lambda: within_itself("dict"),
    "a deep list": lambda: nested(300),
    "a deeper list": lambda: nested(2000),
    "an exception": Unprintable,
    "None": lambda: None,
    "a number": lambda: 7,
    "a text": lambda: "seven",
}
KEYS: Final[dict[str, Callable[[], Any]]] = {
    **{
        name: ODDITIES[name]
        for name in (
            "NaN", "a huge integer", "a lone surrogate", "bytes", "an object", "a class", "endless",
            "a member of a tuple", "control characters", "None", "a number", "a long text",
        )
    },
    "a tuple": lambda: (1, 2),
    "an empty text": lambda: "",
    "True": lambda: True,
}  # fmt: skip
#: Names that mean something to somebody.
MEANINGS: Final = (
    "event", "message", "level", "timestamp", "exc_info", "stack", "stack_info", "exception",
    "otelTraceID", "otelSpanID", "taskName", "logger", "args", "seq", "boot_id", "_logger", "_name",
    "_record", "_from_structlog", "positional_args", "exception.type", "code.line.number",
    "exception.stacktrace", "thread.id", "process.pid", "lineno", "pathname", "process",
)  # fmt: skip

# What Hypothesis draws is how to make a thing: of the things themselves it could not tell.

REFUSALS_MADE = st.tuples(
    st.just("refuses"),
    st.frozensets(st.sampled_from(REFUSALS), min_size=1, max_size=8),
    st.sampled_from(ERRORS),
    st.sampled_from(BASES),
)
KEYS_MADE = st.sampled_from([*KEYS, *MEANINGS])
ANYTHING: SearchStrategy[Any] = st.recursive(
    REFUSALS_MADE | st.tuples(st.just("odd"), st.sampled_from([*ODDITIES])),
    lambda inner: st.one_of(
        st.tuples(st.just("list"), st.lists(inner, max_size=3)),
        st.tuples(st.just("tuple"), st.lists(inner, max_size=3)),
        st.tuples(st.just("dict"), st.dictionaries(KEYS_MADE, inner, max_size=3)),
    ),
    max_leaves=4,
)
FIELDS = st.dictionaries(KEYS_MADE, ANYTHING, max_size=3)
ERROR_SHAPES: Final = (
    "plain", "cause of itself", "context of itself", "notes", "group", "syntax", "raised",
)  # fmt: skip
ERRORS_MADE = st.one_of(
    st.tuples(
        st.just("error"),
        st.sampled_from(ERROR_SHAPES),
        st.sampled_from(["ValueError", "KeyError", "Unprintable", "UnicodeDecodeError"]),
        ANYTHING,
        st.sampled_from(["alone", "tuple", "tuple with traceback"]),
    ),
    st.tuples(st.just("odd"), st.sampled_from(["None", "a number", "a text", "a class"])),
    st.tuples(st.just("tuple"), st.lists(ANYTHING, max_size=4)),
)
EXC_INFO = ERRORS_MADE | REFUSALS_MADE


def made(recipe: Any) -> Any:  # noqa: ANN401 - anything at all
    """Return a thing, anew."""
    match recipe:
        case ("refuses", names, error, base):
            return refuses(names, error, base)
        case ("odd", name):
            return ODDITIES[name]()
        case ("list", parts):
            return [made(part) for part in parts]
        case ("tuple", parts):
            return tuple(made(part) for part in parts)
        case ("dict", parts):
            return made_fields(parts)
        case (_, shape, kind, value, way):
            error = an_error(shape, kind, made(value))
            trace = error.__traceback__ if way == "tuple with traceback" else None
            return error if way == "alone" else (type(error), error, trace)
        case _:
            raise AssertionError(recipe)


def made_fields(recipe: dict[str, Any]) -> dict[Any, Any]:
    """Return a mapping with odd keys."""
    return {KEYS[key]() if key in KEYS else key: made(value) for key, value in recipe.items()}


def an_error(shape: str, kind: str, value: object) -> BaseException:
    """Return an exception that is not as exceptions are."""
    other = Unprintable("other")
    errors: dict[str, Exception] = {
        "ValueError": ValueError(value),
        "KeyError": KeyError(value),
        "Unprintable": Unprintable(value),
        "UnicodeDecodeError": UnicodeDecodeError("x", b"abc", 0, 9, "\ud800"),
    }
    error = errors[kind]
    match shape:
        case "cause of itself":
            error.__cause__, other.__cause__ = other, error
        case "context of itself":
            error.__context__, other.__context__ = other, error
        case "notes":
            error.__notes__ = value  # type: ignore[attr-defined]  # on every Python
        case "group":
            several = getattr(builtins, "ExceptionGroup", None)  # of Python 3.11
            return error if several is None else several("several", [error, other])
        case "syntax":
            return SyntaxError("bad", (value, -1, 10**9, value))  # type: ignore[arg-type]  # so it is
        case "raised":
            try:
                raise error  # noqa: TRY301 - there is nothing to abstract
            except BaseException as raised:  # noqa: BLE001 - as it is
                return raised
        case _:
            pass
    return error


class WatchedSink(Sink):
    """A real sink that keeps what it was given."""

    def __init__(self, fake: FakeKinesis) -> None:
        super().__init__(
            make_config(linger=0.1), make_client=lambda config: make_client(fake, config)
        )
        self.given: list[bytes] = []

    def emit(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | None = None,
        level: int | None = None,
    ) -> bool:
        """Keep the event, and hand it over."""
        self.given.append(data)
        return super().emit(data, partition_key, explicit_hash_key, level)


class Doors:
    """One door of each kind to one sink, for all examples."""

    def __init__(self, sink: WatchedSink) -> None:
        self._sink = sink
        self.handler = KinesisHandler(sink=sink)
        self.processor = KinesisProcessor(sink=sink)
        self.record_processor = KinesisLogRecordProcessor(sink=sink)

    @contextmanager
    def one_event(self) -> Iterator[None]:
        """Check that one log call is one line."""
        given, accepted = len(self._sink.given), self._sink.statistics().accepted
        yield
        (line,) = self._sink.given[given:]
        assert self._sink.statistics().accepted == accepted + 1
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        event = json.loads(line.decode(), parse_constant=pytest.fail)
        assert isinstance(event, dict)
        assert "timestamp" in event

    def check_none(self) -> None:
        """Check that the last log call has left nothing half done."""
        assert self._sink.statistics().accepted == len(self._sink.given)


@pytest.fixture
def doors(aws: AwsEnvironment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """Return doors to a sink; what it was given is what lands, and nothing else."""
    aws.set_keys()
    # Log calls that are wrong in themselves are told on stderr, each with its stack.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    fake = make_fake()
    sink = WatchedSink(fake)
    # While it learns about the stream it draws numbers, which Hypothesis would not like.
    sink.emit(b"{}\n")
    assert sink.flush(PATIENCE)
    yield Doors(sink)
    sink.close()
    account = sink.statistics()
    assert adds_up(account)
    assert account.delivered == account.accepted == len(sink.given)
    assert Counter(landed(fake)) == Counter(sink.given)


quickly = settings(
    max_examples=150,
    # One sink for all examples is the point: its account is looked at in the end.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


OTEL_FIELDS: Final = (
    "timestamp", "observed_timestamp", "severity_text", "severity_number", "event_name", "trace_id",
    "span_id", "trace_flags", "context",
)  # fmt: skip

quickly = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


#: What a logger makes of what it is given: a tuple, or for one mapping the mapping itself.
ARGS = st.tuples(st.just("tuple"), st.lists(ANYTHING, max_size=3)) | st.tuples(
    st.just("dict"), FIELDS
)


@quickly
@given(ANYTHING, ARGS, FIELDS, ERRORS_MADE)
def test_by_logging(doors: Doors, msg: Any, args: Any, extras: Any, exc_info: Any) -> None:  # noqa: ANN401 - that is the point
    """As message, arguments, extras and exception."""
    record = logging.LogRecord("app", logging.ERROR, __file__, 1, "", (), None)
    blank = record.__dict__.keys() | {"message", "asctime"}
    # Not by the constructor: what logging does to them there is its own business.
    record.msg, record.args, record.exc_info = made(msg), made(args), made(exc_info)
    for name, value in made_fields(extras).items():
        if name not in blank:
            record.__dict__[name] = value
    try:
        with doors.one_event():
            doors.handler.handle(record)
    except RecursionError:
        # As every handler of logging does, where a text cannot be had without itself.
        assert any(name in repr((msg, args)) for name in ("endless", "a deeper list"))
        doors.check_none()


@quickly
@given(ANYTHING, FIELDS, EXC_INFO)
def test_by_structlog(doors: Doors, event: Any, fields: Any, exc_info: Any) -> None:  # noqa: ANN401 - that is the point
    """As event, as its fields, and as exception."""
    event_dict = {**made_fields(fields), "event": made(event), "exc_info": made(exc_info)}
    before = dict(event_dict)
    with doors.one_event():
        assert doors.processor(None, "error", event_dict) is event_dict
    assert [*map(id, event_dict)] == [*map(id, before)]
    assert [*map(id, event_dict.values())] == [*map(id, before.values())]


@quickly
@given(ANYTHING, FIELDS, st.dictionaries(st.sampled_from(OTEL_FIELDS), ANYTHING, max_size=2))
def test_by_opentelemetry(doors: Doors, body: Any, attributes: Any, others: Any) -> None:  # noqa: ANN401 - that is the point
    """As body, as attributes, and where the record has something else."""
    record = writable("")
    log_record = record.log_record
    # Not by the constructor, as above.
    log_record.body, log_record.attributes = made(body), made_fields(attributes)
    for name, value in others.items():
        setattr(log_record, name, made(value))
    with doors.one_event():
        doors.record_processor.on_emit(record)
