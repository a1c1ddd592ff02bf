"""The room in memory that images of one request share."""

import threading

from .errors import error


class Room:
    """The bytes that images which are fetched at the same time may have together."""

    def __init__(self, most: float = float("inf")):
        self._most = self._left = most
        self._lock = threading.Lock()
        self.decoding = threading.Lock()  # held while one body is decoded: how large it gets is not known before

    def take(self, count: int) -> None:
        """Take room for `count` more bytes; fewer than none give some back. Raises PredictionError 413."""
        with self._lock:
            if count > self._left:
                message = f"the images of this request have more than {self._most:.0f} bytes together: ask for fewer"
                raise error("image_too_large", message)
            self._left -= count
