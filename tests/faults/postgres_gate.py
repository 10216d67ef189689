"""A gate before a Postgres that others use too: shut, it refuses connections and ends those that are open."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class PostgresGate:
    """Passes bytes on between clients and a server while it is open."""

    def __init__(self, url: str) -> None:
        """Open a gate before the server of an address."""
        self._url = url
        found = re.search(r"@127\.0\.0\.1:(\d+)/", url)
        assert found is not None
        self._behind = int(found[1])
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        """The address that leads through the gate."""
        return self._url.replace(f":{self._behind}/", f":{self.port}/")

    def open(self) -> None:
        """Let connections through, again at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """End every connection, wherever it is in a transaction, and refuse new ones."""
        assert self._listener is not None
        # It wakes the thread that waits for a connection, which close() alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._lock:
            ended, self._open = self._open, []
        for end in ended:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Shut it for good."""
        if self._listener is not None:
            self.shut()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                with self._lock:
                    self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
