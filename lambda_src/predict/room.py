"""The room in memory that images of one request share."""

import threading

from .errors import failure


class Room:
    """The bytes that images which are fetched at the same time may have together."""

    def __init__(self, most: float = float("inf")):
        self.most = self.left = most
        self.lock = threading.Lock()
        self.decoding = threading.Lock()  # held while one body is decoded: how large it gets is not known before

    def share(self) -> "Share":
        """What one image takes of it."""
        return Share(self)


class Share:
    """What one image has taken, given back when a `with` around it is left by an exception."""

    def __init__(self, room: Room):
        self._room = room
        self._held = 0

    def take(self, count: int) -> None:
        """Take room for `count` more bytes; fewer than none give some back.

        Raises PredictionError 413, and at once gives back all that this image has: the others go on with it.
        """
        with self._room.lock:
            if count <= self._room.left:
                self._room.left -= count
                self._held += count
                return
            self._give_back()
        message = f"the images of this request have more than {self._room.most:.0f} bytes together: ask for fewer"
        raise failure("image_too_large", message)

    def _give_back(self) -> None:
        self._room.left += self._held
        self._held = 0

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, kind, *_exception) -> None:
        if kind:
            with self._room.lock:
                self._give_back()
