"""What botocore does for us, all of it blocking: settings, credentials, signatures.

Law of this file: it is imported and, except for :func:`sign`, called in worker threads
only, because botocore reads files, asks metadata services and takes 0.2 s to import.
What goes wrong is raised as :class:`SetupError` with one of our codes; no text of this
file ever holds a secret.
"""

from __future__ import annotations

from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig

from kinesink.core import retry_policy
from kinesink.shell.credentials import SetupError
from kinesink.shell.endpoints import (
    SERVICE,
    Destination,
    Destinations,
    default_region,
    find_destinations,
    find_region,
)
from kinesink.shell.fork_gate import fork_gate
from kinesink.shell.key_sources import Given, Keys, Role, lookup_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.config import Config
    from kinesink.shell.key_sources import Source

__all__ = ["AwsSession", "Destination", "Destinations", "Keys", "sign"]


class AwsSession:
    """One botocore session: one look at the environment, the files and the providers.

    Not thread-safe; :mod:`kinesink.shell.credentials` calls it from one thread at a time.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._session: Any = botocore.session.Session(profile=config.profile_name)
        self._source: Source

    def find_keys(self) -> Keys:
        """Find keys as the configuration says; may call STS, IMDS, a program or a function.

        :raises SetupError: if there are none or their source fails.
        """
        try:
            self._prepare()
            source = self._find_source()
        except Exception as error:
            raise lookup_failure(error) from error
        self._source = source
        return self.refreshed_keys()

    def _prepare(self) -> None:
        """Let what the providers ask, mostly STS, be found and reached."""
        session = self._session
        if session.get_config_variable("region") is None:
            region = default_region(session) or find_region(self._config, session)
            if region is not None:
                session.set_config_variable("region", region)
        proxy = self._config.proxy
        if proxy is not None:
            session.set_default_client_config(ClientConfig(proxies={"http": proxy, "https": proxy}))

    def _find_source(self) -> Source:
        given = self._config.credentials
        if given is None:
            with fork_gate.lock:
                # Only makes the providers, some with TLS settings; they ask nobody yet.
                self._session.get_component("credential_provider")
            given = self._session.get_credentials()
        if given is None:
            raise SetupError(
                retry_policy.NO_CREDENTIALS,
                "no AWS credentials in environment, configuration files, container or instance",
            )
        source = Given(given if callable(given) else lambda: given)
        if self._config.role_arn is None:
            return source
        return Role(self._config, self._session, source)

    def refresh_due(self, *, within: float | None = None) -> bool:
        """Tell whether the credentials end soon, by this machine's clock. Does not block.

        :param within: seconds from now; None takes 15 minutes.
        """
        return self._source.refresh_due(within)

    def refreshed_keys(self) -> Keys:
        """Return the credentials, after a refresh if one is due.

        :raises SetupError: if a refresh that cannot wait any longer fails.
        """
        try:
            return self._source.keys()
        except Exception as error:
            raise lookup_failure(error) from error

    def destinations(self) -> Destinations:
        """Return region, hosts and TLS settings. After :meth:`find_keys`.

        :raises SetupError: if there is no region, or one of them cannot be used.
        """
        with fork_gate.lock:
            return find_destinations(self._config, self._session, self._source.account_id)


def sign(
    keys: Keys, destination: Destination, *, headers: Mapping[str, str], body: bytes, now: float
) -> dict[str, str]:
    """Return ``headers`` with the date, the security token and the signature for a POST.

    Goes through botocore's steps instead of its ``add_auth``, which reads its own clock
    and writes canonical request and signature to a log.

    :param now: the time to sign with, in seconds since the epoch.
    """
    request = AWSRequest("POST", destination.url, headers=dict(headers), data=body)
    stamp = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    if keys.token:
        request.headers["X-Amz-Security-Token"] = keys.token
    signer = SigV4Auth(keys, SERVICE, destination.region)
    signature = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, "
        f"SignedHeaders={signer.signed_headers(signer.headers_to_sign(request))}, "
        f"Signature={signature}"
    )
    return dict(request.headers.items())
