"""What a person sees while the demonstration runs: a live table, or a line each second."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kinesink.cli.observation import Seen
from kinesink.statistics import Statistics

_BAR: Final = 32
"""Width of the longest bar, in characters."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where everybody stands at one moment."""

    at: float = 0.0
    """Seconds since the start."""
    logged: int = 0
    account: Statistics = field(default_factory=Statistics)
    seen: Seen = field(default_factory=Seen)


class View(Protocol):
    """Shows the course of things."""

    def show(self, moment: Moment) -> None:
        """Take note of where everybody stands; to be called several times a second."""

    def show_end(self, moment: Moment) -> None:
        """Show where everybody stands at the end."""


class Lines:
    """One line per second, for pipes and logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before = Moment()

    def show(self, moment: Moment) -> None:
        """Print what happened since the last line, if that is a second ago."""
        if moment.at >= self._before.at + 1:
            self.show_end(moment)

    def show_end(self, moment: Moment) -> None:
        """Print what happened since the last line."""
        self._console.print(line(self._before, moment), markup=False, soft_wrap=True)
        self._before = moment


class LiveTable:
    """A table that is drawn anew in its place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._recent: list[Moment] = [Moment()]

    def show(self, moment: Moment) -> None:
        """Draw what happened in the last second, and the totals."""
        self._recent = [each for each in self._recent if each.at >= moment.at - 1] or [Moment()]
        self._live.update(table(self._recent[0], moment), refresh=True)
        self._recent.append(moment)

    show_end = show


@contextmanager
def view_on(console: Console) -> Iterator[View]:
    """Give the view that suits the output."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield LiveTable(live)


def line(before: Moment, now: Moment) -> str:
    """Return what happened between two moments as one line."""
    lately = now.seen.since(before.seen)
    account, earlier = now.account, before.account
    return (
        f"{now.at:5.1f} s  logged {_rate(before, now, now.logged - before.logged):>6}/s"
        f"  arrived {_rate(before, now, lately.events):>6}/s"
        f"  aggregates {lately.aggregates:>3}"
        f"  requests {account.requests - earlier.requests:>3}"
        f"  retried {account.retried - earlier.retried:>5,}"
        f"  latency {latency(lately)}"
        f"  shards {' '.join(f'{share:.0%}' for share in _shares(now.seen))}"
    )


def table(before: Moment, now: Moment) -> Group:
    """Return the totals, what happened since ``before``, and the spread over the shards."""
    lately = now.seen.since(before.seen)
    account, earlier = now.account, before.account
    rows = Table.grid(padding=(0, 2))
    rows.add_column()
    rows.add_column(justify="right")
    rows.add_column(justify="right")
    rows.add_row("", Text("per second", "dim"), Text("in all", "dim"), "")
    for name, delta, total, remark in (
        ("logged", now.logged - before.logged, now.logged, "events, by several threads"),
        ("arrived", lately.events, now.seen.events, "events, read back by the consumer"),
        ("aggregates", lately.aggregates, now.seen.aggregates, _per_aggregate(now.seen)),
        ("requests", account.requests - earlier.requests, account.requests, "PutRecords calls"),
        ("throttled", account.throttled - earlier.throttled, account.throttled, "records refused"),
        ("retried", account.retried - earlier.retried, account.retried, "events sent once more"),
    ):
        rows.add_row(
            name, _rate(before, now, delta), Text(f"{total:,}", "bold"), Text(remark, "dim")
        )
    rows.add_row("pending", "", Text(f"{account.pending:,}", "bold"), Text("events now", "dim"))
    clock = Text.assemble(
        (f"{now.at:4.1f} s", "bold"), "   latency from log call to stream: ", latency(lately)
    )
    return Group(clock, Text(), rows, Text(), spread(now.seen))


def spread(seen: Seen) -> Table:
    """Return the events of each shard, with a bar."""
    rows = Table.grid(padding=(0, 2))
    most = max(seen.shards.values(), default=0) or 1
    for (shard, events), share in zip(sorted(seen.shards.items()), _shares(seen), strict=True):
        bar = "━" * max(round(_BAR * events / most), int(events > 0))
        rows.add_row(shard, Text(bar.ljust(_BAR), "cyan"), f"{events:>7,}", f"{share:>4.0%}")
    return rows


def latency(seen: Seen) -> str:
    """Return the middle and the slow end of the latencies."""
    middle, slow = seen.latency(0.5), seen.latency(0.99)
    return "-" if middle is None else f"p50 {middle} ms, p99 {slow} ms"


def _per_aggregate(seen: Seen) -> str:
    each = seen.events / seen.aggregates if seen.aggregates else 0
    return f"Kinesis records, {each:.0f} events in each"


def _rate(before: Moment, now: Moment, amount: int) -> str:
    return f"{amount / max(now.at - before.at, 0.001):,.0f}"


def _shares(seen: Seen) -> list[float]:
    return [events / max(seen.events, 1) for _, events in sorted(seen.shards.items())]
