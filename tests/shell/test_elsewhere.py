"""What producers and sinks that are made meanwhile do instead."""

from __future__ import annotations

from contextlib import suppress

from kinesink import Producer, Sink
from kinesink.shell.elsewhere import client_elsewhere, delivering_elsewhere, kept_elsewhere
from kinesink.shell.kinesis import KinesisClient
from tests.shell.support import make_config


def test_the_inner_block_counts_and_then_the_outer_one_again() -> None:
    """And in the end none, though a block ends by an error."""
    config = make_config()
    outer, inner = KinesisClient(config), KinesisClient(config)
    with delivering_elsewhere(lambda _: outer):
        with suppress(ZeroDivisionError), delivering_elsewhere(lambda _: inner):
            assert client_elsewhere(config) is inner
            raise ZeroDivisionError
        assert Producer(config)._client is outer
        assert Producer(config, client=inner)._client is inner
    assert client_elsewhere(config) is None
    assert Producer(config)._client not in {outer, inner}


def test_a_sink_that_is_made_meanwhile_has_no_spool() -> None:
    """It is still the sink of its configuration, and one that is made later has its spool."""
    config = make_config(spool_path="nowhere", spool_mode="always")
    with delivering_elsewhere(KinesisClient):
        sink = Sink(config)
    assert sink.config == config
    assert sink._background._spooler is None
    assert kept_elsewhere(config) is config
