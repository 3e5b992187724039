"""Checks of the permissions, one call for each, and of the stream as these calls show it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from kinesink.cli.doctor.advice import DENIED, refused, said
from kinesink.cli.doctor.results import Result, Verdict, failed, ok, warning
from kinesink.cli.words import number_of
from kinesink.core import limits, retry_policy
from kinesink.core.records import Failure

if TYPE_CHECKING:
    from kinesink.cli.doctor.subject import Subject

_DRY_RUN: Final = "DryRunOperationException"

_TRIAL: Final = {"message": "kinesink doctor asks whether it may write; nothing has happened"}
"""Written only where a service does not know the dry run."""

_NOT_YET: Final = frozenset({"CREATING", "DELETING"})


async def describe_stream_summary(subject: Subject) -> Result:
    """Make the call that the library makes first."""
    subject.summary = found = await subject.service.describe_stream_summary()
    if isinstance(found, Failure) and found.code != retry_policy.STREAM_NOT_FOUND:
        return _refused("kinesis:DescribeStreamSummary", found)
    return ok("allowed")


async def stream(subject: Subject) -> Result:
    """See whether the stream is there and takes records."""
    found, name = subject.summary, subject.config.stream_name
    if isinstance(found, Failure):
        if found.code == retry_policy.STREAM_NOT_FOUND:
            return failed(
                f"there is no stream {name} for this account in {subject.region}",
                "check the name, --region and --profile, or make it: aws kinesis create-stream "
                f"--stream-name {name} --stream-mode-details StreamMode=ON_DEMAND",
                code=found.code,
            )
        return warning("its state is not known", "repair DescribeStreamSummary")
    if found.status in _NOT_YET:
        return failed(f"it is {found.status}, and takes no records", "wait until it is ACTIVE",
                      status=found.status)  # fmt: skip
    mode = found.stream_mode or "of unknown mode"
    return ok(f"{found.status or 'it is there'}, {mode}", status=found.status, mode=mode)


async def list_shards(subject: Subject) -> Result:
    """List the open shards."""
    found = await subject.service.list_shards()
    if isinstance(found, Failure):
        return _refused("kinesis:ListShards", found)
    subject.shards = found
    return ok("allowed")


async def put_records(subject: Subject) -> Result:
    """Ask for a dry run of a write."""
    record = {"Data": base64.b64encode(json.dumps(_TRIAL).encode()).decode(), "PartitionKey": "-"}
    members = {**subject.service.stream, "Records": [record], "DryRun": True}
    found = await subject.service.ask("PutRecords", members)
    if not isinstance(found, Failure):
        return ok("allowed; this service knows no dry run, and has written an event", dry_run=False)
    if found.code == _DRY_RUN:
        return ok("allowed", dry_run=True)
    return _refused("kinesis:PutRecords", found)


async def get_shard_iterator(subject: Subject) -> Result:
    """Ask for the end of a shard."""
    shard = subject.shards[0].shard_id
    members = {**subject.service.stream, "ShardId": shard, "ShardIteratorType": "LATEST"}
    found = await subject.service.ask("GetShardIterator", members)
    if isinstance(found, Failure):
        return _refused("kinesis:GetShardIterator", found)
    subject.iterator = str(found.get("ShardIterator"))
    return ok("allowed")


async def get_records(subject: Subject) -> Result:
    """Read at the end of a shard."""
    members = {"ShardIterator": subject.iterator, "Limit": 1}
    found = await subject.service.ask("GetRecords", members)
    # Others may read so much that it cannot be seen now; the look for the probe has patience.
    if isinstance(found, Failure) and found.code not in retry_policy.THROTTLE_CODES:
        return _refused("kinesis:GetRecords", found)
    return ok("allowed")


async def capacity(subject: Subject) -> Result:
    """Tell what the open shards take."""
    shards = len(subject.shards)
    if not shards:
        return failed("there is no open shard", "wait until the stream is ACTIVE", shards=0)
    mebibytes = shards * limits.SHARD_BYTES_PER_SECOND // limits.MIB
    records = shards * limits.SHARD_RECORDS_PER_SECOND
    text = f"{number_of(shards, 'open shard')}: {mebibytes:,} MiB/s, {records:,} records/s"
    return ok(text, shards=shards, bytes_per_second=mebibytes * limits.MIB,
              records_per_second=records)  # fmt: skip


async def distribution(subject: Subject) -> Result:
    """See whether the stream honours keys, without which nothing can be aggregated."""
    found = subject.summary
    if isinstance(found, Failure):
        return warning("not known: keys are taken to be honoured", "repair DescribeStreamSummary")
    where = found.record_distribution or "USER_PARTITION_KEY"
    if where != "AUTO":
        return ok(f"{where}: records go where their keys say", distribution=where)
    text = "AUTO: the service places records as it likes, whatever their keys"
    if subject.config.framing == "lines":
        return ok(text, distribution=where)
    return warning(
        f"{text}; so nothing is aggregated, and each event is a record of its own",
        "set KINESINK_FRAMING=lines if the readers can take lines, or switch the stream to "
        "USER_PARTITION_KEY",
        distribution=where,
    )


async def record_size(subject: Subject) -> Result:
    """Compare the largest record with what is configured."""
    found = subject.summary
    if isinstance(found, Failure):
        return warning("not known: 1 MiB is assumed", "repair DescribeStreamSummary")
    most = found.record_max_bytes or limits.RECORD_DEFAULT_BYTES
    wanted = subject.config.record_max_bytes or 0
    if wanted > most:
        return warning(
            f"{most // limits.KIB:,} KiB, less than KINESINK_RECORD_MAX_BYTES={wanted}",
            "the stream's limit counts; raise MaxRecordSizeInKiB or lower the variable",
            bytes=most,
        )
    return ok(f"{most // limits.KIB:,} KiB", bytes=most)


def _refused(action: str, failure: Failure) -> Result:
    """Return what a refusal means; what only reading needs is no failure of writing."""
    if failure.code not in DENIED:
        return refused(failure)
    reading = action in {"kinesis:GetShardIterator", "kinesis:GetRecords"}
    purpose = "to read the stream" if reading else "to write"
    return Result(
        Verdict.WARNING if reading else Verdict.FAILED,
        f"not allowed: {said(failure)}",
        f"{purpose}, allow {action}: the policy is below",
        {"code": failure.code, "action": action},
    )
