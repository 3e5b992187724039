"""The account people read: sums, and one sentence."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.records import DropReason
from kinesink.statistics import Statistics, combine

counts = st.integers(0, 10**12)
accounts = st.builds(
    Statistics,
    **{spec.name: counts for spec in fields(Statistics) if spec.name != "dropped"},
    dropped=st.dictionaries(st.sampled_from(DropReason), counts),
)


class TestSentence:
    """What a log, an issue and a test show."""

    def test_it_is_one_equation(self) -> None:
        """Accepted, and where all of it is; drops with their reasons."""
        account = Statistics(
            accepted=10,
            delivered=4,
            dropped={DropReason.EXPIRED: 2, DropReason.QUEUE_FULL: 1},
            pending=3,
            requests=5,
            entries=6,
            retried=7,
            throttled=8,
        )

        assert account.lost == 3
        assert str(account) == (
            "10 accepted = 4 delivered + 3 dropped (expired 2, queue_full 1) + 3 pending; "
            "5 requests, 6 entries, 7 retried, 8 throttled"
        )
        assert repr(account) == f"<Statistics {account}>"

    def test_without_drops_there_are_no_reasons(self) -> None:
        """Nothing in brackets."""
        assert str(Statistics()).startswith("0 accepted = 0 delivered + 0 dropped + 0 pending;")


class TestSums:
    """Several streams, or several processes."""

    @given(st.lists(accounts, max_size=4))
    def test_accounts_add_up_field_by_field(self, parts: list[Statistics]) -> None:
        """Drops by reason; of none at all, everything is zero."""
        total = combine(*parts)

        for spec in fields(Statistics):
            if spec.name != "dropped":
                assert getattr(total, spec.name) == sum(getattr(p, spec.name) for p in parts)
        assert total.lost == sum(part.lost for part in parts)
        for reason in DropReason:
            assert total.dropped.get(reason, 0) == sum(p.dropped.get(reason, 0) for p in parts)

    @given(accounts)
    def test_n2_reading_twice_counts_once(self, account: Statistics) -> None:
        """A sum is a new account; its parts stay what they were."""
        before = str(account)
        assert combine(account) == combine(account)
        assert str(account) == before
