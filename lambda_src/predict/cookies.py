"""The cookies of one fetch."""

import email.utils
import re
import time
from collections.abc import Iterable

from .addresses import Target

_MAX_COOKIES, _COOKIE_BYTES = 20, 4096


class Cookies:
    """Cookies that hosts set on the way to an image: some redirect to the same URL and wait for their cookie there.

    Each goes back to the very host that set it, for as long as one fetch takes.
    """

    def __init__(self):
        self._values: dict[tuple[str, str], tuple[str, bool]] = {}  # by host and name: the value, and whether TLS only

    def take(self, target: Target, lines: Iterable[str]) -> None:
        """Keep what the Set-Cookie `lines` of the host set, as far as there is room."""
        for line in lines:
            pair, *attributes = line.split(";")
            name, equals, value = (part.strip() for part in pair.partition("="))
            said = {key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in attributes)}
            if not equals or re.search(r"[\x00-\x1f\x7f]", name + value) or len(name + value) > _COOKIE_BYTES:
                continue
            if _is_over(said):
                self._values.pop((target.host, name), None)
            elif len(self._values) < _MAX_COOKIES or (target.host, name) in self._values:
                self._values[target.host, name] = (value, "secure" in said)

    def header(self, target: Target) -> dict[str, str]:
        """The request's header; none where nothing is kept for the host."""
        kept = [
            f"{name}={value}"
            for (host, name), (value, is_secure) in self._values.items()
            if host == target.host and (target.scheme == "https" or not is_secure)
        ]
        return {"Cookie": "; ".join(kept)} if kept else {}


def _is_over(attributes: dict[str, str]) -> bool:
    """Whether a cookie's attributes say that it is to be forgotten."""
    if re.fullmatch("-?[0-9]{1,20}", attributes.get("max-age", "")):
        return int(attributes["max-age"]) <= 0
    expires = email.utils.parsedate_tz(attributes.get("expires", ""))
    try:
        return expires is not None and email.utils.mktime_tz(expires) <= time.time()
    except (ValueError, OverflowError):
        return False
