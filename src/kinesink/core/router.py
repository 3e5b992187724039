"""Events to entries, by what is known of the stream.

Law: nothing is aggregated on a guess that could lose it. What may share an
aggregated record follows from where the stream puts records and whether there is a
shard map; while an event could only travel alone, it waits as it came, which takes a
fraction of the memory of an entry.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Final

from kinesink.core.aggregator import Aggregator, Sharing, shard_of
from kinesink.core.framing import KEYLESS_KEY_BYTES
from kinesink.core.records import Chunk, UserRecord
from kinesink.core.shard_map import ShardMap
from kinesink.core.stream_facts import Distribution, StreamFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from kinesink.core.aggregator import Group
    from kinesink.core.entry import Entry
    from kinesink.core.hash_key import Keys
    from kinesink.core.lines import Compress
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, ShardId
    from kinesink.core.shard_map import Shard

#: Longest wait of the first events for the shard map, in seconds. They wait in the
#: background, for the sake of aggregation; the call that logged them has long returned.
DISCOVERY_TIMEOUT: Final = 2.0

#: What may share an aggregated record: (where records go, whether there is a map).
#: Without a map nothing shows that a stream has begun to place records itself, and
#: consumers drop aggregated records there.
_AGGREGATED: Final = {
    (Distribution.USER_PARTITION_KEY, True): Sharing.SHARD,
    (Distribution.USER_PARTITION_KEY, False): Sharing.NOTHING,
    (Distribution.UNKNOWN, True): Sharing.SHARD,
    (Distribution.UNKNOWN, False): Sharing.NOTHING,
    (Distribution.AUTO, True): Sharing.NOTHING,
    (Distribution.AUTO, False): Sharing.NOTHING,
}

#: The same where somebody has vouched for the stream: one hash key fits any shard.
_VOUCHED: Final = {**_AGGREGATED, (Distribution.USER_PARTITION_KEY, False): Sharing.HASH_KEY}

#: The same for lines. Any shard is right for them, so it is locality alone that counts:
#: where keys are honoured, those of one shard share, or without a map of one hash key.
_JOINED: Final = {
    (Distribution.USER_PARTITION_KEY, True): Sharing.SHARD,
    (Distribution.USER_PARTITION_KEY, False): Sharing.HASH_KEY,
    (Distribution.UNKNOWN, True): Sharing.SHARD,
    (Distribution.UNKNOWN, False): Sharing.HASH_KEY,
    (Distribution.AUTO, True): Sharing.EVERYTHING,
    (Distribution.AUTO, False): Sharing.EVERYTHING,
}

#: Nothing shares, whatever is known.
_SINGLE: Final = dict.fromkeys(_AGGREGATED, Sharing.NOTHING)

_SHARING: Final = {"kpl": _AGGREGATED, "lines": _JOINED, "none": _SINGLE}


class _Groups(dict["Keys", "Group"]):
    """The group of keys that have been looked at. Bounded."""

    _MOST: Final = 4096

    def __init__(self, find: Callable[[Keys], Group]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, keys: Keys) -> Group:
        if len(self) >= self._MOST:
            self.clear()
        group = self[keys] = self._find(keys)
        return group


class Router:
    """What is known of the stream, the events that wait to be routed, and the window."""

    def __init__(
        self, options: PipelineOptions, now: float, compressor: Compress | None = None
    ) -> None:
        """Begin with nothing known, and ask at once."""
        self.shard_map = ShardMap(answers_take=options.request_timeout)
        self.facts = StreamFacts(options)
        self._detects = options.record_distribution == "detect"
        self._sharing = _SHARING[options.framing]
        if options.framing == "kpl" and options.record_distribution == "user_partition_key":
            self._sharing = _VOUCHED
        self._linger = options.linger
        self._aggregator = Aggregator(options, compressor)
        self._held: deque[Content] = deque()
        #: What waits for a shard that has a request's worth of entries in line already.
        self._parked: dict[ShardId, deque[Content]] = {}
        #: As long as nothing else becomes known.
        self._groups = _Groups(self._group_of)
        self._most_in_line = options.request_max_entries
        self._hurry_before = 0
        self._discovery_ends = now + DISCOVERY_TIMEOUT
        self.shard_map.refresh.due_at = now
        if self._detects or options.record_max_bytes is None:
            self.facts.refresh.due_at = now
        self.adopt()

    @property
    def record_max_bytes(self) -> int:
        """Largest event (data and partition key) that the stream takes, in bytes."""
        return self._aggregator.event_max_bytes

    @property
    def held(self) -> int:
        """How many contents wait to be routed."""
        return len(self._held) + sum(map(len, self._parked.values()))

    @property
    def shares(self) -> bool:
        """Whether user records may share a Kinesis record."""
        return self._aggregator.sharing is not Sharing.NOTHING

    @property
    def doubts(self) -> bool:
        """Whether placements may yet prove that the stream places records itself."""
        return self._detects and self.facts.distribution is not Distribution.AUTO

    def adopt(self) -> bool:
        """Apply what is known of the stream; return whether routing has changed."""
        self._groups.clear()
        aggregator = self._aggregator
        before = (aggregator.sharing, aggregator.event_max_bytes)
        aggregator.sharing = self._sharing[self.facts.distribution, self.shard_map.known]
        aggregator.use_record_limit(self.facts.record_max_bytes)
        return before != (aggregator.sharing, aggregator.event_max_bytes)

    def placeable(self) -> Sequence[Shard]:
        """Return the shards that keyless entries can be sent to by a hash key."""
        return () if self.facts.distribution is Distribution.AUTO else self.shard_map.shards

    def suits(self, entry: Entry) -> bool:
        """Tell whether an entry may be sent as it is."""
        if (entry.shared and not self.shares) or entry.size > self.facts.record_max_bytes:
            return False
        if entry.keyless:
            return True
        if entry.predicted is None or not self.placeable():
            return entry.predicted is None and not self.placeable()
        return self.shard_map.owns(entry.predicted, entry.low, entry.high)

    # Each of these returns what exceeds the record limit of the stream.

    def admit(self, contents: Iterable[Content], now: float) -> list[Content]:
        """Route events, or hold them until that can be done well."""
        if self._held or not self.shares or self._discovering(now):
            self._held.extend(contents)
            return []
        too_large: list[Content] = []
        for content in contents:
            too_large += self._route(content)
        return too_large

    def admit_alone(self, contents: Iterable[Content]) -> list[Content]:
        """Route events so that none shares a record."""
        too_large: list[Content] = []
        for content in contents:
            if not content.keyless:
                too_large += self._route_keyed(content, alone=True)
                continue
            for position in range(len(content)):
                self._aggregator.close_keyless()
                too_large += self._route(content.part(position, position + 1))
                self._aggregator.close_keyless()
        self._aggregator.hurry()
        return too_large

    def route_held(
        self, now: float, *, room: int | None, in_line: Callable[[ShardId], int]
    ) -> list[Content]:
        """Route what is held, if it can be: alone at most ``room`` events.

        :param room: None for as long as nothing can be sent.
        :param in_line: tells how many entries wait for a shard. One that has many does not
            use up the room, and what is for it stands aside.
        """
        too_large: list[Content] = []
        if self._discovering(now):
            return too_large
        if self.shares:
            while self._held:
                too_large += self._route(self._held.popleft())
            return too_large
        return too_large if room is None else self._route_singles(room, in_line)

    def _route_singles(self, room: int, in_line: Callable[[ShardId], int]) -> list[Content]:
        too_large: list[Content] = []
        room += sum(map(in_line, self._parked)) - self._aggregator.closed_entries
        for shard_id, parked in list(self._parked.items()):
            room_in_line = self._most_in_line - in_line(shard_id)
            while parked and room_in_line > 0:
                content = _first(parked, room_in_line)
                room_in_line -= len(content)
                too_large += self._route(content)
            if not parked:
                del self._parked[shard_id]
        while self._held and room > 0:
            content = _first(self._held, room)
            parts = [(None, content)] if content.keyless else self._by_group(content)
            for group, part in parts:
                if not self._park(part, group, in_line):
                    room -= len(part)
                    too_large += self._route(part)
        return too_large

    def _park(self, content: Content, group: Group, in_line: Callable[[ShardId], int]) -> bool:
        """Put events aside if their shard has enough in line; tell whether it had."""
        shard_id = shard_of(group)
        if shard_id is None:
            return False
        if shard_id not in self._parked:
            if in_line(shard_id) < self._most_in_line:
                return False
            self._parked[shard_id] = deque()
        self._parked[shard_id].append(content)
        return True

    def take(self, now: float) -> list[Entry]:
        """Return the entries whose window has closed."""
        return self._aggregator.take(now)

    def hurry(self, epoch: int) -> None:
        """Let nothing of ``epoch`` and before linger."""
        self._hurry_before = epoch + 1
        self._aggregator.hurry()

    def dissolve(self) -> list[Content]:
        """Return everything that waits here, and forget it."""
        contents = [*self._aggregator.dissolve(), *self._waiting()]
        self._held.clear()
        self._parked.clear()
        return contents

    def expire(self, oldest_allowed: float) -> tuple[list[Content], list[Content]]:
        """Take out what arrived at ``oldest_allowed`` or before.

        :returns: that, and what shared the window with it and is to be admitted again.
        """
        expired = [content for content in self._waiting() if content.arrival <= oldest_allowed]
        if expired:
            self._keep(lambda content: content.arrival > oldest_allowed)
        company: list[Content] = []
        if self._aggregator.deadline - self._linger <= oldest_allowed:
            for content in self._aggregator.dissolve():
                (expired if content.arrival <= oldest_allowed else company).append(content)
        return expired, company

    def contents(self) -> Iterator[Content]:
        """Yield everything that waits here: the window, and what is not routed yet."""
        return chain(self._aggregator.contents(), self._waiting())

    def withdraw(self, going: AbstractSet[Content], touched: AbstractSet[Content]) -> list[Content]:
        """Take out the contents in ``going``.

        :param touched: those, and what has become smaller.
        :returns: what shared the window with one of these and is to be admitted again.
        """
        self._keep(lambda content: content not in going)
        if touched.isdisjoint(self._aggregator.contents()):
            return []
        return [content for content in self._aggregator.dissolve() if content not in going]

    def oldest(self) -> float:
        """Return the arrival of the oldest event here; infinite without any."""
        window = self._aggregator.deadline - self._linger
        return min([window, *(content.arrival for content in self._waiting())])

    def deadline(self, now: float) -> float:
        """Return when something can be routed or leaves the window."""
        held = math.inf
        if self._held and self._discovering(now):
            held = self._discovery_ends
        return min(
            held,
            self._aggregator.deadline,
            self.shard_map.deadline(),
            self.facts.refresh.deadline(),
        )

    def _waiting(self) -> Iterator[Content]:
        return chain(*self._parked.values(), self._held)

    def _keep(self, stays: Callable[[Content], bool]) -> None:
        """Forget what waits to be routed but for that of which ``stays`` is true."""
        self._held = deque(filter(stays, self._held))
        parked = {
            shard_id: deque(filter(stays, records)) for shard_id, records in self._parked.items()
        }
        self._parked = {shard_id: left for shard_id, left in parked.items() if left}

    def _discovering(self, now: float) -> bool:
        """Tell whether the first answers about the stream are still to come."""
        asking = self.shard_map.refresh.is_new or self.facts.refresh.is_new
        return asking and now < self._discovery_ends

    def _route(self, content: Content) -> list[Content]:
        too_large: list[Content] = []
        if not content.keyless:
            too_large = self._route_keyed(content, alone=False)
        elif isinstance(content, UserRecord) and not self._aggregator.fits(
            content.data, KEYLESS_KEY_BYTES
        ):
            too_large = [content]
        else:
            lost = self._aggregator.add_keyless(content)
            too_large = [Chunk([data], content.arrival, content.epoch) for data in lost]
        if content.epoch < self._hurry_before:
            self._aggregator.hurry()
        return too_large

    def _route_keyed(self, content: Content, *, alone: bool) -> list[Content]:
        add = self._aggregator.add_alone if alone else self._aggregator.add_keyed
        if isinstance(content, UserRecord) and content.keys is not None:
            # The same for one event, with half the calls.
            if not self._aggregator.fits(content.data, content.keys.size):
                return [content]
            add(content, self._groups[content.keys])
            return []
        fitting, too_large = self._sift(content)
        for each in fitting:
            for group, part in self._by_group(each):
                add(part, group)
        return too_large

    def _sift(self, content: Content) -> tuple[list[Content], list[Content]]:
        """Return the keyed events that are within the record limit, and those that are not."""
        data = content.each()
        if self._aggregator.surely_fit(data):
            return [content], []
        sizes = [keys.size for keys in content.each_keys()]
        fit = list(map(self._aggregator.fits, data, sizes))
        if all(fit):
            return [content], []
        if not any(fit):
            return [], [content]
        return [content.only(fit)], [content.only([not fits for fits in fit])]

    def _by_group(self, content: Content) -> Sequence[tuple[Group, Content]]:
        """Return keyed events as contents of which each has one group."""
        keys = content.each_keys()
        if len(keys) == 1:
            return [(self._groups[keys[0]], content)]
        groups = list(map(self._groups.__getitem__, keys))
        if len(set(groups)) == 1:
            return [(groups[0], content)]
        parts: dict[Group, tuple[list[bytes], list[Keys]]] = {}
        for group, datum, each in zip(groups, content.each(), keys, strict=True):
            part = parts.get(group)
            if part is None:
                part = parts[group] = ([], [])
            part[0].append(datum)
            part[1].append(each)
        arrival, epoch = content.arrival, content.epoch
        return [(group, Chunk(data, arrival, epoch, k)) for group, (data, k) in parts.items()]

    def _group_of(self, keys: Keys) -> Group:
        """Return what keyed events may share a record with these."""
        predicted = None
        if self.facts.distribution is not Distribution.AUTO:
            predicted = self.shard_map.predict(keys.hash_key)
        if predicted is None and self._aggregator.sharing is not Sharing.EVERYTHING:
            return keys.hash_key
        return predicted


def _first(contents: deque[Content], most: int) -> Content:
    """Take the first content out, or of its events so many that there is room for."""
    first = contents[0]
    if isinstance(first, Chunk) and len(first) > most:
        return first.cut(most)
    return contents.popleft()
