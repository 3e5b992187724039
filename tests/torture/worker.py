"""A worker whose events are on disk before a log call returns, so that it may be killed.

It logs until it is told to stop, or is no more.
"""

from __future__ import annotations

import atexit
import logging
import sys
from pathlib import Path

import kinesink
from tests.torture.program import Traffic, tell_account

FOLDER, NAME = Path(sys.argv[1]), sys.argv[2]


def tell() -> None:
    """Print the account of the one sink."""
    from kinesink.shell.sink import every_sink  # noqa: PLC0415 - see below

    (sink,) = every_sink()
    tell_account(NAME, sink)


if __name__ == "__main__":
    # Before anything of kinesink's is used, so that it runs after the hook of its own.
    atexit.register(tell)
    keyless = logging.getLogger("worker.keyless")
    keyed = logging.getLogger("worker.keyed")
    keyless.addHandler(kinesink.KinesisHandler("app"))
    keyed.addHandler(kinesink.KinesisHandler("app", partition_key="process"))
    for logger in (keyless, keyed):
        logger.setLevel(logging.DEBUG)
    Traffic(FOLDER, NAME, [keyless.info, keyed.warning]).wait()
