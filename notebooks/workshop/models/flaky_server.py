"""A web server that fails on purpose, to see how a download takes it."""

import functools
import http.server
import re
import socketserver
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Request:
    """What one request asked for and got: its path, its Range header, the status, and which bytes were sent."""

    path: str
    range: str
    status: int
    start: int = 0
    sent: int = 0


class FlakyServer:
    """Serves a folder's files on 127.0.0.1, with HTTP ranges, from a thread, until `close`.

    `hang_ups`: how many of the next requests to break off halfway. `flip_a_bit`: damage one bit of each file.
    `ignore_range`: answer everything with the whole file, as simple servers do. `status`: answer this and nothing else.
    `version`: the ETag; change it and a download begun before must start again. `requests`: what was asked so far.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.requests: list[Request] = []
        self.hang_ups, self.flip_a_bit, self.ignore_range, self.status, self.version = 0, False, False, 0, '"1"'
        self._server = _Server(("127.0.0.1", 0), functools.partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "FlakyServer":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_arguments):
        """A client that hangs up is none of the server's troubles."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, flaky: FlakyServer, *arguments):
        self.flaky = flaky
        super().__init__(*arguments)

    def do_GET(self):
        flaky, wanted = self.flaky, self.headers.get("Range", "")
        request = Request(self.path, wanted, 200)
        flaky.requests.append(request)
        file = (flaky.folder / self.path.lstrip("/")).resolve()
        if flaky.status or not file.is_relative_to(flaky.folder.resolve()) or not file.is_file():
            request.status = flaky.status or 404
            self.send_error(request.status)
            return
        data = bytearray(file.read_bytes())
        if flaky.flip_a_bit:
            data[len(data) // 3] ^= 1
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        if match and self.headers.get("If-Range") in (None, flaky.version) and not flaky.ignore_range:
            request.start = int(match[1])
            request.status = 206 if request.start < len(data) else 416
        self.send_response(request.status)
        if request.status == 206:
            self.send_header("Content-Range", f"bytes {request.start}-{len(data) - 1}/{len(data)}")
        rest = data[request.start :]
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", flaky.version)
        self.end_headers()
        if flaky.hang_ups:
            flaky.hang_ups -= 1
            rest = rest[: len(rest) // 2]
        request.sent = len(rest)
        self.wfile.write(rest)

    def log_message(self, *_arguments):
        pass
