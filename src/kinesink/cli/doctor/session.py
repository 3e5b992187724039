"""The library's own look at credentials and settings, and what only a person wants to know.

Everything here blocks, and is called in worker threads only.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from kinesink.core import retry_policy
from kinesink.core.records import Failure
from kinesink.shell.aws_session import AwsSession
from kinesink.shell.endpoints import find_destinations, find_region
from kinesink.shell.readable import readable, worth_hiding

if TYPE_CHECKING:
    from kinesink.config import Config
    from kinesink.shell.aws_session import Destinations, Keys

_TIMEOUT: Final = 5.0

_SOURCES: Final = {
    "env": "the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "shared-credentials-file": "the credentials file of AWS",
    "config-file": "the configuration file of AWS",
    "custom-process": "the credential_process of the profile",
    "sso": "IAM Identity Center (sso)",
    "iam-role": "the role of the instance",
    "container-role": "the role of the container",
    "assume-role": "the role of the profile",
    "assume-role-with-web-identity": "a web identity token",
}
"""Where credentials come from, by botocore's word for it."""


class Session(AwsSession):
    """One look at the environment, the files and the providers. Not thread-safe."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.account_id: str | None = None

    def find_keys(self) -> Keys:
        """Find keys, and the account if they say it.

        :raises SetupError: if there are none or their source fails.
        """
        keys = super().find_keys()
        self.account_id = self._source.account_id
        return keys

    def source(self) -> str:
        """Return where the keys come from, in words. After :meth:`find_keys`."""
        method = str(self._session.get_credentials().method)
        source = _SOURCES.get(method, method)
        role = self._config.role_arn
        return f"{role}, assumed with keys from {source}" if role else source

    def region(self) -> str | None:
        """Return the region of the stream; None if nothing says it.

        :raises BotoCoreError: if a profile or a file cannot be used.
        """
        return find_region(self._config, self._session)

    def destinations(self) -> Destinations:
        """Return region, hosts and TLS settings, with keys or without.

        :raises SetupError: if one of them cannot be used.
        """
        return find_destinations(self._config, self._session, self.account_id)

    def partition(self, region: str) -> str:
        """Return the partition of AWS that a region is in; that of most if nobody knows it."""
        try:
            return str(self._session.get_partition_for_region(region))
        except BotoCoreError:
            return "aws"

    def sts(self, keys: Keys, region: str) -> Any:  # noqa: ANN401 - botocore has no types
        """Return a client of STS; it sends nothing yet.

        :raises BotoCoreError, ValueError: if there can be none.
        """
        proxy, verify = self._config.proxy, self._config.verify
        # A session of its own, for the library's may hold the proxy's settings by now.
        return botocore.session.Session(profile=self._config.profile_name).create_client(
            "sts",
            region_name=region,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
            verify=None if verify is True else verify,
            config=ClientConfig(
                connect_timeout=_TIMEOUT,
                read_timeout=_TIMEOUT,
                retries={"total_max_attempts": 1},
                proxies={"http": proxy, "https": proxy} if proxy else None,
            ),
        )


def caller(sts: Any, keys: Keys) -> dict[str, str] | Failure:  # noqa: ANN401 - as above
    """Return who we are to AWS (``Arn``, ``Account``), or why STS does not say."""
    try:
        with closing(sts) as client:
            found = client.get_caller_identity()
        return {"Arn": str(found["Arn"]), "Account": str(found["Account"])}
    except ClientError as error:
        told = error.response.get("Error", {})
        text = readable(str(told.get("Message", "")), worth_hiding(keys))
        return Failure(str(told.get("Code", "")), text)
    except (BotoCoreError, ResponseParserError, LookupError) as error:
        return Failure(retry_policy.CONNECT_ERROR, readable(str(error), worth_hiding(keys)))
