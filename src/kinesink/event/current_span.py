"""The span of OpenTelemetry that the calling code runs in, without importing it."""

from __future__ import annotations

import sys
from typing import Final

from kinesink.event.parts import TraceIds

SPANS: Final = "opentelemetry.trace"
"""The module that knows the current span, once somebody has imported it."""


def current_span() -> TraceIds | None:
    """Return the ids of the current span, or None where there is none.

    None as well while the application has not imported ``opentelemetry.trace`` itself.
    """
    trace = sys.modules.get(SPANS)
    if trace is None:
        return None
    try:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return TraceIds(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags)
        )
    except Exception:  # noqa: BLE001 - a module half imported, a tracer of another make
        return None
