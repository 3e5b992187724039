"""Fork: no connection of ours is open, and no thread of ours is inside sqlite, while it happens.

Law: sqlite keeps locks and files in memory that a child would inherit and believe in. So every
connection is closed before the process forks, and opened again at its next use; the lock that
says whose file it is stays held meanwhile. The child lets go of its copies and has nothing.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import Protocol


class Forked(Protocol):
    """What has to know of a fork."""

    def pause(self) -> None:
        """Let nobody in, and close the connection."""

    def resume(self) -> None:
        """Let everybody in again: the fork is over, and this is the parent."""

    def abandon(self) -> None:
        """Let go of everything without touching it: this is the child."""


class Forks:
    """Who has to know of the forks of this process."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        #: Held while a file is opened for the first time, and throughout a fork.
        self.gate = RLock()
        self._watched: dict[int, Forked] = {}
        self._paused: list[Forked] = []
        self._has_paused = False

    def watch(self, one: Forked) -> None:
        """Tell ``one`` of every fork, and keep it alive until :meth:`forget`."""
        self._watched[id(one)] = one

    def forget(self, one: Forked) -> None:
        """Tell ``one`` no more."""
        self._watched.pop(id(one), None)

    def before(self) -> None:
        """Close everything, and keep everybody out."""
        self.gate.acquire()
        self._has_paused = True
        self._paused = list(self._watched.values())
        for one in self._paused:
            one.pause()

    def in_parent(self) -> None:
        """Let everybody in again, unless the fork was under way before we were told of any."""
        if not self._has_paused:
            return
        self._has_paused = False
        paused, self._paused = self._paused, []
        for one in paused:
            one.resume()
        self.gate.release()

    def in_child(self) -> None:
        """Let go of what is the parent's, and begin anew."""
        for one in self._paused:
            one.abandon()
        self._reset()

    def register(self) -> None:
        """Have the interpreter tell of every fork from now on; where there is none, do nothing."""
        register = getattr(os, "register_at_fork", None)
        if register is not None:
            register(
                before=self.before, after_in_parent=self.in_parent, after_in_child=self.in_child
            )


forks = Forks()
forks.register()
