"""What kinesink raises, and only to callers who can act on it: never into a log call."""

from __future__ import annotations


class KinesinkError(Exception):
    """Base of every error that kinesink raises itself."""


class ConfigurationError(KinesinkError, ValueError):
    """A parameter has a value that cannot work; raised at construction."""

    def __init__(self, parameter: str, value: object, allowed: str) -> None:
        super().__init__(parameter, value, allowed)
        #: The name of the parameter.
        self.parameter = parameter
        self._value = value
        self._allowed = allowed

    def __str__(self) -> str:
        return f"{self.parameter}={self._value!r} cannot be used: {self._allowed}"


class InvalidRecordError(KinesinkError, ValueError):
    """Data or a key that Kinesis can never take; nothing was accepted."""


class MalformedRecordError(KinesinkError, ValueError):
    """The bytes of a Kinesis record that cannot be read; what was sent is not known."""


class ClosedError(KinesinkError, RuntimeError):
    """The producer is closed and takes nothing more."""
