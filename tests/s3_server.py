"""An object store in this process, for tests: as much of S3 as clients of one bucket need."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET  # of requests of this process
from xml.sax.saxutils import escape

BUCKET = "bucket"
ACCESS_KEY, SECRET_KEY = "the-access-key", "the-secret-key"


class Store:
    """The objects of the bucket.

    Attributes:
        objects: By key.
        requests: Method and path of each request.
        fail: Called with each request; returns a status to answer with instead, or None.
    """

    def __init__(self):
        self.objects = {}
        self.parts = {}
        self.requests = []
        self.mutex = threading.Lock()
        self.fail = lambda method, path: None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def _handle(self):
        store = self.server.store
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(split.path).lstrip("/").partition("/")
        body = self._body()
        with store.mutex:
            store.requests.append((self.command, self.path))
            status = store.fail(self.command, self.path)
            if status is not None:
                return self._error(status, "InternalError" if status >= 500 else "SlowDown")
            if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
                return self._error(403, "InvalidAccessKeyId")
            if bucket != BUCKET:
                return self._error(404, "NoSuchBucket")
            return getattr(self, f"_{self.command.lower()}")(store, key, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status, code):
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def _xml(self, name, content):
        self._answer(200, f'<?xml version="1.0"?><{name}>{content}</{name}>'.encode(), Content_Type="application/xml")

    def _get(self, store, key, query, _):
        if "list-type" in query or not key:
            return self._list(store, query)
        if key not in store.objects:
            return self._error(404, "NoSuchKey")
        data = store.objects[key]
        headers = {"ETag": etag(data), "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "Accept_Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if wanted is None:
            return self._answer(200, data, **headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = len(data) - int(last) if not first else int(first)
        end = len(data) if not first or not last else min(len(data), int(last) + 1)
        return self._answer(206, data[start:end], **headers, Content_Range=f"bytes {start}-{end - 1}/{len(data)}")

    def _head(self, store, key, _, __):
        if key not in store.objects:
            return self._answer(404)
        data = store.objects[key]
        return self._answer(
            200, ETag=etag(data), Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT", Content_Length=str(len(data))
        )

    def _put(self, store, key, query, body):
        if "uploadId" in query:
            store.parts[query["uploadId"]][int(query["partNumber"])] = body
            return self._answer(200, ETag=etag(body))
        if self.headers.get("If-None-Match") == "*" and key in store.objects:
            return self._error(412, "PreconditionFailed")
        source = self.headers.get("x-amz-copy-source")
        if source is not None:
            body = store.objects[unquote(source).lstrip("/").partition("/")[2]]
        store.objects[key] = body
        if source is not None:
            return self._xml("CopyObjectResult", f"<ETag>{escape(etag(body))}</ETag>")
        return self._answer(200, ETag=etag(body))

    def _post(self, store, key, query, body):
        if "delete" in query:
            for one in ET.fromstring(body).iter():
                if one.tag.endswith("Key"):
                    store.objects.pop(one.text, None)
            return self._xml("DeleteResult", "")
        if "uploads" in query:
            upload = str(len(store.parts))
            store.parts[upload] = {}
            return self._xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        if self.headers.get("If-None-Match") == "*" and key in store.objects:
            return self._error(412, "PreconditionFailed")
        parts = store.parts.pop(query["uploadId"])
        store.objects[key] = b"".join(parts[number] for number in sorted(parts))
        return self._xml("CompleteMultipartUploadResult", f"<ETag>{escape(etag(store.objects[key]))}</ETag>")

    def _delete(self, store, key, query, _):
        if "uploadId" in query:
            store.parts.pop(query["uploadId"], None)
        else:
            store.objects.pop(key, None)
        self._answer(204)

    def _list(self, store, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        limit = int(query.get("max-keys", 1000))
        entries, folders = [], []
        for key in sorted(one for one in store.objects if one.startswith(prefix) and one > after):
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                if folder not in folders:
                    folders.append(folder)
            elif len(entries) < limit:
                entries.append(key)
        shown = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(etag(store.objects[key]))}</ETag><Size>{len(store.objects[key])}</Size></Contents>"
            for key in entries
        )
        shown += "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders)
        is_cut = len(entries) == limit
        token = f"<NextContinuationToken>{escape(entries[-1])}</NextContinuationToken>" if is_cut else ""
        self._xml("ListBucketResult", f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>{token}{shown}")


def etag(data):
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@contextmanager
def served():
    """Give the store and the options with which clients reach it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.store = Store()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield (
            server.store,
            {
                "aws_access_key_id": ACCESS_KEY,
                "aws_secret_access_key": SECRET_KEY,
                "aws_region": "us-east-1",
                "aws_endpoint": f"http://127.0.0.1:{server.server_port}",
                "allow_http": "true",
                "client_max_retries": "0",
                "client_retry_timeout": "2",
            },
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
