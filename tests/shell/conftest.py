"""What tests of the shell share: an AWS environment of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class AwsEnvironment:
    """AWS variables and configuration files that hold what a test puts in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        for name in os.environ:
            if name.startswith(("AWS_", "REQUESTS_CA", "SSL_CERT")) or name.endswith("_proxy"):
                monkeypatch.delenv(name)
        self.set(
            AWS_CONFIG_FILE=str(folder / "config"),
            AWS_SHARED_CREDENTIALS_FILE=str(folder / "credentials"),
            AWS_EC2_METADATA_DISABLED="true",
        )

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def set_keys(self, access_key: str = "AKIDEXAMPLE", token: str | None = None) -> None:
        """Set static credentials in the environment."""
        self.set(AWS_ACCESS_KEY_ID=access_key, AWS_SECRET_ACCESS_KEY="secret")
        if token is not None:
            self.set(AWS_SESSION_TOKEN=token)

    def configure(self, text: str) -> None:
        """Write the configuration file."""
        (self._folder / "config").write_text(text)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AwsEnvironment:
    """Return an AWS environment without credentials, region or metadata service."""
    return AwsEnvironment(monkeypatch, tmp_path)


@pytest.fixture
def signed(aws: AwsEnvironment) -> None:
    """Let requests be signed."""
    aws.set_keys()
