"""The body of a POST: an image's bytes, a form with a file, or JSON with URLs or with an image in base64."""

import binascii
import io
import json
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes

import pybase64

from .errors import failure, shown
from .limits import BODY_BYTES, TOP_DEFAULT, TOP_MAX, URLS_MAX
from .request import Request

# Besides image/*: the names that clients give to bytes, or to nothing in particular.
_BYTES = {
    "",
    "application/octet-stream",
    "application/x-octet-stream",
    "application/binary",
    "application/x-image",
    "binary/octet-stream",
}
_FORM = "application/x-www-form-urlencoded"  # curl's, whatever it sends
_FORM_PARTS, _FIELD_BYTES = 32, 20_000  # a form's fields, and the bytes of one that is no file
_HINT = "curl -H 'Content-Type: image/jpeg' --data-binary @image.jpg <URL>"
# Where the clients of TorchServe, KServe, TensorFlow Serving and Vertex AI put an image in base64.
_IMAGE_MEMBERS = ("image", "data", "b64", "image_bytes", "bytes")


class Asked(NamedTuple):
    """What a request asks for: the `top` classes of the image at `url`, of the one in `data`, or of each at `urls`."""

    top: int
    url: str | None = None
    data: bytes | None = None
    urls: tuple[str, ...] = ()


def parse_top(text: str | None) -> int:
    """The query's or a form's `top`. Raises PredictionError 400 unless it is a whole number from 1 to 20."""
    if text is None:
        return TOP_DEFAULT
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= TOP_MAX:
        raise failure("parameter_malformed", f"top is {shown(text)}: expected a whole number from 1 to {TOP_MAX}")
    return int(text)


def read(request: Request) -> Asked:
    """What a POST asks for. Raises PredictionError: 400, 413 or 415, with what was expected."""
    media_type = request.media_type
    is_json = media_type == "application/json" or media_type.endswith(("/json", "+json"))
    is_form = media_type == "multipart/form-data"
    if not (is_json or is_form or media_type.startswith("image/") or media_type in _BYTES or media_type == _FORM):
        raise failure(
            "media_type_not_supported",
            f"Content-Type {shown(media_type)} is not supported: send an image's bytes as image/* or "
            'application/octet-stream, a form with a file as multipart/form-data, or {"url": "…"} as application/json',
        )
    if is_json:
        request.parameters(set())
        return _of_json(request.body(BODY_BYTES))
    top = parse_top(request.parameters({"top"}).get("top"))
    data = request.body(BODY_BYTES)
    # API Gateway makes text of what it does not know to be binary; each byte that is no UTF-8 is then lost.
    if not request.is_base64 and "\ufffd" in request.text:
        named = f"as {shown(media_type)}" if media_type else "without a Content-Type"
        message = f"bytes that come {named} arrive as damaged text: send them by {_HINT}"
        raise failure("media_type_not_supported", message)
    if is_form:
        return _of_form(data, request.headers["content-type"], top)
    if media_type == _FORM and re.match(rb"(url|top)=", data):
        fields = parse_qs(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FORM_PARTS)
        return _of_fields(fields, top)
    if media_type in _BYTES | {_FORM} and data.lstrip()[:1] == b"{":
        return _of_json(data)
    return Asked(top, data=data)


def _of_json(data: bytes) -> Asked:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise failure("parameter_repeated", "a member of the JSON body is given more than once: give it once")
        return members

    try:
        asked = json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise failure("request_malformed", 'the body is not JSON: expected {"url": "…", "top": 5}') from None
    if not isinstance(asked, dict):
        raise failure("request_malformed", 'the JSON body is not an object: expected {"url": "…", "top": 5}')
    for batch in ("instances", "inputs"):
        if batch in asked:
            return _of_batch(asked, batch)
    image = [name for name in _IMAGE_MEMBERS if name in asked]
    unknown = sorted(asked.keys() - {"url", "urls", "top", *image[:1]})
    if unknown:
        raise failure(
            "parameter_unknown", f"the member {shown(unknown[0])} is unknown (allowed: image, top, url, urls)"
        )
    top = _json_top(asked.get("top", TOP_DEFAULT))
    given = [name for name in ("url", "urls", *image) if name in asked]
    if len(given) > 1:
        raise failure("parameter_repeated", f"both {given[0]} and {given[1]} are given: expected one of them")
    if image:
        return Asked(top, data=_in_base64(asked[image[0]], image[0]))
    if "urls" in asked:
        return Asked(top, urls=_json_urls(asked["urls"]))
    if "url" not in asked:
        raise failure("parameter_missing", 'the member url is missing: expected {"url": "…", "top": 5}')
    url = asked["url"]
    if not isinstance(url, str) or not url:
        raise failure("parameter_malformed", "url is empty or not a string: expected the URL of an image")
    return Asked(top, data=in_data_url(url)) if is_data_url(url) else Asked(top, url=url)


def _json_urls(urls: Any) -> tuple[str, ...]:
    if not isinstance(urls, list) or not 1 <= len(urls) <= URLS_MAX:
        came = f"has {len(urls)} entries" if isinstance(urls, list) else "is no list"
        raise failure("parameter_malformed", f"urls {came}: expected 1 to {URLS_MAX} URLs")
    for place, url in enumerate(urls):
        if not isinstance(url, str) or not url:
            raise failure("parameter_malformed", f"urls[{place}] is empty or not a string: expected a URL")
    return tuple(urls)


def _of_batch(asked: dict[str, Any], name: str) -> Asked:
    """One instance of a batch, in the form of TensorFlow Serving and KServe. Others than one are refused."""
    batch = asked[name]
    if not isinstance(batch, list) or len(batch) != 1:
        count = len(batch) if isinstance(batch, list) else "no list of them"
        raise failure("parameter_malformed", f"{name} holds {count}: expected one image in a request")
    one = batch[0]
    while isinstance(one, dict) and len(one) == 1 and next(iter(one)) in _IMAGE_MEMBERS:
        one = next(iter(one.values()))
    return Asked(_json_top(asked.get("top", TOP_DEFAULT)), data=_in_base64(one, name))


def _json_top(top: Any) -> int:
    if type(top) is not int or not 1 <= top <= TOP_MAX:  # True is an int
        came = shown(json.dumps(top))
        raise failure("parameter_malformed", f"top is {came}: expected a whole number from 1 to {TOP_MAX}")
    return top


def _in_base64(value: Any, name: str) -> bytes:
    """The bytes of an image that JSON carries: base64, a `data:` URL, or `{"b64": …}` around either."""
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _IMAGE_MEMBERS:
        value = next(iter(value.values()))
    if not isinstance(value, str) or not value:
        raise failure("parameter_malformed", f"{name} is not an image in base64: expected a string, or send its url")
    if is_data_url(value):
        return in_data_url(value)
    return _decoded(value, name)


def is_data_url(url: str) -> bool:
    """Whether a URL holds what it names."""
    return url[:5].lower() == "data:"


def in_data_url(url: str) -> bytes:
    """The bytes in a `data:` URL: https://www.rfc-editor.org/rfc/rfc2397

    Raises PredictionError 400: `url_malformed` without a comma, `parameter_malformed` for what is no base64.
    """
    head, comma, data = url.partition(",")
    if not comma:
        raise failure("url_malformed", "the data: URL has no comma: expected data:image/…;base64,…")
    if head.rstrip().lower().endswith(";base64"):
        return _decoded(unquote_to_bytes(data).decode("latin-1"), "the data: URL")
    return unquote_to_bytes(data)


def _decoded(text: str, name: str) -> bytes:
    compact = re.sub(r"[\s=]", "", text).translate(str.maketrans("-_", "+/"))
    try:
        return pybase64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise failure("parameter_malformed", f"{name} is not base64: expected an image's bytes in it") from None


def _of_form(data: bytes, content_type: str, top: int) -> Asked:
    # Here and not at the top: it takes longer to import than most of the rest, and few requests need it.
    import multipart

    _, options = multipart.parse_options_header(content_type)
    files: list[bytes] = []
    fields: dict[str, list[str]] = {}
    try:
        parser = multipart.MultipartParser(
            io.BytesIO(data), options.get("boundary", ""), part_limit=_FORM_PARTS, spool_limit=BODY_BYTES,
            memory_limit=BODY_BYTES, disk_limit=0, header_limit=16,
        )  # fmt: skip
        for part in parser:
            if part.filename is not None or part.content_type.startswith("image/"):
                files.append(part.raw)
            elif part.name in ("url", "top", *_IMAGE_MEMBERS, "file") and part.size <= _FIELD_BYTES:
                fields.setdefault(part.name, []).append(part.raw.decode("utf-8", "replace"))
            elif part.name in ("file", *_IMAGE_MEMBERS):
                files.append(part.raw)  # a client that gives its file no name
    except multipart.ParserLimitReached:
        message = f"the form has more than {_FORM_PARTS} fields, or headers that are too long: send one file"
        raise failure("request_malformed", message) from None
    except (multipart.MultipartError, UnicodeError):
        raise failure(
            "request_malformed", "the form does not parse: expected multipart/form-data with a file"
        ) from None
    if len(files) > 1:
        raise failure("parameter_repeated", f"the form has {len(files)} files: expected one image")
    if files:
        if not files[0]:
            raise failure("request_malformed", "the form's file is empty: does it exist? Send an image's bytes")
        return Asked(parse_top(fields["top"][0]) if "top" in fields else top, data=files[0])
    return _of_fields(fields, top)


def _of_fields(fields: dict[str, list[str]], top: int) -> Asked:
    for name in ("url", "top"):
        if len(fields.get(name, [])) > 1:
            raise failure("parameter_repeated", f"the field {name} is given {len(fields[name])} times: give it once")
    if not fields.get("url", [""])[0]:
        raise failure("parameter_missing", "the form has no file and no url: expected one of them")
    return Asked(parse_top(fields["top"][0]) if "top" in fields else top, url=fields["url"][0])
