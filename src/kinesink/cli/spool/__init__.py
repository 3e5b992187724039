"""``kinesink spool``: what processes have left on disk, looked at and dealt with.

Law: a file that somebody holds is never opened. What is looked at is held meanwhile, by the lock
that processes adopt files with, so that nobody takes it over in the middle.
"""
