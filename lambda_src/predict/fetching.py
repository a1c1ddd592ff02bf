"""Fetch an image from an address that a stranger named, without reaching anything that is not public.

Each hop resolves its host once, refuses it unless every address is public, and connects to the very address that it
checked, so that a name which answers differently the second time gains nothing. What an attacker would want instead of
a picture: the runtime API on 127.0.0.1:9001, instance metadata on 169.254.169.254, hosts inside a VPC.
See https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import contextlib
import functools
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Url, parse_url

from .errors import PredictionError, error, shown

MAX_BYTES = 10_000_000  # what API Gateway lets through as a request's body, so both ways in have one cap
MAX_SECONDS = 10.0
MAX_REDIRECTS = 3
MAX_URL_LENGTH = 8192  # presigned URLs run to about 2,000 characters
_MAX_ADDRESSES = 4  # tried in turn when a host does not answer on the first
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 5.0  # without a byte
_CHUNK = 65536
_DEFAULT_PORT = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "User-Agent": "serverless-predictions-lab/1.0",
    "Accept": "image/avif,image/webp,image/*;q=0.9,*/*;q=0.5",
    "Accept-Encoding": "identity",  # a compressed body could swell; images are compressed already
    "Connection": "close",
}
# Ports of other protocols that no browser sends a request to: https://fetch.spec.whatwg.org/#port-blocking
_BAD_PORTS = frozenset(
    (0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
     110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
     532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
     5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080)
)  # fmt: skip

# What `ipaddress.is_global` of some supported Python calls global and no public web server uses.
# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
_NOT_PUBLIC_4 = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))
_NOT_PUBLIC_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # IETF protocols, Teredo (2001::/32) among them: it embeds an IPv4 address
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: embeds an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
_GLOBAL_UNICAST_6 = ipaddress.IPv6Network("2000::/3")  # all that IANA has assigned for public unicast
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # https://www.rfc-editor.org/rfc/rfc6052: the last 32 bits are IPv4

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Iterable[str]]


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses of a host name, as the system's resolver gives them. Raises OSError when it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether an address is one on the public Internet that a web server may have.

    An IPv4 address inside an IPv6 one is judged as itself where the form is in use (IPv4-mapped, NAT64); the other
    forms that embed one (6to4, Teredo, IPv4-compatible) are not public.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return False
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        return address in _GLOBAL_UNICAST_6 and address.is_global and not any(address in net for net in _NOT_PUBLIC_6)
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in net for net in _NOT_PUBLIC_4)
    )


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts that may have addresses which are not public: `host` (any port) or `host:port`."""

    entries: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "AllowedHosts":
        """Read a comma-separated list, as in the environment variable ALLOWED_PRIVATE_HOSTS.

        IPv6 addresses stand in brackets. Raises ValueError for an entry that is not `host` or `host:port`.
        """
        entries = set()
        for entry in filter(None, (part.strip() for part in text.split(","))):
            match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(?::([0-9]{1,5}))?", entry)
            if not match:
                raise ValueError(f"ALLOWED_PRIVATE_HOSTS: {entry!r} is not `host` or `host:port`")
            entries.add((match[1].strip("[]").lower(), int(match[2]) if match[2] else None))
        return cls(frozenset(entries))

    def allow(self, host: str, port: int) -> bool:
        """Whether `host` (lower case, IPv6 without brackets) may be private on `port`."""
        return (host, port) in self.entries or (host, None) in self.entries


@dataclass(frozen=True)
class _Target:
    """One hop: what to ask whom."""

    url: Url
    scheme: str
    host: str  # lower case, ASCII, IPv6 without brackets
    port: int

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"


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
        return error("fetch_timeout", f"the image's host did not deliver within {self._seconds:.1f} s")


def fetch(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    max_redirects: int = MAX_REDIRECTS,
    allowed: AllowedHosts = AllowedHosts(),
    resolver: Resolver = system_resolver,
    ssl_context: ssl.SSLContext | None = None,
) -> bytes:
    """Get what `url` names, following at most `max_redirects` redirects, each checked like the first address.

    `max_bytes` caps the body, `max_seconds` everything together. `resolver(host, port)` returns addresses as text or
    raises OSError. `ssl_context` replaces the system's trusted certificates.

    Raises PredictionError: 400 `url_malformed` or `address_not_public`; 413 `image_too_large`; 502 `host_not_found`,
    `host_unreachable`, `host_certificate`, `host_answer` or `too_many_redirects`; 504 `fetch_timeout`.
    """
    clock = _Clock(max_seconds)
    target = _parse(url)
    for _hop in range(max_redirects + 1):
        addresses = _public_addresses(target, clock, allowed, resolver)
        answer = _get(target, addresses, clock, max_bytes, ssl_context)
        if isinstance(answer, bytes):
            return answer
        try:
            target = _parse(answer)
        except PredictionError as problem:  # the host's mistake, not the client's
            raise error("host_answer", f"{shown(target.host)} redirects to what cannot be fetched: {problem}") from None
    raise error("too_many_redirects", f"the address redirects more than {max_redirects} times")


def _parse(url: str) -> _Target:
    if len(url) > MAX_URL_LENGTH:
        raise error("url_malformed", f"the URL has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed")
    # Characters on which URL parsers disagree, so that what is checked would not be what is asked.
    odd = re.search(r"[\x00-\x20\x7f\\\ud800-\udfff]", url)
    if odd:
        raise error("url_malformed", f"the URL holds {shown(odd[0])}: percent-encode spaces and control characters")
    scheme = url.partition(":")[0].lower()
    if scheme not in _DEFAULT_PORT:
        # Not more of the URL: what follows may be a password or a signature.
        came = f", not {scheme}:" if re.fullmatch(r"[a-z][a-z0-9+.-]{0,19}", scheme) and ":" in url else ""
        raise error("url_malformed", f"the URL must start with http:// or https://{came}")
    try:
        parsed = parse_url(url)
        host = (parsed.host or "").lower()
    except (urllib3.exceptions.HTTPError, ValueError):  # ValueError: some malformed ports and labels
        raise error("url_malformed", "the URL is malformed: expected http(s)://host[:port]/path") from None
    if parsed.scheme != scheme or not host or not url[len(scheme) :].startswith("://"):
        raise error("url_malformed", "the URL names no host: expected http(s)://host[:port]/path")
    if "@" in re.split("[/?#]", url, maxsplit=3)[2]:
        raise error("url_malformed", "the URL holds a user name or password; leave them out")
    if "%" in host:
        raise error("url_malformed", "the URL's host holds a percent sign (an IPv6 zone?); leave it out")
    if len(host) > 253:
        raise error("url_malformed", "the URL's host name is longer than 253 characters")
    port = _DEFAULT_PORT[scheme] if parsed.port is None else parsed.port
    if port in _BAD_PORTS or port > 65535:
        raise error("url_malformed", f"port {port} is not one that serves pictures over {scheme}")
    return _Target(parsed, scheme, host.strip("[]"), port)


def _public_addresses(target: _Target, clock: _Clock, allowed: AllowedHosts, resolver: Resolver) -> list[Address]:
    """Resolve once; all addresses, every one of them checked."""
    found = _resolve(target, clock, resolver)
    private = [address for address in found if not is_public(address)]
    if private and not allowed.allow(target.host, target.port):
        raise error(
            "address_not_public",
            f"{shown(target.host)} is not a public address; only hosts on the public Internet are fetched from",
            f"resolved to {', '.join(map(str, private))}",
        )
    return found


def _resolve(target: _Target, clock: _Clock, resolver: Resolver) -> list[Address]:
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
        raise error("fetch_timeout", f"looking up {shown(target.host)} took too long")
    if isinstance(outcome[0], Exception) or not outcome[0]:
        raise error("host_not_found", f"{shown(target.host)} has no address", str(outcome[0]))
    return outcome[0]


def _get(
    target: _Target, addresses: list[Address], clock: _Clock, max_bytes: int, ssl_context: ssl.SSLContext | None
) -> bytes | str:
    """Ask one host: the body, or the address that it redirects to."""
    connection = _connect(target, addresses, clock, ssl_context)
    watchdog = _Watchdog(connection.sock, clock.left())
    try:
        return _exchange(connection, target, clock, max_bytes)
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as problem:
        if watchdog.fired or isinstance(problem, (TimeoutError, urllib3.exceptions.TimeoutError)):
            raise clock.timeout() from None
        raise error(
            "host_answer",
            f"{shown(target.host)} broke off or answered what is not HTTP",
            f"{type(problem).__name__}: {problem}",
        ) from None
    finally:
        watchdog.cancel()
        connection.close()


def _connect(
    target: _Target, addresses: list[Address], clock: _Clock, ssl_context: ssl.SSLContext | None
) -> HTTPConnection:
    problem: Exception | None = None
    for address in addresses[:_MAX_ADDRESSES]:
        timeout = clock.left(_CONNECT_SECONDS)
        connection: HTTPConnection
        if target.scheme == "https":
            # The connection goes to the address; the certificate must be the host's.
            connection = HTTPSConnection(
                str(address), target.port, timeout=timeout, server_hostname=target.host,
                ssl_context=ssl_context or _default_ssl_context(),
            )  # fmt: skip
        else:
            connection = HTTPConnection(str(address), target.port, timeout=timeout)
        try:
            connection.connect()
            return connection
        except ssl.SSLError as failure:
            connection.close()
            raise error(
                "host_certificate",
                f"no secure connection to {shown(target.host)}: its certificate or its TLS is not acceptable",
                str(failure),
            ) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            connection.close()
            problem = failure
    clock.left()
    detail = f"{type(problem).__name__}: {problem}"
    refused = isinstance(problem, urllib3.exceptions.NewConnectionError)  # which urllib3 counts among the time-outs
    if isinstance(problem, (TimeoutError, urllib3.exceptions.TimeoutError)) and not refused:
        raise error("fetch_timeout", f"{shown(target.host)} did not accept the connection in time", detail)
    raise error("host_unreachable", f"{shown(target.host)} refused the connection on port {target.port}", detail)


@functools.cache
def _default_ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context()


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


def _exchange(connection: HTTPConnection, target: _Target, clock: _Clock, max_bytes: int) -> bytes | str:
    connection.sock.settimeout(clock.left(_READ_SECONDS))
    headers = {"Host": target.host_header, **_HEADERS}
    connection.request("GET", target.url.request_uri, headers=headers, preload_content=False, decode_content=False)
    response = connection.getresponse()
    try:
        if response.status in _REDIRECTS:
            return _redirect(target, response)
        _check_answer(target, response, max_bytes)
        body = bytearray()
        while chunk := response.read1(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            clock.left()
        clock.left()  # the watchdog may have ended a body that has no length
        return bytes(body)
    finally:
        response.close()


def _redirect(target: _Target, response: urllib3.response.BaseHTTPResponse) -> str:
    location = response.headers.get("location")
    if not location:
        raise error("host_answer", f"{shown(target.host)} answered {response.status} without a Location")
    # Header bytes come as Latin-1; addresses are UTF-8 where they are not ASCII.
    location = location.encode("latin-1", "replace").decode("utf-8", "replace")
    return urljoin(target.url.url, location.strip(" \t"))


def _check_answer(target: _Target, response: urllib3.response.BaseHTTPResponse, max_bytes: int) -> None:
    host = shown(target.host)
    if response.status != 200:
        raise error("host_answer", f"{host} answered {response.status} instead of 200 with an image")
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise error("host_answer", f"{host} answered with Content-Encoding {shown(encoding)} though identity was asked")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int):
    return error("image_too_large", f"the image has more than {max_bytes} bytes")
