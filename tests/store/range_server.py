"""A small MLflow server and the store behind it: what each can do is set, what each sends is counted."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_API = "/api/2.0/mlflow-artifacts"


class RangeServer:
    """Serves files under ``mlflow-artifacts:/NAME``, signs addresses under ``/store``, and honors Range there."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.signs = True
        """Whether it signs addresses, as one before an S3-like store does; one before a folder does not."""
        self.honors_range = False
        """Whether it honors Range itself, as one before a folder does."""
        self.refused = 0
        """So many requests to signed addresses will be refused, as if they had run out."""
        self.store: str | None = None
        """Where signed addresses lead; here when None."""
        self.asked: list[str] = []
        self.sent = 0
        """Bytes of files, over all requests."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            do_POST = do_GET  # noqa: N815 - the base class's name

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        path = request.path.partition("?")[0]
        place, _, name = path.rpartition("/")
        self.asked.append(place.rpartition("/")[2])
        if place == f"{_API}/presigned":
            self._sign(request, name)
        elif place == "/store" and self.refused:
            self.refused -= 1
            _send(request, 403, b"AccessDenied")
        elif place in ("/store", f"{_API}/artifacts"):
            self._send_file(request, self.files[name], ranges=place == "/store" or self.honors_range)
        else:
            _send(request, 200, json.dumps(_ANY).encode())

    def _sign(self, request: BaseHTTPRequestHandler, name: str) -> None:
        if self.signs:
            url = f"{self.store or self.address}/store/{name}?Signature=secret"
            _send(request, 200, json.dumps({"url": url, "headers": {}}).encode())
        else:
            _send(request, 501, b"{}")

    def _send_file(self, request: BaseHTTPRequestHandler, data: bytes, *, ranges: bool) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if asked is None or not ranges:
            self.sent += len(data)
            _send(request, 200, data)
            return
        first, last = map(int, asked.groups())
        part = data[first : last + 1]
        self.sent += len(part)
        _send(request, 206, part, f"bytes {first}-{first + len(part) - 1}/{len(data)}")


#: An answer that each request about a run or an experiment can be content with.
_INFO = {"run_id": "7", "run_name": "a run", "experiment_id": "1", "status": "FINISHED", "artifact_uri": "x"}
_ANY: dict[str, Any] = {
    "run": {"info": _INFO, "data": {}},
    "run_info": _INFO,
    "experiment": {"experiment_id": "1", "name": "vlmprobe", "lifecycle_stage": "active"},
}


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, content_range: str = "") -> None:
    request.send_response(status)
    if content_range:
        request.send_header("Content-Range", content_range)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
