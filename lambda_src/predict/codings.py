"""Undo the content codings of a host's answer, as browsers do: https://www.rfc-editor.org/rfc/rfc9110#section-8.4

Hosts apply them though none was asked for: a file was stored compressed, and is sent as it is. Others name what is no
coding (`base64`, `aws-chunked`, `utf-8`), or one that was not applied. The libraries that Pillow's wheel brings decode
Brotli and Zstandard: 0.2 MB more in the artifact, where Python packages for both would take 6.5 MB.
"""

import ctypes
import functools
import importlib.util
import zlib
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path

_MAX_CODINGS = 8
_GZIP = b"\x1f\x8b\x08"
_BROTLI_ERROR = 0  # BrotliDecoderResult
_ZSTD_WINDOW_LOG_MAX = 100  # ZSTD_dParameter
_ZSTD_WINDOW_LOG = 23  # 8 MB, the most that https://www.rfc-editor.org/rfc/rfc9659 lets a host ask for

Decode = Callable[[bytes, int], bytes]  # of the coded bytes and the most bytes to give


class CodingError(ValueError):
    """The body is not in the coding that its header names."""


def decode(body: bytes, header: str, max_bytes: int) -> bytes:
    """Undo the codings that a Content-Encoding header lists, the last one first.

    No step gives more than `max_bytes` + 1 bytes: a longer result is cut there, for the caller to refuse. Of a body
    that breaks off, what came is given; sums are not checked; what follows the end is ignored. Where a name is unknown,
    the body stays as it is, unless it is plainly gzip and gzip is among the names. Raises CodingError.
    """
    names = [name for name in (part.strip().lower() for part in header.split(",")) if name not in ("", "identity")]
    known = [_decoder(name) for name in names]
    decoders = [decoder for decoder in known if decoder is not None]
    if len(names) > _MAX_CODINGS:
        raise CodingError(f"{len(names)} codings, one upon another")
    if None in known:
        decoders = [_gzip] if body.startswith(_GZIP) and _gzip in decoders else []
    for decoder in reversed(decoders):
        if not body or len(body) > max_bytes:
            break
        body = decoder(body, max_bytes + 1)
        if not body:
            raise CodingError("nothing comes out")
    return body


def _decoder(name: str) -> Decode | None:
    if name == "br":
        brotli = _libbrotlidec()
        return functools.partial(_brotli, brotli) if brotli else None
    if name == "zstd":
        zstd = _libzstd()
        return functools.partial(_zstd, zstd) if zstd else None
    return {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate}.get(name)


def _gzip(data: bytes, most: int) -> bytes:
    if not data.startswith(_GZIP):
        raise CodingError("not gzip")
    decoded = b""
    while data.startswith(_GZIP) and len(decoded) < most:  # a file may hold several members
        part, data = _inflate(data, 16 + zlib.MAX_WBITS, 8, most - len(decoded))
        decoded += part
    return decoded


def _deflate(data: bytes, most: int) -> bytes:
    try:
        return _inflate(data, zlib.MAX_WBITS, 4, most)[0]
    except CodingError:  # some hosts leave zlib's frame out
        return _inflate(data, -zlib.MAX_WBITS, 0, most)[0]


def _inflate(data: bytes, window: int, trailer: int, most: int) -> tuple[bytes, bytes]:
    """The bytes decoded, and those after the end. `trailer`: the length of the sums that stand there."""
    try:
        stream = zlib.decompressobj(window)
        return stream.decompress(data, most), stream.unused_data
    except zlib.error:
        pass
    try:  # perhaps the sums alone are wrong
        return zlib.decompressobj(window).decompress(data[: len(data) - trailer], most), b""
    except zlib.error as problem:
        raise CodingError(str(problem)) from None


def _pillows(name: str) -> ctypes.CDLL | None:
    """A library of Pillow's wheel; None where Pillow came otherwise, without it."""
    spec = importlib.util.find_spec("PIL")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parents[1].glob(f"pillow.libs/{name}-*.so*"))
    return ctypes.CDLL(str(found[0])) if found else None


@functools.cache
def _libbrotlidec() -> ctypes.CDLL | None:
    """https://github.com/google/brotli/blob/v1.1.0/c/include/brotli/decode.h"""
    library = _pillows("libbrotlicommon") and _pillows("libbrotlidec")  # which finds the first one by its name
    if library:
        library.BrotliDecoderCreateInstance.restype = c_void_p
        library.BrotliDecoderCreateInstance.argtypes = [c_void_p] * 3
        library.BrotliDecoderDestroyInstance.argtypes = [c_void_p]
        library.BrotliDecoderDecompressStream.argtypes = [
            c_void_p, POINTER(c_size_t), POINTER(c_char_p), POINTER(c_size_t), POINTER(c_void_p), c_void_p
        ]  # fmt: skip
    return library


def _brotli(library: ctypes.CDLL, data: bytes, most: int) -> bytes:
    decoded = ctypes.create_string_buffer(most)
    left, room = c_size_t(len(data)), c_size_t(most)
    source, target = c_char_p(data), c_void_p(ctypes.addressof(decoded))
    state = library.BrotliDecoderCreateInstance(None, None, None)
    try:
        result = library.BrotliDecoderDecompressStream(
            state, byref(left), byref(source), byref(room), byref(target), None
        )
    finally:
        library.BrotliDecoderDestroyInstance(state)
    if result == _BROTLI_ERROR:
        raise CodingError("not Brotli")
    return ctypes.string_at(decoded, most - room.value)


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which are alike."""

    _fields_ = (("start", c_void_p), ("size", c_size_t), ("position", c_size_t))


@functools.cache
def _libzstd() -> ctypes.CDLL | None:
    """https://github.com/facebook/zstd/blob/v1.5.7/lib/zstd.h"""
    library = _pillows("libzstd")
    if library:
        library.ZSTD_createDCtx.restype = c_void_p
        library.ZSTD_freeDCtx.argtypes = [c_void_p]
        library.ZSTD_DCtx_setParameter.argtypes = [c_void_p, c_int, c_int]
        library.ZSTD_DCtx_setParameter.restype = c_size_t
        library.ZSTD_decompressStream.argtypes = [c_void_p, POINTER(_Buffer), POINTER(_Buffer)]
        library.ZSTD_decompressStream.restype = c_size_t
        library.ZSTD_isError.argtypes = [c_size_t]
    return library


def _zstd(library: ctypes.CDLL, data: bytes, most: int) -> bytes:
    decoded, source = ctypes.create_string_buffer(most), c_char_p(data)
    given = _Buffer(ctypes.cast(source, c_void_p), len(data), 0)
    taken = _Buffer(ctypes.addressof(decoded), most, 0)
    context = library.ZSTD_createDCtx()
    try:
        library.ZSTD_DCtx_setParameter(context, _ZSTD_WINDOW_LOG_MAX, _ZSTD_WINDOW_LOG)
        ends = 0
        while given.position < given.size and taken.position < taken.size:
            hint = library.ZSTD_decompressStream(context, byref(taken), byref(given))
            if library.ZSTD_isError(hint):
                if not ends:  # else: what follows the last frame is none
                    raise CodingError("not Zstandard")
                break
            ends += hint == 0
    finally:
        library.ZSTD_freeDCtx(context)
    return ctypes.string_at(decoded, taken.position)
