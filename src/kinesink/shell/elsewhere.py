"""For those who test applications: have what a process sends go elsewhere than to Kinesis.

Law: it is asked when a sink is made and when a producer is, never for an event.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.config import Config
    from kinesink.shell.background import ClientFactory
    from kinesink.shell.kinesis import KinesisClient


class _Elsewhere:
    """Where everything goes instead, while it does."""

    make_client: ClientFactory | None = None


@contextmanager
def delivering_elsewhere(make_client: ClientFactory) -> Iterator[None]:
    """Have every producer that is made meanwhile use such a client, and no new sink a spool.

    Those that run already go on as they are. Blocks of these may stand inside of each other; the
    inner one counts.
    """
    before, _elsewhere.make_client = _elsewhere.make_client, make_client
    try:
        yield
    finally:
        _elsewhere.make_client = before


def client_elsewhere(config: Config) -> KinesisClient | None:
    """Return the client to use instead of one for Kinesis; None for that one."""
    make_client = _elsewhere.make_client
    return None if make_client is None else make_client(config)


def kept_elsewhere(config: Config) -> Config:
    """Return the configuration to work by: without the spool, if everything goes elsewhere."""
    return config if _elsewhere.make_client is None else replace(config, spool_path=None)


_elsewhere = _Elsewhere()
