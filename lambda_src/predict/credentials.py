"""The credentials that Lambda gives a function: in variables or, under SnapStart, from an address.

Variables would be part of a snapshot, and its credentials expire before the last environment starts from it:
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-activate.html#snapstart-credentials
"""

import json
import os
from collections.abc import Mapping

from .errors import PredictionError, failure

URI, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
HOSTS = ("127.0.0.1", "localhost", "::1")  # where the AWS SDKs accept plain HTTP: the token goes along
SECONDS = 2.0
TRIES = 2
# A member of the answer -> the object store's name for it.
MEMBERS = {"AccessKeyId": "access_key_id", "SecretAccessKey": "secret_access_key", "Token": "token"}


def current(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The credentials of this moment, by the object store's names; empty where the variables hold them.

    Raises PredictionError 503 `model_store_unreachable` where there are none, or where the address gives none.
    """
    if environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    if not environ.get(URI):  # the library would ask the instance metadata service next
        raise failure("model_store_unreachable", "the function has no credentials for its model store: give it a role")
    from http.client import HTTPException  # here alone: usually nobody needs it before the model loads
    from urllib.parse import urlsplit

    place = urlsplit(environ[URI])
    if place.scheme != "http" or place.hostname not in HOSTS:
        raise _none(f"{URI} names {place.scheme}://{place.hostname}; expected plain HTTP to this machine")
    headers = {"Authorization": environ[TOKEN]} if environ.get(TOKEN) else {}
    problem = ""
    for _ in range(TRIES):
        try:
            return _asked(place.hostname, place.port, f"{place.path}?{place.query}".rstrip("?"), headers)
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as failed:
            problem = f"{type(failed).__name__}: {failed}"
    raise _none(problem)


def _asked(host: str, port: int | None, path: str, headers: Mapping[str, str]) -> dict[str, str]:
    from http.client import HTTPConnection

    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"status {answer.status}")
    given = json.loads(body)
    return {name: str(given[member]) for member, name in MEMBERS.items()}


def _none(detail: str) -> PredictionError:
    return failure("model_store_unreachable", "the function did not get the credentials of its role: try again", detail)
