"""What the tortured programs share: threads that log, and what is known of them afterwards."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinesink import Sink

    Log = Callable[[str], object]

NAP: Final = 0.05
"""Seconds that a thread rests after a few events, on average."""

FIRST_FLUSH: Final = 50.0
"""Seconds for a first event on a machine that has other things to do; nothing is wrong yet."""

_PADDINGS: Final = ("", "x" * 100, "y" * 100, "z" * 400)


def memory(what: str) -> int:
    """Return a reading of this process in KiB: ``VmRSS`` is now, ``VmHWM`` the most ever."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0])
    raise LookupError(what)


def tell(**facts: object) -> None:
    """Print facts in one line, by one call: forked processes share the output."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def tell_account(name: str, sink: Sink, **facts: object) -> None:
    """Print what the process has to account for at its end."""
    account = sink.statistics()
    tell(
        name=name,
        boot_id=sink.sequence.boot_id,
        accepted=account.accepted,
        delivered=account.delivered,
        dropped=account.lost,
        pending=account.pending,
        spooled=account.spooled,
        retried=account.retried,
        peak=memory("VmHWM"),
        **facts,
    )


class Traffic:
    """Threads that log until a file appears.

    How many calls of a thread have returned stands in a file of its name, from the moment
    after the call: it outlives the process.

    :param name: of the process; each thread adds its number.
    :param logs: what each thread logs by.
    """

    def __init__(self, folder: Path, name: str, logs: Sequence[Log]) -> None:
        self._folder = folder
        self._stop = folder / f"{name}.stop"
        self._threads = [
            threading.Thread(target=self._work, args=(f"{name}-t{number}", log))
            for number, log in enumerate(logs)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until the threads were told to stop, and have."""
        for thread in self._threads:
            thread.join()

    def _work(self, name: str, log: Log) -> None:
        dice = random.Random(name)
        told = os.open(self._folder / f"{name}.told", os.O_CREAT | os.O_WRONLY, 0o600)
        number = 0
        while not self._stop.exists():
            for _ in range(dice.choice((1, 1, 1, 2, 5))):
                number += 1
                log(f"{name} {number} {dice.choice(_PADDINGS)}")
                os.pwrite(told, b"%012d" % number, 0)
            time.sleep(dice.uniform(0, 2 * NAP))
        os.close(told)
