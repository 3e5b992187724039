"""The names that users import."""

from __future__ import annotations

import pytest

import kinesink


@pytest.mark.parametrize("name", kinesink.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Resolved at first use, and found again afterwards."""
    assert getattr(kinesink, name) is getattr(kinesink, name)
    assert name in dir(kinesink)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module, with the name in the message."""
    with pytest.raises(AttributeError, match="'kinesink' has no attribute 'Nothing'"):
        _ = kinesink.Nothing


def test_every_home_is_public_and_the_other_way_round() -> None:
    """Nothing is resolved that is not listed."""
    assert {*kinesink._HOMES, "__version__"} == set(kinesink.__all__)
