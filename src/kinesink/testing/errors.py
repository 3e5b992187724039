"""What the service answers instead of a result: a code, a sentence and a status.

Texts follow the service where they are known, because clients and people match on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["ApiError", "invalid_argument", "not_found", "serialization", "validation"]


@dataclass(frozen=True)
class ApiError(Exception):
    """A refusal of the fake service, raised by the Python API and put on the wire by HTTP.

    ``code`` is the service's error type without a prefix, ``status`` the HTTP status.
    """

    code: str
    message: str = ""
    status: int = HTTPStatus.BAD_REQUEST

    def __str__(self) -> str:
        """Return the code and the sentence, as a client would print them."""
        return f"{self.code}: {self.message}" if self.message else self.code

    @property
    def body(self) -> Mapping[str, object]:
        """The members of the error body; without a sentence there is no ``message``."""
        return {"__type": self.code, **({"message": self.message} if self.message else {})}


def invalid_argument(message: str) -> ApiError:
    """Return the refusal of a value that only the state of the stream makes wrong."""
    return ApiError("InvalidArgumentException", message)


def not_found(message: str) -> ApiError:
    """Return the refusal of a name nothing has."""
    return ApiError("ResourceNotFoundException", message)


def serialization(message: str = "") -> ApiError:
    """Return the refusal of a body that cannot be read, or of a member of the wrong type."""
    return ApiError("SerializationException", message)


def validation(violations: list[str]) -> ApiError:
    """Return the refusal of members that break the constraints of the service model."""
    count = len(violations)
    noun = "error" if count == 1 else "errors"
    return ApiError(
        "ValidationException", f"{count} validation {noun} detected: " + "; ".join(violations)
    )
