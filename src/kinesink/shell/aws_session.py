"""What botocore does for us, all of it blocking: settings, credentials, signatures.

Law of this file: it is imported and, except for :func:`sign`, called in worker threads
only, because botocore reads files, asks metadata services and takes 0.2 s to import.
What goes wrong is raised as :class:`SetupError` with one of our codes; no text of this
file ever holds a secret.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from kinesink.core import retry_policy
from kinesink.shell.credentials import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.config import Config

_SERVICE = "kinesis"


class Keys(NamedTuple):
    """Credentials that do not change any more."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        """Return no secret: a repr ends up in tracebacks and logs."""
        return "<Keys>"


@dataclass(frozen=True)
class Destination:
    """Where requests go, as settings and environment say."""

    region: str
    url: str
    tls: ssl.SSLContext

    @property
    def host(self) -> str:
        """The host and, if it is not the scheme's own, the port; for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


class AwsSession:
    """One botocore session: one look at the environment, the files and the providers.

    Not thread-safe; :mod:`kinesink.shell.credentials` calls it from one thread at a time.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._session: Any = botocore.session.Session(profile=config.profile_name)
        self._credentials: Any = None

    def find_keys(self) -> Keys:
        """Walk the provider chain and return what it finds; may call STS, IMDS or a program.

        :raises SetupError: if there are no credentials or a provider fails.
        """
        try:
            self._credentials = self._session.get_credentials()
        except Exception as error:  # noqa: BLE001 - providers raise whatever their source does
            _credentials_failed(error)
        if self._credentials is None:
            raise SetupError(
                retry_policy.NO_CREDENTIALS,
                "no AWS credentials in environment, configuration files, container or instance",
            )
        return self.refreshed_keys()

    def refresh_due(self, *, within: float | None = None) -> bool:
        """Tell whether the credentials end soon, by this machine's clock. Does not block.

        :param within: seconds from now; None takes botocore's advisory 15 minutes.
        """
        needed = getattr(self._credentials, "refresh_needed", None)
        return needed is not None and bool(needed(within))

    def refreshed_keys(self) -> Keys:
        """Return the credentials, after a refresh if botocore finds one due.

        :raises SetupError: if a refresh that cannot wait any longer fails.
        """
        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - as in find_keys
            _credentials_failed(error)
        return _sendable(Keys(frozen.access_key, frozen.secret_key, frozen.token))

    def destination(self) -> Destination:
        """Return region, endpoint and TLS settings. After :meth:`find_keys`.

        :raises SetupError: if there is no region, or one of them cannot be used.
        """
        region = self._region()
        url = self._url(region)
        return Destination(region, url, self._tls(url))

    def _variable(self, name: str) -> Any:  # noqa: ANN401 - botocore has no types
        # A profile or a file that cannot be used has made find_keys fail.
        return self._session.get_config_variable(name)

    def _region(self) -> str:
        # AWS_REGION last: botocore does not know it, but Fargate, EKS and Lambda set
        # nothing else.
        region = (
            self._config.region_name or self._variable("region") or os.environ.get("AWS_REGION")
        )
        if not region:
            raise SetupError(retry_policy.NO_REGION, "no AWS region is configured")
        return str(region)

    def _url(self, region: str) -> str:
        """Return the endpoint. A client knows every rule: overrides, FIPS, partitions."""
        url = self._config.endpoint_url
        try:
            if url is None:
                # Nothing is sent with it, so it need not read the trusted certificates.
                client = self._session.create_client(_SERVICE, region_name=region, verify=False)
                url = str(client.meta.endpoint_url)
                client.close()
            parts = urlsplit(url)
        except Exception as error:
            raise SetupError(retry_policy.INVALID_ENDPOINT, str(error)) from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SetupError(
                retry_policy.INVALID_ENDPOINT, f"the endpoint is no http or https URL: {url!r}"
            )
        return url if parts.path else url + "/"

    def _tls(self, url: str) -> ssl.SSLContext:
        verify = self._config.verify
        if verify is True:
            verify = self._variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True
        if url.startswith("http://"):
            # Reading the trusted certificates takes 0.13 s, and nobody will look at them.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            return _tls_context(verify)
        except OSError as error:
            raise SetupError(
                retry_policy.CONNECT_ERROR, f"the CA bundle {verify!r} cannot be used: {error}"
            ) from error


def _tls_context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - boto3's meaning
    if isinstance(verify, str):
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    import httpx  # noqa: PLC0415 - knows SSL_CERT_FILE, SSL_CERT_DIR and certifi

    return httpx.create_ssl_context(verify=verify)


def _credentials_failed(error: Exception) -> NoReturn:
    raise SetupError(
        retry_policy.CREDENTIALS_FAILED,
        f"looking for AWS credentials failed: {type(error).__name__}: {error}",
    ) from error


def _sendable(keys: Keys) -> Keys:
    """Refuse what cannot stand in a header: mostly a secret with a line break at its end.

    Otherwise the HTTP library would refuse it, and show the header when it does.
    """
    for text in (keys.access_key, keys.token or "-"):
        if not text.isascii() or not text.isprintable() or " " in text or not text:
            raise SetupError(
                retry_policy.CREDENTIALS_FAILED,
                "the access key or the session token holds a line break, a blank or "
                "another character that no header can carry",
            )
    return keys


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
    signer = SigV4Auth(keys, _SERVICE, destination.region)
    signature = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, "
        f"SignedHeaders={signer.signed_headers(signer.headers_to_sign(request))}, "
        f"Signature={signature}"
    )
    return dict(request.headers.items())
