"""What an event tells about its process and its span."""

from __future__ import annotations

import json
import platform
import sys
import types

import pytest

from kinesink.event.current_span import SPANS, current_span
from kinesink.event.encoder import Encoder
from kinesink.event.process_facts import ProcessFacts
from tests.event.lines import line_of

HOST = platform.node()


class TestProcessFacts:
    """The environment names the service."""

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({}, ProcessFacts(host=HOST)),
            ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, ProcessFacts("f", host=HOST)),
            ({"DD_SERVICE": "d", "DD_ENV": "e", "DD_VERSION": "v", "AWS_LAMBDA_FUNCTION_NAME": "f"},
             ProcessFacts("d", "e", "v", HOST)),
            ({"OTEL_SERVICE_NAME": "otel", "DD_SERVICE": "dd"}, ProcessFacts("otel", host=HOST)),
            ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=r", "OTEL_SERVICE_NAME": "otel"},
             ProcessFacts("otel", host=HOST)),
            ({"OTEL_RESOURCE_ATTRIBUTES":
              "service.name=my%20shop, deployment.environment.name=prod,service.version=1,"
              "deployment.environment=old,host.name=h,broken,=x",
              "DD_SERVICE": "dd", "DD_ENV": "dd", "DD_VERSION": "dd"},
             ProcessFacts("my shop", "prod", "1", "h")),
            ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=old"},
             ProcessFacts(env="old", host=HOST)),
            (
                {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "7"},
                ProcessFacts(service="f", version="7", host=HOST),
            ),
            ({"OTEL_SERVICE_NAME": "", "DD_SERVICE": ""}, ProcessFacts(host=HOST)),
        ],
    )  # fmt: skip
    def test_come_from_variables_in_order(
        self, environ: dict[str, str], expected: ProcessFacts
    ) -> None:
        """OpenTelemetry's win over Datadog's, Datadog's over Lambda's; empty is absent."""
        assert ProcessFacts.read(environ) == expected

    def test_an_encoder_reads_them_when_it_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What changes in the environment afterwards does not change events."""
        monkeypatch.setenv("OTEL_SERVICE_NAME", "before")
        encoder = Encoder()
        monkeypatch.setenv("OTEL_SERVICE_NAME", "after")
        line = line_of(encoder, 1.0, ("INFO", 20, "l", None, None, None, None, None), "x")
        assert json.loads(line)["service"] == "before"


class Span:
    """A span and its context in one."""

    def __init__(self, *, trace_id: int, span_id: int, trace_flags: int, is_valid: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.trace_flags = trace_flags
        self.is_valid = is_valid

    def get_span_context(self) -> Span:
        """Return the context."""
        return self


class TestCurrentSpan:
    """Trace ids without importing OpenTelemetry."""

    def test_none_while_nobody_has_imported_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Looking for a span imports nothing."""
        monkeypatch.delitem(sys.modules, SPANS, raising=False)
        assert current_span() is None
        assert SPANS not in sys.modules

    def test_a_span_has_hexadecimal_ids(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Padded to 32 and 16 digits."""
        span = Span(trace_id=0xA, span_id=0xB, trace_flags=1, is_valid=True)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        assert current_span() == ("0" * 31 + "a", "0" * 15 + "b", 1)

    def test_an_invalid_span_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All-zero ids say nothing."""
        span = Span(trace_id=0, span_id=0, trace_flags=0, is_valid=False)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        assert current_span() is None

    def test_a_module_half_imported_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another thread may just be importing it."""
        monkeypatch.setitem(sys.modules, SPANS, types.SimpleNamespace())
        assert current_span() is None

    def test_agrees_with_opentelemetry(self) -> None:
        """The real API, with the real SDK."""
        sdk = pytest.importorskip("opentelemetry.sdk.trace")
        with sdk.TracerProvider().get_tracer("t").start_as_current_span("s") as span:
            found = current_span()
        context = span.get_span_context()
        assert found is not None
        assert int(found.trace_id, 16) == context.trace_id
        assert int(found.span_id, 16) == context.span_id
        assert found.trace_flags == context.trace_flags
        assert current_span() is None
