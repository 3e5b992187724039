"""The tests run where the servers are: in the nox session `servers`, which installs them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

SERVERS: Final = ("celery", "django", "gevent", "gunicorn", "uvicorn", "uvicorn_worker")
"""Not uWSGI: it is compiled where it is installed, and its tests say where it is missing."""

collect_ignore_glob = [] if all(map(find_spec, SERVERS)) else ["test_*.py"]
