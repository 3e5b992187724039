"""What must not leave the process, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinesink.event.plain_values import own_copy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REDACTED: Final = "[redacted]"

DEFAULT: Final = "default"
"""The name that stands for all of :data:`DEFAULT_NAMES`."""

DEFAULT_NAMES: Final = frozenset({
    "password", "passwd", "pwd", "secret", "client_secret", "token", "access_token",
    "refresh_token", "id_token", "api_key", "apikey", "x_api_key", "authorization",
    "proxy_authorization", "cookie", "set_cookie", "session", "sessionid", "csrftoken",
    "private_key", "secret_key", "secret_access_key", "aws_secret_access_key",
    "aws_session_token", "credentials",
})  # fmt: skip
"""Names whose values are secrets in most applications."""


class RedactNames:
    """Replaces what stands under certain names, at any depth.

    Names are compared whole; capitals and the difference of ``-`` and ``_`` do not count.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._given: Final = tuple(names)
        own = {_normal(name) for name in self._given if name != DEFAULT}
        self._names: Final = own | DEFAULT_NAMES if DEFAULT in self._given else own

    def __call__(self, attributes: Mapping[Any, object]) -> dict[str, Any]:
        """Return a copy as JSON has it, in which no value under such a name is left."""
        # A copy first: what an object of the application's would show as a field is a name
        # like others.
        copy = own_copy(attributes)
        waiting: list[Any] = [copy]
        while waiting:
            holder = waiting.pop()
            if isinstance(holder, dict):
                for name in holder:
                    if _normal(name) in self._names:
                        holder[name] = REDACTED
                waiting.extend(holder.values())
            elif isinstance(holder, list):
                waiting.extend(holder)
        return copy

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedactNames) and other._names == self._names

    def __hash__(self) -> int:
        return hash(frozenset(self._names))

    def __repr__(self) -> str:
        return ",".join(self._given)


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
