"""Reads the header and single layers of a shard that only a server has, by HTTP Range, instead of the whole file.

An MLflow server before an S3-like store ignores Range but signs addresses that lead to the store, which honors it. One
before a folder signs nothing and honors Range itself. :class:`RemoteFile` tries both, in this order.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from vlmprobe.analysis.arrays import to_float32
from vlmprobe.errors import DamagedCopyError, InputError
from vlmprobe.store.layer_file import LayerHeader, reading
from vlmprobe.store.shard_cache import read_piece, write_piece
from vlmprobe.store.shards import LAYER_HASHES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from requests import Response

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.mlflow_connection import MlflowConnection

__all__ = ["NoRangesError", "RangedShard", "RemoteFile"]

#: Bytes that are read first: most headers end before.
_FIRST = 2**17
#: Servers sign addresses for five minutes unless they are told otherwise.
_SIGNED_FOR_S = 200.0
_TRIES = 2
_API, _FILES, _SIGNED = "/api/2.0", "/mlflow-artifacts/artifacts", "/mlflow-artifacts/presigned"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class NoRangesError(Exception):
    """A server gives files as a whole only."""


@dataclass(slots=True)
class _SignedAddress:
    """An address of the store behind a server, which needs no other credentials."""

    url: str
    headers: Mapping[str, str]
    until: float


@dataclass(slots=True)
class RemoteFile:
    """One artifact on an MLflow server."""

    mlflow: MlflowConnection
    artifact_uri: str
    n_bytes: int
    signs: bool = True
    """Whether the server may still turn out to sign addresses that can be read from here."""
    _signed: _SignedAddress | None = None

    @staticmethod
    def is_one(mlflow: MlflowConnection, artifact_uri: str) -> bool:
        """Return whether an address is that of a file which our MLflow server keeps for us."""
        return mlflow.is_server and artifact_uri.startswith("mlflow-artifacts:/") and "//" not in artifact_uri

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of the file from ``start`` up to, without, ``end``.

        Raises:
            NoRangesError: the server does not give parts of files.
            DamagedCopyError: the server's file is not as long as what was written.
            TrackingError: the server does not answer, or refuses.
        """
        with self.mlflow.errors_in_a_line():
            data = self._read_signed(start, end) if self.signs else None
            if data is None:
                # The store may be out of reach from here, while its server is not.
                self.signs = False
                data = self._accept(self._ask_server(_FILES, start, end), start, end)
        if data is None:
            raise NoRangesError(self.artifact_uri)
        return data

    def signing_for(self) -> str | None:
        """Return the store whose addresses the server signs, without their paths; None if it signs none.

        Raises:
            TrackingError: the server does not answer.
        """
        with self.mlflow.errors_in_a_line():
            signed = self._sign()
        parts = urlsplit(signed.url if signed else "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else None

    def _read_signed(self, start: int, end: int) -> bytes | None:
        from mlflow.utils.request_utils import cloud_storage_http_request
        from requests import RequestException

        for _ in range(_TRIES):
            if self._signed is None or self._signed.until < time.monotonic():
                self._signed = self._sign()
            if self._signed is None:
                return None
            headers = {**self._signed.headers, **_asking_for(start, end)}
            try:
                # No retries here: the server may serve what the store does not.
                response = cloud_storage_http_request(
                    "get",
                    self._signed.url,
                    max_retries=0,
                    timeout=self._timeout(),
                    headers=headers,
                    stream=True,
                )
                data = self._accept(response, start, end)
            except RequestException:
                data = None
            if data is not None:
                return data
            self._signed = None  # it may have run out
        return None

    def _sign(self) -> _SignedAddress | None:
        with self._ask_server(_SIGNED) as response:
            if response.status_code != 200:
                return None
            try:
                found: dict[str, Any] = response.json()
                url, headers = str(found["url"]), dict(found.get("headers") or {})
            except (ValueError, LookupError, TypeError):
                return None  # some other service
        return _SignedAddress(url, headers, time.monotonic() + _SIGNED_FOR_S)

    def _ask_server(self, endpoint: str, start: int | None = None, end: int = 0) -> Response:
        """Ask the MLflow server, with the credentials that MLflow itself would use."""
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        whole = MlflowArtifactsRepository.resolve_uri(self.artifact_uri, self.mlflow.tracking_uri)
        host, _, path = whole.partition(_API + _FILES)
        headers = None if start is None else _asking_for(start, end)
        response: Response = http_request(
            get_default_host_creds(host),
            f"{_API}{endpoint}{path}",
            "GET",
            extra_headers=headers,
            raise_on_status=False,
            stream=True,
        )
        return response

    def _accept(self, response: Response, start: int, end: int) -> bytes | None:
        """Return what was asked for; None for anything else, whose body is not read."""
        with response:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status_code != 206 or found is None:
                return None
            first, last, whole = map(int, found.groups())
            if whole != self.n_bytes:
                raise DamagedCopyError(
                    f"{self.artifact_uri} has {whole} bytes, but {self.n_bytes} were written; "
                    "run 'vlmprobe sync' where the run was extracted"
                )
            data = response.content if (first, last + 1) == (start, end) else b""
        return data if len(data) == end - start else None

    @staticmethod
    def _timeout() -> int:
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

        return int(MLFLOW_HTTP_REQUEST_TIMEOUT.get())


def _asking_for(start: int, end: int) -> dict[str, str]:
    # A compressed answer would be a range of other bytes.
    return {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}


@dataclass(slots=True)
class RangedShard:
    """A shard read piece by piece; the pieces are kept in the cache."""

    place: ShardPlace
    remote: RemoteFile
    folder: Path
    """The run's folder in the cache."""
    _head: LayerHeader = field(init=False)
    _meta: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Read the header, and check it against the shard's row.

        Raises:
            NoRangesError: the server does not give parts of files.
            TrackingError: the server does not answer, or its file is not what was written.
        """
        kept = self.folder / f"{self._stem}.header"
        head = read_piece(kept)
        if head is None:
            head = self._fetch_head()
            self._parse(head)
            write_piece(kept, head)
        else:
            self._parse(head)

    @property
    def _stem(self) -> str:
        return f"{self.place.number:05d}-{self.place.sha256[:16]}"

    def pair_ids(self) -> tuple[str, ...]:
        """Return the ids of its pairs, in order."""
        return tuple(self._meta["pair_ids"])

    def read_layer(
        self, layer: int, rows: Sequence[int] | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return one layer as float32, shape (pairs, 2, dim), or only some of its rows.

        Raises:
            DamagedCopyError: the bytes are not those that were written.
            InputError: it lacks the layer, or a row.
            TrackingError: the server does not answer.
        """
        if layer not in self._head:
            raise InputError(f"{self.remote.artifact_uri}: has no layer {layer}")
        kept = self.folder / f"{self._stem}.layer.{layer:03d}"
        data = read_piece(kept)
        if data is None:
            data = self.remote.read(*self._head.span(layer))
            self._check(layer, data)
            write_piece(kept, data)
        plane = self._head.decode(layer, data)
        with reading(self.folder, f"shard {self.place.number}: layer {layer} cannot be read"):
            chosen = plane if rows is None else plane[np.asarray(rows, dtype=np.intp)]
        return to_float32(chosen, self.place.dtype)

    def _fetch_head(self) -> bytes:
        size = self.place.n_bytes
        first = self.remote.read(0, min(_FIRST, size))
        end = LayerHeader.ends_at(first, size)
        if end is None:
            raise self._damaged("its header")
        return first[:end] if end <= len(first) else first + self.remote.read(len(first), end)

    def _parse(self, head: bytes) -> None:
        place = self.place
        try:
            with reading(self.folder):
                parsed = LayerHeader.parse(head, place.n_bytes)
                meta = {} if parsed is None else parsed.meta()
                shape = (len(meta["pair_ids"]), 2, place.dim)
                said = {name: meta[name] for name in ("run_id", "number", "kind")}
                fits = (
                    parsed is not None
                    and said == {name: getattr(place, name) for name in said}
                    and tuple(meta["layers"]) == place.layers
                    and all(
                        (parsed.dtype(each), parsed.shape(each)) == (place.dtype, shape)
                        for each in place.layers
                    )
                )
        except InputError:
            fits = False
        if not fits or parsed is None:
            raise self._damaged("its header")
        self._head, self._meta = parsed, meta

    def _check(self, layer: int, data: bytes) -> None:
        """Compare a layer with its hash in the header; shards of earlier versions have none."""
        hashes = self._meta.get(LAYER_HASHES)
        if hashes is None:
            return
        written = hashes[self.place.layers.index(layer)]
        if hashlib.sha256(data).hexdigest() != written:
            raise self._damaged(f"layer {layer}")

    def _damaged(self, what: str) -> DamagedCopyError:
        return DamagedCopyError(
            f"{what} of shard {self.place.number} of run {self.place.run_id} is not what was written; try again, "
            "then run 'vlmprobe verify'"
        )
