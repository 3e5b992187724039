"""The benchmarks of the budget: interleaved rounds, medians, ratios.

    python tests/benchmarks/run.py [--rounds 5] [--scale 1.0] [--groups peers,latency]
                                   [--output results.json]

Each row runs in a fresh process against an endpoint in another; rounds are
interleaved, so that a noisy moment of the machine meets every row. A row whose events
did not all arrive is an error, not a figure. Not part of the tests; report.py makes tables
and plots of what this writes.
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
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.plans import GROUPS, PLANS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.endpoint import Nature
    from tests.benchmarks.plans import Plan

HERE: Final = Path(__file__).parent
ENVIRONMENT: Final = {
    **os.environ,
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "PYTHONPATH": str(HERE.parents[1]),
}
PATIENCE: Final = 300.0
"""Seconds that one row may take."""


@contextmanager
def endpoint(nature: Nature) -> Iterator[int]:
    """Run an endpoint in its own process; yield its port."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "endpoint.py"), json.dumps(nature._asdict())],
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
    case = plan.case._replace(events=max(1, round(plan.case.events * scale)))
    with endpoint(plan.nature) as port:
        url = f"http://127.0.0.1:{port}"
        done = subprocess.run(
            [sys.executable, str(HERE / "rows.py"), plan.row, url, json.dumps(case._asdict())],
            capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE, check=False,
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


def show(plan: Plan, rounds: list[dict[str, Any]]) -> str:
    """Return a line with the medians of what was measured."""
    if not rounds:
        return f"{plan.label:36} not installed"
    found = []
    for key, unit, factor in (("cpu", "µs CPU/event", 1e6), ("wall", "events/s", 0.0)):
        if key in rounds[0]:
            values = sorted(
                factor * r[key] / r["events"] if factor else r["events"] / r[key] for r in rounds
            )
            middle = statistics.median(values)
            found.append(f"{middle:,.2f} {unit} ({values[0]:,.2f}-{values[-1]:,.2f})")
    others = [key for key in rounds[0] if key not in {"cpu", "wall", "events", "arrived"}]
    found += [f"{key} {statistics.median(r[key] for r in rounds):.4g}" for key in others]
    return f"{plan.label:36} {', '.join(found)}"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    wanted = arguments.groups.split(",")
    plans = [plan for plan in PLANS if plan.group in wanted]
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    print(machine)
    results: dict[str, list[dict[str, Any]]] = {f"{p.group}: {p.label}": [] for p in plans}
    for number in range(arguments.rounds):
        for plan in plans:
            result = run_once(plan, arguments.scale)
            if result is not None:
                results[f"{plan.group}: {plan.label}"].append(result)
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
    group = None
    for plan in plans:
        if plan.group != group:
            group = plan.group
            print(f"\n{group}")
        print(show(plan, results[f"{plan.group}: {plan.label}"]))
    if arguments.output:
        found = {"machine": machine, "rounds": arguments.rounds, "results": results}
        arguments.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
