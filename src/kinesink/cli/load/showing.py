"""What a person sees of a load: a line while it runs, and the account with its latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.text import Text

from kinesink.cli.account import in_words
from kinesink.cli.load.latencies import in_words as in_time

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from typing_extensions import Self

    from kinesink.cli.load.sending import Sending

_BAR: Final = 40
"""Columns of the longest bar."""

_INTERVALS: Final = {True: 0.2, False: 1.0}
"""Seconds between two lines, by whether they are on a terminal."""

_QUANTILES: Final = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))


class Progress:
    """Shows how far it is: one line that changes on a terminal, a line each second elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._interval = _INTERVALS[console.is_terminal]
        self._due = self._interval
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, sending: Sending) -> None:
        """Show how far it is, if that is due."""
        if sending.elapsed < self._due:
            return
        self._due = sending.elapsed + self._interval
        text = Text(line(sending))
        if self._live.is_started:
            self._live.update(text, refresh=True)
        else:
            self._console.print(text, soft_wrap=True)


def line(sending: Sending) -> str:
    """Return how far it is."""
    account, found = sending.account, sending.latencies
    return (
        f"{sending.elapsed:5.1f} s  handed over {sending.handed_over:,}  "
        f"delivered {account.delivered:,}  dropped {account.lost:,}  pending {account.pending:,}  "
        f"throttled {account.throttled:,}  p50 {in_time(found.quantile(0.5))}  "
        f"p99 {in_time(found.quantile(0.99))}"
    )


def ending(sending: Sending, *, interrupted: bool) -> str:
    """Return the account and the latencies, as lines."""
    account, found = sending.account, sending.latencies
    lines = [
        "",
        "The account" + (", after an interrupt" if interrupted else ""),
        f"  handed over in {sending.took:.1f} s, {_rate(sending):,.0f} per second",
        f"  {in_words(account)}",
        f"  {account.requests:,} requests with {account.entries:,} Kinesis records",
        f"  {account.throttled:,} records throttled, {account.retried:,} events retried",
    ]
    if not found.count:
        return "\n".join(lines)
    quantiles = [f"{name} {in_time(found.quantile(share))}" for name, share in _QUANTILES]
    lines += [
        "",
        "From the hand-over to the acknowledgement",
        f"  {', '.join(quantiles)}, max {in_time(found.longest)}",
    ]
    most = max(count for _, count in found.rows())
    for label, count in found.rows():
        bar = "━" * max(round(_BAR * count / most), int(count > 0))
        lines.append(f"  {label:>8}  {bar:<{_BAR}}  {count:,}")
    return "\n".join(lines)


def _rate(sending: Sending) -> float:
    return sending.handed_over / max(sending.took, 0.001)
