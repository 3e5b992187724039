"""Values that JSON has no form for: none of them costs the event."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import logging
import math
import pathlib
import traceback
import types
import uuid
from collections import OrderedDict, UserDict, deque, namedtuple
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.event.encoder import Encoder
from kinesink.event.parts import Details
from kinesink.event.plain_values import TOO_MANY, exception_fields, plain_object, text, type_name
from kinesink.event.process_facts import ProcessFacts
from tests.event.lines import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.event.parts import CallSite

SITE: CallSite = ("INFO", 20, "app", "/app.py", 1, "main", "MainThread", 7)
POINT = namedtuple("POINT", "x y")  # noqa: PYI024 - the untyped kind, too


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


class Odd(enum.Enum):
    """An enumeration of what is no scalar."""

    PAIR = (1, 2)


@dataclasses.dataclass
class Order:
    """A dataclass with something of its own."""

    number: int
    tags: set[str] | list[str]
    _cache: int = 0


class Line:
    """What attrs makes of a class, as far as anybody can tell."""

    __attrs_attrs__ = (types.SimpleNamespace(name="amount"), types.SimpleNamespace(name="_cache"))

    def __init__(self, amount: decimal.Decimal) -> None:
        self.amount = amount


class Text(str):  # noqa: SLOT000 - a subclass with a mind of its own
    """A text that does not encode as one."""

    def encode(self, *_: object) -> NoReturn:
        """Raise."""
        raise RuntimeError


class Big(int):
    """An integer that compares as it likes."""

    def __int__(self) -> int:
        return 2**100


class Broken:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError

    def __repr__(self) -> str:
        return "Broken()"


class Deceitful(type):
    """A metaclass that hides the names of its classes."""

    @property
    def __module__(cls) -> NoReturn:  # type: ignore[override]  # what is tested
        raise RuntimeError


class Nameless(metaclass=Deceitful):
    """Neither has a text nor a type with a name."""

    def __str__(self) -> str:
        raise RuntimeError


class Recursive:
    """Its text never ends."""

    def __str__(self) -> str:
        return str(self)


class Endless(UserDict[str, int]):
    """A mapping whose items never end."""

    def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]  # without end
        """Return items for ever."""
        count = 0
        while True:
            count += 1
            yield str(count), count


class Pairless(UserDict[str, int]):
    """A mapping whose items are no pairs."""

    def items(self) -> Any:  # noqa: ANN401 - what is tested
        """Return anything but pairs."""
        return [1, 2]


def attributes(**values: object) -> dict[str, Any]:
    """Return the attributes of an event that was given ``values``."""
    # The set sends everything down the slow path.
    details = Details(attributes={**values, "a_set": set()})
    event = json.loads(line_of(Encoder(facts=ProcessFacts()), 1.0, SITE, "x", details))
    found: dict[str, Any] = event["attributes"]
    assert found.pop("a_set") == []
    return found


class TestValues:
    """One row per kind."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, None), (True, True), (1, 1), (-(2**63), -(2**63)), (2**64 - 1, 2**64 - 1),
            (2**64, str(2**64)), (-(2**63) - 1, str(-(2**63) - 1)), (Big(1), str(2**100)),
            (1.5, 1.5), (math.nan, None), (math.inf, None), (-math.inf, None),
            ("größe", "größe"), ("\ud800", "?"), ("x" * 5000, "x" * 5000),
            (b"bytes", "bytes"), (b"\xff\x00", "/wA="), (bytearray(b"x"), "x"),
            (memoryview(b"x"), "x"),
            (Colour.RED, "red"), (Odd.PAIR, [1, 2]),
            (decimal.Decimal("1.50"), "1.50"), (uuid.UUID(int=7), str(uuid.UUID(int=7))),
            (pathlib.PurePosixPath("/a/b"), "/a/b"), (1 + 2j, "(1+2j)"),
            (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc), "2026-01-02T03:04:05+00:00"),
            (dt.date(2026, 1, 2), "2026-01-02"), (dt.time(3, 4), "03:04:00"),
            (dt.timedelta(seconds=90), "0:01:30"),
            ([1, [2]], [1, [2]]), ((1, 2), [1, 2]), ({3}, [3]), (frozenset([3]), [3]),
            (deque([1]), [1]), (POINT(1, 2), [1, 2]), ({"k": 1}.keys(), ["k"]),
            ({1: 2, None: 3, b"b": 4, b"\xff": 5, (1,): 6},
             {"1": 2, "None": 3, "b": 4, "/w==": 5, "(1,)": 6}),
            (OrderedDict(a=1), {"a": 1}), (UserDict(a=1), {"a": 1}),
            (types.MappingProxyType({"a": {1}}), {"a": [1]}),
            (Order(7, {"a"}), {"number": 7, "tags": ["a"]}), (Order, f"{Order!r}"),
            (Line(decimal.Decimal(1)), {"amount": "1"}),
            (ValueError("no"), "no"), (KeyError(), "KeyError()"),
            (Broken(), f"<unserializable {__name__}.Broken>"),
            (Nameless(), "<unserializable object>"),
            (Recursive(), f"<unserializable {__name__}.Recursive>"),
            (Pairless(a=1), f"<unserializable {__name__}.Pairless>"),
        ],
    )  # fmt: skip
    def test_becomes_what_json_can_say(self, value: object, expected: object) -> None:
        """Each kind has one form, and the neighbours keep theirs."""
        assert attributes(value=value, neighbour=1) == {"value": expected, "neighbour": 1}

    @pytest.mark.parametrize("value", [Colour.RED, Order(7, set()), "x", 1, 1.5, math.nan])
    def test_the_fast_path_agrees(self, value: object) -> None:
        """The kind of a field does not change because another value has no JSON form."""
        if isinstance(value, Order):
            value.tags = []
        details = Details(attributes={"value": value})
        event = json.loads(line_of(Encoder(facts=ProcessFacts()), 1.0, SITE, "x", details))
        assert event["attributes"] == attributes(value=value)

    def test_a_kind_of_text_is_text(self) -> None:
        """As a value and as a key, whatever its class thinks of encoding."""
        assert attributes(value={Text("key"): Text("value")}) == {"value": {"key": "value"}}

    def test_other_text_is_cut(self) -> None:
        """The text of an object that is not a text is bounded."""
        assert attributes(value=decimal.Decimal(10**2000))["value"] == "1" + "0" * 999

    def test_a_number_too_long_for_text_is_named(self) -> None:
        """From Python 3.10.7 on, the digits of an integer are limited."""
        value = attributes(value=10**5000)["value"]
        assert value in {"<unserializable int>", str(10**5000) if value[0] == "1" else ""}

    def test_a_released_view_is_named(self) -> None:
        """A view that raises when touched costs itself only."""
        view = memoryview(b"x")
        view.release()
        assert attributes(value=view) == {"value": "<unserializable memoryview>"}


class TestTrees:
    """Trees are bounded in every direction."""

    def test_a_cycle_is_named(self) -> None:
        """A container inside of itself ends there."""
        tree: dict[str, Any] = {"name": "root"}
        tree["children"] = [tree]
        assert attributes(value=tree) == {"value": {"name": "root", "children": ["<cycle>"]}}

    def test_the_same_value_twice_is_no_cycle(self) -> None:
        """Siblings may be one object."""
        shared = [1]
        assert attributes(value=[shared, shared]) == {"value": [[1], [1]]}

    def test_depth_is_bounded(self) -> None:
        """Eight levels, attributes being the first."""
        tree: list[Any] = []
        for _ in range(20):
            tree = [tree]
        assert json.dumps(attributes(value=tree)["value"]) == '[[[[[[["<too deep>"]]]]]]]'

    def test_size_is_bounded(self) -> None:
        """A thousand values, then a mark, in arrays as in objects."""
        values = attributes(value=list(range(5000)))["value"]
        assert values == [*range(999), TOO_MANY]
        values = attributes(value={str(number): number for number in range(5000)})["value"]
        assert values == {**{str(number): number for number in range(999)}, TOO_MANY: None}

    def test_the_number_of_attributes_is_bounded(self) -> None:
        """A mapping as a message can have any number of items."""
        assert len(plain_object(dict.fromkeys(range(5000)))) == 1000

    def test_a_large_value_takes_nothing_from_its_neighbours(self) -> None:
        """Each attribute has a bound of its own."""
        large = list(range(5000))
        assert attributes(one=large, two=large, three=3)["three"] == 3

    def test_a_mapping_without_end_is_bounded(self) -> None:
        """Containers are read no further than needed."""
        assert len(attributes(value=Endless())["value"]) == 1000

    def test_a_container_that_changes_meanwhile_is_read_from_a_copy(self) -> None:
        """The text of an element may change what it is in."""
        values: list[object] = []

        class Greedy:
            def __str__(self) -> str:
                values.extend([1, 2, 3])
                return "greedy"

        values += [Greedy(), Greedy()]
        assert attributes(value=values) == {"value": ["greedy", "greedy"]}


class TestText:
    """The guarded ``str()``."""

    def test_surrogates_are_replaced_and_length_is_bounded(self) -> None:
        """What comes out can be encoded."""
        assert text("\ud800" * 3) == "???"
        assert text(b"x" * 2000) == str(b"x" * 2000)[:1000]
        assert text("x" * 2000, None) == "x" * 2000

    def test_a_type_is_named_with_its_module(self) -> None:
        """Built-in types go without."""
        assert type_name(1) == "int"
        assert type_name(decimal.Decimal(1)) == "decimal.Decimal"


class TestExceptions:
    """An exception as text."""

    def test_has_type_message_and_stack_trace(self) -> None:
        """The stack trace is what the interpreter prints, causes included."""
        try:
            try:
                raise KeyError("k")  # noqa: TRY301 - there is nothing to abstract
            except KeyError as error:
                raise decimal.InvalidOperation("no") from error
        except decimal.InvalidOperation as error:
            fields = exception_fields(error, error.__traceback__)
        assert fields.type == "decimal.InvalidOperation"
        assert fields.message == "no"
        assert fields.stacktrace is not None
        assert fields.stacktrace.startswith("Traceback (most recent call last):\n")
        assert "direct cause" in fields.stacktrace
        assert fields.stacktrace.endswith("InvalidOperation: no")

    def test_one_without_a_text_still_is_one(self) -> None:
        """T21: ``__str__`` of an exception can raise as well."""

        class NoTextError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        fields = exception_fields(NoTextError(), None)
        assert fields.message == f"<unserializable {fields.type}>"
        assert fields.stacktrace is not None

    def test_a_stack_trace_that_cannot_be_had_is_left_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Type and message remain."""

        def fail(*_: object) -> NoReturn:
            raise RuntimeError

        monkeypatch.setattr(traceback, "format_exception", fail)
        fields = exception_fields(ValueError("no"), None)
        assert fields == ("ValueError", "no", None)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs"]))
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers()
    | st.sampled_from([Broken(), Nameless(), Recursive(), Colour.RED, Order(1, {"a"}), Text("t")]),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.binary() | st.none(), inner)
        | st.frozensets(st.integers() | st.text())
        | st.builds(Order, inner, inner)
    ),
    max_leaves=30,
)


class TestAnyValue:
    """The rule all others serve."""

    @given(st.dictionaries(st.text() | st.integers() | st.none(), ANYTHING, max_size=6))
    @settings(max_examples=100)
    def test_never_costs_the_event(self, values: dict[Any, Any]) -> None:
        """T22: any attributes give one line of valid JSON with the message intact."""
        line = line_of(
            Encoder(facts=ProcessFacts()), 1.0, SITE, "intact", Details(attributes=values)
        )
        assert line.count(b"\n") == 1
        event = json.loads(line, parse_constant=pytest.fail)
        assert event["message"] == "intact"
        assert len(event.get("attributes", {})) <= len(values)
        assert ("attributes" in event) == bool(values)

    def test_a_value_that_logs_while_it_is_rendered(self) -> None:
        """The text of a value is the application's code and may do anything."""

        class Chatty:
            def __str__(self) -> str:
                logging.getLogger("nobody.listens").debug("rendering")
                return "chatty"

        assert attributes(value=Chatty()) == {"value": "chatty"}
