"""The life of an asynchronous server: what it has logged is delivered before it is gone.

Law: whoever leaves it waits no longer than the exit would, whatever was raised or cancelled
inside, and what is left is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.shell.process import aflush
from kinesink.shell.process_exit import process_exit

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType


def lifespan(app: object = None) -> AbstractAsyncContextManager[None]:
    """Return a context that delivers, when it is left, all that the process has logged.

    For servers that end without Python's exit hooks, as uvicorn does: they end by the signal
    that stopped them. Their last call of the application is the end of its ASGI lifespan.

    .. code-block:: python

        app = FastAPI(lifespan=kinesink.lifespan)

        @asynccontextmanager
        async def lifespan(app):
            async with kinesink.lifespan():  # outermost: it also delivers what others log
                async with database():
                    yield

    On leaving, every sink of the process is flushed without blocking the event loop, asyncio
    or trio, for the longest ``shutdown_timeout`` of those that run at most; also when the body has
    raised or was cancelled. What is not delivered by then is told in one line and stays
    pending: the process may go on. It may be entered any number of times, also at the same
    time. Does nothing on entering.

    :param app: the application, which servers pass; not used.
    """
    del app
    return _Lifespan()


class _Lifespan:
    """Delivers on leaving."""

    async def __aenter__(self) -> None:
        """Do nothing."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Flush every sink, and tell of what is left."""
        import anyio  # noqa: PLC0415 - importing kinesink must stay cheap

        from kinesink.shell.exit_safe import run_in_thread  # noqa: PLC0415 - it imports anyio

        with anyio.CancelScope(shield=True):
            if not await aflush():
                await run_in_thread(process_exit.tell_left)
