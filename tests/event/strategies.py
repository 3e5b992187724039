"""Events and options of all sorts, for tests of what must hold for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from kinesink.event.parts import Details, TraceIds
from kinesink.event.plain_values import ExceptionFields
from tests.event.lines import options_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hypothesis.strategies import SearchStrategy

    from kinesink.event.options import EventOptions, SchemaName
    from kinesink.event.parts import CallSite

    Parts = tuple[float, CallSite, str, Details | None]
    Resource = Mapping[str, Any] | None

SCHEMAS: Final[tuple[SchemaName, ...]] = ("default", "ecs", "otel", "datadog", "structlog")

NAMES = st.text(max_size=8) | st.sampled_from([
    "message", "user", "user.id", "service", "service.name", "log.level", "attributes", "cut",
    "event.data", "error", "exception", "a", "a.b", "a.b.c", "truncated", "password", "static",
])  # fmt: skip
"""Names of attributes; among them those that have a meaning in one schema or another."""


def repeated(text: str, times: int) -> str:
    """Return a text so many times."""
    return text * times


def nested(depth: int) -> list[Any]:
    """Return an empty list in so many others."""
    tree: list[Any] = []
    for _ in range(depth):
        tree = [tree]
    return tree


SHORT = st.text(max_size=12)
LONG = st.builds(
    repeated,
    st.text(min_size=1, max_size=4) | st.sampled_from(["x", "\n", "\x01", "😀", 'ü"', "\ud800"]),
    st.integers(0, 4000),
)
MAYBE = st.none() | SHORT | LONG

VALUES: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | SHORT | LONG | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES, inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)
BULKY: SearchStrategy[Any] = (
    st.builds(lambda count: list(range(count)), st.integers(0, 3000))
    | st.builds(lambda count: {f"k{n}": n for n in range(count)}, st.integers(0, 900))
    | st.builds(nested, st.integers(1, 60))
)
ATTRIBUTES = st.dictionaries(NAMES | LONG, VALUES | BULKY, max_size=5)

EXCEPTIONS = st.none() | st.builds(ExceptionFields, MAYBE, MAYBE, MAYBE)
SPANS = st.none() | st.builds(
    TraceIds,
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.integers(0, 255),
)
SCOPES = st.none() | st.fixed_dictionaries(
    {}, optional={"version": SHORT, "schema_url": LONG, "attributes": ATTRIBUTES}
)
DETAILS = st.none() | st.builds(
    Details, MAYBE, SPANS, EXCEPTIONS, MAYBE, st.none() | ATTRIBUTES, MAYBE, SCOPES,
    st.integers(0, 2**31),
)  # fmt: skip
SITES = st.tuples(
    SHORT, st.integers(0, 60), SHORT | LONG, MAYBE, st.none() | st.integers(), MAYBE, MAYBE,
    st.none() | st.integers(0, 2**22),
)  # fmt: skip
PARTS = st.tuples(st.floats(0, 4e9), SITES, SHORT | LONG, DETAILS)
"""What :meth:`Encoder.encode` takes."""

RESOURCES = st.none() | st.dictionaries(SHORT, VALUES | BULKY, max_size=3)
STATIC = st.none() | st.dictionaries(
    st.sampled_from(["team", "service", "version", "static", "tier.name"]),
    st.none() | SHORT | st.integers() | st.lists(st.integers(), max_size=3),
    max_size=3,
)


def options(**given: object) -> EventOptions:
    """Return options, without those that a schema has no place for."""
    if given["schema"] == "otel":
        given.update(rename=None, extra=None)
    return options_of(**given)
