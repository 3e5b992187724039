"""Tests of what is built: they run where the nox session `packaging` says what that is."""

from __future__ import annotations

from tests.packaging.built import FOLDER

collect_ignore_glob = [] if FOLDER else ["test_*.py"]
