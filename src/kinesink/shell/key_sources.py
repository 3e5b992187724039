"""Where keys come from: what the application gives, what botocore finds, a role on top.

Law of this file: called in worker threads only, by one thread at a time, because a
source may ask a service, a program or the application; only the question whether a
refresh is due waits for nothing. What goes wrong is a :class:`SetupError` whose text
holds no secret.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from kinesink.aws_options import without_user
from kinesink.core import retry_policy
from kinesink.shell.credentials import SetupError
from kinesink.shell.readable import readable, worth_hiding

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config

#: Seconds before their end from which keys are worth a refresh, as botocore has it.
_ADVANCE_NOTICE: Final = 15 * 60.0


class Keys(NamedTuple):
    """Credentials that do not change any more."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        """Return no secret: a repr ends up in tracebacks and logs."""
        return "<Keys>"


class Source(Protocol):
    """Something that has keys, and new ones when they end."""

    account_id: str | None
    """The account the latest keys belong to; None if they do not say."""

    def keys(self) -> Keys:
        """Return keys that work now; may block.

        :raises Exception: whatever the source does.
        """

    def refresh_due(self, within: float | None) -> bool:
        """Tell whether the latest keys end soon; does not block.

        :param within: seconds from now; None takes 15 minutes.
        """


class Given:
    """Keys from objects like botocore's, which refresh themselves if they can end.

    :param provide: returns the object or a tuple; asked again whenever keys are wanted.
    """

    def __init__(self, provide: Callable[[], object]) -> None:
        self._provide = provide
        self._latest: object = None
        self.account_id: str | None = None

    def keys(self) -> Keys:
        """Return what the object holds, after a refresh if one is due."""
        self._latest = latest = self._provide()
        freeze = getattr(type(latest), "get_frozen_credentials", None)
        found: Any = latest if freeze is None else freeze(latest)
        self.account_id = getattr(found, "account_id", None)
        return _sendable(found)

    def refresh_due(self, within: float | None) -> bool:
        """Ask the object; what cannot tell does not end, and is asked when it is refused."""
        try:
            needed = getattr(self._latest, "refresh_needed", None)
            return callable(needed) and bool(needed(within))
        except Exception:  # noqa: BLE001 - an application's own object, asked in the event loop
            return False


class Role:
    """Keys of a role, which STS gives to who holds other keys.

    :param session: a botocore session; knows where STS is.
    :param source: who assumes the role.
    """

    def __init__(self, config: Config, session: Any, source: Source) -> None:  # noqa: ANN401 - botocore has no types
        self._session = session
        self._source = source
        self._request = {
            "RoleArn": config.role_arn,
            "RoleSessionName": config.role_session_name or "kinesink",
        }
        if config.external_id is not None:
            self._request["ExternalId"] = config.external_id
        self._end = 0.0
        self.account_id: str | None = str(config.role_arn).split(":")[4]

    def keys(self) -> Keys:
        """Ask STS for new ones."""
        by = self._source.keys()
        try:
            client = self._session.create_client(
                "sts",
                aws_access_key_id=by.access_key,
                aws_secret_access_key=by.secret_key,
                aws_session_token=by.token,
            )
            with closing(client):
                found = client.assume_role(**self._request)["Credentials"]
        except Exception as error:
            raise lookup_failure(error, secrets=worth_hiding(by)) from error
        self._end = found["Expiration"].timestamp()
        return _sendable((found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]))

    def refresh_due(self, within: float | None) -> bool:
        """Compare the end that STS named with this machine's clock."""
        return self._end - time.time() < (_ADVANCE_NOTICE if within is None else within)


def lookup_failure(error: Exception, *, secrets: tuple[str, ...] = ()) -> SetupError:
    """Return what to raise when a source fails; providers raise whatever their source does."""
    if isinstance(error, SetupError):
        return error
    text = readable(without_user(f"{type(error).__name__}: {error}"), secrets)
    return SetupError(
        retry_policy.CREDENTIALS_FAILED, f"looking for AWS credentials failed: {text}"
    )


def _sendable(found: object) -> Keys:
    """Return keys that can stand in a header; mostly a line break at the end says no.

    Otherwise the HTTP library would refuse it, and show the header when it does.
    """
    try:
        keys = _shaped(found)
    except (AttributeError, TypeError, ValueError):
        raise SetupError(
            retry_policy.CREDENTIALS_FAILED,
            f"credentials are of the wrong form: {type(found).__name__} instead of "
            "(access key, secret key, token)",
        ) from None
    for text in (keys.access_key, keys.token or "-"):
        if not text.isascii() or not text.isprintable() or " " in text or not text:
            raise SetupError(
                retry_policy.CREDENTIALS_FAILED,
                "the access key or the session token holds a line break, a blank or "
                "another character that no header can carry",
            )
    return keys


def _shaped(found: Any) -> Keys:  # noqa: ANN401 - keys of any form
    if isinstance(found, tuple) and not hasattr(found, "access_key"):
        access_key, secret_key, token = found if len(found) == 3 else (*found, None)  # noqa: PLR2004 - with a token
    else:
        access_key, secret_key, token = found.access_key, found.secret_key, found.token
    if not (isinstance(access_key, str) and isinstance(secret_key, str)):
        raise TypeError
    if not (token is None or isinstance(token, str)):
        raise TypeError
    return Keys(access_key, secret_key, token)
