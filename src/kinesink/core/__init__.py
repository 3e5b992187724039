"""The algorithm, without input or output.

Law of this package: it imports the standard library only, and of that neither
``time``, ``threading``, ``asyncio``, ``random``, ``logging`` nor ``os``. The time
``now`` (seconds on one monotonic clock) and the jitter are arguments. So the whole
algorithm runs in a plain test, in a simulation or under a hostile schedule.
"""
