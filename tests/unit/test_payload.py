"""Bodies as clients send them: which image each one means, and how the others are refused."""

import base64
import io
import json

import httpx
import pytest
import requests
from PIL import Image

from predict import payload
from predict.errors import PredictionError
from predict.limits import BODY_BYTES, PAYLOAD_BYTES
from predict.request import Request


def picture() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
    return file.getvalue()


JPEG = picture()
TEXT = base64.b64encode(JPEG).decode()
DATA_URL = f"data:image/jpeg;base64,{TEXT}"


def post(body: bytes, content_type: str | None = None, query: dict | None = None, as_text: bool = False) -> Request:
    """A POST as API Gateway hands it on: in base64, or made text as it does with what is not declared binary."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    text = body.decode("utf-8", "replace") if as_text else base64.b64encode(body).decode()
    return Request.of(
        {
            "httpMethod": "POST",
            "path": "/predict",
            "headers": headers,
            "multiValueQueryStringParameters": query,
            "body": text,
            "isBase64Encoded": not as_text,
        }
    )


def prepared(client, **how) -> Request:
    """A request as a Python client makes it."""
    if client is requests:
        made = requests.Request("POST", "http://127.0.0.1/predict", **how).prepare()
        return post(made.body, made.headers.get("Content-Type"))
    made = httpx.Request("POST", "http://127.0.0.1/predict", **how)
    return post(made.read(), made.headers.get("Content-Type"))


def refusal(request: Request) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        payload.read(request)
    return caught.value


def form(*parts: tuple[str, bytes], boundary="frontier", quoted=False, end=b"--\r\n") -> Request:
    """A form of parts: the headers of each, and its bytes."""
    line = b"--" + boundary.encode()
    lines = b"".join(line + b"\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts)
    kind = f'multipart/form-data; boundary="{boundary}"' if quoted else f"multipart/form-data; boundary={boundary}"
    return post(lines + line + end, kind)


def file_part(name="file", filename='filename="a.jpg"', more="\r\nContent-Type: image/jpeg") -> str:
    return f'Content-Disposition: form-data; name="{name}"; {filename}{more}'


FIELD = 'Content-Disposition: form-data; name="{}"'


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "image/jpeg", "IMAGE/X-OWN; q=1", "application/octet-stream", "binary/octet-stream",
        "application/x-image", "application/x-octet-stream", "application/x-www-form-urlencoded",
    ],
)  # fmt: skip
def test_bytes_are_an_image_whatever_they_are_called(content_type):
    assert payload.read(post(JPEG, content_type)) == payload.Asked(5, data=JPEG)
    assert payload.read(post(JPEG, content_type, {"top": ["2"]})).top == 2


@pytest.mark.parametrize("client", [requests, httpx])
def test_a_file_as_clients_post_it(client):
    assert payload.read(prepared(client, files={"file": ("a.jpg", JPEG)})).data == JPEG
    assert payload.read(prepared(client, files={"x": ("ä b.jpg", JPEG, "image/jpeg")}, data={"top": "3"})) == (
        payload.Asked(3, data=JPEG)
    )
    assert payload.read(prepared(client, files={"image": ("blob", JPEG)}, data={"comment": "a", "b": "c"})).data == JPEG


@pytest.mark.parametrize(
    "asked",
    [
        form((FIELD.format("a"), b"1"), (FIELD.format("b"), b"2"), (file_part(), JPEG)),
        form((file_part(), JPEG), boundary="a b'()+_,-./:=?", quoted=True),
        form((file_part(filename="filename*=UTF-8''%e2%82%ac.jpg"), JPEG)),
        form((file_part(filename='filename="über.jpg"'), JPEG)),
        form((file_part(more=""), JPEG)),
        form((file_part(filename='filename=""', more="\r\nContent-Type: application/octet-stream"), JPEG)),
        form((FIELD.format("file") + "\r\nContent-Type: image/jpeg", JPEG)),
        form((FIELD.format("image"), JPEG * 100)),
        form((file_part(more="\r\nContent-Type: image/jpeg\r\nX-Own: y"), JPEG)),
    ],
)
def test_a_form_in_any_of_its_ways(asked):
    data = payload.read(asked).data
    assert data in (JPEG, JPEG * 100)


def test_a_form_may_hold_an_address():
    asked = form((FIELD.format("url"), b"https://images.example/a.jpg"), (FIELD.format("top"), b"2"))
    assert payload.read(asked) == payload.Asked(2, url="https://images.example/a.jpg")
    urlencoded = post(b"url=https%3A%2F%2Fimages.example%2Fa.jpg%3Fx%3D1&top=4", "application/x-www-form-urlencoded")
    assert payload.read(urlencoded) == payload.Asked(4, url="https://images.example/a.jpg?x=1")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (form((file_part(), JPEG), (file_part("second"), JPEG)), "parameter_repeated"),
        (form((FIELD.format("url"), b"u"), (FIELD.format("url"), b"v")), "parameter_repeated"),
        (form((FIELD.format("comment"), b"u")), "parameter_missing"),
        (form((file_part(), b"")), "request_malformed"),
        (form((file_part(), JPEG), (FIELD.format("top"), b"0")), "parameter_malformed"),
        (form((file_part(), JPEG), end=b""), "request_malformed"),
        (form(*[(FIELD.format(f"f{number}"), b"x") for number in range(40)], (file_part(), JPEG)), "request_malformed"),
        (form((file_part() + "\r\nX: " + "y" * 9000, JPEG)), "request_malformed"),
        (form((file_part() + "".join(f"\r\nX-{n}: y" for n in range(50)), JPEG)), "request_malformed"),
        (form(("X: y", JPEG)), "request_malformed"),
        (post(JPEG, "multipart/form-data"), "request_malformed"),
        (post(JPEG, "multipart/form-data; boundary="), "request_malformed"),
        (post(JPEG, "multipart/form-data; boundary=x"), "request_malformed"),
        (post(b"", "multipart/form-data; boundary=x"), "request_malformed"),
        (post(bytes(BODY_BYTES + 1), "multipart/form-data; boundary=x"), "image_too_large"),
    ],
)
def test_a_form_that_is_refused(asked, code):
    assert refusal(asked).code == code


@pytest.mark.parametrize(
    "body",
    [
        {"image": TEXT}, {"image": DATA_URL}, {"url": DATA_URL}, {"data": TEXT}, {"b64": TEXT}, {"image_bytes": TEXT},
        {"image": {"b64": TEXT}}, {"image_bytes": {"b64": TEXT}}, {"instances": [{"b64": TEXT}]},
        {"instances": [{"image": {"b64": TEXT}}]}, {"instances": [{"image_bytes": {"b64": TEXT}}]},
        {"instances": [TEXT]}, {"instances": [{"data": TEXT}]}, {"inputs": [{"bytes": TEXT}]},
        {"image": TEXT.rstrip("=")}, {"image": base64.urlsafe_b64encode(JPEG).decode()},
        {"image": base64.encodebytes(JPEG).decode()}, {"url": "DATA:;base64," + TEXT},
    ],
)  # fmt: skip
def test_json_may_carry_the_image(body):
    assert payload.read(post(json.dumps(body).encode(), "application/json")) == payload.Asked(5, data=JPEG)


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "application/octet-stream"])
def test_json_is_known_by_its_first_character_where_its_type_says_nothing(content_type):
    asked = payload.read(post(b' {"url": "https://images.example/a.jpg", "top": 2}', content_type))
    assert asked == payload.Asked(2, url="https://images.example/a.jpg")


@pytest.mark.parametrize("content_type", ["text/json", "application/vnd.api+json", "application/json; charset=utf-8"])
def test_json_under_its_other_names(content_type):
    assert payload.read(post(b'{"url": "u"}', content_type)).url == "u"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"image": ""}, "parameter_malformed"),
        ({"image": 5}, "parameter_malformed"),
        ({"image": "*"}, "parameter_malformed"),
        ({"image": TEXT, "url": "u"}, "parameter_repeated"),
        ({"image": TEXT, "data": TEXT}, "parameter_unknown"),
        ({"image": TEXT, "top": 0}, "parameter_malformed"),
        ({"url": "data:image/jpeg;base64"}, "url_malformed"),
        ({"url": "data:image/jpeg;base64,*"}, "parameter_malformed"),
        ({"instances": []}, "parameter_malformed"),
        ({"instances": [TEXT, TEXT]}, "parameter_malformed"),
        ({"instances": TEXT}, "parameter_malformed"),
        ({"instances": [[1.0, 2.0]]}, "parameter_malformed"),
    ],
)
def test_json_that_carries_no_image(body, code):
    assert refusal(post(json.dumps(body).encode(), "application/json")).code == code


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded"])
def test_bytes_that_were_made_text_say_how_to_send_them(content_type):
    problem = refusal(post(JPEG, content_type, as_text=True))
    assert problem.code == "media_type_not_supported"
    assert "curl -H 'Content-Type: image/jpeg' --data-binary @image.jpg" in problem.message


@pytest.mark.parametrize("content_type", ["text/html", "application/pdf", "video/mp4", "imagejpeg", "multipart/mixed"])
def test_other_types_are_refused_by_name(content_type):
    problem = refusal(post(JPEG, content_type))
    assert problem.code == "media_type_not_supported" and content_type in problem.message


def test_the_largest_body_fits_into_lambdas_event():
    # An event repeats the request's headers and says a few things about the connection.
    headers, context = 10_240, 8_192
    assert (BODY_BYTES + 2) // 3 * 4 + 2 * headers + context < PAYLOAD_BYTES
    assert payload.read(post(bytes(BODY_BYTES), "image/jpeg")).data == bytes(BODY_BYTES)
    assert refusal(post(bytes(BODY_BYTES + 1), "image/jpeg")).code == "image_too_large"
