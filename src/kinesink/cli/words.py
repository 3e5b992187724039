"""Numbers in sentences."""


def number_of(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 event``, ``2,500 events``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_of(size: int) -> str:
    """Return a number of bytes as a text."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} B"
