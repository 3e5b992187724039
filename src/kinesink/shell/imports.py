"""What a producer imports and sets up: all of it at once, before there is an event loop.

Law: after :func:`load` neither the producer nor its helping threads import anything, so
that no fork finds them in the middle of it; see :mod:`kinesink.shell.fork_gate`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from kinesink.shell.fork_gate import fork_gate

if TYPE_CHECKING:
    from kinesink.config import Backend

#: What is imported whole before any part of it. Whoever began with a part while the
#: application is importing the package, each would wait for what the other holds, and the
#: interpreter then lets one import fail: ours, and the application's with it.
_PACKAGES: Final = ("anyio", "httpcore", "httpx", "botocore")

#: What would be imported later: by other threads, by event loops and by connections.
_PARTS: Final = (
    "certifi",
    "encodings.idna",
    "kinesink.shell.aws_session",
    "kinesink.shell.exchange",
    "kinesink.shell.exit_safe",
    "kinesink.shell.producer",
)


def load(backend: Backend) -> None:
    """Import all that a producer needs, and have asyncio and OpenSSL set themselves up.

    Takes half a second the first time. Blocks; to be called in the producer's own thread.
    """
    with fork_gate.lock:
        for name in (backend, *_PACKAGES, f"anyio._backends._{backend}", *_PARTS):
            import_module(name)
        import asyncio  # noqa: PLC0415 - as all that is imported here
        import ssl  # noqa: PLC0415 - as asyncio

        # The first of each takes locks of the process and sets up what later ones only read.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        asyncio.new_event_loop().close()
