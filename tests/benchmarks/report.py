"""Tables and plots for docs/performance.md, of what run.py has measured.

    python tests/benchmarks/report.py results.json

writes each table between its two marks in the document, and each plot as a vector graphic
beside it. Medians of the rounds; the spread is the least and the greatest.
"""

from __future__ import annotations

import json
import statistics
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.plans import PLANS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.plans import Plan

Rounds = list[dict[str, Any]]
Results = dict[str, Rounds]

DOCS: Final = Path(__file__).parents[2] / "docs"
PLOTS: Final = DOCS / "plots"
OURS, THEIRS = "#1f6feb", "#8b949e"

#: Dollars in us-east-1 (https://aws.amazon.com/kinesis/data-streams/pricing/).
PER_MILLION_PAYLOAD_UNITS: Final = 0.014
PER_GIB_ON_DEMAND: Final = 0.08


def median_of(rounds: Rounds, what: str) -> float:
    """Return the median of one figure."""
    return statistics.median([float(r[what]) for r in rounds])


def cpu(rounds: Rounds) -> list[float]:
    """Return the microseconds of CPU per event of each round, in order of size."""
    return sorted(1e6 * r["cpu"] / r["events"] for r in rounds)


def rate(rounds: Rounds) -> float:
    """Return the median of events per second."""
    return statistics.median([float(r["events"] / r["wall"]) for r in rounds])


def of_group(results: Results, group: str) -> Results:
    """Return the rows of one group that were measured, by their label."""
    begin = f"{group}: "
    return {
        name.removeprefix(begin): r for name, r in results.items() if name.startswith(begin) and r
    }


def table(head: list[str], lines: list[list[str]]) -> str:
    """Return a table in Markdown, the first column to the left."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join(
        ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(line) + " |" for line in lines)]
    )


def _cost(rows: Results, base: str | None = None) -> str:
    lines = []
    for label, rounds in rows.items():
        costs = cpu(rounds)
        line = [
            label, f"{statistics.median(costs):.2f} µs", f"{costs[0]:.2f} to {costs[-1]:.2f}",
            f"{rate(rounds):,.0f}",
        ]  # fmt: skip
        if base is not None:
            line.append(f"{statistics.median(costs) / statistics.median(cpu(rows[base])):.2f}")
        lines.append(line)
    ratio = [] if base is None else [f"CPU over {base}"]
    return table(["row", "CPU per event", "spread", "events/s", *ratio], lines)


def delivered(results: Results) -> str:
    """Return what a delivered event costs through each door."""
    return _cost(of_group(results, "delivered"), "NullHandler")


def peers(results: Results) -> str:
    """Return what others cost for the same bytes."""
    return _cost(of_group(results, "peers"), "kinesink Sink, keyless")


def sizes(results: Results) -> str:
    """Return what size costs."""
    return _cost(of_group(results, "sizes"))


def shards(results: Results) -> str:
    """Return what shards cost."""
    return _cost(of_group(results, "shards"))


def framings(results: Results) -> str:
    """Return what each framing costs at full speed."""
    return _cost(of_group(results, "framings"), "kpl, JSON")


def latency(results: Results) -> str:
    """Return the time from put to acknowledgement."""
    lines = [
        [
            label,
            *(f"{1e3 * median_of(rounds, p):.0f} ms" for p in ("p50", "p99", "p999")),
            f"{100 * median_of(rounds, 'load'):.1f} %",
        ]
        for label, rounds in of_group(results, "latency").items()
    ]
    return table(["rate, latency of the endpoint", "p50", "p99", "p99.9", "CPU of one core"], lines)


def wire(results: Results) -> str:
    """Return what travels, and what AWS bills of it."""
    lines = []
    for label, rounds in of_group(results, "paced").items():
        arrived = [r["arrived"] for r in rounds]

        def ratio(over: str, under: str, arrived: Rounds = arrived) -> float:
            return statistics.median([float(a[over] / a[under]) for a in arrived])

        units, kib = ratio("payload_units", "events"), ratio("on_demand_units", "events")
        lines.append([
            label, f"{ratio('body_bytes', 'data_bytes'):.2f}", f"{ratio('events', 'entries'):.1f}",
            f"{ratio('entries', 'requests'):.1f}", f"{units:.3f}",
            f"{units * PER_MILLION_PAYLOAD_UNITS:.4f} $",
            f"{kib * 1e6 / 2**20 * PER_GIB_ON_DEMAND:.4f} $",
        ])  # fmt: skip
    return table(
        [
            "1,000 events/s", "bytes sent per byte", "events per record", "records per request",
            "payload units per event", "provisioned, per million", "on demand, per million",
        ],
        lines,
    )  # fmt: skip


def application(results: Results) -> str:
    """Return what an application's requests feel."""
    rows = of_group(results, "application")
    base = median_of(rows["NullHandler"], "p99")
    lines = [
        [
            label,
            *(f"{1e3 * median_of(rounds, p):.2f} ms" for p in ("p50", "p99", "p999")),
            f"{median_of(rounds, 'p99') / base:.2f}",
            f"{100 * median_of(rounds, 'load'):.0f} %",
        ]
        for label, rounds in rows.items()
    ]
    return table(
        ["20,000 events/s to", "p50", "p99", "p99.9", "p99 over NullHandler", "CPU of one core"],
        lines,
    )


def resources(results: Results) -> str:
    """Return memory, threads and beginnings."""
    rows = of_group(results, "resources")
    queued, idle, first = rows["queued events"], rows["idle"], rows["first delivery"]
    lines = {
        "a queued event of 200 bytes": f"{median_of(queued, 'bytes_per_event'):.0f} bytes",
        "growth of the process in an outage, over `max_pending_bytes`": (
            f"{median_of(rows['outage'], 'peak_over_bound'):.2f}"
        ),
        "threads": f"{median_of(idle, 'threads'):.0f}",
        "wake-ups per second when idle": f"{median_of(idle, 'wakeups'):.2f}",
        "CPU when idle": f"{100 * median_of(idle, 'load'):.3f} % of one core",
        "`import kinesink`": f"{1e3 * median_of(first, 'import'):.1f} ms",
        "making the first handler": f"{1e3 * median_of(first, 'construct'):.0f} ms",
        "first log call": f"{1e3 * median_of(first, 'first_call'):.2f} ms",
        "… to its acknowledgement, default linger": (f"{median_of(first, 'first_delivery'):.2f} s"),
    }
    return table(["what", "measured"], [list(line) for line in lines.items()])


TABLES: Final = (
    delivered, peers, sizes, shards, framings, latency, wire, application, resources,
)  # fmt: skip


# -- plots -------------------------------------------------------------------------------


class Plot:
    """A vector graphic that is the same for the same figures."""

    def __init__(self, title: str, height: float = 3.2) -> None:
        matplotlib = import_module("matplotlib")
        matplotlib.use("svg")
        matplotlib.rcParams.update({
            "svg.hashsalt": "kinesink", "svg.fonttype": "none", "font.size": 9,
            "axes.spines.top": False, "axes.spines.right": False, "font.family": "sans-serif",
        })  # fmt: skip
        self._figure, self.axes = import_module("matplotlib.pyplot").subplots(figsize=(7.2, height))
        self.axes.set_title(title, loc="left", fontsize=10)

    def save(self, name: str) -> None:
        """Write it beside the document."""
        PLOTS.mkdir(exist_ok=True)
        file = PLOTS / f"{name}.svg"
        self._figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
        file.write_text("\n".join(map(str.rstrip, file.read_text().splitlines())) + "\n")

    def bars(self, named: dict[str, float], texts: list[str]) -> None:
        """Draw horizontal bars, ours in a colour."""
        labels = list(named)[::-1]
        values = [named[label] for label in labels]
        colours = [OURS if "kinesink" in label.lower() else THEIRS for label in labels]
        drawn = self.axes.barh(labels, values, color=colours, height=0.65)
        self.axes.bar_label(drawn, texts[::-1], padding=3)
        self.axes.margins(x=0.15)


def plot_peers(results: Results) -> None:
    """Draw events per second beside the peers."""
    rates = {label: rate(rounds) for label, rounds in of_group(results, "peers").items()}
    plot = Plot("Delivered events per second, 200 bytes, one process")
    plot.bars(rates, [f"{value:,.0f}" for value in rates.values()])
    plot.save("peers")


def plot_lines(
    results: Results, group: str, title: str, axis: str, at: Callable[[Plan], int]
) -> None:
    """Draw CPU per event over sizes or shards, a line for each way in."""
    rows = of_group(results, group)
    lines: dict[str, dict[int, float]] = {}
    for plan in PLANS:
        if plan.group == group and plan.label in rows:
            name = plan.label.partition(f", {at(plan):,}")[0]
            lines.setdefault(name, {})[at(plan)] = statistics.median(cpu(rows[plan.label]))
    plot = Plot(title)
    for (name, points), style in zip(lines.items(), ("-o", "--s"), strict=True):
        plot.axes.plot(list(points), list(points.values()), style, label=name, color=OURS)
    plot.axes.set_xscale("log")
    plot.axes.set_ylim(bottom=0)
    plot.axes.set_xlabel(axis)
    plot.axes.set_ylabel("µs of CPU per event")
    plot.axes.legend(frameon=False)
    plot.save(group)


def plot_latency(results: Results) -> None:
    """Draw percentiles over rates, for both latencies of the endpoint."""
    plot = Plot("From put to acknowledgement, linger 100 ms")
    rows = of_group(results, "latency")
    labels = list(rows)
    for place, (p, name) in enumerate((("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))):
        values = [1e3 * median_of(rows[label], p) for label in labels]
        at = [number + (place - 1) * 0.27 for number in range(len(labels))]
        plot.axes.bar(at, values, 0.25, label=name, color=(THEIRS, OURS, "#0b3d91")[place])
    plot.axes.set_xticks(range(len(labels)), [label.replace(", ", "\n") for label in labels])
    plot.axes.set_ylabel("ms")
    plot.axes.legend(frameon=False, ncols=3)
    plot.save("latency")


def plot_application(results: Results) -> None:
    """Draw the 99th percentile of requests."""
    rows = of_group(results, "application")
    values = {label: 1e3 * median_of(rounds, "p99") for label, rounds in rows.items()}
    plot = Plot("99th percentile of a request that logs 40 lines, 20,000 events/s in all", 2.2)
    plot.bars(values, [f"{value:.2f} ms" for value in values.values()])
    plot.save("application")


def main() -> None:
    """Rewrite the tables of the document, and the plots."""
    measured = json.loads(Path(sys.argv[1]).read_text())
    results: Results = measured["results"]
    document = DOCS / "performance.md"
    text = document.read_text()
    for make in TABLES:
        before, begin, rest = text.partition(f"<!-- table: {make.__name__} -->\n")
        _, end, after = rest.partition("<!-- end of table -->")
        if not end:
            sys.exit(f"docs/performance.md has no place for the table {make.__name__}")
        text = f"{before}{begin}{make(results)}\n{end}{after}"
    document.write_text(text)
    plot_peers(results)
    plot_lines(
        results, "sizes", "CPU per delivered event by its size", "bytes",
        lambda plan: plan.case.size,
    )  # fmt: skip
    plot_lines(
        results, "shards", "CPU per delivered event by the number of shards", "shards",
        lambda plan: plan.nature.shards,
    )  # fmt: skip
    plot_latency(results)
    plot_application(results)


if __name__ == "__main__":
    main()
