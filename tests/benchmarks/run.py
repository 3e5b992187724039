"""The benchmarks of the budget: interleaved rounds, medians, ratios.

    python run.py [--rounds 5] [--scale 1.0] [--rows sink,producer]

Each row runs in a fresh process against an endpoint in another; rounds are
interleaved, so that a noisy moment of the machine meets every row. A row whose events
did not all arrive is an error, not a figure. Not part of the tests.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
ENVIRONMENT: Final = {
    **os.environ,
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


class Plan(NamedTuple):
    """A row to run: its label, its function in rows.py, events and shards."""

    label: str
    row: str
    events: int
    shards: int = 4
    sends: bool = True


PLANS: Final = (
    Plan("NullHandler", "null_handler", 100_000, sends=False),
    Plan("log call, delivered (asyncio)", "delivered_log", 100_000),
    Plan("log call, delivered (trio)", "delivered_log_trio", 100_000),
    Plan("Sink, keyless, 1 shard", "sink", 100_000, shards=1),
    Plan("Sink, keyless, 4 shards", "sink", 100_000),
    Plan("Sink, keyless, 10,000 shards", "sink", 100_000, shards=10_000),
    Plan("Sink, keyed, 4 shards", "sink_keyed", 100_000),
    Plan("Producer, outcome each", "producer", 50_000),
    Plan("aiokpl", "aiokpl", 10_000),
    Plan("boto3 put_records of 500", "boto3_put_records", 50_000),
    Plan("aws-kinesis-agg + boto3", "aws_kinesis_agg", 50_000),
    Plan("latency at 1,000/s", "latency", 3_000),
    Plan("queued events", "queued_memory", 50_000, sends=False),
    Plan("first delivery", "first_delivery", 1),
)


@contextmanager
def endpoint(shards: int) -> Iterator[int]:
    """Run an endpoint in its own process; yield its port."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "endpoint.py"), str(shards)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def account(port: int) -> dict[str, int]:
    """Ask the endpoint what has arrived since the last time."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "Kinesis_20131202.Account"})
    counts: dict[str, int] = json.loads(connection.getresponse().read())
    connection.close()
    return counts


def run_once(plan: Plan, scale: float) -> dict[str, Any] | None:
    """Run one row in fresh processes; None if the peer is not installed."""
    events = max(1, round(plan.events * scale))
    with endpoint(plan.shards) as port:
        done = subprocess.run(
            [sys.executable, str(HERE / "rows.py"), plan.row, str(port), str(events)],
            capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False,
        )  # fmt: skip
        if "ModuleNotFoundError" in done.stderr:
            return None
        if done.returncode:
            sys.exit(f"{plan.label}: {done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads(done.stdout)
        result["arrived"] = account(port)
    if plan.sends and result["arrived"]["events"] < result["events"]:
        sys.exit(f"{plan.label}: {result['arrived']} arrived of {result['events']}")
    return result


def show(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print medians, the spread of the rounds, and ratios."""
    print(f"{'row':32} {'µs CPU/event':>13} {'spread':>13} {'events/s':>10}")
    medians: dict[str, float] = {}
    for label, rounds in results.items():
        if not rounds or "cpu" not in rounds[0]:
            continue
        cpus = sorted(1e6 * r["cpu"] / r["events"] for r in rounds)
        rate = statistics.median(r["events"] / r["wall"] for r in rounds)
        medians[label] = statistics.median(cpus)
        spread = f"{cpus[0]:.2f}-{cpus[-1]:.2f}"
        print(f"{label:32} {medians[label]:13.2f} {spread:>13} {rate:10,.0f}")
    for label, rounds in results.items():
        if rounds and "cpu" not in rounds[0]:
            keys = [key for key in rounds[0] if key not in {"events", "arrived"}]
            texts = [f"{key} {statistics.median(r[key] for r in rounds):.4g}" for key in keys]
            print(f"{label:32} {', '.join(texts)}")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rows", default="")
    arguments = parser.parse_args()
    wanted = set(filter(None, arguments.rows.split(",")))
    plans = [plan for plan in PLANS if not wanted or plan.row in wanted]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    results: dict[str, list[dict[str, Any]]] = {plan.label: [] for plan in plans}
    for _ in range(arguments.rounds):
        for plan in plans:
            result = run_once(plan, arguments.scale)
            if result is not None:
                results[plan.label].append(result)
    show(results)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
