"""Requests as strangers make them: hypothesis strategies for events, addresses, and what the addresses' host sends."""

import base64
import gzip
import ipaddress
import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.fuzz import mutation
from tests.fuzz.worker import HOST, HOST_ADDRESS, NAMES, PORT, SECRET

JPEG = mutation.saved(mutation.picture(16, 16), "JPEG")
_SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


class Case(NamedTuple):
    """An event, the seconds that Lambda leaves it, and what the host of its address sends, by path."""

    event: Any
    seconds: float
    answers: dict[str, bytes]


def often(usual: st.SearchStrategy, odd: st.SearchStrategy, times: int = 4) -> st.SearchStrategy:
    """Mostly the usual one."""
    return st.sampled_from([usual] * times + [odd]).flatmap(lambda chosen: chosen)


def one_in(count: int) -> st.SearchStrategy[bool]:
    """True once in so many times; hypothesis's integers come at their bounds more often than that."""
    return st.sampled_from([False] * (count - 1) + [True])


# --- addresses -------------------------------------------------------------------------------------

_SPECIAL_4 = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "169.254.170.2", "192.168.0.1", "172.16.0.9", "0.0.0.0",
              "100.64.0.1", "224.0.0.1", "255.255.255.255", "93.184.215.14", "8.8.8.8", HOST_ADDRESS]  # fmt: skip
_SPECIAL_6 = ["::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
              "2001:0:53aa:64c::80ff:fffe", "fe80::1", "fe80::1%25eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
              "2606:2800:21f:cb07::1", "100::1", "fec0::1", "::ffff:0:7f00:1"]  # fmt: skip
_number = {"d": "{:d}", "o": "0{:o}", "x": "0x{:x}", "X": "0X{:08X}"}


@st.composite
def _ipv4(draw: st.DrawFn) -> str:
    """An IPv4 address in one of the forms that inet_aton(3) takes."""
    address = draw(st.sampled_from(_SPECIAL_4) | st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n))))
    octets = list(ipaddress.IPv4Address(address).packed)
    kept = draw(st.integers(0, 3))
    last = int.from_bytes(octets[kept:], "big")
    return ".".join(_number[draw(st.sampled_from("dddoxX"))].format(value) for value in [*octets[:kept], last])


_ipv6 = st.sampled_from(_SPECIAL_6) | st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))
_host = st.one_of(
    st.sampled_from([HOST, HOST, HOST, HOST.upper(), HOST + ".", "missing.test", *NAMES]),
    _ipv4(),
    st.one_of(_ipv6, _ipv4().map("::ffff:{}".format)).map("[{}]".format),
    st.text(max_size=12),
    st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=12).map("{}.test".format),
)
_port = st.sampled_from(["", "", f":{PORT}", ":80", ":443", ":8080"]) | st.one_of(
    st.sampled_from([":", ":0", ":22", ":9001", ":65536", ":-1", ":x", ":0x50", ":\u0668\u0660"]),
    st.integers(-1, 2**20).map(":{}".format),
)
# Behind a backslash begins the path: what stands before it is the host, which may be logged.
_user = st.sampled_from(["", "", "", "", f"user:{SECRET}@", "@", f"{SECRET}@", "a\\@", f"a\\{SECRET}@"])
_scheme = often(st.sampled_from(["http://", "https://"]),
                st.sampled_from(["HTTP://", "ftp://", "file://", "data:", "http:", "http:/", "http:///", "//", ""])
                | st.text(max_size=6).map("{}://".format), 8)  # fmt: skip
_tail = st.one_of(
    st.just("/a.jpg"), st.just(f"/a.jpg?X-Amz-Signature={SECRET}&x=%2F"), st.just(f"?{SECRET}"), st.just(f"#{SECRET}"),
    st.just("/../../etc/passwd"), st.text(max_size=12).map("/{}".format),
    st.integers(0, 9000).map(lambda length: f"/?{SECRET}" + "a" * length),
)  # fmt: skip
_strange = st.tuples(_scheme, _user, _host, _port, _tail).map("".join)
_served = st.sampled_from(["/a.jpg", "/a.jpg", "/b.jpg", f"/a.jpg?X-Amz-Signature={SECRET}", "/missing"]).map(
    f"http://{HOST}:{PORT}{{}}".format
)
_long = st.integers(1, 130).map(lambda labels: "http://" + "a." * labels + "test/")
urls = st.sampled_from(
    [_served] * 5 + [_strange] * 4 + [st.just(f"https://{HOST}:{PORT}/a.jpg"), _long, st.text(max_size=40)]
).flatmap(lambda kind: kind)


# --- what the address's host sends -----------------------------------------------------------------

_bodies = st.one_of(
    st.sampled_from([JPEG, JPEG[:500], mutation.saved(mutation.picture(16, 16), "PNG"), gzip.compress(JPEG)]),
    st.sampled_from([_SVG, b"%PDF-1.7", b""]) | st.binary(max_size=60),
)
_locations = st.one_of(
    urls, st.sampled_from(["/a.jpg", "", "//inside.test/", "http://[", f"http://{HOST}:{PORT}/b.jpg"])
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An HTTP answer, more or less."""
    body = draw(_bodies)
    odd = ["404 N", "206 P", "304 N", "100 C", "500 E", "999 X", "abc", "-1", ""]
    status = draw(st.sampled_from(["200 OK"] * 12 + ["301 M", "302 F", "303 S", "307 T", "308 P"] + odd))
    headers = [f"X-Own: {draw(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=8))}"]
    if status[:2] == "30":
        headers.append(f"Location: {draw(_locations)}")
    framing = draw(st.sampled_from(["length", "length", "chunks", "none", "odd length", "odd chunks", "both"]))
    if framing in ("length", "both"):
        headers.append(f"Content-Length: {len(body)}")
    if framing == "odd length":
        headers.append(
            f"Content-Length: {draw(st.sampled_from(['-1', '1', '99', '1e9', '9' * 30, '0x10', '', '5, 5', '5, 6']))}"
        )
    if framing in ("chunks", "odd chunks", "both"):
        headers.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, 2000))
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        body = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
        if framing == "odd chunks":
            body = draw(
                st.sampled_from([body[:-7], b"zz\r\n" + body, b"-5\r\n" + body, b"f" * 40 + b"\r\n" + body, b"\r\n"])
            )
    if draw(one_in(10)):
        headers.append(f"Content-Encoding: {draw(st.sampled_from(['gzip', 'br', 'identity', 'gzip, gzip', 'x']))}")
    head = "\r\n".join([f"HTTP/1.{draw(st.sampled_from('111109'))} {status}", *headers, "", ""])
    return head.encode("utf-8", "replace") + body


# --- events ----------------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_values = st.recursive(
    _scalars | st.sampled_from(["5", "image/png", f"http://{HOST}:{PORT}/a.jpg"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_tops = often(
    st.integers(1, 20).map(str),
    st.sampled_from(["0", "21", "-1", "+5", " 5", "5.0", "", "\u0665", "1_0", "9" * 5000]) | st.text(max_size=3),
)
_media_types = often(
    st.sampled_from(["image/jpeg", "image/*", "IMAGE/PNG; q=1", "application/octet-stream"]),
    st.sampled_from(["application/json", "text/html", "multipart/form-data; boundary=x", ""]) | st.text(max_size=12),
)
_bytes_sent = often(st.sampled_from([JPEG, JPEG[:500], _SVG, b""]), st.binary(max_size=200))


def event(method: str, headers: dict[str, str], query: dict[str, list[str]], body: str | None, encoded: bool) -> dict:
    """A well-formed event of API Gateway's REST proxy integration."""
    return {
        "resource": "/predict",
        "path": "/predict",
        "httpMethod": method,
        "headers": {"Host": "api.test", "Cookie": SECRET, "Authorization": SECRET} | headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items() if values} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {"stage": "Prod", "requestId": "fuzzed", "identity": {}},
        "body": body,
        "isBase64Encoded": encoded,
    }


@st.composite
def _by_query(draw: st.DrawFn) -> dict:
    query = {"url": [draw(urls)]}
    if draw(st.booleans()):
        query["top"] = [draw(_tops)]
    change = draw(st.sampled_from(range(16)))
    if change == 0:
        query[draw(st.text(max_size=6) | st.sampled_from(["X-Amz-Date", "URL", "Top"]))] = [SECRET]
    elif change == 1:
        query["url"] *= draw(st.sampled_from([0, 2, 3]))
    elif change == 2:
        del query["url"]
    return event("GET", {}, query, None, False)


@st.composite
def _by_json(draw: st.DrawFn) -> dict:
    request: Any = {"url": draw(often(urls, _values))}
    if draw(one_in(4)):
        request = {
            "urls": draw(often(st.lists(urls, min_size=1, max_size=4), st.lists(_values, max_size=18) | _values))
        }
    if draw(st.booleans()):
        request["top"] = draw(often(st.integers(1, 20), _values))
    if draw(one_in(10)):
        request = draw(_values | st.just(request | {"more": SECRET}))
    text = json.dumps(request, ensure_ascii=draw(st.booleans()))
    if draw(one_in(20)):
        text = text[:-1] + ', "url": 5}'
    if draw(one_in(10)):
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place]
            + draw(st.sampled_from(["", "{", '"', "\\", "\ud800", "[" * 5000, " " * 20000]))
            + text[place + 1 :]
        )
    encoded = draw(one_in(4))
    body = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode() if encoded else text
    return event(
        "POST", {"Content-Type": "application/json"}, draw(st.sampled_from([{}, {}, {"top": ["1"]}])), body, encoded
    )


@st.composite
def _by_bytes(draw: st.DrawFn) -> dict:
    query = {"top": [draw(_tops)]} if draw(st.booleans()) else {}
    body = base64.b64encode(draw(_bytes_sent)).decode()
    if draw(one_in(10)):
        body = draw(st.text(max_size=30) | st.just(body[:-3]))
    encoded = draw(often(st.just(True), st.just(False)))
    return event("POST", {"content-type": draw(_media_types)}, query, body, encoded)


_names = st.sampled_from(["url", "top", "Content-Type", "content-type", "requestTimeEpoch", "stage", "path"]) | st.text(
    max_size=5
)
_members = st.fixed_dictionaries(
    {},
    optional={
        "httpMethod": st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "get"]) | _values,
        "path": st.sampled_from(["/predict", "/predict/", "/", "/predict/x", "//predict", "/%70redict"]) | _values,
        "headers": st.dictionaries(_names, _values, max_size=3) | _values,
        "multiValueQueryStringParameters": st.dictionaries(_names, _values | st.lists(_values, max_size=2)) | _values,
        "queryStringParameters": st.dictionaries(_names, _values, max_size=3) | _values,
        "requestContext": st.dictionaries(_names, _values, max_size=3) | _values,
        "body": _values,
        "isBase64Encoded": _values,
    },
)  # fmt: skip
_whole = st.one_of(_by_query(), _by_query(), _by_query(), _by_json(), _by_bytes())
_odd = st.one_of(st.tuples(st.just({}) | _whole, _members).map(lambda both: both[0] | both[1]), _values)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A request and its surroundings."""
    request = draw(often(_whole, _odd))
    sent = st.fixed_dictionaries({"/a.jpg": answers(), "/b.jpg": answers()})
    reaches_host = HOST in repr(request).lower() or (isinstance(request, dict) and request.get("isBase64Encoded"))
    return Case(request, draw(st.sampled_from([29.0] * 30 + [0.0, 1.4, 1.6])), draw(sent) if reaches_host else {})


def with_port(value: Any, port: int) -> Any:
    """`value` with PORT replaced in every text of it."""
    if isinstance(value, str):
        return value.replace(PORT, str(port))
    if isinstance(value, bytes):
        return value.replace(PORT.encode(), str(port).encode())
    if isinstance(value, list):
        return [with_port(each, port) for each in value]
    if isinstance(value, dict):
        return {with_port(name, port): with_port(each, port) for name, each in value.items()}
    return value
