"""Compressions: which there are, and what is said where one is not."""

from __future__ import annotations

import gzip
import importlib.util
import sys
from typing import TYPE_CHECKING

import pytest

from kinesink import Config, ConfigurationError, compression, deaggregate
from tests.conftest import WITHOUT_EXTRAS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec

    from kinesink.core.options import Framing


@pytest.fixture
def no_zstd(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide both homes of Zstandard."""
    find = importlib.util.find_spec

    def find_other(name: str) -> ModuleSpec | None:
        return None if name in {"compression.zstd", "backports.zstd"} else find(name)

    monkeypatch.setattr(compression, "find_spec", find_other)
    compression._zstd.cache_clear()
    yield
    compression._zstd.cache_clear()


def test_gzip_is_always_there_and_the_same_each_time() -> None:
    """No time and no name in it: a record sent again is the same record."""
    compress = compression.compressor("gzip")
    assert compression.is_available("gzip")
    assert compress(b"a\n" * 99) == compress(b"a\n" * 99)
    assert gzip.decompress(compress(b"a\n" * 99)) == b"a\n" * 99


def test_zstd_is_there_from_python_314_on_or_with_the_extra() -> None:
    """Where it is not, nothing else is the matter."""
    expected = sys.version_info >= (3, 14) or not WITHOUT_EXTRAS
    assert compression.is_available("zstd") is expected


@pytest.mark.usefixtures("no_zstd")
def test_without_zstd_the_error_says_what_to_install() -> None:
    """When the configuration is made, and when such a record is met."""
    assert not compression.is_available("zstd")
    with pytest.raises(ConfigurationError, match=r"pip install 'kinesink\[zstd\]'"):
        Config("events", framing="lines", compression="zstd")
    with pytest.raises(ImportError, match=r"pip install 'kinesink\[zstd\]'"):
        deaggregate(compression.ZSTD_MAGIC + b"rest")
    with pytest.raises(ImportError, match="Zstandard needs the extra"):
        compression.compressor("zstd")


@pytest.mark.parametrize("framing", ["kpl", "none"])
def test_only_lines_are_compressed(framing: Framing) -> None:
    """Consumers of aggregated records would not know what to do."""
    with pytest.raises(ConfigurationError, match="it goes with framing='lines' only"):
        Config("events", framing=framing, compression="gzip")
    assert Config("events", framing="lines", compression="gzip").compression == "gzip"
