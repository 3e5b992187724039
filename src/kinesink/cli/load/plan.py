"""What is sent: how much, how fast, and whether that makes sense.

Law: what can be known to be nonsense before anything is sent is refused here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from kinesink.cli.words import number_of, size_of
from kinesink.core import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config

SHORTEST: Final = 100
"""Bytes that an event needs to say what it is."""

FASTEST: Final = 50_000
"""Events per second; beyond, this program is what is measured."""

LONGEST: Final = 86_400
"""Seconds of a load."""

_MOST_BYTES_PER_SECOND: Final = 200 * limits.MIB
"""The default quota of on-demand streams in the largest regions."""

_KEYS: Final = 1_000
"""Different partition keys: enough to reach every shard."""

_KEY_BYTES: Final = 16
"""Room for the key, which counts for the record."""


class NonsenseError(ValueError):
    """An option whose value makes no sense."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        #: Its name, with the dashes.
        self.option = option


@dataclass(frozen=True)
class Plan:
    """A load.

    :raises NonsenseError: if it makes no sense; names the option.
    """

    rate: float
    """Events per second."""
    size: int
    """Bytes of each."""
    duration: float
    """Seconds."""
    keyed: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for option, test, text in _RULES:
            if not test(self):
                raise NonsenseError(option, text)

    @property
    def events(self) -> int:
        """Events in all."""
        return round(self.rate * self.duration)

    def check(self, config: Config) -> None:
        """Refuse what the configuration can never send.

        :raises NonsenseError: if an event does not fit.
        """
        most = config.record_max_bytes
        if most is not None and self.size > most - _KEY_BYTES:
            raise NonsenseError("--size", f"KINESINK_RECORD_MAX_BYTES={most} leaves no room for it")

    def __str__(self) -> str:
        """Return it as people say it."""
        keys = "with keys" if self.keyed else "without keys"
        return (
            f"{number_of(self.events, 'event')} of {self.size:,} bytes {keys}, {self.rate:,g} per "
            f"second for {self.duration:g} s: {size_of(self.events * self.size)}"
        )


class Events:
    """Makes the events of a plan, each a line of JSON that says what it is."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # The same in every run, and nothing that a compressor makes small.
        digits = Random(0).choices("0123456789abcdefghijklmnopqrstuvwxyz", k=plan.size)  # noqa: S311 - hides nothing
        self._filling = "".join(digits)

    def make(self, number: int) -> bytes:
        """Return the event of a number, of the planned size."""
        text = json.dumps({"logger": "kinesink.load", "message": "a load test", "number": number})
        head = f'{text[:-1]}, "filling": "'
        room = self._plan.size - len(head) - len('"}\n')
        return f'{head}{self._filling[:room]}"}}\n'.encode()

    def key(self, number: int) -> str | None:
        """Return the partition key of the event of a number."""
        return f"load-{number % _KEYS}" if self._plan.keyed else None


#: What must hold, in this order, and what a person is told otherwise.
_RULES: Final[tuple[tuple[str, Callable[[Plan], bool], str], ...]] = (
    ("--rate", lambda p: 0 < p.rate <= FASTEST, f"name up to {FASTEST:,} events per second"),
    (
        "--size",
        lambda p: p.size >= SHORTEST,
        f"an event that says what it is has {SHORTEST} bytes or more",
    ),
    (
        "--size",
        lambda p: p.size <= limits.RECORD_MAX_BYTES - _KEY_BYTES,
        f"no record has more than {limits.RECORD_MAX_BYTES:,} bytes, its key included",
    ),
    ("--duration", lambda p: 0 < p.duration <= LONGEST, f"name up to {LONGEST:,} seconds"),
    (
        "--rate",
        lambda p: p.rate * p.size <= _MOST_BYTES_PER_SECOND,
        "with this --size it is more than 200 MiB/s, which is more than a stream takes",
    ),
    ("--rate", lambda p: p.events >= 1, "in this --duration it is not even one event"),
)
