"""Make a spool for whoever wants one; most do without, and without sqlite3."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinesink.config import Config
    from kinesink.shell.intake import Intake
    from kinesink.shell.spooler import Spooler


def spooler_of(config: Config, intake: Intake) -> Spooler | None:
    """Return the spool of a sink, which the intake saves to if it is to save everything."""
    if config.spool_path is None:
        return None
    # Imported here, because it needs sqlite3, and most do without.
    from kinesink.shell import spooling  # noqa: F401, PLC0415 - what a fork must not cut off later
    from kinesink.shell.spooler import Spooler  # noqa: PLC0415 - see above
    from kinesink.shell.spooling_intake import SpoolingIntake  # noqa: PLC0415 - as above

    spooler = Spooler(config)
    if isinstance(intake, SpoolingIntake):
        intake.spooler = spooler
    return spooler
