"""Everything that waits, locks or talks. Imports :mod:`kinesink.core`, never an adapter."""
