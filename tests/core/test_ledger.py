"""The account of a stream: accepted = delivered + dropped + pending, at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kinesink.core.entry import Entry
from kinesink.core.ledger import Ledger, data_bytes
from kinesink.core.records import Chunk, DropReason
from tests.core.entries import keyed, keyless

if TYPE_CHECKING:
    from kinesink.core.records import UserRecord


class Accounts(RuleBasedStateMachine):
    """Contents arrive, are cut into pieces, and end in one way or another."""

    @initialize()
    def begin(self) -> None:
        """Open the books."""
        self.ledger = Ledger()
        self.open: list[Chunk | UserRecord] = []
        self.arrived = 0
        self.epochs: dict[int, int] = {}

    @rule(data=st.lists(st.binary(max_size=5), max_size=5))
    def keyless_arrive(self, data: list[bytes]) -> None:
        """Take a chunk, possibly an empty one."""
        self.take_in(Chunk(data, 0.0))

    @rule(data=st.binary(max_size=5))
    def keyed_arrives(self, data: bytes) -> None:
        """Take a user record."""
        self.take_in(keyed(data))

    def take_in(self, content: Chunk | UserRecord) -> None:
        """Count a content in."""
        self.ledger.arrived([content])
        self.arrived += len(content)
        if len(content):
            self.open.append(content)

    @precondition(lambda self: self.open)
    @rule(choose=st.data())
    def a_chunk_is_cut(self, choose: st.DataObject) -> None:
        """Pieces keep the epoch of the whole."""
        content = self.open.pop(choose.draw(st.integers(0, len(self.open) - 1)))
        if isinstance(content, Chunk) and len(content) > 1:
            at = choose.draw(st.integers(1, len(content) - 1))
            for part in (content.data[:at], content.data[at:]):
                self.open.append(Chunk(part, content.arrival, content.epoch))
        else:
            self.open.append(content)

    @precondition(lambda self: self.open)
    @rule(choose=st.data(), reason=st.none() | st.sampled_from(DropReason))
    def some_end(self, choose: st.DataObject, reason: DropReason | None) -> None:
        """Delivered, each in an entry, or dropped for a reason."""
        count = choose.draw(st.integers(1, len(self.open)))
        ending, self.open = self.open[:count], self.open[count:]
        if reason is None:
            for content in ending:
                self.ledger.took(Entry([content], size=0))
        else:
            self.ledger.gave_up(ending, reason)

    @rule(reason=st.sampled_from(DropReason))
    def one_is_refused(self, reason: DropReason) -> None:
        """Count one in and out at once."""
        self.ledger.refused(reason)
        self.arrived += 1

    @rule()
    def a_flush_begins(self) -> None:
        """Give what is pending now an epoch of its own."""
        self.epochs[self.ledger.close_epoch()] = self.ledger.accepted

    @invariant()
    def n1_nothing_is_lost_or_counted_twice(self) -> None:
        """Compare the books with what is really open."""
        ledger = self.ledger
        assert ledger.accepted == self.arrived
        assert ledger.pending == sum(map(len, self.open))
        assert ledger.pending_bytes == sum(map(data_bytes, self.open))
        dropped = sum(ledger.dropped.values())
        assert ledger.accepted == ledger.delivered + dropped + ledger.pending

    @invariant()
    def s5_a_flush_is_done_when_all_of_its_epoch_has_ended(self) -> None:
        """And of those before; later arrivals do not delay it."""
        for epoch in self.epochs:
            assert self.ledger.ended(epoch) is not any(each.epoch <= epoch for each in self.open)


TestAccounts = Accounts.TestCase


class TestLedger:
    """What is counted, apart from the sums."""

    def test_delivered_bytes_are_those_of_the_data(self) -> None:
        """Not of the aggregated record around it."""
        ledger = Ledger()
        contents = [keyless(b"ab", b"c"), keyless(b"", b"d")]
        for content in contents:
            ledger.arrived([content])
        assert ledger.pending_bytes == 4
        ledger.took(Entry(list(contents), size=100))

        assert ledger.delivered == 4
        assert ledger.delivered_bytes == 4
        assert ledger.pending_bytes == 0

    def test_nothing_that_arrives_or_ends_changes_nothing(self) -> None:
        """No flush waits for it."""
        ledger = Ledger()
        ledger.arrived([keyless()])
        ledger.arrived([])
        ledger.gave_up([], DropReason.EXPIRED)

        assert (ledger.accepted, ledger.pending, ledger.dropped) == (0, 0, {})
        assert ledger.ended(ledger.close_epoch())

    def test_drops_are_counted_by_reason(self) -> None:
        """In events; reasons that never occurred are absent."""
        ledger = Ledger()
        chunk = keyless(b"a", b"b")
        ledger.arrived([chunk])
        ledger.gave_up([chunk], DropReason.EXPIRED)
        ledger.refused(DropReason.INVALID)
        ledger.refused(DropReason.INVALID)

        assert ledger.dropped == {DropReason.EXPIRED: 2, DropReason.INVALID: 2}
        assert ledger.accepted == 4
