"""A reading from its begin to its end: records in, lines and remarks out, an account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kinesink.cli.exits import CommandError
from kinesink.cli.tail.account import Account
from kinesink.cli.tail.events import Unreadable, events_of
from kinesink.cli.tail.reader import read
from kinesink.cli.tail.walk import START, GaveUpError, Place, Walk
from kinesink.testing.marks import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinesink.cli.tail.events import Event
    from kinesink.cli.tail.filters import Filter
    from kinesink.cli.tail.printing import Printer, Remarks
    from kinesink.cli.tail.service import Service
    from kinesink.cli.tail.since import Since
    from kinesink.cli.tail.walk import Record

#: Shards that are named in a sentence.
_NAMED = 8


class Tailing:
    """Reads one stream, once."""

    def __init__(
        self, service: Service, wanted: Filter, printer: Printer, remarks: Remarks
    ) -> None:
        self._service = service
        self._wanted = wanted
        self._printer = printer
        self._remarks = remarks
        self._marks = Reader()
        self._found: list[Event] = []
        self.account = Account()

    def run(self, since: Since, *, follow: bool, only: Sequence[str] = ()) -> None:
        """Read until there is nothing more, or for ever.

        :param only: the shards to be read; all if empty.
        :raises CommandError: if the stream cannot be read.
        :raises KeyboardInterrupt: after the account, which also comes then.
        """
        walk, moment = self._begin(since, follow=follow, only=only)
        begun = time.monotonic()
        try:
            for records in read(walk, self._service.perform, self._remarks.warn):
                self._take(records)
                if not only:
                    # Other shards have the numbers that are missing in these.
                    self._tell_gaps(moment + time.monotonic() - begun)
        except GaveUpError as error:
            raise CommandError(str(error)) from error
        finally:
            self._remarks.note(str(self.account))

    def _begin(self, since: Since, *, follow: bool, only: Sequence[str]) -> tuple[Walk, float]:
        shards, moment = self._service.list_shards(None)
        place = Place("LATEST")
        if since.ago is not None or since.at is not None:
            at = since.moment(moment)
            shards, moment = self._service.list_shards(at)
            place = Place("AT_TIMESTAMP", at) if at > 0 else START
        there = {shard.shard_id for shard in shards}
        unknown = sorted(set(only) - there)
        if unknown:
            some = ", ".join(sorted(there)[:_NAMED]) + (", …" if len(there) > _NAMED else "")
            raise CommandError(f"the stream has no shard {unknown[0]} in that time; it has {some}.")
        # A second more, for the service tells whole ones.
        walk = Walk(shards, place, follow=follow, until=moment + 1, only=frozenset(only))
        return walk, moment

    def _take(self, records: Iterable[Record]) -> None:
        for record in records:
            self.account.records += 1
            events = events_of(record)
            if isinstance(events, Unreadable):
                self.account.unreadable += 1
                self._warn(events.text)
            else:
                for event in events:
                    if self._is_shown(event):
                        self._found.append(event)
        self._write()

    def _is_shown(self, event: Event) -> bool:
        self.account.events += 1
        mark = None if event.fields is None else self._marks.mark_of(event.data)
        if mark is not None:
            self.account.gaps.take(mark, event.arrival)
            if mark.loss is not None and mark.chunk == 1:
                self.account.lose(mark.loss)
                self._warn(f"writer {mark.boot_id} lost events: {mark.loss}")
                if self._printer.shows_losses:
                    return False
        return self._wanted.wants(event)

    def _warn(self, text: str) -> None:
        """Say something in its place, behind the events before it."""
        self._write()
        self._remarks.warn(text)

    def _write(self) -> None:
        found, self._found = self._found, []
        self.account.shown += len(found)
        if found:
            self._printer.write(found)

    def _tell_gaps(self, now: float) -> None:
        for gap in self.account.gaps.due(now):
            self._remarks.warn(str(gap))
