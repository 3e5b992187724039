"""Names under which nothing is shipped."""

from __future__ import annotations

import copy
import dataclasses
import json
import types
from typing import TYPE_CHECKING, Any

import pytest

from kinesink.event.options import EventOptions
from kinesink.event.parts import Details
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.redaction import DEFAULT_NAMES, REDACTED, RedactNames
from kinesink.event.shaped import new_encoder
from tests.event.lines import line_of
from tests.event.strategies import SCHEMAS

if TYPE_CHECKING:
    from kinesink.event.options import Extra, SchemaName

SITE: Any = ("INFO", 20, "app", "/app.py", 1, "main", "MainThread", 7)
DEFAULTS = RedactNames(["default"])


@dataclasses.dataclass
class Login:
    """What an application hands to its log by mistake."""

    user: str
    password: str


class Session:
    """The same in the way of attrs."""

    __attrs_attrs__ = (types.SimpleNamespace(name="user"), types.SimpleNamespace(name="token"))

    def __init__(self, user: str, token: str) -> None:
        self.user = user
        self.token = token


class TestRedactNames:
    """What stands under a name, at any depth, in whatever holds it."""

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"password": "s", "user": "u"}, {"password": REDACTED, "user": "u"}),
            ({"Password": "s"}, {"Password": REDACTED}),
            ({"X-Api-Key": "s"}, {"X-Api-Key": REDACTED}),
            ({"SET_COOKIE": ["a", "b"]}, {"SET_COOKIE": REDACTED}),
            ({"credentials": {"user": "u"}}, {"credentials": REDACTED}),
            ({"a": {"b": [{"token": "s"}, ["token"]]}},
             {"a": {"b": [{"token": REDACTED}, ["token"]]}}),
            ({"login": Login("u", "s")}, {"login": {"user": "u", "password": REDACTED}}),
            ({"session_of": Session("u", "s")}, {"session_of": {"user": "u", "token": REDACTED}}),
            ({"a": {1, 2} - {2}, "logins": [Login("u", "s")]},
             {"a": [1], "logins": [{"user": "u", "password": REDACTED}]}),
            ({b"token": "s", 1: {None: "x"}}, {"token": REDACTED, "1": {"None": "x"}}),
            ({"password_hint": "h", "my password": "p"},
             {"password_hint": "h", "my password": "p"}),
            ({"default": "a value", "token": None}, {"default": "a value", "token": REDACTED}),
            ({}, {}),
        ],
    )  # fmt: skip
    def test_values_are_replaced(
        self, attributes: dict[Any, Any], expected: dict[str, Any]
    ) -> None:
        """Whole names only; capitals, ``-`` and ``_`` make no difference."""
        assert DEFAULTS(attributes) == expected

    def test_nothing_deep_is_missed(self) -> None:
        """Deeper than a stack of calls would reach."""
        tree: dict[str, Any] = {"token": "s3cret"}
        for _ in range(240):
            tree = {"in": [tree][0]}
        found = json.dumps(DEFAULTS(tree))
        assert "s3cret" not in found
        assert REDACTED in found

    def test_more_attributes_than_most_events_have_are_all_kept(self) -> None:
        """Redaction leaves nothing out."""
        many = {f"k{number}": number for number in range(5000)}
        assert DEFAULTS(many) == many

    def test_own_names_are_instead_of_the_default_ones_or_beside_them(self) -> None:
        """``default`` among them stands for all of those."""
        given = {"ssn": "1", "password": "2"}
        assert RedactNames(["ssn"])(given) == {"ssn": REDACTED, "password": "2"}
        assert RedactNames(["S-S-N"])({"s_s_n": "1"}) == {"s_s_n": REDACTED}
        assert RedactNames(["default", "ssn"])(given) == dict.fromkeys(given, REDACTED)

    def test_the_default_names_are_in_their_normal_form(self) -> None:
        """Else they would never match."""
        assert {name.lower().replace("-", "_") for name in DEFAULT_NAMES} == DEFAULT_NAMES

    def test_nothing_of_the_caller_s_is_changed(self) -> None:
        """Not at the top, not below it."""
        login = Login("u", "s")
        given = {"password": "s", "deep": {"token": ["t"]}, "login": login}
        before = copy.deepcopy(given)
        DEFAULTS(given)
        assert given == before
        assert login.password == "s"


class TestInEvents:
    """Redaction in whatever schema."""

    @pytest.mark.parametrize("extra", [None, "flat", "nested", ["password", "user", "deep"]])
    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_no_line_holds_a_secret(self, schema: SchemaName, extra: Extra | None) -> None:
        """Wherever attributes go, before they go there."""
        if schema == "otel" and extra == "flat":
            extra = None
        options = EventOptions(schema=schema, extra=extra, redact="default,ssn")
        encoder = new_encoder(options, ProcessFacts())
        attributes = {
            "password": "s3cret", "user": 7,
            "deep": {"SSN": ["s3cret"], "log": Login("u", "s3cret")},
            "user.token": "kept",
        }  # fmt: skip
        line = line_of(encoder, 1.0, SITE, "x", Details(attributes=attributes)).decode()
        assert "s3cret" not in line
        assert line.count(REDACTED) == 3
        assert attributes["password"] == "s3cret"
