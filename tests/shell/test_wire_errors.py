"""What answers mean that are errors: code, message, wait and the server's clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kinesink.core.records import Failure
from kinesink.shell import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/x-amz-json-1.1"
CBOR = "application/x-amz-cbor-1.1"

#: What a front end of the real service answered.
UNKNOWN_OPERATION_IN_CBOR = bytes.fromhex(
    "bf 665f5f74797065 7819 556e6b6e6f776e4f7065726174696f6e457863657074696f6e ff"
)


def failure(
    body: bytes,
    status: int = 400,
    headers: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (),
) -> Failure:
    """Decode an answer that is an error."""
    return wire.decode_failure(
        status,
        {"content-type": JSON, **(headers or {})},
        body,
        host="kinesis.test",
        now=1_000_000_000.0,
        secrets=secrets,
    )


class TestErrorCode:
    """Where the code of an error stands, and in which dress."""

    @pytest.mark.parametrize(
        ("headers", "members", "code"),
        [
            ({"x-amzn-errortype": "A"}, {"__type": "B", "code": "C"}, "A"),
            ({}, {"__type": "B", "code": "C"}, "B"),
            ({}, {"code": "C"}, "C"),
            ({"x-amzn-errortype": ""}, {"__type": "", "code": "C"}, "C"),
            ({}, {"__type": None}, "HTTP 400"),
            ({}, {"__type": 7}, "HTTP 400"),
            ({}, {"__type": "com.amazon.coral.service#B"}, "B"),
            ({"x-amzn-errortype": "A:http://internal.amazon.com/coral#x"}, {}, "A"),
            ({"x-amzn-errortype": "com.amazon#A:http://internal.amazon.com/"}, {}, "A"),
        ],
    )
    def test_code(self, headers: dict[str, str], members: dict[str, object], code: str) -> None:
        """Header, ``__type``, ``code``, status; without namespace and without a colon's tail."""
        assert failure(json.dumps(members).encode(), headers=headers).code == code

    def test_an_error_in_cbor_is_read_by_its_own_content_type(self) -> None:
        """Bytes seen from the real service."""
        found = failure(UNKNOWN_OPERATION_IN_CBOR, headers={"content-type": CBOR})
        assert found.code == "UnknownOperationException"
        assert found.status == 400

    def test_a_page_of_a_proxy_is_its_status(self) -> None:
        """A gateway in between knows no codes of Kinesis; its title says what it means."""
        found = failure(b"<html><title>\n502 Bad  Gateway</title></html>", 502)
        assert found.code == "HTTP 502"
        assert found.message.startswith("502 Bad Gateway (HTTP 502 from kinesis.test")

    def test_an_authentication_failure_in_xml_is_its_status(self) -> None:
        """It comes before the content type is accepted; only its message is taken."""
        body = b"<Error><Code>X</Code><Message>No such key</Message><Key>AKID</Key></Error>"
        found = failure(body, 403, {"content-type": "text/xml"})
        assert found.code == "HTTP 403"
        assert "No such key" in found.message
        assert "AKID" not in found.message


class TestErrorMessage:
    """What a person gets to read."""

    @pytest.mark.parametrize("member", ["message", "Message"])
    def test_both_spellings_are_read(self, member: str) -> None:
        """The service is not of one mind about the capital."""
        assert failure(json.dumps({member: "Why"}).encode()).message.startswith("Why (")

    def test_request_ids_and_host_are_named(self) -> None:
        """AWS support asks for them first."""
        headers = {"x-amzn-requestid": "r-1", "x-amz-id-2": "i-2"}
        found = failure(b'{"message":"Why"}', headers=headers)
        assert found.message == "Why (HTTP 400 from kinesis.test, request r-1, i-2)"

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"message":7}', b"plain"])
    def test_nothing_said_is_said(self, body: bytes) -> None:
        """The line stays a sentence."""
        assert failure(body).message == (
            "no explanation (HTTP 400 from kinesis.test, no request id)"
        )

    def test_secrets_that_are_repeated_are_struck_out(self) -> None:
        """An incomplete signature is answered with the header that was sent."""
        body = b'{"message":"bad token TOKENTOKENTOKENTOKEN, sorry"}'
        found = failure(body, secrets=("TOKENTOKENTOKENTOKEN",))
        assert found.message.startswith("bad token ***, sorry (")

    def test_the_repeated_request_is_cut(self) -> None:
        """A wrong signature is answered with the whole canonical request, token included."""
        text = (
            "The request signature we calculated does not match. Check your key.\n\n"
            "The Canonical String for this request should have been\n'POST\nx-amz-security-token:T"
        )
        found = failure(json.dumps({"message": text}).encode())
        assert found.message.startswith(
            "The request signature we calculated does not match. Check your key. (HTTP"
        )
        assert "token" not in found.message

    def test_a_long_text_is_cut(self) -> None:
        """One line for people."""
        found = failure(json.dumps({"message": "x" * 5000}).encode())
        assert found.message.startswith("x" * 400 + "… (")

    def test_an_undecodable_success_says_why(self) -> None:
        """The status alone would look like good news."""
        headers = {"x-amzn-requestid": "r-1"}
        found = wire.undecodable(200, headers, ValueError("cut"), host="kinesis.test")
        assert found == Failure(
            "UndecodableResponse",
            "the answer cannot be decoded: cut (HTTP 200 from kinesis.test, request r-1)",
            200,
        )


class TestRetryAfter:
    """How long the service asks to wait."""

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"x-amz-retry-after": "1500"}, 1.5),
            ({"retry-after": "3"}, 3.0),
            ({"retry-after": "3", "x-amz-retry-after": "1500"}, 3.0),
            ({"retry-after": "1", "x-amz-retry-after": "1500"}, 1.5),
            ({"retry-after": "Sun, 09 Sep 2001 01:46:47 GMT"}, 7.0),
            ({"retry-after": "Sun, 09 Sep 2001 01:46:00 GMT"}, 0.0),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "-1"}, None),
            ({"retry-after": "inf"}, None),
            ({"x-amz-retry-after": "nan"}, None),
        ],
    )
    def test_retry_after(self, headers: dict[str, str], seconds: float | None) -> None:
        """Milliseconds, seconds or a date; the longer wait counts, nonsense does not."""
        assert failure(b"{}", 503, headers).retry_after == seconds


class TestServerTime:
    """The service's clock, as an answer shows it."""

    def test_from_the_date_header(self) -> None:
        """Every answer has one."""
        headers = {"date": "Sun, 09 Sep 2001 01:46:40 GMT"}
        assert wire.server_time(headers, "") == 1_000_000_000.0

    def test_a_date_without_zone_is_utc(self) -> None:
        """HTTP knows no other, whatever the machine's zone."""
        assert wire.http_date("Sun, 09 Sep 2001 01:46:40 -0000") == 1_000_000_000.0

    @pytest.mark.parametrize(
        ("sign", "claim"), [("-", "is now earlier than"), ("+", "is still later than")]
    )
    def test_from_the_text_if_a_proxy_stripped_the_header(self, sign: str, claim: str) -> None:
        """The text repeats the server's time."""
        text = f"20180920T174101Z {claim} 20180920T174504Z (20180920T175004Z {sign} 5 min.)"
        assert wire.server_time({}, f"Signature expired: {text}") == 1537465804.0

    @pytest.mark.parametrize(
        "text", ["Signature expired", "Signature expired (20189920T175004Z - 5 min.)"]
    )
    def test_unknown_if_nobody_says(self, text: str) -> None:
        """Then the clock stays as it is."""
        assert wire.server_time({"date": "yesterday"}, text) is None


def test_nothing_of_an_answer_is_longer_than_a_line_nor_shows_a_secret() -> None:
    """Codes and request ids end up in reports, the texts of entries in attempt histories."""
    long = "A" * 5_000_000
    failure = wire.decode_failure(
        400,
        {
            "content-type": "application/x-amz-json-1.1",
            "x-amzn-requestid": "id-of-SECRETSECRETSECRET\nnext line",
        },
        json.dumps({"__type": "x#" + long, "message": long}).encode(),
        host="h",
        now=0.0,
        secrets=("SECRETSECRETSECRET",),
    )
    assert len(failure.code) < 500
    assert "SECRET" not in failure.message
    assert "\n" not in failure.message
    assert len(failure.message) < 1000
    body = json.dumps({"Records": [{"ErrorCode": long, "ErrorMessage": long}, {}]}).encode()
    refused, other = wire.decode_put_records("application/x-amz-json-1.1", body)
    assert len(refused.error_code or "") < 500
    assert len(refused.error_message or "") < 500
    assert other.error_code is None
