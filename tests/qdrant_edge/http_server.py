"""Qdrant's REST interface over the engine, so that the real client talks to it through a socket."""

from __future__ import annotations

import re
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from qdrant_client.http import models

from .errors import ServerError
from .server import REQUESTS, EdgeServer, Request

if TYPE_CHECKING:
    from .keys import Keys

MAX_BODY_BYTES = 32 * 1024 * 1024
_HEALTH_CHECKS = {"/healthz", "/livez", "/readyz"}


def _pattern(request: Request) -> re.Pattern:
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", request.path))


_ROUTES = [
    (request.verb, _pattern(request), request.body and TypeAdapter(request.body), request) for request in REQUESTS
]


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, server: EdgeServer, keys: Keys):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.edge = server
        self.keys = keys

    def handle_error(self, request, client_address):
        """Ignore clients that close their connection early, as the tests of faults do."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Print nothing."""

    def _answer_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        begin = time.perf_counter()
        try:
            status, content = 200, self._result(body, begin)
        except _NotJson as answer:
            status, content = answer.status, answer.text
        except ServerError as error:
            status, content = error.status, error.body()
        self._send(status, content)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer_request

    def _send(self, status: int, content: bytes | str) -> None:
        kind = "application/json" if isinstance(content, bytes) else "text/plain; charset=utf-8"
        content = content if isinstance(content, bytes) else content.encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {kind}\r\n"
        self.wfile.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)

    def _result(self, body: bytes, begin: float) -> bytes:
        url = urlsplit(self.path)
        path = url.path.rstrip("/") or "/"
        if path in _HEALTH_CHECKS:
            raise _NotJson(200, f"{path[1:]} check passed")
        self._check_key(writes=False)
        request, adapter, parameters = self._find(path)
        self._check_key(writes=request.writes)
        arguments = [_parsed(adapter, body)] if adapter is not None else []
        result = request.run(self.server.edge, *arguments, **parameters)
        if path == "/":
            return to_json(result, exclude_none=True)
        wait = parse_qs(url.query).get("wait", ["false"])[0]
        if isinstance(result, models.UpdateResult) and wait != "true":
            result.status = models.UpdateStatus.ACKNOWLEDGED
        return to_json({"result": result, "status": "ok", "time": time.perf_counter() - begin})

    def _check_key(self, *, writes: bool) -> None:
        bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            self.server.keys.check(self.headers.get("api-key") or bearer, writes=writes)
        except ServerError as error:
            if error.status != 401:
                raise
            raise _NotJson(401, error.message) from error

    def _find(self, path: str):
        for verb, pattern, adapter, request in _ROUTES:
            found = pattern.fullmatch(path)
            if found and verb == self.command:
                return request, adapter, {name: unquote(value) for name, value in found.groupdict().items()}
        raise _NotJson(404, "")


class _NotJson(Exception):
    """An answer in plain text."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status
        self.text = text


def _parsed(adapter: TypeAdapter, body: bytes):
    if len(body) > MAX_BODY_BYTES:
        message = f"JSON payload ({len(body)} bytes) is larger than allowed (limit: {MAX_BODY_BYTES} bytes)."
        raise ServerError(400, message)
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ServerError(400, f"Format error in JSON body: {place}: {first['msg']}") from error


class RunningHttpServer:
    """An HTTP server in a thread, on a free port of this machine."""

    def __init__(self, server: EdgeServer, keys: Keys):
        self._server = _HttpServer(server, keys)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
