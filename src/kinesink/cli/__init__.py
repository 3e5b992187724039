"""The command line: what the console script ``kinesink`` runs.

typer and rich come with the extra ``cli`` only, so this file imports neither at once.
"""

from __future__ import annotations

import sys
from typing import Final

_EXTRA: Final = ("typer", "rich")
_NOT_INSTALLED: Final = 2
"""The exit status of a command line that cannot be used as it stands."""

_INTERRUPTED: Final = 130
"""The exit status after Ctrl-C."""


def main() -> None:
    """Run the command line, or say in one sentence what it lacks."""
    try:
        from kinesink.cli.app import app  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.stderr.write(
            f"kinesink: the command line needs {missing}, which comes with the extra 'cli': "
            "python -m pip install 'kinesink[cli]'\n"
        )
        raise SystemExit(_NOT_INSTALLED) from None
    except KeyboardInterrupt:
        # Importing takes long enough to be interrupted.
        raise SystemExit(_INTERRUPTED) from None
    app()
