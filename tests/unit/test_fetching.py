"""Fetching: which addresses are public, which URLs are taken, and what misbehaving hosts get to do.

Servers are the test's own, on loopback, and let through by name where the case is not about addresses; the resolver is
under the test's control, so no test looks anything up.
"""

import contextlib
import gzip
import ipaddress
import re
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
import trustme

from predict import fetching
from predict.errors import PredictionError
from predict.fetching import AllowedHosts, fetch, is_public
from tests.cases import hostile

pytestmark = pytest.mark.timeout(30)  # a host that is let go on would go on for ever
HOST = "images.example"
PUBLIC = "93.184.215.14"


class Server:
    """Answers each connection with what `answers` says for it (the last one again and again), then closes.

    An answer is bytes, or a function of the socket.
    """

    def __init__(self, *answers: bytes | Callable[[socket.socket], None], context: ssl.SSLContext | None = None):
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://{HOST}:{self.port}/picture.jpg"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        count = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            answer = self.answers[min(count, len(self.answers) - 1)]
            count += 1
            threading.Thread(target=self._answer, args=(connection, answer), daemon=True).start()

    def _answer(self, connection: socket.socket, answer) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    received = connection.recv(65536)
                    if not received:
                        return
                    request += received
                self.requests.append(request)
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def start(*answers, **options) -> Server:
        servers.append(Server(*answers, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def to(*addresses: str) -> fetching.Resolver:
    """A resolver that gives every name these addresses."""
    return lambda host, port: addresses


def get(url: str, **options) -> bytes:
    """Fetch from a server of the test's own."""
    options = {"allowed": AllowedHosts.parse(HOST), "resolver": to("127.0.0.1"), "max_seconds": 5.0} | options
    return fetch(url, **options)


def refusal(url: str, **options) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        get(url, **options)
    return caught.value


def ok(body: bytes, *headers: str) -> bytes:
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def redirect(location: str, status: int = 302, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Found", f"Location: {location}", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode("latin-1")


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "223.255.255.1",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "2a00:1450:4001:830::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",  # NAT64 of a public address: what a host without IPv4 gets
    ],
)
def test_public_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",  # instance metadata
        "169.254.170.2",  # container credentials
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.171",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",  # IPv4-compatible
        "::ffff:127.0.0.1",  # IPv4-mapped
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",  # IPv4-translated
        "64:ff9b::7f00:1",  # NAT64
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",  # NAT64 for local use
        "100::1",
        "2001::7f00:1",  # Teredo
        "2001:0:53aa:64c:0:0:80ff:fffe",
        "2001:db8::1",
        "2002:7f00:1::1",  # 6to4 of 127.0.0.1
        "2002:808:808::1",  # 6to4 of a public address
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",  # instance metadata
        "fe80::1",
        "fe80::1%eth0",
        "2606:2800:21f::1%lo",
        "fec0::1",
        "ff02::1",
    ],
)
def test_other_addresses_are_not(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "0",
        "0x0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "2852039166",
        "localhost",
        "LOCALHOST",
        "%6c%6f%63%61%6c%68%6f%73%74",
    ],
)
def test_every_spelling_of_a_private_address_is_refused(host):
    """With the system's own resolver: it reads numbers itself, and localhost from /etc/hosts."""
    with pytest.raises(PredictionError) as caught:
        fetch(f"http://{host}:9001/2018-06-01/runtime/invocation/next", max_seconds=5)
    assert (caught.value.code, caught.value.status) == ("address_not_public", 400)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], ["2606:2800:21f::1", "::1"], ["fe80::1%1"]],
)
def test_a_name_with_any_private_address_is_refused(addresses):
    problem = refusal("http://rebind.example/", resolver=to(*addresses))
    assert problem.code == "address_not_public"
    assert "rebind.example" in problem.message
    assert problem.message.endswith(
        "is not on the public Internet: use a public URL, or send the image's bytes by POST"
    )
    assert addresses[-1].partition("%")[0] not in problem.message  # a stranger learns no inside address


def test_the_address_that_was_checked_is_connected_to(serve, monkeypatch):
    """A public address passes the check; the connection then goes to it and to nothing else."""
    server = serve(ok(b"picture"))
    asked, connected = [], []

    def resolver(host, port):
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]  # what a rebinding name server does

    class Recorded(fetching.HTTPConnection):
        def connect(self):
            connected.append((self.host, self.port))
            self.host, self.port = "127.0.0.1", server.port
            super().connect()

    monkeypatch.setattr(fetching, "HTTPConnection", Recorded)
    assert fetch("http://rebind.example:8080/a?b", resolver=resolver) == b"picture"
    assert asked == ["rebind.example"]
    assert connected == [(PUBLIC, 8080)]
    assert b"Host: rebind.example:8080\r\n" in server.requests[0]


def test_the_next_address_is_tried_when_one_refuses(serve):
    server = serve(ok(b"picture"))
    assert get(server.url, resolver=to("127.0.0.2", "127.0.0.1")) == b"picture"


@pytest.mark.parametrize(
    ("text", "host", "port", "allowed"),
    [
        ("", "a.example", 80, False),
        ("a.example", "a.example", 80, True),
        ("a.example", "a.example", 8080, True),
        ("a.example:8080", "a.example", 8080, True),
        ("a.example:8080", "a.example", 80, False),
        ("a.example", "b.a.example", 80, False),
        ("127.0.0.1:4566, [::1]:4566", "::1", 4566, True),
        ("127.0.0.1:4566, [::1]:4566", "127.0.0.1", 4566, True),
        ("[::1]", "::1", 99, True),
        ("A.Example ,", "a.example", 80, True),
    ],
)
def test_private_hosts_are_let_through_by_name_and_port(text, host, port, allowed):
    assert AllowedHosts.parse(text).allow(host, port) is allowed


@pytest.mark.parametrize("text", ["http://a.example", "a b", "a.example:port", "::1", "a.example:", "u@a.example"])
def test_a_malformed_list_of_private_hosts_is_refused(text):
    with pytest.raises(ValueError, match="ALLOWED_PRIVATE_HOSTS"):
        AllowedHosts.parse(text)


# --- URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "picture.jpg",
        "//images.example/a",
        "ftp://images.example/a",
        "file:///proc/self/environ",
        "gopher://images.example/",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "user:secret@images.example/a",
        "ftp://:secret@images.example/a",
        "://images.example/?X-Amz-Signature=secret",
        "?X-Amz-Signature=secret",
        "http:",
        "http:/",
        "http://",
        "http:///a",
        "http:images.example",
        "http:/images.example/a",
        "http://:80/",
        "http://?a",
        "http://user@images.example/",
        "http://user:secret@images.example/",
        "http://@images.example/",
        "http://images.example:0/",
        "http://images.example:22/",
        "http://images.example:6667/",
        "http://images.example:65536/",
        "http://images.example:99999/",
        "http://images.example:-1/",
        "http://images.example:http/",
        "http://images.example:80:80/",
        "http://images.example\\@127.0.0.1/",
        "http://images.example\t/",
        "http://images.ex\nample/",
        "http://images.example :80/",
        "http://images.example\x00/",
        "http://images.example\x7f/",
        "http:\n//images.example/",
        " ",
        "\u00a0http://images.example/",
        "http://a..b/",
        "http://.images.example/",
        "http://../",
        "http://" + "a" * 64 + ".example/",
        "http://256.1.1.1/",
        "http://xn--a/",
        "http://\u00ad/",
        "http://[::1/",
        "http://::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.a]/",
        "http://images.exa%0dmple/",
        "http://" + "a" * 64 + "\u00e4.example/",
        "http://" + "a." * 150 + "example/",
        "http://\ud800.example/",
        "http://images.example/" + "a" * 8200,
    ],
)
def test_what_is_not_a_plain_web_address_is_refused(url):
    problem = refusal(url, resolver=to(PUBLIC))
    assert (problem.code, problem.status) == ("url_malformed", 400)
    assert "secret" not in problem.message


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("http://images.example:PORT/a/b.jpg?x=1&y=%2F%20", b"/a/b.jpg?x=1&y=%2F%20", b"images.example:PORT"),
        ("HTTP://Images.EXAMPLE:PORT", b"/", b"images.example:PORT"),
        ("http://images.example:PORT?q", b"/?q", b"images.example:PORT"),
        ("http://images.example:PORT/a#fragment", b"/a", b"images.example:PORT"),
        ("http://images.example:PORT/\u00e4.jpg", b"/%C3%A4.jpg", b"images.example:PORT"),
        ("http://b\u00fccher.example:PORT/", b"/", b"xn--bcher-kva.example:PORT"),
        ("http://\u4f8b\u5b50.example:PORT/", b"/", b"xn--fsqu00a.example:PORT"),
        ("http://images.example:PORT/a/../b", b"/b", b"images.example:PORT"),
        # Signatures are over the address as it was written.
        ("http://images.example:PORT/a%2fb%e4%?s=%3d+%2B&t=a%", b"/a%2fb%e4%?s=%3d+%2B&t=a%", b"images.example:PORT"),
        ("http://images.example:PORT/a//b;v=1/(c)'~!$&*,:@=", b"/a//b;v=1/(c)'~!$&*,:@=", b"images.example:PORT"),
        ("http://images.example:PORT/?", b"/?", b"images.example:PORT"),
        ("http://images.example:PORT/?a?b/c|d", b"/?a?b/c|d", b"images.example:PORT"),
        # What cannot be sent is encoded, as browsers encode it.
        (" \t\r\nhttp://images.example:PORT/a b?c d \n", b"/a%20b?c%20d", b"images.example:PORT"),
        ('http://images.example:PORT/\x00\x7f"<>?"<>\x01z', b"/%00%7F%22%3C%3E?%22%3C%3E%01z", b"images.example:PORT"),
        ("http://images.example:PORT/a\r\n.jpg", b"/a.jpg", b"images.example:PORT"),
        ("http://images.example:PORT/\r\nX-Injected: 1", b"/X-Injected:%201", b"images.example:PORT"),
        ("http://images.example:PORT/a\\b?\\", b"/a/b?\\", b"images.example:PORT"),
        ("http://images.example.:PORT/", b"/", b"images.example.:PORT"),
        ("http://\U0001f4a9.example:PORT/", b"/", b"xn--ls8h.example:PORT"),
        ("http://BU\u0308CHER\u3002example:PORT/", b"/", b"xn--bcher-kva.example:PORT"),
    ],
)
def test_the_request_names_the_host_and_the_path(serve, url, target, host):
    server = serve(ok(b"picture"))
    allowed = AllowedHosts.parse("images.example, xn--bcher-kva.example, xn--fsqu00a.example, xn--ls8h.example")
    assert get(url.replace("PORT", str(server.port)), allowed=allowed) == b"picture"
    line, *headers = server.requests[0].split(b"\r\n")
    assert line == b"GET " + target + b" HTTP/1.1"
    assert b"Host: " + host.replace(b"PORT", str(server.port).encode()) in headers
    assert b"Accept-Encoding: identity" in headers
    assert sum(header.lower().startswith(b"host:") for header in headers) == 1


def test_the_request_says_whom_to_ask(serve):
    server = serve(ok(b"picture"))
    get(server.url)
    get(server.url, contact="mailto:lab@pages.example")
    agents = [line for request in server.requests for line in request.split(b"\r\n") if line.startswith(b"User-Agent")]
    assert agents == [
        b"User-Agent: ServerlessPredictions/1.0 (+" + fetching.CONTACT_URL.encode() + b")",
        b"User-Agent: ServerlessPredictions/1.0 (+mailto:lab@pages.example)",
    ]


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "LOCALHOST.", "\uff11\uff12\uff17.1", "\u2460.example"])
def test_odd_names_get_the_contracts_own_code(host):
    with pytest.raises(PredictionError) as caught:
        fetch(f"http://{host}/", max_seconds=5)
    assert caught.value.code == ("host_not_found" if "example" in host else "address_not_public")


def test_a_long_presigned_query_arrives_whole(serve):
    query = "X-Amz-Security-Token=" + "Aa%2F%2B1" * 300 + "&X-Amz-Signature=" + "0f" * 32
    server = serve(ok(b"picture"))
    get(f"{server.url}?{query}")
    assert query.encode() in server.requests[0]


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["[::1]", "six.example"])
def test_a_host_is_reached_by_ipv6(host):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(ok(b"picture"))

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://{host}:{port}/"
        assert get(url, allowed=AllowedHosts.parse(host), resolver=to("::1")) == b"picture"


def test_ipv6_hosts_keep_their_brackets_in_the_host_header(serve):
    server = serve(ok(b"picture"))
    url = f"http://[2606:2800:21f::1]:{server.port}/"
    assert get(url, allowed=AllowedHosts.parse("[2606:2800:21f::1]")) == b"picture"
    assert f"Host: [2606:2800:21f::1]:{server.port}\r\n".encode() in server.requests[0]


def test_a_name_without_an_address(serve):
    def resolver(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for none in (resolver, to()):
        problem = refusal("http://nowhere.example/", resolver=none)
        assert problem.code == "host_not_found"
        assert problem.message == "'nowhere.example' has no IP address: check the URL's spelling"


def test_a_name_server_that_never_answers():
    begun = time.monotonic()
    hanging = threading.Event()
    problem = refusal("http://slow.example/", resolver=lambda *_: [PUBLIC][hanging.wait(20) :], max_seconds=0.3)
    hanging.set()
    assert (problem.code, problem.status) == ("fetch_timeout", 504)
    assert time.monotonic() - begun < 3


# --- redirects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_redirects_are_followed(serve, status):
    server = serve(redirect("/elsewhere/../picture.png?size=1", status), ok(b"picture"))
    assert get(server.url) == b"picture"
    assert server.requests[1].startswith(b"GET /picture.png?size=1 ")


def test_twenty_redirects_and_no_more(serve):
    server = serve(*[redirect("/again")] * 20, ok(b"picture"))
    assert get(server.url) == b"picture"
    server = serve(*[redirect("/again")] * 21, ok(b"picture"))
    problem = refusal(server.url)
    assert (problem.code, problem.status) == ("too_many_redirects", 502)
    assert len(server.requests) == 21


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("b.jpg", b"/folder/b.jpg"),
        ("?size=1", b"/folder/picture.jpg?size=1"),
        ("../b.jpg#there", b"/b.jpg"),
        ("#there", b"/folder/picture.jpg?size=2"),
        ("/a b.jpg?c d", b"/a%20b.jpg?c%20d"),
        ("/%2f%e4?%3d", b"/%2f%e4?%3d"),
        ("/\xe4.jpg", b"/%E4.jpg"),  # one byte, as Latin-1 has it
        ("/\xc3\xa4.jpg", b"/%C3%A4.jpg"),  # two, as UTF-8 has it
        ("  /b.jpg\t ", b"/b.jpg"),
        ("//images.example:PORT/b", b"/b"),
        ("HTTP://Images.Example:PORT/b", b"/b"),
        ("http:/b", b"/b"),
        ("http:b", b"/folder/b"),
        ("\\b\\c", b"/b/c"),
        ("http:\\\\images.example:PORT\\b", b"/b"),
        ("http://b\xc3\xbccher.example:PORT/b", b"/b"),
    ],
)
def test_a_location_is_read_as_browsers_read_it(serve, location, path):
    server = serve(lambda connection: connection.sendall(redirect(location.replace("PORT", port))), ok(b"picture"))
    port = str(server.port)
    url = f"http://{HOST}:{port}/folder/picture.jpg?size=2"
    assert get(url, allowed=AllowedHosts.parse(f"{HOST}, xn--bcher-kva.example")) == b"picture"
    assert server.requests[1].startswith(b"GET " + path + b" HTTP/1.1\r\n")


def cookies(request: bytes) -> bytes:
    """The Cookie header of a request, empty without one."""
    return b"".join(line for line in request.split(b"\r\n") if line.lower().startswith(b"cookie:"))


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (["Set-Cookie: seen=1"], b"Cookie: seen=1"),
        (["set-cookie:  seen = 1 ; Path=/; HttpOnly; SameSite=Lax; Domain=example"], b"Cookie: seen=1"),
        (["Set-Cookie: a=1", "Set-Cookie: b=", "Set-Cookie: a=2; Max-Age=60"], b"Cookie: a=2; b="),
        (["Set-Cookie: a=1; Expires=Wed, 21-Oct-2099 07:28:00 GMT"], b"Cookie: a=1"),
        (["Set-Cookie: a=1; expires=soon; max-age=soon"], b"Cookie: a=1"),
        (['Set-Cookie: a="b\xe4 c"; x'], b'Cookie: a="b\xe4 c"'),
        (["Set-Cookie: a=1", "Set-Cookie: a=; Max-Age=0"], b""),
        (["Set-Cookie: a=1", "Set-Cookie: a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], b""),
        (["Set-Cookie: a=1; Secure"], b""),  # the next request is not under TLS
        (["Set-Cookie: nothing", "Set-Cookie:", "Set-Cookie: a=\x01"], b""),
        (["Set-Cookie: a=" + "b" * 5000], b""),
        ([f"Set-Cookie: c{count}=1" for count in range(90)], b"Cookie: " + b"; ".join(b"c%d=1" % n for n in range(20))),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_redirect_gets_back_the_cookies_that_it_set(serve, lines, sent):
    server = serve(redirect("/again", 302, *lines), redirect("/again"), ok(b"picture"))
    assert get(server.url) == b"picture"
    assert [cookies(request) for request in server.requests] == [b"", sent, sent]


def test_a_cookie_goes_to_the_host_that_set_it_and_is_forgotten_with_the_fetch(serve):
    server = serve(
        lambda connection: connection.sendall(redirect(f"http://b.{HOST}:{server.port}/", 302, "Set-Cookie: a=1")),
        lambda connection: connection.sendall(redirect(f"http://{HOST}:{server.port}/", 302, "Set-Cookie: b=2")),
        ok(b"picture"),
    )
    options = {"allowed": AllowedHosts.parse(f"{HOST}, b.{HOST}")}
    assert get(server.url, **options) == b"picture" and get(server.url, **options) == b"picture"
    assert [cookies(request) for request in server.requests] == [b"", b"", b"Cookie: a=1", b""]


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://127.0.0.1:9001/", "address_not_public"),
        ("http://169.254.169.254/latest/meta-data/", "address_not_public"),
        ("//[::1]/", "address_not_public"),
        ("http://2130706433/", "address_not_public"),
        ("file:///etc/passwd", "host_answer"),
        ("ftp://images.example/", "host_answer"),
        ("http://user:pw@images.example/", "host_answer"),
        ("http://images.example:25/", "host_answer"),
        ("http://[/", "host_answer"),
        ("", "host_answer"),
    ],
)
def test_each_redirect_is_checked_like_the_first_address(serve, location, code):
    server = serve(redirect(location), ok(b"picture"))

    def resolver(host, port):  # numbers are what the system's resolver makes of them; names are the server's
        return ["127.0.0.1"] if host == HOST else fetching.system_resolver(host, port)

    assert refusal(server.url, resolver=resolver).code == code
    assert len(server.requests) == 1


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "::1"], ["64:ff9b::a9fe:a9fe"], ["2002:7f00:1::1"]])
def test_a_redirect_to_a_name_of_a_private_address_is_refused(serve, addresses):
    server = serve(redirect("http://inside.example/"), ok(b"picture"))
    problem = refusal(server.url, resolver=lambda host, port: ["127.0.0.1"] if host == HOST else addresses)
    assert problem.code == "address_not_public"
    assert len(server.requests) == 1


def test_a_redirect_back_to_a_name_that_now_answers_differently_is_refused(serve):
    server, asked = serve(redirect(f"http://{HOST}/again"), ok(b"picture")), []

    def resolver(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    # Private on the port that is allowed, and not on the other.
    allowed = AllowedHosts.parse(f"{HOST}:{server.port}")
    assert refusal(server.url, allowed=allowed, resolver=resolver).code == "address_not_public"
    assert asked == [HOST, HOST]


def test_a_redirect_without_a_location(serve):
    assert refusal(serve(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").url).code == "host_answer"


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [199, 204, 205, 206, 300, 304, 305, 400, 401, 403, 404, 410, 429, 500, 503, 999])
def test_a_status_without_an_image_is_the_hosts_error(serve, status):
    problem = refusal(serve(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()).url)
    assert (problem.code, problem.status) == ("host_answer", 502)
    assert re.search("check the URL|open the URL|the image's own URL|send the image's bytes by POST", problem.message)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (404, "check the URL's spelling, and that the image is still there"),
        (403, "it does not give the image to this endpoint; send the image's bytes by POST"),
        (503, "try again later, or send the image's bytes by POST"),
        (204, "open the URL in a browser, or send the image's bytes by POST"),
    ],
)
def test_a_status_comes_with_its_remedy(serve, status, remedy):
    problem = refusal(serve(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()).url)
    assert problem.message == f"'{HOST}' answered {status} instead of 200 with an image: {remedy}"


def test_a_header_may_stand_twice(serve):
    body = gzip.compress(gzip.compress(b"picture"))
    twice = f"Content-Length: {len(body)}\r\nContent-Encoding: gzip\r\n".encode() * 2
    assert get(serve(b"HTTP/1.1 200 OK\r\n" + twice + b"\r\n" + body).url) == b"picture"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n",
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/3\r\nContent-Length: 2\r\n\r\nbc",
        b"HTTP/1.1 " + b"2" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br, identity\r\nContent-Length: 3\r\n\r\nabc",
    ],
    ids=lambda answer: repr(answer[:40]),
)
def test_answers_that_are_not_http_or_not_whole(serve, answer):
    problem = refusal(serve(answer).url)
    assert (problem.code, problem.status) == ("host_answer", 502)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdefgh", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            b"abc",
        ),
        (b"HTTP/1.1 203 Non-Authoritative Information\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 201 Created\r\nLocation: /a\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-2/3\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"Content-Length: 3\r\n\r\nabcdef", b"abc"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\nContent-Length: 3\r\n\r\nabcdef", b"abc"),
        (b"HTTP/1.1 200 OK\nno colon\nContent-Length : 3\nX: a\n b\n\nabcdef", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\nX: " + bytes(range(128, 256)) + b"\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    ],
)
def test_the_forms_of_a_body(serve, answer, body):
    assert get(serve(answer).url) == body


def test_a_body_as_large_as_the_cap_is_taken_and_one_byte_more_is_not(serve):
    assert len(get(serve(ok(bytes(1000))).url, max_bytes=1000)) == 1000
    assert refusal(serve(ok(bytes(1001))).url, max_bytes=1000).code == "image_too_large"


def test_a_declared_length_over_the_cap_is_refused_unread(serve):
    begun = time.monotonic()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"
    problem = refusal(serve(lambda connection: (connection.sendall(answer), time.sleep(2))).url)
    assert (problem.code, problem.status) == ("image_too_large", 413)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_an_endless_body_is_cut_at_the_cap(serve, head):
    sent = []

    def endless(connection):
        connection.sendall(head)
        piece = bytes(65536)
        if b"chunked" in head:
            piece = b"10000\r\n" + piece + b"\r\n"
        while True:
            connection.sendall(piece)
            sent.append(len(piece))

    assert refusal(serve(endless).url, max_bytes=1_000_000).code == "image_too_large"
    assert sum(sent) < 20_000_000  # what the sockets' buffers swallow


def drip(data: bytes) -> Callable[[socket.socket], None]:
    """Send `data`, then a byte now and then for ever: no single wait is long."""

    def answer(connection):
        connection.sendall(data)
        while True:
            connection.sendall(b"a")
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 ",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
@pytest.mark.slow
def test_a_slow_host_meets_the_total_time_limit(serve, data):
    begun = time.monotonic()
    problem = refusal(serve(drip(data)).url, max_seconds=0.6)
    assert (problem.code, problem.status) == ("fetch_timeout", 504)
    assert time.monotonic() - begun < 3


@pytest.mark.slow
def test_a_silent_host_meets_the_total_time_limit(serve):
    assert refusal(serve(lambda connection: time.sleep(3)).url, max_seconds=0.4).code == "fetch_timeout"


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: x\r\n"),
    ],
    ids=["interim answers", "trailers"],
)
@pytest.mark.slow
def test_endless_lines_meet_the_total_time_limit(serve, head, again):
    def answer(connection):
        connection.sendall(head)
        while True:
            connection.sendall(again)

    problem = refusal(serve(answer).url, max_seconds=0.5)
    # Python 3.14.8's http.client reads 100 trailers and no more.
    assert problem.code == "fetch_timeout" or (problem.code == "host_answer" and b"Trailer" in again)


@pytest.mark.slow
def test_slow_redirects_share_one_time_limit(serve):
    def slowly(connection):
        time.sleep(0.3)
        connection.sendall(redirect("/again"))

    begun = time.monotonic()
    assert refusal(serve(slowly).url, max_seconds=0.7, max_redirects=100).code == "fetch_timeout"
    assert time.monotonic() - begun < 3


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    problem = refusal(f"http://{HOST}:{port}/")
    assert (problem.code, problem.status) == ("host_unreachable", 502)
    assert problem.message == (
        f"'{HOST}' takes no connection on port {port}: check the URL, or send the image's bytes by POST"
    )


# --- content codings ------------------------------------------------------------------------------

PICTURE = b"\xff\xd8\xff\xe0picture" + bytes(range(256)) * 40
GZIPPED = gzip.compress(PICTURE, mtime=0)
BROTLI = bytes.fromhex("1b0600f82500a2906004")  # of `picture`
ZSTANDARD = bytes.fromhex("28b52ffd200739000070696374757265")


def without_frame(data: bytes) -> bytes:
    """Deflate alone, as some hosts send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "sent", "picture"),
    [
        ("gzip", GZIPPED, PICTURE),
        ("GZIP", GZIPPED, PICTURE),
        ("x-gzip", GZIPPED, PICTURE),
        ("gzip", gzip.compress(PICTURE[:99], mtime=0) + gzip.compress(PICTURE[99:], mtime=0), PICTURE),
        ("gzip", GZIPPED + b"and more", PICTURE),
        ("gzip", GZIPPED[:-8] + bytes(8), PICTURE),  # browsers check no sum
        ("gzip", GZIPPED[:-4], PICTURE),
        ("deflate", zlib.compress(PICTURE), PICTURE),
        ("deflate", zlib.compress(PICTURE)[:-4] + bytes(4), PICTURE),
        ("deflate", without_frame(PICTURE), PICTURE),
        ("br", BROTLI, b"picture"),
        ("br", BROTLI + b"and more", b"picture"),
        ("zstd", ZSTANDARD, b"picture"),
        ("zstd", ZSTANDARD + ZSTANDARD, b"picturepicture"),
        ("zstd", ZSTANDARD + b"and more", b"picture"),
        ("gzip, gzip", gzip.compress(GZIPPED, mtime=0), PICTURE),
        ("deflate,gzip", gzip.compress(zlib.compress(PICTURE), mtime=0), PICTURE),
        ("br, gzip", gzip.compress(BROTLI, mtime=0), b"picture"),
        ("gzip\r\nContent-Encoding: deflate", zlib.compress(GZIPPED), PICTURE),
        ("identity, gzip,", GZIPPED, PICTURE),
        ("", PICTURE, PICTURE),
        ("identity", PICTURE, PICTURE),
        ("gzip", b"", b""),
        *((name, PICTURE, PICTURE) for name in ("base64", "UTF-8", "aws-chunked", "none", "binary", "compress")),
        ("aws-chunked,gzip", GZIPPED, PICTURE),
        ("gzip,aws-chunked", GZIPPED, PICTURE),
        ("gzip, aws-chunked", PICTURE, PICTURE),
        ("none, deflate", PICTURE, PICTURE),
        ("none", GZIPPED, GZIPPED),
        ("gzip;q=1", PICTURE, PICTURE),
        ("\xe4, \x01", PICTURE, PICTURE),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_content_coding_is_undone_and_what_is_none_ignored(serve, coding, sent, picture):
    assert get(serve(ok(sent, f"Content-Encoding: {coding}")).url) == picture


def test_of_a_coded_body_that_was_cut_short_what_came_is_taken(serve):
    for coding, sent in (("gzip", GZIPPED), ("deflate", zlib.compress(PICTURE)), ("deflate", without_frame(PICTURE))):
        got = get(serve(ok(sent[: len(sent) * 3 // 4], f"Content-Encoding: {coding}")).url)
        assert PICTURE.startswith(got) and len(got) > 100


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "br, gzip", ", ".join(["gzip"] * 9)])
def test_what_is_not_in_its_coding_is_the_hosts_error(serve, coding):
    """As browsers show it: not at all."""
    for sent in (PICTURE, b"\x1f\x8b\x08", GZIPPED[:10] + b"\xff" * 400):
        problem = refusal(serve(ok(sent, f"Content-Encoding: {coding}")).url)
        assert (problem.code, problem.status) == ("host_answer", 502)
        assert "Content-Encoding" in problem.message


BOMBS = {
    "gzip": hostile.GZIP_BOMB,
    "deflate": hostile.ZLIB_BOMB,
    "raw deflate": hostile.DEFLATE_BOMB,
    "br": hostile.BROTLI_BOMB,
    "zstd": hostile.ZSTANDARD_BOMB,
    "gzip, gzip": gzip.compress(hostile.GZIP_BOMB),
    "identity, gzip": hostile.GZIP_BOMB * 2,
}


@pytest.mark.parametrize("coding", BOMBS)
def test_a_bomb_is_refused_before_it_is_inflated_whole(serve, coding):
    header = f"Content-Encoding: {coding.removeprefix('raw ')}"
    url = serve(ok(BOMBS[coding], header)).url
    tracemalloc.start()
    try:
        problem = refusal(url, max_bytes=1_000_000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (problem.code, problem.status) == ("image_too_large", 413)
    assert most < 5_000_000


def test_the_cap_is_that_of_the_decoded_bytes(serve):
    url = serve(ok(gzip.compress(bytes(1000), mtime=0), "Content-Encoding: gzip")).url
    assert get(url, max_bytes=1000) == bytes(1000)
    assert refusal(url, max_bytes=999).code == "image_too_large"


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_tls_asks_for_the_hosts_name_and_not_for_the_address(serve, authority, trusting):
    context, asked = certified(authority, HOST), []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    server = serve(ok(b"picture"), context=context)
    assert get(server.url, ssl_context=trusting) == b"picture"
    assert asked == [HOST]
    assert f"Host: {HOST}:{server.port}\r\n".encode() in server.requests[0]


def test_tls_asks_for_an_international_name_in_its_ascii_form(serve, authority, trusting):
    name = "b\u00fccher.example"
    server = serve(ok(b"picture"), context=certified(authority, name))
    allowed = AllowedHosts.parse("xn--bcher-kva.example")
    assert get(f"https://{name}:{server.port}/", ssl_context=trusting, allowed=allowed) == b"picture"


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1", "*.images.example"])
def test_a_certificate_for_another_name_is_refused(serve, authority, trusting, name):
    server = serve(ok(b"picture"), context=certified(authority, name))
    problem = refusal(server.url, ssl_context=trusting)
    assert (problem.code, problem.status) == ("host_certificate", 502)
    assert not server.requests


def test_a_certificate_of_an_unknown_authority_is_refused(serve, authority):
    assert refusal(serve(ok(b"picture"), context=certified(authority, HOST)).url).code == "host_certificate"


def test_plain_http_where_tls_was_asked_for():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert refusal(f"https://{HOST}:{port}/").code == "host_certificate"


@pytest.mark.slow
def test_a_slow_tls_body_meets_the_total_time_limit(serve, authority, trusting):
    server = serve(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"), context=certified(authority, HOST))
    begun = time.monotonic()
    assert refusal(server.url, ssl_context=trusting, max_seconds=0.8).code == "fetch_timeout"
    assert time.monotonic() - begun < 4


@pytest.mark.slow
def test_a_host_that_never_shakes_hands(serve):
    begun = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problem = refusal(f"https://{HOST}:{silent.getsockname()[1]}/", max_seconds=0.5)
    assert problem.code == "fetch_timeout"
    assert time.monotonic() - begun < 3


def test_many_fetches_leave_no_thread_behind(serve):
    server = serve(ok(b"picture"))
    get(server.url)
    before = threading.active_count()
    for _ in range(20):
        get(server.url)
    deadline = time.monotonic() + 3
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
