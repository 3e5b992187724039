"""The AWS account of a demonstration: none at all, and never the user's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_FOREIGN: Final = ("AWS_", "KINESINK_")
"""How the variables begin that would have a say."""


@contextmanager
def dummy_account(region: str) -> Iterator[None]:
    """Give this process dummy credentials, and hide the settings of whoever runs it.

    Variables of this process only; they are put back at the end. The configuration files
    of AWS are neither read nor written, and no metadata service is asked.
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith(_FOREIGN):
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="demo",
        AWS_SECRET_ACCESS_KEY="demo",  # noqa: S106 - nobody checks it
        AWS_DEFAULT_REGION=region,
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        # A proxy would look for the loopback interface on its own machine.
        NO_PROXY="*",
        no_proxy="*",
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
