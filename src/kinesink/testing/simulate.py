"""The command ``python -m kinesink.testing.simulate``: its options, and what it prints.

Law: what is simulated is decided in the package beside it; the exit status is 0 only if
everything held.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

from kinesink.testing.simulation.fleet import FleetPlan, simulate_fleet
from kinesink.testing.simulation.run import run_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kinesink.testing.simulation.run import Outcome

__all__ = ["main"]

#: Seeds that a process is given at once.
_SEEDS_AT_ONCE: Final = 10

_HOUR: Final = 3600.0

_DESCRIPTION: Final = """\
Run the core of kinesink against a simulated Kinesis, in virtual time. A seed decides what
arrives, what fails and what changes; after every step the account must close, and in the
end nothing may be lost, copied without cause, or late. Or let a fleet of producers fill
shards that have the limits of the service, and see what part of them it uses."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.fleet:
        return _fleet(options)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
        return _report(_each(seeds, jobs=1, trace=options.trace), len(seeds))
    seeds = range(options.first, options.first + options.seeds)
    return _report(_each(seeds, jobs=options.jobs, trace=False), len(seeds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kinesink.testing.simulate",
        description=_DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    parser.add_argument("--seed", type=int, metavar="N", help="run this one alone")
    parser.add_argument("--trace", action="store_true", help="say everything that --seed does")
    plan = FleetPlan()
    fleet = parser.add_argument_group("fleet")
    fleet.add_argument("--fleet", action="store_true", help="simulate a fleet instead")
    fleet.add_argument("--producers", type=int, default=plan.producers, metavar="N", help="of it")
    fleet.add_argument("--shards", type=int, default=plan.shards, metavar="N", help="it shares")
    fleet.add_argument(
        "--warm-up", type=float, default=plan.warm_up, metavar="SECONDS", help="not measured"
    )
    fleet.add_argument(
        "--seconds", type=float, default=plan.seconds, metavar="SECONDS", help="measured then"
    )
    fleet.add_argument("--keyed", action="store_true", help="give each event a key")
    fleet.add_argument(
        "--rate", type=float, metavar="EVENTS", help="per second and producer; None: all that fits"
    )
    fleet.add_argument(
        "--latency", type=float, default=plan.latency, metavar="SECONDS", help="of a round trip"
    )
    fleet.add_argument(
        "--event-bytes", type=int, default=plan.event_bytes, metavar="BYTES", help="of an event"
    )
    fleet.add_argument(
        "--storm",
        type=float,
        default=plan.storm,
        metavar="SHARE",
        help=f"of the entries is throttled in {plan.storm_seconds:g} of each "
        f"{plan.storm_interval:g} seconds, whatever their rate",
    )
    fleet.add_argument(
        "--fleet-seed", type=int, default=plan.seed, metavar="N", help="decides about chance"
    )
    return parser


def _each(seeds: range, *, jobs: int, trace: bool) -> Iterator[Outcome]:
    if jobs > 1:
        # Started afresh, for a forked process would share the threads of its parent.
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield from pool.map(run_seed, seeds, chunksize=_SEEDS_AT_ONCE)
    else:
        yield from (run_seed(seed, _say if trace else None) for seed in seeds)


def _report(outcomes: Iterable[Outcome], seeds: int) -> int:
    began = time.perf_counter()
    failed, events, requests, virtual = 0, 0, 0, 0.0
    for done, outcome in enumerate(outcomes, 1):
        events += outcome.events
        requests += outcome.requests
        virtual += outcome.virtual_seconds
        if outcome.failure is not None:
            failed += 1
            _say(outcome.failure)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {seeds} seeds, {failed} failed ")
    took = time.perf_counter() - began
    _say(
        f"{seeds} seeds, {failed} failed: {events:,} events in {requests:,} requests, "
        f"{virtual / _HOUR:,.1f} hours of stream time in {took:.1f} s"
    )
    return 1 if failed else 0


def _fleet(options: argparse.Namespace) -> int:
    plan = FleetPlan(
        producers=options.producers,
        shards=options.shards,
        warm_up=options.warm_up,
        seconds=options.seconds,
        keyed=options.keyed,
        rate=options.rate,
        latency=options.latency,
        event_bytes=options.event_bytes,
        storm=options.storm,
        seed=options.fleet_seed,
    )
    began = time.perf_counter()
    report = simulate_fleet(plan)
    took = time.perf_counter() - began
    _say(f"{plan.producers} producers, {plan.shards} shards: {report}; took {took:.1f} s")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
