"""The permissions that kinesink needs, as a policy of IAM to paste."""

from __future__ import annotations

from typing import Final

Policy = dict[str, object]

WRITING: Final = ("kinesis:PutRecords", "kinesis:ListShards", "kinesis:DescribeStreamSummary")
"""What writing needs, and nothing else."""

READING: Final = ("kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards")
"""What reading needs, as ``kinesink tail`` and the look for the probe do."""


def policy(actions: tuple[str, ...], stream_arn: str) -> Policy:
    """Return the policy that allows actions on one stream."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": stream_arn}
    return {"Version": "2012-10-17", "Statement": [statement]}
