"""A proxy of HTTP that carries out the script of `faults`."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import ServerError
from .faults import Fault, Faults, Seen, part_of
from .server import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

_CLIENT_NAMES = {
    "root": "info",
    "upsert_points": "upsert",
    "delete_points": "delete",
    "scroll_points": "scroll",
    "count_points": "count",
    "get_points": "retrieve",
    "batch_update": "batch_update_points",
    "create_field_index": "create_payload_index",
    "delete_field_index": "delete_payload_index",
}
_PATTERNS = [
    (request.verb, re.compile(re.sub(r"{\w+}", "[^/]+", request.path)), request.method) for request in REQUESTS
]
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, and tell the other side so


def _operation(verb: str, path: str) -> str:
    path = urlsplit(path).path
    for each, pattern, method in _PATTERNS:
        if each == verb and pattern.fullmatch(path):
            return _CLIENT_NAMES.get(method, method)
    return "unknown"


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, target_port: int, faults: Faults, go_down: Callable[[float], None]):
        super().__init__(("127.0.0.1", port), _Handler)
        self.target_port = target_port
        self.faults = faults
        self.go_down = go_down

    def handle_error(self, request, client_address):
        """Ignore clients that close their connection early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Print nothing."""

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        operation = _operation(self.command, self.path)
        faults = self.server.faults
        fault = faults.next_fault(operation)
        if fault is not None and fault.closes == "sending":
            faults.record(Seen(operation, None, length, fault))
            self.rfile.read(length // 2)
            return self._reset()
        body = self.rfile.read(length)
        faults.record(Seen(operation, json.loads(body) if body else None, length, fault))
        if fault is None:
            return self._send(*self._forward(body))
        response = self._forward(_part(body, fault.applied)) if fault.applied else None
        faults.stopped.wait(fault.seconds)
        if fault.down_seconds:
            self.server.go_down(fault.down_seconds)
        if fault.closes:
            return self._reset()
        return self._send(*(_error(fault) if fault.status else response))

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _pass_on

    def _forward(self, body: bytes):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target_port)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
            connection.request(self.command, self.path, body=body or None, headers=headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + content)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.close()


def _error(fault: Fault):
    content = ServerError(fault.status, fault.message()).body()
    headers = {"content-type": "application/json", "content-length": str(len(content))}
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    return fault.status, headers, content


def _part(body: bytes, share: float) -> bytes:
    """Return a body with the first part of its points, or of its operations; whole if it has neither."""
    if share == 1 or not body:
        return body
    request = json.loads(body)
    for name in ("points", "operations"):
        if name in request:
            return json.dumps({**request, name: part_of(request[name], share)}).encode()
    if "batch" not in request:
        return body
    batch = request["batch"]
    columns = {name: part_of(batch[name], share) for name in ("ids", "payloads") if name in batch}
    if isinstance(batch["vectors"], dict):
        columns["vectors"] = {name: part_of(column, share) for name, column in batch["vectors"].items()}
    else:
        columns["vectors"] = part_of(batch["vectors"], share)
    return json.dumps({**request, "batch": columns}).encode()


class RunningProxy:
    """A proxy in a thread, which can be down for some time and come back at the same port."""

    def __init__(self, target_port: int, faults: Faults):
        self._target_port = target_port
        self._faults = faults
        self._lock = threading.Lock()
        self._proxy: _Proxy | None = None
        self.port = 0
        self._listen()

    def _listen(self) -> None:
        with self._lock:
            if self._faults.stopped.is_set():
                return
            self._proxy = _Proxy(self.port, self._target_port, self._faults, self.go_down)
            self.port = self._proxy.server_address[1]
            threading.Thread(target=self._proxy.serve_forever, args=(0.01,), daemon=True).start()

    def _stop_listening(self) -> None:
        with self._lock:
            if self._proxy is not None:
                self._proxy.shutdown()
                self._proxy.server_close()
                self._proxy = None

    def go_down(self, seconds: float) -> None:
        """Refuse connections from now on, for so long."""
        self._stop_listening()
        threading.Thread(target=self._come_back, args=(seconds,), daemon=True).start()

    def _come_back(self, seconds: float) -> None:
        self._faults.stopped.wait(seconds)
        self._listen()

    def close(self) -> None:
        """Stop, also what still sleeps."""
        self._faults.stopped.set()
        self._stop_listening()
