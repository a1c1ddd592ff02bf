"""Hosts that misbehave, addresses and bodies, and the answer that is due to each: for the end-to-end and soak tests.

The server listens on 127.0.0.2, which the stack lets through by name, so every other spelling and address stays
refused.
"""

import base64
import gzip
import io
import socket
import socketserver
import struct
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import requests
from PIL import Image

from tests import contract
from workshop.samples import sample_path

HOST = "127.0.0.2"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def encoded(kind: str, size=(64, 48), mode="RGB", **options) -> bytes:
    """A picture in the format `kind`."""
    gradient = Image.linear_gradient("L").resize(size)
    file = io.BytesIO()
    (gradient.convert("P") if mode == "P" else gradient.convert("RGB").convert(mode)).save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG of one bit a pixel whose header says this size, whatever `rows` holds."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


JPEG = sample_path("golf_ball").read_bytes()
PNG = encoded("PNG")
SPOILT = bytearray(PNG)
SPOILT[60] ^= 0xFF  # among its first rows: less than half of them can be read
# A red BMP of 16 x 16 pixels, and runs of zeros, as Brotli 1.2 and Zstandard 1.5 make them.
BROTLI = bytes.fromhex("1b3503f88fd36536344e5d04b3bb1648186040cd03e657ff72684a0b486aac002020bb9bc062502884069207bef503")
BROTLI_BOMB = bytes.fromhex(
    "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f0110870500baf77ffcffff83"
    "7f02200e0b0074effff20f5e0fff04401c1600e8a0eb01"
)
ZSTANDARD = bytes.fromhex(
    "28b52ffd603602550100c8424d3603003600000028000000100100180000030000c40eff0600fa7455721becc6e80c6397a7055a"
)
ZSTANDARD_BOMB = bytes.fromhex("28b52ffd0058" + "02001000" * 400 + "03001000")


def _deflated_zeros(megabytes: int) -> bytes:
    """Runs of zeros as deflate makes them, without a frame: one megabyte's, again and again."""
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + packer.flush()


DEFLATE_BOMB = _deflated_zeros(50)
_ZEROS = bytes(50_000_000)
ZLIB_BOMB = b"\x78\x9c" + DEFLATE_BOMB + struct.pack(">I", zlib.adler32(_ZEROS))
GZIP_BOMB = (
    gzip.compress(b"", mtime=0)[:10] + DEFLATE_BOMB + struct.pack("<II", zlib.crc32(_ZEROS), len(_ZEROS))
)  # the same header, whatever follows
del _ZEROS


def sends(body: bytes, *headers: str):
    """A well-behaved answer with a body of this sort."""
    head = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *headers)).encode()
    return lambda connection: connection.sendall(OK + head + b"\r\n" + body)


def says(answer: bytes):
    return lambda connection: connection.sendall(answer)


def coded(coding: str, body: bytes):
    """A body with this Content-Encoding, whether it is in it or not."""
    return sends(body, "Content-Type: image/jpeg", f"Content-Encoding: {coding}")


def redirects(location: str, *headers: str, status: str = "302 Found"):
    lines = (f"HTTP/1.1 {status}", f"Location: {location}", *headers, "Content-Length: 0", "", "")
    return says("\r\n".join(lines).encode("latin-1"))


@dataclass
class Asked:
    """An answer that depends on the request's head."""

    choose: Callable[[bytes], Callable[[socket.socket], object]]


def only_with(part: bytes):
    """A picture for a request whose head holds `part`, and 403 for others."""
    return Asked(lambda head: sends(JPEG) if part in head else says(b"HTTP/1.1 403 Forbidden\r\n\r\n"))


def endless(head: bytes, piece: bytes):
    """`head`, then `piece` again and again as fast as it is taken."""

    def answer(connection):
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return answer


def dripping(head: bytes, piece: bytes = b"a"):
    """`head`, then `piece` every half second: no single wait is long."""

    def answer(connection):
        connection.sendall(head)
        for _ in range(60):
            connection.sendall(piece)
            time.sleep(0.5)

    return answer


def silent(head: bytes = b""):
    return lambda connection: (connection.sendall(head), time.sleep(15))


def slowly(answer):
    return lambda connection: (time.sleep(4), answer(connection))


def resets(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# What the server does at /<name>, and what the endpoint must answer. The slow ones stand first: they overlap.
HOSTS = {
    "drips-its-body": (dripping(OK + b"Content-Length: 100000\r\n\r\n"), "fetch_timeout"),
    "drips-its-headers": (dripping(OK + b"X: "), "fetch_timeout"),
    "drips-chunks": (dripping(CHUNKED, b"1\r\na\r\n"), "fetch_timeout"),
    "drips-interim-answers": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "fetch_timeout"),
    "redirects-slowly": (slowly(redirects("/redirects-slowly")), "fetch_timeout"),
    "says-nothing": (silent(), "fetch_timeout"),
    "stops-after-its-headers": (silent(OK + b"Content-Length: 100\r\n\r\n"), "fetch_timeout"),
    "endless-without-a-length": (endless(OK + b"\r\n", bytes(65536)), "image_too_large"),
    "endless-chunked": (endless(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"), "image_too_large"),
    "endless-header": (endless(OK + b"X: ", b"y" * 65536), "host_answer"),
    "endless-headers": (endless(OK, b"X: y\r\n" * 1000), "host_answer"),
    "declares-more-than-the-cap": (says(OK + b"Content-Length: 10000001\r\n\r\n"), "image_too_large"),
    "declares-an-absurd-length": (says(OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"), "image_too_large"),
    "sends-more-than-the-cap": (sends(JPEG + bytes(10_000_001 - len(JPEG))), "image_too_large"),
    "length-too-long": (says(OK + b"Content-Length: 999999\r\n\r\n" + JPEG), "host_answer"),
    "length-too-short": (says(OK + b"Content-Length: 2000\r\n\r\n" + JPEG), "image_broken"),
    "two-lengths": (says(OK + b"Content-Length: 5\r\nContent-Length: 3\r\n\r\nabcde"), "host_answer"),
    "swells-as-gzip": (coded("gzip", GZIP_BOMB), "image_too_large"),
    "swells-as-gzip-of-gzip": (
        coded("gzip, gzip", gzip.compress(GZIP_BOMB)),
        "image_too_large",
    ),
    "swells-as-deflate": (coded("deflate", ZLIB_BOMB), "image_too_large"),
    "swells-as-brotli": (coded("br", BROTLI_BOMB), "image_too_large"),
    "swells-as-zstandard": (coded("zstd", ZSTANDARD_BOMB), "image_too_large"),
    "no-gzip": (coded("gzip", JPEG), "host_answer"),
    "no-brotli": (coded("br", JPEG), "host_answer"),
    "nine-codings": (coded(", ".join(["gzip"] * 9), JPEG), "host_answer"),
    "switches-protocols": (says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "host_answer"),
    "hints-and-nothing": (says(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "host_answer"),
    "swells-in-transfer": (
        says(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
        "not_an_image",
    ),
    "chunk-without-a-size": (says(CHUNKED + b"zz\r\nab\r\n0\r\n\r\n"), "host_answer"),
    "chunk-cut-short": (says(CHUNKED + b"fffff\r\nab"), "host_answer"),
    "no-http": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), "host_answer"),
    "resets": (resets, "host_answer"),
    "hangs-up": (says(b""), "host_answer"),
    "not-found": (says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "host_answer"),
    "not-modified": (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "host_answer"),
    "partial": (says(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc"), "host_answer"),
    "redirects-to-metadata": (redirects("http://169.254.169.254/latest/meta-data/"), "address_not_public"),
    "redirects-to-the-runtime": (redirects("http://127.0.0.1:9001/2018-06-01/runtime"), "address_not_public"),
    "redirects-to-ipv6-loopback": (redirects("//[::1]/"), "address_not_public"),
    "redirects-to-a-number": (redirects("http://2130706434/"), "address_not_public"),
    "redirects-to-a-private-network": (redirects("http://10.0.0.1/"), "address_not_public"),
    "redirects-to-a-file": (redirects("file:///proc/self/environ"), "host_answer"),
    "redirects-with-a-password": (redirects("http://user:secret@images.example/"), "host_answer"),
    "redirects-nowhere": (says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "host_answer"),
    "redirects-to-itself": (redirects("/redirects-to-itself"), "too_many_redirects"),
    "redirects-once": (redirects("/a-jpeg"), None),
    **{
        f"redirects-{count}-times": (redirects(f"/redirects-{count - 1}-times" if count > 1 else "/a-jpeg"), None)
        for count in range(1, 21)
    },
    "redirects-21-times": (redirects("/redirects-20-times"), "too_many_redirects"),
    "redirects-by-300": (redirects("a-jpeg", status="300 Multiple Choices"), None),
    "redirects-by-308": (redirects("//127.0.0.2:0/", status="308 Permanent Redirect"), "host_answer"),
    "redirects-to-a-blank": (redirects("/a b"), None),
    "redirects-to-a-letter-in-latin-1": (redirects("/\xe4?\xe4"), None),
    "redirects-to-a-letter-in-utf-8": (redirects("/\xc3\xa4#\xc3\xa4"), None),
    "redirects-with-a-backslash": (redirects("\\a-jpeg"), None),
    "redirects-to-an-emoji": (redirects("http://\xf0\x9f\x92\xa9.invalid/"), "host_not_found"),
    "a%20b": (sends(JPEG), None),
    "%E4": (sends(JPEG), None),
    "%C3%A4": (sends(JPEG), None),
    "wants-its-cookie": (
        Asked(
            lambda head: (
                sends(JPEG)
                if b"\r\nCookie: seen=1\r\n" in head
                else redirects("wants-its-cookie", "Set-Cookie: seen=1; Path=/; HttpOnly")
            )
        ),
        None,
    ),
    "wants-a-cookie-of-another-host": (redirects("http://127.0.0.3/", "Set-Cookie: a=1"), "address_not_public"),
    "wants-a-contact": (only_with(b"User-Agent: ServerlessPredictions/1.0 (+https://"), None),
    "wants-no-coding": (only_with(b"Accept-Encoding: identity\r\n"), None),
    "signed/a%2fb%2F%e4": (only_with(b"GET /signed/a%2fb%2F%e4"), None),
    **{
        f"stored-as-{coding}": (coded(coding, JPEG), None)
        for coding in ("base64", "UTF-8", "aws-chunked", "none", "binary", "gzip;q=1")
    },
    "stored-as-gzip": (coded("gzip", gzip.compress(JPEG, mtime=0)), None),
    "stored-as-x-gzip": (coded("X-GZip", gzip.compress(JPEG, mtime=0) + b"more"), None),
    "stored-as-deflate": (coded("deflate", zlib.compress(JPEG)), None),
    "stored-as-aws-chunked-gzip": (coded("aws-chunked,gzip", gzip.compress(JPEG, mtime=0)), None),
    "stored-as-gzip-of-deflate": (coded("deflate, gzip", gzip.compress(zlib.compress(JPEG), mtime=0)), None),
    "stored-as-brotli": (coded("br", BROTLI), None),
    "stored-as-zstandard": (coded("zstd", ZSTANDARD), None),
    "hints": (says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"\r\n" + JPEG), None),
    "works-first": (says(b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + OK + b"\r\n" + JPEG), None),
    "not-the-authority": (says(b"HTTP/1.1 203 Non-Authoritative Information\r\n\r\n" + JPEG), None),
    "a-part-that-is-all": (
        says(
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-%d/%d\r\n\r\n%b" % (len(JPEG) - 1, len(JPEG), JPEG)
        ),
        None,
    ),
    "many-headers": (sends(JPEG, *(f"X-{count}: 1" for count in range(500))), None),
    "html": (
        sends(b"<!doctype html><body><img src=x></body>", "Content-Type: image/jpeg"),
        "not_an_image",
    ),
    "svg": (sends(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Content-Type: image/svg+xml"), "not_an_image"),
    "pdf": (sends(b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"), "not_an_image"),
    "eps": (sends(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not_an_image"),
    "ppm": (sends(b"P6 2 2 255\n" + bytes(12)), "not_an_image"),
    "zip": (sends(b"PK\x03\x04" + bytes(100)), "not_an_image"),
    "nothing": (sends(b""), "not_an_image"),
    "jpeg-cut-short": (sends(JPEG[: len(JPEG) // 5]), "image_broken"),
    "png-corrupt": (sends(bytes(SPOILT)), "image_broken"),
    "png-cut-short": (sends(PNG[:40]), "image_broken"),
    "png-without-its-pixels": (sends(png(4000, 4000, b"")), "image_broken"),
    "dimension-bomb": (sends(png(60_000, 60_000, b"")), "image_too_large"),
    "dimension-bomb-of-a-gif": (
        sends(b"GIF89a" + struct.pack("<HH", 65535, 65535) + encoded("GIF")[10:]),
        "image_too_large",
    ),
    "pixel-bomb": (sends(png(7100, 7100, bytes(7100 * 889))), "image_too_large"),
    "as-large-as-the-pixel-cap": (sends(png(8192, 6144, bytes(6144 * 1025))), None),
    "one-pixel": (sends(encoded("PNG", size=(1, 1))), None),
    "until-the-end": (says(b"HTTP/1.0 200 OK\r\n\r\n" + JPEG), None),
    "chunked": (says(CHUNKED + b"%x\r\n" % len(JPEG) + JPEG + b"\r\n0\r\n\r\n"), None),
    "a-jpeg": (sends(JPEG, "Content-Type: text/html"), None),
    "jpeg-progressive": (sends(encoded("JPEG", progressive=True)), None),
    "jpeg-cmyk": (sends(encoded("JPEG", mode="CMYK")), None),
    "png-palette": (sends(encoded("PNG", mode="P")), None),
    "png-alpha": (sends(encoded("PNG", mode="RGBA")), None),
    "webp-lossless": (sends(encoded("WEBP", lossless=True)), None),
    "webp-animated": (
        sends(encoded("WEBP", save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])),
        None,
    ),
    "avif": (sends(encoded("AVIF")), None),
    "gif": (sends(encoded("GIF")), None),
    "bmp": (sends(encoded("BMP")), None),
    "tiff": (sends(encoded("TIFF")), None),
}

# Addresses as they are given, with {port} for that of the server.
ADDRESSES = {
    "http://127.0.0.1:{port}/": "address_not_public",
    "http://127.0.0.3:{port}/": "address_not_public",
    "http://localhost:{port}/": "address_not_public",
    "http://2130706434:{port}/a-jpeg": "address_not_public",  # 127.0.0.2, but not by the name that is let through
    "http://0x7f000002:{port}/a-jpeg": "address_not_public",
    "http://0177.0.0.2:{port}/a-jpeg": "address_not_public",
    "http://127.2:{port}/a-jpeg": "address_not_public",
    "http://[::1]:{port}/": "address_not_public",
    "http://[::ffff:127.0.0.2]:{port}/a-jpeg": "address_not_public",
    "http://[64:ff9b::7f00:2]:{port}/a-jpeg": "address_not_public",
    "http://[fd00:ec2::254]/latest/meta-data/": "address_not_public",
    "http://[fe80::1]/": "address_not_public",
    "http://169.254.169.254/latest/meta-data/": "address_not_public",
    "http://0251.0376.0251.0376/": "address_not_public",
    "http://100.100.100.200/": "address_not_public",
    "http://0.0.0.0:{port}/": "address_not_public",
    "http://10.1.2.3/": "address_not_public",
    "http://192.168.0.1/": "address_not_public",
    "http://224.0.0.1/": "address_not_public",
    "http://240.0.0.1/": "address_not_public",
    "http://127.0.0.2:{port}/a-jpeg": None,
    "HTTP://127.0.0.2:{port}/a-jpeg#fragment": None,
    "http://127.0.0.2:{port}/a-jpeg?X-Amz-Security-Token=" + "a" * 8000: None,
    "http://127.0.0.2:{port}/a-jpeg?X-Amz-Security-Token=" + "a" * 8192: "url_malformed",
    "http://127.0.0.2:9/": "url_malformed",
    "http://127.0.0.2:22/": "url_malformed",
    "http://127.0.0.2:0/": "url_malformed",
    "http://127.0.0.2:65536/": "url_malformed",
    "http://user:secret@127.0.0.2:{port}/a-jpeg": "url_malformed",
    "http://127.0.0.2:{port}\\@169.254.169.254/": "url_malformed",
    "http://127.0.0.2:{port}/a b": None,
    "\r\n http://127.0.0.2:{port}/a-jpeg\t\n": None,
    "http://127.0.0.2:{port}/a-\njpeg": None,
    "http://127.0.0.2:{port}/signed/a%2fb%2F%e4?s=%3d%2B+~": None,
    "http://127.0.0.2:{port}/\u00e4": None,
    "http://127.0.0.2.:{port}/a-jpeg": None,
    "http://127.0.0.2\t:{port}/a-jpeg": "url_malformed",
    "http://127.0.0\n.2:{port}/a-jpeg": "url_malformed",
    "http://localhost.:{port}/": "address_not_public",
    "http://a..b/": "url_malformed",
    "http://../": "url_malformed",
    "http://" + "a" * 64 + ".example/": "url_malformed",
    "http://" + "a." * 130 + "example/": "url_malformed",
    "http://xn--a/": "url_malformed",
    "http://\u00ad/": "url_malformed",
    "http://\U0001f4a9.invalid/": "host_not_found",
    "http://-a_b-.invalid/": "host_not_found",
    "ftp://127.0.0.2:{port}/a-jpeg": "url_malformed",
    "file:///proc/self/environ": "url_malformed",
    "gopher://127.0.0.2:{port}/": "url_malformed",
    "data:image/png;base64," + base64.b64encode(PNG).decode(): "url_malformed",
    "127.0.0.2/a-jpeg": "url_malformed",
    "https://127.0.0.2:{port}/a-jpeg": "host_certificate",
    "http://127.0.0.2:1024/": "host_unreachable",
    "http://no-such-host.invalid/": "host_not_found",
}

# Bodies of POST that are no request.
BODIES = {
    b"": "request_malformed",
    b"{": "request_malformed",
    b"[]": "request_malformed",
    b"null": "request_malformed",
    b'"http://127.0.0.2/"': "request_malformed",
    b"[" * 10_000: "request_malformed",
    b"\xff\xfe{}": "request_malformed",
    b"{}": "parameter_missing",
    b'{"url": null}': "parameter_malformed",
    b'{"url": ["http://127.0.0.2/"]}': "parameter_malformed",
    b'{"url": "http://127.0.0.2/", "top": "5"}': "parameter_malformed",
    b'{"url": "http://127.0.0.2/", "top": 1e999}': "parameter_malformed",
    b'{"url": "http://127.0.0.2/", "url": "http://127.0.0.2/"}': "parameter_repeated",
    b'{"url": "http://127.0.0.2/", "size": 1}': "parameter_unknown",
}


class Server(socketserver.ThreadingTCPServer):
    """Misbehaves as `HOSTS` says for the path that is asked for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__((HOST, 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_arguments):
        """A client that hangs up is none of the server's troubles."""


class Handler(socketserver.StreamRequestHandler):
    timeout = 15

    def handle(self):
        if self.rfile.peek(1)[:1] == b"\x16":  # TLS: its first message need not hold a line to wait for
            self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline(65536) or b"\r\n\r\n"
        answer = HOSTS[head.split(b" ")[1].decode().partition("?")[0].strip("/")][0]
        (answer.choose(head) if isinstance(answer, Asked) else answer)(self.connection)


def violations(response: requests.Response) -> list[str]:
    """How an answer of /predict differs from openapi.yml."""
    method = response.request.method.lower()
    return contract.violations("/predict", method, response.status_code, response.headers, response.text)
