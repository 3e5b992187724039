"""What an event tells about the process: service, environment, version, host."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ProcessFacts:
    """Names that stay the same for the life of a process, forks included."""

    service: str | None = None
    """The program's name, as its operators call it."""
    env: str | None = None
    """Where it runs: prod, staging and so on."""
    version: str | None = None
    """The version of the program."""
    host: str | None = None
    """The machine's or container's network name."""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> ProcessFacts:
        """Return the facts that ``environ`` (by default the process's own) states.

        OpenTelemetry's variables win over Datadog's, those over AWS Lambda's. Does no
        name look-up and no other I/O.
        """
        environ = os.environ if environ is None else environ
        resource = _resource_attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        return cls(
            service=environ.get("OTEL_SERVICE_NAME")
            or resource.get("service.name")
            or environ.get("DD_SERVICE")
            or environ.get("AWS_LAMBDA_FUNCTION_NAME")
            or None,
            env=resource.get("deployment.environment.name")
            or resource.get("deployment.environment")
            or environ.get("DD_ENV")
            or None,
            version=resource.get("service.version")
            or environ.get("DD_VERSION")
            or environ.get("AWS_LAMBDA_FUNCTION_VERSION")
            or None,
            host=resource.get("host.name") or platform.node() or None,
        )


def _resource_attributes(text: str) -> dict[str, str]:
    """Return the pairs of ``name=value,…``; values are percent-encoded."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
