"""Any sequence of calls, against a list."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kinesink.spool.event import SpooledEvent, size_of
from tests.spool.support import directory_in

if TYPE_CHECKING:
    from kinesink.spool.file import SpoolFile

EVENTS = st.builds(
    SpooledEvent,
    st.binary(max_size=300),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.none() | st.integers(0, 2**128 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.floats(0, 1e10),
)


class Spooling(RuleBasedStateMachine):
    """A file and the list that it should be."""

    @initialize()
    def begin(self) -> None:
        """Open the first file."""
        self.root = Path(tempfile.mkdtemp())
        self.directory = directory_in(self.root)
        self.file: SpoolFile = self.directory.open()
        self.model: list[tuple[int, SpooledEvent]] = []

    @rule(event=EVENTS)
    def append_one(self, event: SpooledEvent) -> None:
        """Append one, the quick way."""
        self.model.append((self.file.append_one(*event), event))

    @rule(events=st.lists(EVENTS, max_size=400))
    def append(self, events: list[SpooledEvent]) -> None:
        """Many at once."""
        self.model += zip(self.file.append(events), events, strict=True)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Remove some that are there, and some that may not be."""
        ids = data.draw(st.sets(st.integers(0, 1 + max((i for i, _ in self.model), default=0))))
        self.file.delete(ids)
        self.model = [(row_id, event) for row_id, event in self.model if row_id not in ids]

    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        """Evict the oldest that are not spared, as few as possible."""
        bound = data.draw(st.integers(0, 1 + self.file.held_bytes))
        spared = data.draw(st.sampled_from([0, *(row_id for row_id, _ in self.model)]))
        gone: list[SpooledEvent] = []
        for row_id, event in self.model[:]:
            if self.sum_of(self.model) > bound and row_id > spared:
                self.model.remove((row_id, event))
                gone.append(event)
        evicted = self.file.evict(bound, after=spared)
        assert evicted.events == len(gone)
        assert evicted.size == sum(size_of(event.data, event.partition_key) for event in gone)
        assert evicted.by_level == Counter(event.level for event in gone)

    @rule(limit=st.integers(0, 50), data=st.data())
    def read(self, limit: int, data: st.DataObject) -> None:
        """From anywhere on."""
        after = data.draw(st.sampled_from([0, *(row_id for row_id, _ in self.model)]))
        behind = [(row_id, event) for row_id, event in self.model if row_id > after]
        assert self.file.read(limit, after) == behind[:limit]
        assert self.file.oldest_at(after) == (behind[0][1].at if behind else None)

    @rule()
    def reopen(self) -> None:
        """Close it, and adopt it."""
        self.file.close()
        files, troubles = directory_in(self.root).adopt()
        assert (len(files), troubles) == (bool(self.model), [])
        self.file = files[0] if files else self.directory.open()

    @rule()
    def fork(self) -> None:
        """Go through what the parent does in one."""
        self.file.pause()
        self.file.resume()

    @invariant()
    def is_the_list(self) -> None:
        """Compare the events, their rows and the account."""
        if hasattr(self, "file"):
            assert self.file.read(10_000) == self.model
            assert self.file.held_events == len(self.model)
            assert self.file.held_bytes == self.sum_of(self.model)

    @staticmethod
    def sum_of(events: list[tuple[int, SpooledEvent]]) -> int:
        """Return what events count for."""
        return sum(size_of(event.data, event.partition_key) for _, event in events)

    def teardown(self) -> None:
        """Leave nothing."""
        if hasattr(self, "file"):
            self.file.close()
            shutil.rmtree(self.root)


Spooling.TestCase.settings = settings(max_examples=20, stateful_step_count=15)
TestSpooling = Spooling.TestCase
