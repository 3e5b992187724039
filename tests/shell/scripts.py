"""Programs that tests run as processes of their own, against a fake on a loopback port."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kinesink.testing import FakeKinesis


class Ran(NamedTuple):
    """What became of a program."""

    status: int
    out: str
    err: str
    seconds: float


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of a program that can sign requests.

    It gives no call up, to make it again, for a machine that stands still.
    """
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "KINESINK_CONNECT_TIMEOUT": "60",
        "KINESINK_REQUEST_TIMEOUT": "60",
        **variables,
    }


def run_script(source: str, **variables: str) -> Ran:
    """Run a program to its end."""
    began = time.monotonic()
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(source)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr, time.monotonic() - began)


def run_against(fake: FakeKinesis, source: str, **variables: str) -> Ran:
    """Run a program that finds the fake by a host name, which has to be looked up."""
    with fake.serve(port=0) as server:
        url = server.endpoint_url.replace("127.0.0.1", "localhost")
        return run_script(source, KINESINK_ENDPOINT_URL=url, **variables)
