"""The texts of ``--help``, in the shape that every version of typer leaves alone."""


def reflowed(text: str) -> str:
    """Return each paragraph as one line: typer's versions differ in what they make of breaks."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def examples(*lines: str) -> str:
    """Return commands to try, as what stands below the options."""
    return "\n\n".join(["Examples:", *lines])
