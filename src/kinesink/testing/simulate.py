"""The command ``python -m kinesink.testing.simulate``: its options, and nothing else."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from kinesink.testing.simulation.fleet import FleetPlan, simulate_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    options = _parser().parse_args(arguments)
    return _fleet(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kinesink.testing.simulate")
    fleet = parser.add_argument_group("a fleet on shards with the limits of the service")
    plan = FleetPlan()
    fleet.add_argument("--fleet", action="store_true", help="simulate one")
    fleet.add_argument("--producers", type=int, default=plan.producers)
    fleet.add_argument("--shards", type=int, default=plan.shards)
    fleet.add_argument("--warm-up", type=float, default=plan.warm_up, metavar="SECONDS")
    fleet.add_argument("--seconds", type=float, default=plan.seconds, help="how long to measure")
    fleet.add_argument("--keyed", action="store_true", help="give each event a key")
    fleet.add_argument(
        "--rate", type=float, metavar="EVENTS", help="per second and producer; all that fits"
    )
    fleet.add_argument("--latency", type=float, default=plan.latency, metavar="SECONDS")
    fleet.add_argument("--event-bytes", type=int, default=plan.event_bytes, metavar="BYTES")
    fleet.add_argument("--fleet-seed", type=int, default=plan.seed, metavar="SEED")
    return parser


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
