"""From ledgers to statistics."""

from __future__ import annotations

from dataclasses import fields

from kinesink.core.entry import Entry
from kinesink.core.ledger import Ledger
from kinesink.core.records import Chunk, DropReason
from kinesink.shell.account import total
from kinesink.statistics import Statistics


class TestTotal:
    """The account over several streams."""

    def test_n1_the_streams_add_up(self) -> None:
        """Events by what became of them, in sum."""
        ledgers = [Ledger(), Ledger()]
        for ledger in ledgers:
            chunks = [Chunk([b"ab", b"c"], 0.0) for _ in range(3)]
            for chunk in chunks:
                ledger.arrived([chunk])
            ledger.took(Entry([chunks[0]], size=0))
            ledger.gave_up([chunks[1]], DropReason.EXPIRED)
        account = total(ledgers)

        assert account.accepted == 12
        assert account.delivered == account.lost == account.pending == 4
        assert account.delivered_bytes == account.pending_bytes == 6
        assert account.dropped == {DropReason.EXPIRED: 4}

    def test_every_count_of_a_ledger_is_shown(self) -> None:
        """Each under its own name; `own` and `spooled` are counted elsewhere."""
        ledger, meant = Ledger(), {}
        for number, spec in enumerate(fields(Statistics), start=1):
            if spec.name not in {"dropped", "own", "spooled"}:
                setattr(ledger, spec.name, number)
                meant[spec.name] = number
        account = total([ledger])

        assert {name: getattr(account, name) for name in meant} == meant

    def test_it_is_a_copy(self) -> None:
        """What happens afterwards does not change what was read."""
        ledger = Ledger()
        ledger.refused(DropReason.INVALID)
        account = total([ledger])
        ledger.refused(DropReason.INVALID)

        assert account.dropped == {DropReason.INVALID: 1}

    def test_without_streams_everything_is_zero(self) -> None:
        """Nothing was sent yet."""
        assert total([]) == Statistics()
