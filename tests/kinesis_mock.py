"""kinesis-mock for integration tests: in a container, or else as a Node process.

A test asks for the fixture `kinesis_mock` and thereby is an integration test. One mock serves the
whole run, so each test names its own streams. Where neither Docker nor Node can run it, the tests
are skipped and say why; where they are required (`CI=true` or `KINESINK_REQUIRE_INTEGRATION=1`), a
skipped integration test counts as a failed one.

Variables: `KINESIS_MOCK_IMAGE` names another image, `KINESIS_MOCK_KIND` (`docker` or `node`) allows
one way only, `KINESINK_TEST_CACHE` is where the npm package is kept between runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

VERSION: Final = "0.5.2"
IMAGE: Final = os.environ.get("KINESIS_MOCK_IMAGE", f"ghcr.io/etspaceman/kinesis-mock:{VERSION}")
NPM_PACKAGE: Final = f"kinesis-local@{VERSION}"
TLS_PORT: Final = 4567
PLAIN_PORT: Final = 4568
_DAEMON: Final = "unix:///var/run/docker.sock" if os.name == "posix" else "npipe://"
CACHE: Final = Path(
    os.environ.get("KINESINK_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "kinesink-tests")
)
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 40.0
INSTALL_SECONDS: Final = 180.0

REQUIRED: Final = (
    os.environ.get("CI", "").lower() in {"1", "true"}
    or os.environ.get("KINESINK_REQUIRE_INTEGRATION") == "1"
)
"""Whether a skipped integration test is a failure."""

_CHANGES: Final = (
    "CREATE_STREAM",
    "DELETE_STREAM",
    "MERGE_SHARDS",
    "SPLIT_SHARD",
    "UPDATE_SHARD_COUNT",
    "UPDATE_STREAM_MODE",
)
_ENVIRONMENT: Final = {
    "LOG_LEVEL": "ERROR",
    "SHARD_LIMIT": "500",
    # Long enough to be seen as CREATING or UPDATING, short enough not to be waited for.
    **{f"{change}_DURATION": "100ms" for change in _CHANGES},
}


@dataclass(frozen=True)
class KinesisMock:
    """A running kinesis-mock."""

    endpoint_url: str
    """HTTPS, with a certificate that nobody signed: `verify=False`."""
    plain_url: str
    """The same service over plain HTTP."""
    kind: Literal["docker", "node"]
    """What runs it."""
    stop: Callable[[], None]
    """End it in peace: it writes down what it has, if it was told where. Takes half a minute
    while somebody keeps a connection to it."""
    start: Callable[[], None]
    """Start it again after :attr:`stop`, at the same addresses if its ports were named."""
    region_name: str = "us-east-1"
    """Its default region; a request signed for another one finds other streams."""

    def client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' types at run time
        """Return a boto3 client, the judge in these tests: nothing of kinesink is in it."""
        import boto3  # noqa: PLC0415 - slow, and only integration tests need it

        return boto3.client(
            "kinesis",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            verify=False,
            aws_access_key_id="mock",
            aws_secret_access_key="mock",
        )

    @staticmethod
    def new_stream_name(prefix: str = "stream") -> str:
        """Return a name that no other test has."""
        return f"{prefix}-{secrets.token_hex(6)}"


class CannotRunError(Exception):
    """One way to run the mock is not to be had here; the message is the reason."""


def _wait_until_healthy(
    plain_url: str, running: Callable[[], bool], last_words: Callable[[], bytes]
) -> None:
    # No proxy: the address is this machine's, whatever the environment says.
    opener = build_opener(ProxyHandler({}))
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if not running():
            said = last_words().decode(errors="replace").strip()[-500:]
            raise CannotRunError(f"kinesis-mock ended while it started: {said}")
        with suppress(URLError, OSError), opener.open(f"{plain_url}/healthcheck", timeout=5):
            return
        time.sleep(0.05)
    raise CannotRunError(f"kinesis-mock was not healthy after {START_SECONDS:g} s")


def _look_for_daemon() -> None:
    # Before the SDK does: it leaves its socket open when nobody listens, and the ResourceWarning
    # would fail the run.
    transport, _, path = os.environ.get("DOCKER_HOST", _DAEMON).partition("://")
    if transport == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


def _in_docker(
    resources: ExitStack, variables: Mapping[str, str], ports: tuple[int, int]
) -> KinesisMock:
    try:
        import docker  # noqa: PLC0415 - not installed where only unit tests run
        from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415 - as above
    except ImportError as error:
        raise CannotRunError(f"the Docker SDK is not installed ({error})") from error
    try:
        _look_for_daemon()
        client = resources.enter_context(closing(docker.from_env()))
    except (OSError, DockerException) as error:
        raise CannotRunError(f"no Docker daemon answers ({error})") from error
    try:
        try:
            client.images.get(IMAGE)
        except ImageNotFound:
            client.images.pull(IMAGE)
        container = client.containers.create(
            IMAGE,
            environment={**_ENVIRONMENT, **variables},
            # Port 0: the daemon chooses a free one.
            ports={
                f"{inside}/tcp": ("127.0.0.1", outside)
                for inside, outside in zip((TLS_PORT, PLAIN_PORT), ports, strict=True)
            },
        )
        resources.callback(container.remove, force=True, v=True)
        container.start()
    except DockerException as error:
        raise CannotRunError(f"Docker cannot run {IMAGE} ({error})") from error

    def running() -> bool:
        container.reload()
        return container.status == "running"

    if not running():
        raise CannotRunError(f"the container of {IMAGE} ended at once: {container.logs(tail=5)!r}")
    published = container.ports
    tls_port, plain_port = (
        bindings[0]["HostPort"]
        for port in (TLS_PORT, PLAIN_PORT)
        if (bindings := published[f"{port}/tcp"])
    )
    plain_url = f"http://127.0.0.1:{plain_port}"
    _wait_until_healthy(plain_url, running, container.logs)

    def start() -> None:
        container.start()
        _wait_until_healthy(plain_url, running, container.logs)

    def stop() -> None:
        container.stop(timeout=int(STOP_SECONDS))

    return KinesisMock(f"https://127.0.0.1:{tls_port}", plain_url, "docker", stop, start)


def _npm_package() -> Path:
    """Return the folder of the npm package, installed on first use."""
    prefix = CACHE / NPM_PACKAGE
    package = prefix / "node_modules" / "kinesis-local"
    if package.exists():
        return package
    npm = shutil.which("npm")
    if npm is None:
        raise CannotRunError("npm is not installed")
    prefix.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        try:
            subprocess.run(  # noqa: S603 - every argument is ours
                [npm, "install", *options, "--prefix", folder, NPM_PACKAGE],
                check=True,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or ""
            raise CannotRunError(f"npm cannot install {NPM_PACKAGE} ({error}) {said}") from error
        # Whole or not at all: another run may be at the same point, and either's copy will do.
        with suppress(OSError):
            (Path(folder) / "node_modules").rename(prefix / "node_modules")
    return package


def free_ports() -> tuple[int, int]:
    """Return two ports that nobody listens on."""
    with ExitStack() as held:
        first, second = (
            held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)
        )
        return first.getsockname()[1], second.getsockname()[1]


def _in_node(
    resources: ExitStack, variables: Mapping[str, str], ports: tuple[int, int]
) -> KinesisMock:
    node = shutil.which("node")
    if node is None:
        raise CannotRunError("Node is not installed")
    package = _npm_package()
    tls_port, plain_port = ports if all(ports) else free_ports()
    urls = f"https://127.0.0.1:{tls_port}", f"http://127.0.0.1:{plain_port}"
    named = {"KINESIS_MOCK_TLS_PORT": str(tls_port), "KINESIS_MOCK_PLAIN_PORT": str(plain_port)}
    environment = {**os.environ, **_ENVIRONMENT, **variables, **named}
    log = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    processes: list[subprocess.Popen[bytes]] = []

    def last_words() -> bytes:
        log.seek(0)
        return log.read()

    def start() -> None:
        # Its own folder is the working directory: it opens its certificate by a relative name.
        process = subprocess.Popen(  # noqa: S603 - every argument is ours
            [node, "main.js"],
            cwd=package,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        processes.append(process)
        _wait_until_healthy(urls[1], lambda: process.poll() is None, last_words)

    def stop() -> None:
        process = processes.pop()
        process.terminate()
        process.wait(timeout=STOP_SECONDS)

    resources.callback(_end, processes)
    start()
    return KinesisMock(*urls, "node", stop, start)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_WAYS: Final[dict[str, Callable[[ExitStack, Mapping[str, str], tuple[int, int]], KinesisMock]]] = {
    "docker": _in_docker,
    "node": _in_node,
}
_RUNS_AS: Final = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def kinesis_mock(pytestconfig: pytest.Config) -> Iterator[KinesisMock]:
    """Run kinesis-mock while the tests run, or skip them with the reasons."""
    reasons: list[str] = []
    for kind in os.environ.get("KINESIS_MOCK_KIND", "docker node").split():
        with ExitStack() as resources:
            try:
                mock = _WAYS[kind](resources, {}, (0, 0))
            except CannotRunError as reason:
                reasons.append(f"{kind}: {reason}")
                continue
            ran = IMAGE if kind == "docker" else NPM_PACKAGE
            pytestconfig.stash[_RUNS_AS] = "; ".join([*reasons, f"{kind}: ran {ran}"])
            yield mock
            return
    pytest.skip("kinesis-mock cannot run here. " + "; ".join(reasons))


@pytest.fixture
def own_kinesis_mock(kinesis_mock: KinesisMock, tmp_path: Path) -> Iterator[KinesisMock]:
    """Run another one, in the same way, that the test may stop and start; it keeps its data."""
    folder = "/tmp" if kinesis_mock.kind == "docker" else str(tmp_path)  # noqa: S108 - in the container
    # It writes its data down when it ends; in between it need not.
    variables = {
        "SHOULD_PERSIST_DATA": "true",
        "PERSIST_PATH": folder,
        "PERSIST_FILE_NAME": "kinesis-mock.json",
        "PERSIST_INTERVAL": "1h",
    }
    with ExitStack() as resources:
        yield _WAYS[kinesis_mock.kind](resources, variables, free_ports())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which way the mock ran: a run that fell back looks the same otherwise."""
    if _RUNS_AS in config.stash:
        terminalreporter.write_line(f"kinesis-mock: {config.stash[_RUNS_AS]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where integration tests are required, turn a skipped one into a failed one."""
    report = yield
    if item.get_closest_marker("integration"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself before it shows its tests."""
    report = yield
    if collector.config.option.markexpr == "integration":
        _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A test that is expected to fail, and does, is reported as skipped too.
    if REQUIRED and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Integration tests are required here, and this one was skipped: {reason}"
