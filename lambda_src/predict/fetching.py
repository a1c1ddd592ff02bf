"""Fetch an image from a URL that a stranger named, without reaching anything that is not public.

Each hop resolves its host once, refuses it unless every address is public, and connects to the very address that it
checked, so that a name which answers differently the second time gains nothing. An attacker would want instead of an
image: the runtime API on 127.0.0.1:9001, instance metadata on 169.254.169.254, hosts inside a VPC.
See https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import contextlib
import functools
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, LineTooLong
from typing import Any

from . import codings
from .addresses import Address, AllowedHosts, Target, is_public, parse
from .cookies import Cookies
from .errors import BY_POST, PredictionError, failure, shown
from .room import Room, Share

MAX_BYTES = 10_000_000  # coded, and decoded
MAX_SECONDS = 10.0
MAX_REDIRECTS = 20  # as https://fetch.spec.whatwg.org/#http-redirect-fetch
CONTACT_URL = "https://serverless-predictions.example/"  # a place-holder: template.yml's ContactUrl gives a real one
_MAX_ADDRESSES = 4  # tried in turn when a host does not answer on the first
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 5.0  # without a byte
_CHUNK = 65536
_HEAD_BYTES = 262_144  # of an answer's headers; browsers have the same bound
_HEADERS_READ = (
    b"connection", b"content-encoding", b"content-length", b"content-range", b"location", b"set-cookie",
    b"transfer-encoding",
)  # fmt: skip
_REDIRECTS = (300, 301, 302, 303, 307, 308)
_WITHOUT_AN_IMAGE = (204, 205, 206)
_HEADERS = {
    "Accept": "image/avif,image/webp,image/*;q=0.9,*/*;q=0.5",
    "Accept-Encoding": "identity",  # images are compressed already
    "Connection": "close",
}

_NO_HOSTS = AllowedHosts()

Resolver = Callable[[str, int], Iterable[str]]


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses of a host name, as the system's resolver gives them. Raises OSError when it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Clock:
    """The total time that one fetch may take."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, most: float = float("inf")) -> float:
        """Seconds left, at most `most`. Raises PredictionError 504 when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.timeout()
        return min(left, most)

    def timeout(self):
        return failure(
            "fetch_timeout", f"the image's host did not deliver within {self._seconds:.1f} s: try again, or {BY_POST}"
        )


def fetch(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    max_redirects: int = MAX_REDIRECTS,
    allowed: AllowedHosts = _NO_HOSTS,
    contact: str = CONTACT_URL,
    resolver: Resolver = system_resolver,
    ssl_context: ssl.SSLContext | None = None,
    room: Room | None = None,
) -> bytes:
    """Get what `url` names, following at most `max_redirects` redirects, each checked like the first address.

    `max_bytes` caps the body, as it is sent and as it is decoded; `max_seconds` everything together. `contact`: where
    the hosts' owners find who asks, printable ASCII. `resolver(host, port)` returns addresses as text or raises
    OSError. `ssl_context` replaces the system's trusted certificates. `room`: what this image shares with others.

    Raises PredictionError: 400 `url_malformed` or `address_not_public`; 413 `image_too_large`; 502 `host_not_found`,
    `host_unreachable`, `host_certificate`, `host_answer` or `too_many_redirects`; 504 `fetch_timeout`.
    """
    clock, cookies = _Clock(max_seconds), Cookies()
    headers = {"User-Agent": f"ServerlessPredictions/1.0 (+{contact})", **_HEADERS}
    target = parse(url)
    for _hop in range(max_redirects + 1):
        addresses = _public_addresses(target, clock, allowed, resolver)
        answer = _get(target, addresses, headers, cookies, clock, max_bytes, ssl_context, room or Room())
        if isinstance(answer, bytes):
            return answer
        try:
            target = parse(answer, target)
        except PredictionError as problem:  # the host's mistake, not the client's
            raise failure(
                "host_answer",
                f"{shown(target.host)} redirects to a URL that cannot be fetched ({problem}): use the image's own URL",
            ) from None
    raise failure("too_many_redirects", f"the URL redirects more than {max_redirects} times: use the image's own URL")


def _public_addresses(target: Target, clock: _Clock, allowed: AllowedHosts, resolver: Resolver) -> list[Address]:
    """Resolve once; all addresses, every one of them checked."""
    found = _resolve(target, clock, resolver)
    private = [address for address in found if not is_public(address)]
    if private and not allowed.allow(target.let_through_as, target.port):
        raise failure(
            "address_not_public",
            f"{shown(target.host)} is not on the public Internet: use a public URL, or {BY_POST}",
            f"resolved to {', '.join(map(str, private))}",
        )
    return found


def _resolve(target: Target, clock: _Clock, resolver: Resolver) -> list[Address]:
    outcome: list = []

    def look_up():
        try:
            outcome.append([ipaddress.ip_address(text) for text in resolver(target.host, target.port)])
        except (OSError, ValueError) as problem:  # ValueError: a label that cannot be encoded
            outcome.append(problem)

    # The system's look-up knows no time limit; a name server of the stranger's may answer never.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(clock.left(_READ_SECONDS))
    if not outcome:
        raise failure(
            "fetch_timeout", f"{shown(target.host)} was not found in time: check the URL's spelling, or try again"
        )
    if isinstance(outcome[0], Exception) or not outcome[0]:
        raise failure(
            "host_not_found", f"{shown(target.host)} has no IP address: check the URL's spelling", str(outcome[0])
        )
    return outcome[0]


def _get(
    target: Target,
    addresses: list[Address],
    headers: dict[str, str],
    cookies: Cookies,
    clock: _Clock,
    max_bytes: int,
    ssl_context: ssl.SSLContext | None,
    room: Room,
) -> bytes | str:
    """Ask one host: the body, or the Location that it redirects to."""
    connection = _connect(target, addresses, clock, ssl_context)
    watchdog = _Watchdog(connection.sock, clock.left())
    try:
        response = _ask(connection, target, headers | cookies.header(target), clock)
        with contextlib.closing(response):
            cookies.take(target, response.headers.get_all("set-cookie", []))
            if response.status in _REDIRECTS:
                return _location(target, response)
            with room.share() as share:
                body = _body(target, response, clock, max_bytes, share)
                with room.decoding:
                    return _decoded(target, _header(response, "content-encoding"), body, max_bytes, share)
    except (HTTPException, OSError, ValueError) as problem:
        if watchdog.fired or isinstance(problem, TimeoutError):
            raise clock.timeout() from None
        raise failure(
            "host_answer",
            f"{shown(target.host)} broke off, or its answer is not HTTP: try again, or {BY_POST}",
            f"{type(problem).__name__}: {problem}",
        ) from None
    finally:
        watchdog.cancel()
        connection.close()


def _connect(
    target: Target, addresses: list[Address], clock: _Clock, ssl_context: ssl.SSLContext | None
) -> HTTPConnection:
    problem: Exception | None = None
    for address in addresses[:_MAX_ADDRESSES]:
        connection = HTTPConnection(str(address), target.port, timeout=clock.left(_CONNECT_SECONDS))
        try:
            connection.connect()
            if target.scheme == "https":
                # The connection goes to the address; the certificate must be the host's.
                context = ssl_context or _default_ssl_context()
                connection.sock = context.wrap_socket(connection.sock, server_hostname=target.host)
            return connection
        except ssl.SSLError as cause:
            connection.close()
            raise failure(
                "host_certificate",
                f"no secure connection to {shown(target.host)}, whose certificate or TLS is not valid: {BY_POST}",
                str(cause),
            ) from None
        except (OSError, ValueError) as cause:
            connection.close()
            problem = cause
    clock.left()
    detail = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, TimeoutError):
        message = f"{shown(target.host)} did not accept the connection in time: try again, or {BY_POST}"
        raise failure("fetch_timeout", message, detail)
    message = f"{shown(target.host)} takes no connection on port {target.port}: check the URL, or {BY_POST}"
    raise failure("host_unreachable", message, detail)


@functools.cache
def _default_ssl_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])  # HTTP/2 is not spoken here
    return context


class _Answer(HTTPResponse):
    """An answer whose headers are bounded by their bytes, and whose length is one.

    http.client takes 100 headers, a 103 for the answer, and the first of several lengths.
    """

    headers: Any  # None until they are read, which typeshed does not say
    fp: Any  # any binary stream does

    def begin(self) -> None:
        if self.headers is None:
            stream = self.fp
            self.fp = io.BytesIO(_head(stream))
            try:
                super().begin()
            finally:
                self.fp = stream
            lengths = {length.strip() for length in _header(self, "content-length").split(",")}
            if len(lengths) > 1 and not self.chunked:
                raise HTTPException(f"Content-Length is {' and '.join(sorted(lengths))}")


def _head(stream: io.BufferedReader) -> bytes:
    """The status line and the headers that matter here, of the first answer that is no interim one."""
    while True:
        lines, room = [], _HEAD_BYTES
        while (line := stream.readline(room + 1)).strip(b"\r\n"):
            lines.append(line)
            room -= len(line)
            if room < 0:
                raise LineTooLong("headers")
        if not line or not lines or not re.match(rb"HTTP/\S+ +1(?!01)[0-9][0-9]\s", lines[0]):
            break
    head, is_read = lines[:1], False
    for line in lines[1:]:
        if line[:1] in b" \t":  # goes on with the header before
            if is_read:
                head[-1] = head[-1].rstrip(b"\r\n") + line
            continue
        name, colon, value = line.partition(b":")
        is_read = bool(colon) and name.strip().lower() in _HEADERS_READ
        head += [name.strip() + b":" + value] * is_read
    return b"".join(head) + b"\r\n"


class _Watchdog:
    """Ends a socket's traffic after some seconds.

    A socket's own timeout starts anew with each byte, so a host that sends one now and then would never meet it.
    """

    def __init__(self, sock: socket.socket, seconds: float):
        self.fired = False
        self._socket: socket.socket | None = sock
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        with self._lock:
            if self._socket is None:
                return
            self.fired = True
            with contextlib.suppress(OSError):  # closed by the peer already
                # Not SSLSocket's own shutdown: it would pull the TLS state from under the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def cancel(self) -> None:
        """Stop waiting; once this returns the socket is left alone."""
        self._timer.cancel()
        with self._lock:
            self._socket = None


def _ask(connection: HTTPConnection, target: Target, headers: dict[str, str], clock: _Clock) -> HTTPResponse:
    connection.sock.settimeout(clock.left(_READ_SECONDS))
    connection.response_class = _Answer
    connection.request("GET", target.path, headers={"Host": target.host_header, **headers})
    return connection.getresponse()


def _header(response: HTTPResponse, name: str) -> str:
    return ", ".join(response.headers.get_all(name, []))


def _location(target: Target, response: HTTPResponse) -> str:
    location = response.headers.get("location")
    if not location:
        message = f"{shown(target.host)} answered {response.status} without a Location: use the image's own URL"
        raise failure("host_answer", message)
    return location


def _body(target: Target, response: HTTPResponse, clock: _Clock, max_bytes: int, share: Share) -> bytes:
    if not 200 <= response.status < 300 or (response.status in _WITHOUT_AN_IMAGE and not _is_whole(response)):
        message = f"{shown(target.host)} answered {response.status} instead of 200 with an image"
        raise failure("host_answer", f"{message}: {_remedy(response.status)}")
    if (response.length or 0) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        share.take(len(chunk))
        clock.left()
    if response.length:  # which `read1` does not say
        raise IncompleteRead(bytes(body), response.length)
    clock.left()  # the watchdog may have ended a body that has no length
    return bytes(body)


def _remedy(status: int) -> str:
    if status in (404, 410):
        return "check the URL's spelling, and that the image is still there"
    if status in (401, 402, 403, 407, 451):
        return f"it does not give the image to this endpoint; {BY_POST}"
    if status in (408, 425, 429) or status >= 500:
        return f"try again later, or {BY_POST}"
    return f"open the URL in a browser, or {BY_POST}"


def _decoded(target: Target, coding: str, body: bytes, max_bytes: int, share: Share) -> bytes:
    try:
        decoded = codings.decode(body, coding, max_bytes)
    except codings.CodingError as problem:
        raise failure(
            "host_answer",
            f"{shown(target.host)} says Content-Encoding {shown(coding)}, which the body does not have: {BY_POST}",
            str(problem),
        ) from None
    if len(decoded) > max_bytes:
        raise _too_large(max_bytes)
    share.take(len(decoded) - len(body))
    return decoded


def _is_whole(response: HTTPResponse) -> bool:
    """Whether a 206, which nobody asked for, holds all bytes all the same."""
    found = re.fullmatch(r"bytes 0-([0-9]{1,19})/([0-9]{1,19})", response.headers.get("content-range", "").strip())
    return response.status == 206 and found is not None and int(found[1]) + 1 == int(found[2])


def _too_large(max_bytes: int):
    return failure("image_too_large", f"the image has more than {max_bytes} bytes: use a smaller image")
