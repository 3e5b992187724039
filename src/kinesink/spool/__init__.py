"""Events on disk, for when memory is not enough or not safe enough.

Law: whatever is written has been written when the call returns, and belongs to one process at a
time. A spool never stops the application: its trouble is one exception, with the reason as a
value, and sqlite3's own never leave this room. What survives is the death of the process, not
that of the machine. Imports :mod:`kinesink.core`, :mod:`kinesink.errors` and the standard
library; ``import kinesink`` does not import it.
"""
