"""Numbers in sentences."""


def number_of(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 event``, ``2,500 events``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
