"""Everything that checks kinesink: plain `nox` runs all of it but benchmarks and long runs.

The Pythons are those of the classifiers in pyproject.toml that are installed here. A name that
is on the PATH but does not run (a pyenv shim for a version that is not selected) is none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.5.1"
# uv fills an environment in a fraction of the time that pip takes.
nox.options.default_venv_backend = "uv|virtualenv"
# The Pythons are those that are here, uv's cache may be on another disk, and programs under test
# begin as fast as from an environment of pip's.
os.environ |= {
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_LINK_MODE": "copy",
    "UV_COMPILE_BYTECODE": "1",
}
nox.options.sessions = [
    "pythons",
    "lint",
    "types",
    "tests",
    "slow",
    "without_extras",
    "otel_sdks",
    "servers",
    "integration",
    "examples",
    "docs",
    "packaging",
    "lowest",
    "coverage",  # last: it judges what the others measured
]

PYPROJECT: Final = nox.project.load_toml("pyproject.toml")
IN_CI: Final = os.environ.get("CI", "").lower() in {"1", "true"}
FEWEST_PYTHONS: Final = 3
"""A matrix of fewer proves little, so CI refuses it."""

SPREAD: Final = ("-n", str(min((os.cpu_count() or 1) + 1, 4)))
"""More workers than there are cores, for many tests wait for programs that they have started."""

COVERAGE_DATA: Final = Path(".coverage-data").absolute()
"""One folder for each session that measures, so that a repeated session replaces what it left."""


def why_not(version: str) -> str | None:
    """Return the reason why a version of Python cannot be used here, or None if it can."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return None
    name = f"python{version}"
    path = shutil.which(name)
    if path is None:
        return f"{name} is not on the PATH"
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        ran = subprocess.run(  # noqa: S603 - our own words
            [path, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} does not run: {error}"
    if ran.returncode or ran.stdout.strip() != version:
        said = (ran.stderr or ran.stdout).strip().partition("\n")[0]
        return f"{path} is not an interpreter that runs: {said}"
    return None


SKIPPED: Final = {
    version: reason
    for version in nox.project.python_versions(PYPROJECT)
    if (reason := why_not(version)) is not None
}
PYTHONS: Final = [
    version for version in nox.project.python_versions(PYPROJECT) if version not in SKIPPED
]


#: Where tests are measured: on the Python that starts no threads once the exit has begun, so that
#: it needs lines of its own. No other does.
MEASURED: Final = "3.12" if "3.12" in PYTHONS else PYTHONS[-1]

#: What leaves out tests that take seconds, and those that need kinesis-mock.
_QUICK: Final = "not integration and not slow"

LIVES: Final = (
    "tests/adapters", "tests/process_life", "tests/shell", "tests/spool", "tests/testing",
)  # fmt: skip
"""The tests of how processes begin, fork, log in threads and signal handlers, and end."""

OTEL_SDKS: Final = ("1.39.0", "1.43.0", "1.44.0")
"""The oldest that is supported, and those around a change that breaks exporters; the session
`tests` has the newest."""

OTHERS: Final = (
    "tests/adapters", "tests/contract", "tests/shell", "tests/testing",
    *sorted(str(file) for file in Path("tests").glob("test_*.py")),
    # sqlite3 comes with Python.
    "--ignore=tests/shell/test_spooling.py",
)  # fmt: skip
"""The tests of what other packages do for kinesink: loops, HTTP, signatures, JSON; the command line
is an extra."""

DIST: Final = Path("dist").absolute()
"""Where wheel and sdist are built."""

SERVERS_PYTHON: Final = [version for version in PYTHONS if version != "3.14"][-1:]
"""The newest on which every server is known to build and to pass: gevent and uWSGI follow late."""


def install(
    session: nox.Session, *groups: str, extras: str = "[all]", also: tuple[str, ...] = ()
) -> None:
    """Install kinesink as a user would, the dependency groups, and what else is required."""
    required = nox.project.dependency_groups(PYPROJECT, *groups)
    session.install(f".{extras}", *required, *also)


def measured_pytest(session: nox.Session, *arguments: str, **variables: str) -> None:
    """Run pytest, and leave the partial coverage where the session `coverage` finds it."""
    # The name of a session with parameters is no name for a folder everywhere.
    data = COVERAGE_DATA / re.sub(r"[^\w.-]+", "-", session.name)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    variables["COVERAGE_FILE"] = str(data / ".coverage")
    # The workers are measured as the processes they are.
    command = ("coverage", "run", "-m", "pytest", *SPREAD, *arguments, *session.posargs)
    session.run(*command, env=variables)


def plain_pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest without measuring."""
    session.run("pytest", *SPREAD, *arguments, *session.posargs)


@nox.session(python=False)
def pythons(session: nox.Session) -> None:
    """Say which Pythons the matrix has; in CI, refuse fewer than three."""
    session.log(f"tested here: {', '.join(PYTHONS)}")
    for version, reason in SKIPPED.items():
        session.warn(f"skipped: Python {version}, because {reason}")
    if IN_CI and len(PYTHONS) < FEWEST_PYTHONS:
        session.error(f"CI wants {FEWEST_PYTHONS} Pythons at least")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, and that the formatter has nothing to change."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly, the tests' too."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run what needs no network, on every Python, each async test on asyncio and on trio.

    Measured on one, because measuring doubles the time.
    """
    install(session, "test", "instrumented", "examples")
    run = measured_pytest if session.python == MEASURED else plain_pytest
    run(session, "-m", _QUICK)


@nox.session(python=[each for each in PYTHONS if each in {PYTHONS[0], MEASURED, PYTHONS[-1]}])
def slow(session: nox.Session) -> None:
    """Run the tests that take seconds, whole programs mostly.

    All of them where they are measured, because they take minutes; on the oldest Python and the
    newest those of what Pythons differ in.
    """
    install(session, "test", "instrumented", "examples")
    programs = ("-m", "slow and not integration")
    if session.python == MEASURED:
        measured_pytest(session, *programs)
    else:
        plain_pytest(session, *programs, *LIVES)


@nox.session
def without_extras(session: nox.Session) -> None:
    """Run the tests of what other packages do for kinesink where no extra is installed."""
    install(session, "test", extras="")
    measured_pytest(session, "-m", _QUICK, *OTHERS, KINESINK_TEST_WITHOUT_EXTRAS="1")


@nox.session
@nox.parametrize("sdk", OTEL_SDKS)
def otel_sdks(session: nox.Session, sdk: str) -> None:
    """Run the tests of OpenTelemetry's doors with its older SDKs."""
    older = (f"opentelemetry-sdk=={sdk}", f"opentelemetry-exporter-otlp-proto-common=={sdk}")
    install(session, "test", also=older)
    measured_pytest(session, "tests/adapters/otel")


@nox.session(python=SERVERS_PYTHON)
def servers(session: nox.Session) -> None:
    """Run kinesink inside of real servers: forked, recycled, reloaded and told to end."""
    required = nox.project.dependency_groups(PYPROJECT, "servers")
    built = [name for name in required if name.startswith("uwsgi")]
    install(session, "test", also=tuple(name for name in required if name not in built))
    try:
        session.install(*built)
    except CommandFailed:
        # It is compiled here. Its tests are skipped without it.
        if IN_CI:
            raise
        session.warn("uWSGI cannot be built here; it needs a C compiler and Python's headers")
    measured_pytest(session, "tests/servers")


@nox.session
def integration(session: nox.Session) -> None:
    """Run the tests that need kinesis-mock: in Docker, or else in Node."""
    install(session, "integration", "instrumented")
    session.run("pytest", "-m", "integration", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run each example as a reader would."""
    install(session, "test", "examples")
    files = sorted(Path("examples").glob("*.py"))
    if not files:
        session.error("there are no examples")
    for file in files:
        session.run("python", str(file))


@nox.session
def docs(session: nox.Session) -> None:
    """Make the site, strictly: a link that leads nowhere is an error; tests try its code."""
    install(session, "docs")
    made = Path(session.create_tmp()) / "site"
    session.run(
        "sphinx-build", "--fail-on-warning", "--keep-going", "--fresh-env", "--builder", "html",
        "docs", str(made), *session.posargs,
    )  # fmt: skip
    session.log(f"the site begins at {made / 'index.html'}")


@nox.session
def packaging(session: nox.Session) -> None:
    """Build wheel and sdist into dist/, and try them in empty environments, as their users do."""
    install(session, "test", "packaging")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("uv", "build", "--quiet", "--wheel", "--sdist", "--out-dir", str(DIST))
    variables = {"KINESINK_TEST_BUILT": str(DIST)}
    session.run("pytest", *SPREAD, "tests/packaging", *session.posargs, env=variables)


@nox.session(python=PYTHONS[:1])
def lowest(session: nox.Session) -> None:
    """Run the tests of what other packages do for kinesink with the oldest that it allows.

    On the oldest Python, for which they were made.
    """
    session.install(*nox.project.dependency_groups(PYPROJECT, "packaging"))
    pins = str(Path(session.create_tmp()) / "lowest.txt")
    resolve = ("uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--all-extras")
    python = str(Path(session.bin) / "python")
    session.run(*resolve, "--no-deps", "--python", python, "--output-file", pins, "pyproject.toml")
    required = nox.project.dependency_groups(PYPROJECT, "test")
    # Only to compare with; it comes in the version of the SDK.
    also = "opentelemetry-exporter-otlp-proto-common"
    into = ("uv", "pip", "install", "--quiet", "--python", python, "--constraints", pins)
    session.run(*into, ".[all]", also, *required)
    # Typer's oldest use what click, which is not ours to choose, is about to remove.
    plain_pytest(
        session, "-W", "ignore:'click:DeprecationWarning", "-m", _QUICK, *OTHERS, "tests/cli"
    )


@nox.session
def torture(session: nox.Session) -> None:
    """Kill, freeze and reshard Kinesis for two minutes while processes log and are killed.

    Not in the default run, which has twelve seconds of it.
    """
    install(session, "test")
    measured_pytest(session, "tests/torture", KINESINK_TORTURE_SECONDS="120")


@nox.session
def coverage(session: nox.Session) -> None:
    """Combine what every session measured; each line and each branch must have run somewhere."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "coverage"))
    parts = sorted(str(folder) for folder in COVERAGE_DATA.glob("*"))
    if not parts:
        session.error("nothing was measured: run the session `tests` first")
    session.run("coverage", "combine", *parts)
    session.run("coverage", "report")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure what an event costs, beside what a user would pick instead; half an hour.

    Not in the default run, for its figures need a quiet machine. Without arguments it writes
    them into docs/performance.md.
    """
    install(session, "test", "instrumented", "benchmarks")
    if session.posargs:
        session.run("python", "tests/benchmarks/run.py", *session.posargs)
        return
    results = str(Path(session.create_tmp()) / "results.json")
    session.run("python", "tests/benchmarks/run.py", "--output", results)
    session.run("python", "tests/benchmarks/report.py", results)
    session.run("python", "tests/benchmarks/log_call.py")
    session.run("python", "tests/benchmarks/door_calls.py")


@nox.session
def simulate(session: nox.Session) -> None:
    """Run ten thousand simulated schedules; not in the default run, which has a sample of them."""
    install(session, "test")
    session.run(
        "python", "-m", "kinesink.testing.simulate", *(session.posargs or ["--seeds", "10000"])
    )
