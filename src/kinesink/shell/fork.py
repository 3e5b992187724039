"""What a forked child must do before anything else in it.

On systems without fork (Windows) there is nothing to do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def in_each_child(call: Callable[[], object]) -> None:
    """Have ``call`` run in every child forked from now on, for the life of the process.

    It runs in the child's only thread, before the code that forked goes on, and cannot
    be taken back.
    """
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=call)
