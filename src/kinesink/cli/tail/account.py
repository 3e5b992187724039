"""What was read, what was shown, and what is missing, in events."""

from dataclasses import dataclass, field

from kinesink.cli.tail.gaps import Gaps
from kinesink.cli.words import number_of
from kinesink.testing.marks import ToldLoss, total_of


@dataclass
class Account:
    """The account of one reading."""

    gaps: Gaps = field(default_factory=Gaps)
    records: int = 0
    events: int = 0
    shown: int = 0
    unreadable: int = 0
    lost: ToldLoss = field(default_factory=ToldLoss)
    """What loss records told of."""

    def lose(self, loss: ToldLoss) -> None:
        """Take note of a loss record."""
        self.lost = total_of([self.lost, loss])

    def __str__(self) -> str:
        """Return it as one sentence."""
        writers, missing = self.gaps.writers, self.gaps.missing()
        read = f"{self.events:,} in {number_of(self.records, 'record')}"
        parts = [
            f"{number_of(self.shown, 'event')} shown of {read}",
            f"numbered by {number_of(writers, 'writer')}, {missing or 'none'} missing"
            if writers
            else "",
            f"{self.lost}" if self.lost.events else "",
            f"{number_of(self.unreadable, 'record')} unreadable" if self.unreadable else "",
        ]
        return "; ".join(filter(None, parts)) + "."
