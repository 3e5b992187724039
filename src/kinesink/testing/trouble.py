"""Faults for a while, and which of them let nothing through."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING

from kinesink.testing.faults import EntryFault, Hang, Latency, Rewrite

if TYPE_CHECKING:
    from kinesink.testing.fake import FakeKinesis
    from kinesink.testing.faults import Fault

__all__ = ["Trouble", "describe_fault", "lets_nothing_through"]

_WRITES = "PutRecords"


class Trouble:
    """Faults that last until a ``with`` block ends, or without one until they are ended."""

    def __init__(self, kinesis: FakeKinesis, faults: tuple[Fault, ...]) -> None:
        """Have them strike from here on."""
        self._kinesis = kinesis
        self._faults = faults
        kinesis.script(*faults)

    def __enter__(self) -> None:
        """Do nothing: the faults strike already."""

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.end()

    def end(self) -> None:
        """End these faults, and let calls go on that are held. A second time does nothing."""
        faults, self._faults = self._faults, ()
        for fault in faults:
            # All may have been ended meanwhile.
            with suppress(ValueError):
                self._kinesis.faults.remove(fault)
        if any(isinstance(fault, Hang) for fault in faults):
            self._kinesis.release()


def lets_nothing_through(fault: Fault) -> bool:
    """Tell whether no event can arrive before this fault has ended.

    Rather yes than no, where only the fault itself knows what it strikes: who waits in vain waits
    long.
    """
    strikes_writes = isinstance(fault, EntryFault) or fault.operation in {None, _WRITES}
    passes = isinstance(fault, (Latency, Rewrite))
    return fault.times is None and fault.share >= 1 and strikes_writes and not passes


def describe_fault(fault: Fault) -> str:
    """Return how a fault is written down."""
    said = (
        f"{spec.name}={value!r}"
        for spec in fields(fault)
        if (value := getattr(fault, spec.name)) != spec.default
    )
    return f"{type(fault).__name__}({', '.join(said)})"
