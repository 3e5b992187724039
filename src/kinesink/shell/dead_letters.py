"""Hand over what was given up to whoever is configured to get it.

Law: whoever gives an event up waits for nobody. A receiver that raises or hangs costs the
letters that are for it, which is told, and nothing else.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.dead_letter import DeadLetter, append_to
from kinesink.shell import origin
from kinesink.shell.courier import Courier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinesink.config import Config, DeadLetterReceiver
    from kinesink.core.records import DropReason

#: Events that wait for the receiver at most; what comes beyond is not kept.
MOST_WAITING: Final = 10_000


class DeadLetters:
    """The way to the receiver. Safe from any thread.

    :param report: tells an operator, by kind and text.
    """

    def __init__(self, config: Config, report: Callable[[str, str], None]) -> None:
        self._stream_name = config.stream_name
        self._receiver = config.dead_letter
        self._report = report
        self._courier = Courier("kinesink dead_letter")
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether there is a receiver."""
        return self._receiver is not None

    def send(self, reason: DropReason, error: str, events: Iterable[bytes]) -> None:
        """Hand events over that were given up. Never waits, never raises."""
        if self._receiver is None:
            return
        now = time.time()
        letters = [DeadLetter(self._stream_name, bytes(e), reason, error, now) for e in events]
        if not letters:
            return
        if self._waiting + len(letters) > MOST_WAITING:
            self._report("dead_letter", "dead_letter is too slow: events given up are not kept")
            return
        # An estimate: two threads may lose an addition to each other.
        self._waiting += len(letters)
        self._courier.send(partial(self._hand_over, self._receiver, letters))

    @property
    def idle(self) -> bool:
        """Whether the receiver has all of it."""
        return self._courier.idle

    def wait_idle(self, timeout: float) -> bool:
        """Wait until the receiver has all of it; return whether it has."""
        return self._courier.wait_idle(timeout)

    def _hand_over(self, receiver: DeadLetterReceiver | str, letters: list[DeadLetter]) -> None:
        # What the receiver logs is kinesink's own: shipping it could go round for ever.
        origin.OWN.set(True)
        try:
            if callable(receiver):
                receiver(letters)
            else:
                append_to(receiver, letters)
        except BaseException as error:  # noqa: BLE001 - a user's receiver may raise anything
            noun = "an event" if len(letters) == 1 else f"{len(letters)} events"
            self._report("dead_letter", f"dead_letter did not take {noun}: {error!r}")
        finally:
            # Begun anew now and then, so that errors of the estimate never add up.
            self._waiting = self._waiting - len(letters) if self._courier.waiting else 0
