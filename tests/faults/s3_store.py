"""An S3-like store that lives as long as the test, and a counter of all bytes that go to a server and come back."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

#: What a client of the store needs; an MLflow server is given it, and the commands are not.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "probe",
    "AWS_SECRET_ACCESS_KEY": "probe",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_BUCKET = "probe"


class Counter:
    """Forwards TCP connections to a port of this host, and counts what passes, headers and all."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._behind = port
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    behind = socket.create_connection(("127.0.0.1", self._behind))
                except OSError:
                    client.close()
                    continue
                for ends in ((client, behind), (behind, client)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                with self._lock:
                    self.bytes += len(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class S3Store:
    """A bucket in this process; what is in it outlives any MLflow server."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        _, port = self._server.get_host_and_port()
        self.counter = Counter(port)
        self._is_closed = False
        self._client().create_bucket(Bucket=_BUCKET)

    @property
    def destination(self) -> str:
        """Where an MLflow server is to keep its artifacts."""
        return f"s3://{_BUCKET}/artifacts"

    @property
    def environ(self) -> dict[str, str]:
        """What an MLflow server needs to reach it, through the counter."""
        return {"MLFLOW_S3_ENDPOINT_URL": self.counter.address, **CREDENTIALS}

    def shards(self) -> dict[str, bytes]:
        """Return every shard by its name."""
        client = self._client()
        found = client.list_objects_v2(Bucket=_BUCKET).get("Contents", [])
        return {
            key["Key"].rpartition("/")[2]: client.get_object(Bucket=_BUCKET, Key=key["Key"])["Body"].read()
            for key in found
            if key["Key"].endswith(".safetensors")
        }

    def close(self) -> None:
        """Empty and stop it; a test may do so before its end."""
        if self._is_closed:
            return
        self._is_closed = True
        # moto keeps what is stored for all servers of a process.
        client = self._client()
        for key in client.list_objects_v2(Bucket=_BUCKET).get("Contents", []):
            client.delete_object(Bucket=_BUCKET, Key=key["Key"])
        self.counter.close()
        self._server.stop()

    def _client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.counter.address,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        )
