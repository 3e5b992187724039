"""How deep a thread is inside renderings: a value's own code may log while it is rendered."""

from __future__ import annotations

from threading import get_ident
from typing import Final

from kinesink.shell.fork import in_each_child

MAX_NESTING: Final = 3
"""Past so many log calls inside of one another, an event is shipped bare, so that none of
the application's code runs for it."""

DEPTHS: Final[dict[int, int]] = {}
"""How many renderings a thread is inside of, by its identity; absent for none. Exact
without a lock, as a thread touches only its own entry, and cheaper than a thread-local."""


def forget_others() -> None:
    """Forget the threads that a forked child does not have; new ones may get their identities."""
    mine = get_ident()
    for thread in [thread for thread in DEPTHS if thread != mine]:
        del DEPTHS[thread]


in_each_child(forget_others)
