"""An address that a stranger named: read as browsers read it, and checked to lie on the public Internet."""

import ipaddress
import re
from typing import NamedTuple

import can_ada

from .errors import BY_POST, failure

MAX_URL_LENGTH = 8192  # presigned URLs run to about 2,000 characters
_DEFAULT_PORT = {"http": 80, "https": 443}
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


class AllowedHosts(NamedTuple):
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
                raise ValueError(
                    f"ALLOWED_PRIVATE_HOSTS: {entry!r} is not `host` or `host:port`: deploy with a list of these"
                )
            entries.add((match[1].strip("[]").lower(), int(match[2]) if match[2] else None))
        return cls(frozenset(entries))

    def allow(self, host: str, port: int) -> bool:
        """Whether `host` (lower case, IPv6 without brackets) may be private on `port`."""
        return (host, port) in self.entries or (host, None) in self.entries


class Target(NamedTuple):
    """What to ask whom: an http or https address, out of the one parser that says where it leads.

    `href`: the whole, ASCII. `scheme`: http or https. `host`: lower case, ASCII, IPv6 without brackets, no final dot.
    `let_through_as`: the host by which `AllowedHosts` may know it; empty where an IPv4 address was written in another
    form than four numbers. `host_header`, `path`: as the request says them, the query with the path.
    """

    href: str
    scheme: str
    host: str
    let_through_as: str
    port: int
    host_header: str
    path: str


def parse(text: str, base: Target | None = None) -> Target:
    """Read an address, or a redirect's Location, which is relative to `base` and may hold any byte as Latin-1.

    The rules are those of https://url.spec.whatwg.org: blanks around it go, what cannot be sent is percent-encoded,
    every other byte stays as it was written. In a first address the part up to the path is not mended: parsers differ
    there. Raises PredictionError 400 `url_malformed`.
    """
    text = text.strip("".join(map(chr, range(0x21))))
    if len(text) > MAX_URL_LENGTH:
        message = (
            f"the URL has {len(text)} characters, and {MAX_URL_LENGTH} are allowed: use a shorter URL, or {BY_POST}"
        )
        raise failure("url_malformed", message)
    if base:
        text = re.sub("[^\x00-\x7f]", lambda found: f"%{ord(found[0]):02X}", text)
    else:
        _check_beginning(text)
    try:
        url = can_ada.parse(base.href) + text if base else can_ada.parse(text)
    except (ValueError, TypeError):  # TypeError: lone surrogates
        raise failure("url_malformed", "the URL is malformed: expected http(s)://host[:port]/path") from None
    scheme, host = url.protocol[:-1], url.hostname.strip("[]").removesuffix(".")
    if scheme not in _DEFAULT_PORT:
        raise failure("url_malformed", f"the URL must start with http:// or https://, not {scheme[:20]}:")
    if url.has_credentials():
        raise failure("url_malformed", "the URL holds a user name or password: leave them out")
    if len(host) > 253 or not (":" in host or all(0 < len(label) < 64 for label in host.split("."))):
        raise failure(
            "url_malformed",
            "the URL's host is no name: expected parts of 1 to 63 characters with dots between them, 253 in all",
        )
    port = int(url.port) if url.port else _DEFAULT_PORT[scheme]
    if port in _BAD_PORTS:
        raise failure(
            "url_malformed",
            f"port {port} belongs to another protocol: leave it out, or use the port that serves {scheme}",
        )
    inherited = base is not None and not re.match(r"([A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2}", text)
    named = not re.fullmatch("[0-9.]+", host) or host in text or inherited
    href = url.href.partition("#")[0]
    return Target(href, scheme, host, host if named else "", port, url.host, href.removeprefix(url.origin))


def _check_beginning(text: str) -> None:
    scheme = text.partition(":")[0].lower()
    if scheme not in _DEFAULT_PORT:
        # Not more of the URL: what follows may be a password or a signature.
        came = f", not {scheme}:" if re.fullmatch(r"[a-z][a-z0-9+.-]{0,19}", scheme) and ":" in text else ""
        raise failure("url_malformed", f"the URL must start with http:// or https://{came}")
    authority = re.match("://([^/?#]+)", text[len(scheme) :])
    if not authority:
        raise failure("url_malformed", "the URL names no host: expected http(s)://host[:port]/path")
    if "@" in authority[1]:
        raise failure("url_malformed", "the URL holds a user name or password: leave them out")
    if re.search(r"[\x00-\x20\x7f\\]", authority[1]):
        raise failure("url_malformed", "the URL's host holds a blank, a control character or a backslash: leave it out")
