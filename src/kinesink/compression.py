"""The compressions of lines: gzip from the standard library, Zstandard from 3.14 or an extra.

Law: what comes out names its format in its first bytes; and taking apart what came from
elsewhere allocates no more than it was allowed to.
"""

from __future__ import annotations

import zlib
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from kinesink.core.options import Compression

#: First bytes of a gzip member with the only method there is (RFC 1952, section 2.3.1).
GZIP_MAGIC: Final = b"\x1f\x8b\x08"

#: First bytes of a Zstandard frame (RFC 8878, section 3.1.1).
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

#: The container of gzip, in zlib's terms. Of its levels 6 is the default; 4 takes a quarter
#: less time on log events and leaves a twentieth more bytes.
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_GZIP_LEVEL: Final = 4

#: Largest window a frame may ask for, as a power of 2: 16 MiB, more than the largest
#: record has. A frame of a few bytes can claim gigabytes, and would get them.
_ZSTD_WINDOW_LOG: Final = 24

#: Most members or frames in one record; kinesink sends one. Each costs a copy of the rest.
_MOST_PIECES: Final = 1024

_ZSTD_MODULES: Final = (("compression", "zstd"), ("backports", "zstd"))


def is_available(compression: Compression) -> bool:
    """Tell whether a compression can be used in this process."""
    return compression == "gzip" or _zstd_module() is not None


def compressor(compression: Compression) -> Callable[[bytes], bytes]:
    """Return a function that compresses bytes into one self-describing piece.

    Safe from any thread. The result depends on the bytes alone.

    :raises ImportError: if it needs an extra that is not installed.
    """
    if compression == "gzip":
        return _gzip
    compress: Callable[[bytes], bytes] = _zstd().compress
    return compress


def decompress(data: bytes, most: int) -> bytes | None:
    """Return what ``data`` holds, or None if it begins like no compression known here.

    :param most: allow no more bytes than this.
    :raises ValueError: if it is broken, has more bytes, or does not end where it should.
    :raises ImportError: if it needs an extra that is not installed.
    """
    if data.startswith(GZIP_MAGIC):
        return _pieces(data, most, partial(zlib.decompressobj, _GZIP_WINDOW), zlib.error)
    if data.startswith(ZSTD_MAGIC):
        zstd = _zstd()
        allowed = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        new = partial(zstd.ZstdDecompressor, options=allowed)
        return _pieces(data, most, new, zstd.ZstdError)
    return None


def _gzip(data: bytes) -> bytes:
    # No name, no time: the same bytes each time.
    stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return stream.compress(data) + stream.flush()


def _pieces(data: bytes, most: int, new: Callable[[], Any], broken: type[Exception]) -> bytes:
    """Decompress one member or frame after the other; both formats may be concatenated."""
    out: list[bytes] = []
    left = most
    while data:
        if len(out) >= _MOST_PIECES:
            msg = f"there are more than {_MOST_PIECES} compressed pieces"
            raise ValueError(msg)
        stream = new()
        try:
            # One byte more than allowed tells too much from just enough.
            piece = stream.decompress(data, left + 1)
        except (broken, EOFError) as error:
            msg = f"the compressed bytes are broken: {error}"
            raise ValueError(msg) from error
        if len(piece) > left:
            msg = f"more than {most} bytes come out of {len(data)} compressed ones"
            raise ValueError(msg)
        if not stream.eof:
            msg = "the compressed bytes end too early"
            raise ValueError(msg)
        out.append(piece)
        left -= len(piece)
        data = stream.unused_data
    return b"".join(out)


def _zstd_module() -> str | None:
    for package, name in _ZSTD_MODULES:
        if find_spec(package) is not None and find_spec(f"{package}.{name}") is not None:
            return f"{package}.{name}"
    return None


@cache
def _zstd() -> ModuleType:
    module = _zstd_module()
    if module is None:
        msg = "Zstandard needs the extra: pip install 'kinesink[zstd]'"
        raise ImportError(msg)
    return import_module(module)
