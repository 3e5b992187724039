"""The id of this process, without a system call for each event."""

from __future__ import annotations

import os
from typing import Final

from kinesink.shell.fork import in_each_child


class ThisProcess:
    """Knows the process it is in, also after a fork."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Look again; called in each forked child."""
        self.id = os.getpid()


THIS_PROCESS: Final = ThisProcess()
in_each_child(THIS_PROCESS.renew)
