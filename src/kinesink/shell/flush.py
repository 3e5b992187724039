"""A flush: what must have ended before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinesink.core.pipeline import Pipeline
    from kinesink.shell.stream import Stream


class Flush:
    """A flush under way: what must have ended before it is done."""

    def __init__(self, done: Callable[[], None]) -> None:
        """Begin with nothing to wait for; the producer's task fills it in.

        :param done: called when everything has ended.
        """
        self.done = done
        #: Set by whoever does not wait any more, from any thread.
        self.given_up = False
        self._epochs: dict[Stream, tuple[Pipeline, int]] = {}

    def cover(self, stream: Stream) -> None:
        """Let nothing linger that the stream has taken in, and wait for it."""
        self._epochs[stream] = stream.pipeline, stream.pipeline.flush()

    @property
    def streams(self) -> Iterable[Stream]:
        """The streams it waits for."""
        return self._epochs

    def ended(self) -> bool:
        """Tell whether nothing is left to wait for."""
        return all(pipeline.ledger.ended(epoch) for pipeline, epoch in self._epochs.values())
