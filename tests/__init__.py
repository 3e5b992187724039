"""The tests; `tests.…` is importable from the checkout, so they can share code."""
