"""Payloads that are stored compressed: standard frames, which say themselves what they are.

A zlib stream (RFC 1950) begins with 0x78, a zstd frame (RFC 8878) with 28 B5 2F FD; both end with a checksum.
Every reader reads both, and plain payloads beside them, whatever it is told about writing (ADR 11).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final, Literal

from eventstore._arguments import check_is, check_whole, shown
from eventstore.errors import CompressionUnavailable, InvalidArgument
from eventstore.limits import COMPRESSION_MIN_BYTES, ITEM_MAX_BYTES

Codec = Literal["zlib", "zstd"]

_ZLIB_BEGINS: Final = b"\x78"
_ZSTD_BEGINS: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_LEVEL: Final = 3
_ZSTD_WINDOW_LOG_MAX: Final = 20  # bytes, as a power of two: more than a payload can have


class NotUnpacked(Exception):
    """What should be a compressed payload isn't one, is damaged, or unpacks to more than is allowed."""


@dataclass(frozen=True, slots=True)
class Compression:
    """How a store compresses the payloads that it writes.

    Args:
        codec: ``zlib``, which every Python has, or ``zstd``, which compresses in a fifth of the CPU: Python
            3.14 has it, others by ``pip install 'eventstore-dynamodb[zstd]'``. So needs whoever reads.
        min_bytes: shorter payloads stay as they are; so do those that wouldn't become smaller.

    Raises:
        InvalidArgument, InvalidLimit: no such codec or length.
        CompressionUnavailable: zstd isn't installed.
    """

    codec: Codec
    min_bytes: int = COMPRESSION_MIN_BYTES

    def __post_init__(self) -> None:
        if self.codec not in ("zlib", "zstd"):
            raise InvalidArgument("codec", f"is {shown(self.codec)}; it has to be 'zlib' or 'zstd'")
        check_whole(self.min_bytes, "min_bytes", least=0)
        if self.codec == "zstd":
            _zstd()

    def pack(self, payload: str) -> bytes | None:
        """Compress a payload; None when it should be stored as it is."""
        text = payload.encode()
        if len(text) < self.min_bytes:
            return None
        packed = _pack_zstd(text) if self.codec == "zstd" else zlib.compress(text)
        return packed if len(packed) < len(text) else None


def check_compression(given: Compression | None) -> None:
    """Check what a store is told about compression. Raises InvalidArgument."""
    if given is not None:
        check_is(given, Compression, "compression", give="a Compression, such as Compression('zlib')")


def compression_for(setting: str) -> Compression | None:
    """Make a `Compression` of a setting: ``none``, ``zlib`` or ``zstd``."""
    return None if setting == "none" else Compression(setting)  # type: ignore[arg-type]  # it checks


def unpack(packed: bytes) -> str:
    """Read a compressed payload, whichever codec wrote it. Memory: at most the 400 KB of an item.

    Raises:
        NotUnpacked: what is wrong with it.
        CompressionUnavailable: it's zstd's, and zstd isn't installed.
    """
    decompressor: Any
    failure: type[Exception]
    if packed.startswith(_ZSTD_BEGINS):
        zstd = _zstd()
        window = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
        decompressor, failure = zstd.ZstdDecompressor(options=window), zstd.ZstdError
    elif packed.startswith(_ZLIB_BEGINS):
        decompressor, failure = zlib.decompressobj(), zlib.error
    else:
        raise NotUnpacked("it is neither a zlib stream nor a zstd frame")
    try:
        text = decompressor.decompress(packed, ITEM_MAX_BYTES).decode()
    except (failure, UnicodeDecodeError) as error:
        raise NotUnpacked(str(error)) from error
    if not decompressor.eof or decompressor.unused_data:
        raise NotUnpacked(f"it is cut off, has an appendix, or unpacks to more than {ITEM_MAX_BYTES:,} bytes")
    return str(text)


def _pack_zstd(text: bytes) -> bytes:
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: _ZSTD_LEVEL, parameter.checksum_flag: 1}
    packed: bytes = zstd.compress(text, options=options)
    return packed


@cache
def _zstd() -> Any:
    # Imported when the first payload needs it: most stores have none.
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise CompressionUnavailable(codec="zstd")
