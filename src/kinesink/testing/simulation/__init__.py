"""The core against a simulated Kinesis, in virtual time: whole fleets, and schedules of faults.

Nothing here waits, and a seed decides everything, so that hours pass in seconds and a run
that fails can be run again. ``python -m kinesink.testing.simulate`` is the way in.
"""
