"""The calls that read a stream, by botocore; what goes wrong is a value, with what to do.

Law: each call is made once, blocks, may be made in any thread, and raises nothing for what
service, network or credentials do. Whether it is made again is decided in :mod:`.walk`.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
)
from botocore.exceptions import ConnectionError as NetworkError
from botocore.parsers import ResponseParserError

from kinesink.cli.exits import CommandError
from kinesink.cli.tail.walk import Failure, Found, GetIterator, Listed, Page, Record, Remedy
from kinesink.core.retry_policy import THROTTLE_CODES
from kinesink.shell.endpoints import default_region

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.cli.settings import Location
    from kinesink.cli.tail.walk import Answer, Call

#: Calls under way at once.
MOST_CALLS: Final = 16

_CONNECT_TIMEOUT: Final = 5.0
_READ_TIMEOUT: Final = 15.0

_PERMISSIONS: Final = "kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords"

#: An answer that is none of the service's: what botocore cannot read, or what lacks a member.
_NO_ANSWER: Final = (ResponseParserError, LookupError)

#: What comes of a call that fails.
_ERRORS: Final = (ClientError, BotoCoreError, *_NO_ANSWER)

#: What a person can do about an error, by its code.
_ADVICE: Final = {
    "ResourceNotFoundException": "check the name, --region, --profile and --endpoint-url",
    "AccessDeniedException": f"reading needs {_PERMISSIONS}",
    "ExpiredTokenException": "get new credentials",
    "UnrecognizedClientException": "check the credentials",
    "InvalidSignatureException": "check the credentials and the clock of this machine",
    "KMSAccessDeniedException": "reading an encrypted stream needs kms:Decrypt",
}

#: What passes by itself, besides throttling and HTTP 5xx.
_PASSING: Final = THROTTLE_CODES | {
    "InternalFailure",
    "ServiceUnavailable",
    "KMSThrottlingException",
}

_SERVER_ERROR: Final = 500


class Service:
    """Reads one stream.

    :param stream: its name or its ARN.
    :raises CommandError: if the settings cannot be used.
    """

    def __init__(self, stream: str, location: Location) -> None:
        self._stream = stream
        self._name = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        try:
            self._client = _client(location)
        except (BotoCoreError, ValueError) as error:
            raise CommandError(
                f"{_sentence(error)}; see --region, --endpoint-url and --profile."
            ) from error
        self._host = urlsplit(self._client.meta.endpoint_url).netloc.rpartition("@")[2]

    def list_shards(self, since: float | None) -> tuple[list[Listed], float]:
        """Return the shards that were open at a time or later, and the service's time.

        :param since: seconds since 1970, 0 for all there are; None for those that are open.
        :raises CommandError: if they cannot be listed.
        """
        question: dict[str, Any] = {**self._name, "ShardFilter": _filter(since)}
        shards: list[Listed] = []
        while True:
            try:
                answer = self._client.list_shards(**question)
                shards += map(_listed, answer["Shards"])
            except _ERRORS as error:
                raise CommandError(self._failure("ListShards", error).text) from error
            if "NextToken" not in answer:
                return shards, _moment(answer)
            question = {"NextToken": answer["NextToken"]}

    def perform(self, call: Call) -> Answer:
        """Make a call and return its answer."""
        try:
            if isinstance(call, GetIterator):
                return self._get_iterator(call)
            return _page(call.shard_id, self._client.get_records(ShardIterator=call.iterator))
        except _ERRORS as error:
            operation = "GetShardIterator" if isinstance(call, GetIterator) else "GetRecords"
            return self._failure(operation, error)

    def _get_iterator(self, call: GetIterator) -> Found:
        place = call.place
        members: dict[str, Any] = {}
        if place.kind == "AT_TIMESTAMP":
            members["Timestamp"] = place.moment
        elif place.kind == "AFTER_SEQUENCE_NUMBER":
            members["StartingSequenceNumber"] = place.sequence_number
        answer = self._client.get_shard_iterator(
            **self._name, ShardId=call.shard_id, ShardIteratorType=place.kind, **members
        )
        return Found(answer["ShardIterator"], _moment(answer))

    def _failure(self, operation: str, error: Exception) -> Failure:
        where = f"stream {self._stream} at {self._host}"
        if isinstance(error, ClientError):
            return _refusal(where, operation, error)
        if isinstance(error, (NetworkError, HTTPClientError, *_NO_ANSWER)):
            return Failure(
                f"{where} gives no answer ({type(error).__name__}); check the network, --region "
                "and --endpoint-url.",
                Remedy.AGAIN,
            )
        if isinstance(error, NoCredentialsError):
            text = (
                "there are no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or name a --profile."
            )
            return Failure(text, Remedy.NONE)
        return Failure(f"{where} cannot be read: {_sentence(error)}.", Remedy.NONE)


def _client(location: Location) -> Any:  # noqa: ANN401 - botocore has no types
    session = botocore.session.Session(profile=location.profile)
    return session.create_client(
        "kinesis",
        region_name=location.region or default_region(session),
        endpoint_url=location.endpoint_url,
        config=ClientConfig(
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            max_pool_connections=MOST_CALLS,
            retries={"total_max_attempts": 1},
        ),
    )


def _refusal(where: str, operation: str, error: ClientError) -> Failure:
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ExpiredIteratorException":
        return Failure(code, Remedy.NEW_ITERATOR)
    advice = _ADVICE.get(code)
    said = ": ".join(filter(None, (code, message.strip().rstrip("."))))
    text = f"{operation} of {where} was refused: {said}" + (f"; {advice}." if advice else ".")
    passes = code in _PASSING or status >= _SERVER_ERROR
    return Failure(text, Remedy.AGAIN if passes else Remedy.NONE)


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _filter(since: float | None) -> dict[str, Any]:
    if since is None:
        return {"Type": "AT_LATEST"}
    if since <= 0:
        return {"Type": "FROM_TRIM_HORIZON"}
    return {"Type": "FROM_TIMESTAMP", "Timestamp": since}


def _moment(answer: Mapping[str, Any]) -> float:
    """Return the service's time, to which arrivals belong; ours if it does not say."""
    date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return time.time()


def _listed(shard: Mapping[str, Any]) -> Listed:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return Listed(shard["ShardId"], tuple(filter(None, parents)))


def _page(shard_id: str, answer: Mapping[str, Any]) -> Page:
    return Page(
        [
            Record(
                shard_id,
                record["SequenceNumber"],
                record["ApproximateArrivalTimestamp"].timestamp(),
                record["Data"],
            )
            for record in answer["Records"]
        ],
        answer.get("NextShardIterator"),
        answer.get("MillisBehindLatest", 0) == 0,
        tuple(
            Listed(child["ShardId"], tuple(child["ParentShards"]))
            for child in answer.get("ChildShards", ())
        ),
    )
