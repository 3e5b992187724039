"""Each number of Kinesis Data Streams once, with its source.

Sources, read in November 2026: *model* is the service model shipped in botocore
1.44.5 (``kinesis/2013-12-02``); *quotas* is
https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html;
*large records* is
https://docs.aws.amazon.com/streams/latest/dev/large-records.html.
Sizes are bytes, times are seconds.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * 1024

#: Entries of one PutRecords call: 1..500 (model, ``PutRecordsRequestEntryList``).
REQUEST_MAX_ENTRIES: Final = 500

#: Data and partition keys of one PutRecords call (quotas; 5 MiB until October 2025).
REQUEST_MAX_BYTES: Final = 10 * MIB

#: The request size that older gateways and emulators still accept; our default.
REQUEST_DEFAULT_BYTES: Final = 5 * MIB

#: Data and partition key of one record when the stream says nothing else (large records).
RECORD_DEFAULT_BYTES: Final = 1 * MIB

#: The highest ``MaxRecordSizeInKiB`` a stream can have (model: 1024..10240).
RECORD_MAX_BYTES: Final = 10 * MIB

#: Partition key: 1..256 Unicode characters (model, ``PartitionKey``).
PARTITION_KEY_MAX_CHARACTERS: Final = 256

#: A stream name: 1..128 of ``[a-zA-Z0-9_.-]`` (model, ``StreamName``).
STREAM_NAME_MAX_CHARACTERS: Final = 128

#: What one shard takes per second, in either capacity mode (quotas).
SHARD_RECORDS_PER_SECOND: Final = 1000
SHARD_BYTES_PER_SECOND: Final = 1 * MIB

#: Shards on one page of ListShards: at most 1,000 by documented practice; the
#: model allows ``MaxResults`` up to 10,000 and answers with fewer.
LIST_SHARDS_PAGE: Final = 1000

#: The largest explicit hash key: 2^128 - 1 (model, ``HashKey``).
MAX_HASH_KEY: Final = 2**128 - 1

#: Decimal digits of :data:`MAX_HASH_KEY`.
MAX_HASH_KEY_DIGITS: Final = 39
