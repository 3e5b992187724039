"""What a person reads before and after: the set-up, a few of the events, the account."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from kinesink.cli.account import in_words
from kinesink.cli.observation import Event, Seen
from kinesink.cli.plan import STREAM_NAME, Plan
from kinesink.cli.shop_doors import KINDS
from kinesink.cli.view import latency
from kinesink.statistics import Statistics

_LEVEL_STYLES: Final = {"WARNING": "yellow", "ERROR": "red", "DEBUG": "dim"}


@dataclass(frozen=True)
class End:
    """All there is to say in the end."""

    account: Statistics
    """The producer's."""
    seen: Seen
    """The consumer's."""
    disagreements: Sequence[str]
    """In words; none if every event arrived exactly once."""
    remarks: Sequence[str]
    """What the producer reported."""
    interrupted: bool


def introduce(console: Console, plan: Plan, endpoint_url: str) -> None:
    """Say who talks to whom."""
    shards = "1 shard" if plan.shards == 1 else f"{plan.shards} shards"
    threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
    door = KINDS[plan.door]
    say(console, f"{door.library:<13} {threads}, {plan.rate:,} events/s, for {plan.seconds:g} s")
    say(console, f"→ kinesink    {door.ships}({STREAM_NAME!r}), on {plan.backend}")
    say(console, f"→ Kinesis     a fake in memory, {shards}, at {endpoint_url}")
    say(console, "→ consumer    reads the shards over HTTP and takes the aggregates apart")
    if plan.faults:
        faults = "1/3 of the records refused for rate, 1/3 of the answers 150 ms late"
        say(console, f"  faults      {faults}", "yellow")
    say(console)


def show_events(console: Console, events: Sequence[Event]) -> None:
    """Show a few events as they came out of the stream, and the first one whole."""
    say(console)
    say(console, "A few of the events, as the consumer read them", "bold")
    for event in events:
        say(console, _summary(event), _LEVEL_STYLES.get(event["level"], ""))
    if events:
        say(console)
        say(console, "One of them, whole", "bold")
        say(console, json.dumps(events[0], ensure_ascii=False), "dim")


def show_account(console: Console, end: End) -> None:
    """Show what the producer says, what the consumer saw, and whether they agree."""
    account, seen = end.account, end.seen
    say(console)
    say(console, "The account" + (", after an interrupt" if end.interrupted else ""), "bold")
    say(console, f"  producer  {in_words(account)}")
    say(
        console,
        f"            {account.requests:,} requests with {account.entries:,} Kinesis records; "
        f"{account.throttled:,} records throttled, {account.retried:,} events retried",
    )
    say(console, f"  consumer  {seen.events:,} events, {seen.aggregates:,} aggregates")
    say(console, f"            latency from log call to stream: {latency(seen)}")
    for remark in end.remarks:
        say(console, f"  reported  {remark}", "yellow")
    for difference in end.disagreements:
        say(console, f"  differs   {difference}", "red")
    if end.disagreements:
        say(console, "They do not agree.", "bold red")
    else:
        say(console, "They agree: every event logged arrived exactly once.", "bold green")


def _summary(event: Event) -> str:
    """Return an event as one line: time, level, logger, message, and what else it has."""
    parts = [
        f"  {event['timestamp'][11:23]} {event['level']:<8}{event['logger']:<14}{event['message']}",
        *(f"{name}={value}" for name, value in event["attributes"].items()),
    ]
    if "exception" in event:
        exception = event["exception"]
        parts.append(f"[{exception['type']}: {exception['message']}]")
    return "  ".join(parts)


def say(console: Console, text: str = "", style: str = "") -> None:
    """Print a line, never read as markup, because it may hold what was logged."""
    # Only a terminal has a width; a pipe gets each line whole.
    console.print(Text(text, style), soft_wrap=not console.is_terminal)
