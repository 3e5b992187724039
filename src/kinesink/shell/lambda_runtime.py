"""AWS Lambda: what an invocation has logged is delivered before its environment freezes.

Law: between two invocations no thread runs and no timer fires, for as long as the service
likes. So what is pending is waited for before the runtime hands in its result. That
changes neither result nor exception, and ends before the invocation's own time does; what
was late stays pending and goes with the next invocation.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from contextlib import suppress
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from kinesink.errors import ConfigurationError
from kinesink.option_values import seconds
from kinesink.shell.reporter import write_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = TypeVar("Handler", bound=Callable[..., object])

#: Longest wait at the end of an invocation unless somebody chooses another, in seconds: the
#: time limit of functions for which nobody has chosen one.
LONGEST_WAIT: Final = 3.0

#: Seconds of the invocation that are left to the runtime, for telling of what was late and
#: for handing in the result.
_RESERVE: Final = 0.2

#: What only the real runtime has both of; the name alone is often set by tests.
_SIGNS: Final = ("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API")

#: Chooses the longest wait, or switches the flush off that needs no decorator.
_VARIABLE: Final = "KINESINK_LAMBDA_FLUSH"
_ON: Final = frozenset({"", "true", "yes", "on", "1"})
_OFF: Final = frozenset({"false", "no", "off", "0"})

#: Where the runtime has its client (awslambdaric 1 to 4), and how that hands in a result.
_MODULE: Final = "lambda_runtime_client"
_CLASS: Final = "LambdaRuntimeClient"
_METHODS: Final = ("post_invocation_result", "post_invocation_error")
_WRAPPED: Final = "_flushes_kinesink"

#: What the runtime calls the end of the invocation: milliseconds since the epoch, from the
#: header Lambda-Runtime-Deadline-Ms. Nobody but the handler is told of it.
_DEADLINE: Final = "epoch_deadline_time_in_ms"


class _Invocations:
    """The ends of invocations, which come one after the other in one environment."""

    def __init__(self) -> None:
        self._was_late = False

    def handled(self, timeout: float, remaining: float | None) -> None:
        """Deliver because the handler has ended."""
        self._was_late = not _deliver(timeout, remaining)

    def handed_in(self, timeout: float, remaining: float | None) -> None:
        """Deliver because the runtime is about to hand in the result.

        Not if the handler's decorator has just waited for it in vain.
        """
        was_late, self._was_late = self._was_late, False
        if not was_late:
            _deliver(timeout, remaining)


_invocations: Final = _Invocations()


@overload
def lambda_handler(handler: Handler, /) -> Handler: ...


@overload
def lambda_handler(*, timeout: float | str | None = ...) -> Callable[[Handler], Handler]: ...


def lambda_handler(
    handler: Handler | None = None, /, *, timeout: float | str | None = None
) -> Handler | Callable[[Handler], Handler]:
    """Deliver all that was logged before a handler of AWS Lambda is left.

    Over every sink of the process, as :func:`kinesink.flush`. Result and exception are the
    handler's own. What does not arrive in time stays pending, goes with the next invocation,
    and is told of on standard error. Needed where the runtime is not AWS's own for Python,
    or for a wait of one's own; there the flush happens without it, see ``docs/lambda.md``.
    Outside Lambda it does the same.

    .. code-block:: python

        @kinesink.lambda_handler
        def handler(event, context): ...

        @kinesink.lambda_handler(timeout=1.0)
        def handler(event, context): ...

    :param handler: a plain function of event and context.
    :param timeout: seconds to wait at most, or text such as ``"500ms"``; None takes
        ``KINESINK_LAMBDA_FLUSH`` if that is a time, else 3 seconds. It is less where the
        context says that less is left, 0.2 seconds for handing in the result included.
    :raises TypeError: if it is no function, or one that Lambda's runtime would not run: a
        coroutine function or a generator.
    :raises ConfigurationError: if the timeout is none.
    """
    longest = _chosen() or LONGEST_WAIT if timeout is None else seconds("timeout", timeout)

    def decorate(handler: Handler) -> Handler:
        _check_runnable(handler)

        @wraps(handler)
        def handle(*arguments: object, **keywords: object) -> object:
            try:
                return handler(*arguments, **keywords)
            finally:
                context = arguments[1] if len(arguments) > 1 else keywords.get("context")
                _invocations.handled(longest, _remaining_of(context))

        return cast("Handler", handle)

    return decorate if handler is None else decorate(handler)


def _check_runnable(handler: object) -> None:
    if not callable(handler):
        raise TypeError(f"a handler of AWS Lambda is a function, not {handler!r}")
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(
            "the Python runtime of AWS Lambda awaits no handler: decorate a plain function that "
            "runs its coroutine itself, with asyncio.run or anyio.run"
        )
    if inspect.isgeneratorfunction(handler):
        raise TypeError("the Python runtime of AWS Lambda runs no generator: return the result")


def watch() -> None:
    """Deliver from now on before the runtime hands in a result, if this is Lambda.

    Does nothing a second time, nothing outside Lambda, and nothing if
    ``KINESINK_LAMBDA_FLUSH`` is ``false``. Takes no lock and waits for nothing.
    """
    if not all(os.environ.get(name) for name in _SIGNS):
        return
    try:
        timeout = _chosen()
    except ConfigurationError as error:
        # Whoever logs for the first time is not to be blamed for it.
        write_line(str(error))
        timeout = LONGEST_WAIT
    if not timeout:
        return
    for name, module in sys.modules.copy().items():
        if name.rpartition(".")[2] == _MODULE:
            _wrap(getattr(module, _CLASS, None), timeout)
    _watch_snapshots()


def _chosen() -> float:
    """Return the longest wait that the environment chooses, in seconds; 0 for none.

    :raises ConfigurationError: if that is neither a time nor yes or no.
    """
    said = os.environ.get(_VARIABLE, "").strip().lower()
    if said in _ON:
        return LONGEST_WAIT
    return 0.0 if said in _OFF else seconds(_VARIABLE, said)


def _wrap(client: object, timeout: float) -> None:
    for name in _METHODS:
        method = getattr(client, name, None)
        if callable(method) and not hasattr(method, _WRAPPED):
            setattr(client, name, _delivering_first(method, timeout))


def _delivering_first(method: Callable[..., object], timeout: float) -> Callable[..., object]:
    @wraps(method)
    def hand_in(*arguments: object, **keywords: object) -> object:
        _invocations.handed_in(timeout, _remaining_for_runtime())
        return method(*arguments, **keywords)

    setattr(hand_in, _WRAPPED, True)
    return hand_in


def _watch_snapshots() -> None:
    """Have nothing pending in a snapshot, and let each copy of it number events by itself."""
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    with suppress(ImportError):
        hooks = import_module("snapshot_restore_py")
        if not any(call is _deliver for call, *_ in hooks.get_before_snapshot()):
            hooks.register_before_snapshot(_deliver, LONGEST_WAIT, None)
            hooks.register_after_restore(_renew_ids)


def _renew_ids() -> None:
    from kinesink.shell.sink import every_sink  # noqa: PLC0415 - its imports lead back here

    for sink in every_sink():
        sink.sequence.renew()


def _remaining_of(context: object) -> float | None:
    """Return the seconds that an invocation has left; None if its context does not say."""
    with suppress(Exception):
        milliseconds = cast("Any", context).get_remaining_time_in_millis()
        if isinstance(milliseconds, (int, float)):
            return milliseconds / 1000
    return None


def _remaining_for_runtime() -> float | None:
    """Return what the runtime, which is calling this, knows of that; None if it does not."""
    frame = inspect.currentframe()
    while frame is not None:
        deadline = frame.f_locals.get(_DEADLINE)
        if isinstance(deadline, (int, float)):
            return deadline / 1000 - time.time()
        frame = frame.f_back
    return None


def _deliver(timeout: float, remaining: float | None) -> bool:
    """Flush all sinks; return whether nothing is left. Never raises.

    :param timeout: seconds to wait at most.
    :param remaining: seconds that the invocation has left; None if nobody knows.
    """
    from kinesink.shell.background import every_background  # noqa: PLC0415 - as above
    from kinesink.shell.process import flush  # noqa: PLC0415 - as above

    if remaining is not None:
        timeout = max(0.0, min(timeout, remaining - _RESERVE))
    try:
        if flush(timeout):
            return True
        for background in every_background():
            background.report_late(round(timeout, 2))
    except Exception as error:  # noqa: BLE001 - the invocation's result is worth more than its log
        write_line(f"the flush at the end of an invocation failed: {error!r}")
    return False
