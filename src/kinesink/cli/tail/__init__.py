"""``kinesink tail``: a stream as lines, as far as a person or a program wants them.

Law: what decides does no I/O. :mod:`.walk` says which shard to read next and in which order
records come out, :mod:`.gaps` which numbers are missing, :mod:`.filters` what is wanted, each
from values and the time it is given; :mod:`.service` and :mod:`.reader` carry it out.
"""
