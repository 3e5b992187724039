"""Which process wrote an event, and the number of it there.

Law: every event that is written or given up before it was written takes exactly one
number, and no number is given twice for one ``boot_id``. So whoever reads the stream can
tell what is missing and what came twice.
"""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Sequence:
    """Numbers events, from 1 on. Safe from any thread, signal handler and finalizer.

    A sink has one, and every door of that sink numbers by it: a stream that several sinks
    write to has a ``boot_id`` for each.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as a forked child must: the numbers so far are the parent's."""
        #: 64 random bits in hexadecimal.
        self.boot_id = os.urandom(8).hex()
        #: Takes a number; one operation in C.
        self.next: Callable[[], int] = count(1).__next__
