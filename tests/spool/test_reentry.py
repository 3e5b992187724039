"""Log calls that interrupt one another in one thread: signal handlers and finalizers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.spool.support import directory_in, numbers, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PRELUDE = """
import gc, itertools, signal, sys, threading
file = directory.open()
order = itertools.count()
saved = {}
interrupting = 0

def save():
    global interrupting
    interrupting += file._busy
    number = next(order)
    saved[append(file, number)] = number

def check():
    found = {row_id: int(each.data) for row_id, each in file.read(1_000_000)}
    assert found == saved
    assert file.held_events == len(saved)
    assert file.held_bytes == sum(64 + len(str(number)) for number in saved.values())
    assert directory.budget.held == {id(file): file.held_bytes}
    print(interrupting)
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_signal_handlers_append_while_anything_else_happens(tmp_path: Path) -> None:
    """Each event once, whatever the handler interrupts, and the account is exact."""
    out = run(
        f"""{PRELUDE}
signal.signal(signal.SIGALRM, lambda *_: save())
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
deadline = time.monotonic() + 20
while interrupting < 200 and time.monotonic() < deadline:
    save()
    ids = file.append([event(next(order)) for _ in range(400)])
    file.delete(ids)
    file.read(50)
    file.evict(0, after=ids[-1] + 10_000)
signal.setitimer(signal.ITIMER_REAL, 0)
check()
""",
        tmp_path,
    )
    assert int(out) >= 200
    (file,), troubles = directory_in(tmp_path).adopt()
    assert troubles == []
    assert len(set(numbers([file]))) == file.held_events >= int(out)
    file.close()


def test_finalizers_append_while_anything_else_happens(tmp_path: Path) -> None:
    """Also inside sqlite3's own code, which allocates and so may collect garbage."""
    out = run(
        f"""{PRELUDE}
class Garbage:
    def __init__(self):
        self.itself = self
    def __del__(self):
        save()

def collecting(allocations, call, *arguments):
    # Collects garbage at one allocation or another within the call.
    gc.collect()
    Garbage()
    gc.set_threshold(allocations)
    gc.enable()
    result = call(*arguments)
    gc.disable()
    gc.set_threshold(0)
    return result

def work(rounds):
    for number in range(rounds):
        allocations = 1 + number % 12
        one, *more = [event(next(order)) for _ in range(6)]
        saved[collecting(allocations, file.append_one, *one)] = int(one.data)
        ids = collecting(allocations, file.append, more)
        collecting(allocations, file.read, 3)
        collecting(allocations, file.evict, 0, 10**9)
        collecting(allocations, file.delete, ids)

gc.disable()
# A collection shall look at what is made here, and not at all the modules.
gc.freeze()
work(200)
threads = [threading.Thread(target=work, args=(50,)) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.collect()
check()
""",
        tmp_path,
    )
    assert int(out) > 20


def test_every_step_of_a_call_may_be_interrupted(tmp_path: Path) -> None:
    """By a whole call of the same kind: nothing is lost, nothing counted twice."""
    out = run(
        f"""{PRELUDE}
sites = set()

def at_each_step(frame, what, _):
    if "spool" not in frame.f_code.co_filename:
        return None
    # Opcode by opcode: wherever a signal handler could be called, and more often.
    frame.f_trace_opcodes = True
    site = frame.f_code, frame.f_lasti
    if what == "opcode" and file._busy and site not in sites:
        sites.add(site)
        save()
    return at_each_step

def interrupt(call, *arguments):
    sites.clear()
    sys.settrace(at_each_step)
    try:
        return call(*arguments)
    finally:
        sys.settrace(None)

first = event(next(order))
saved[interrupt(file.append_one, *first)] = 0
ids = interrupt(file.append, [event(next(order)) for _ in range(3)])
assert [each for row_id, each in interrupt(file.read, 10_000) if row_id in ids]
interrupt(file.delete, ids)
bytes_before = file.held_bytes
oldest = min(saved)
evicted = interrupt(file.evict, bytes_before - 1)
assert evicted == (1, 65, {{20: 1}})
del saved[oldest]
check()
""",
        tmp_path,
    )
    assert int(out) > 100
