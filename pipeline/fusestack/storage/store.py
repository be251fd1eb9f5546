"""Folders in object stores and on web servers, through obstore."""

from __future__ import annotations

import configparser
import functools
import io
import itertools
import os
import re
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from fusestack.storage.look import changed, has_nothing, is_looking, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fusestack.storage.folder import Parts


_TIMEOUT = "60s"
_CONNECT_TIMEOUT = "5s"
_RETRIES, _RETRY_FOR = 4, timedelta(seconds=30)
_PATIENT_RETRIES, _PATIENT_FOR = 1000, timedelta(seconds=90)
"""Of stores that have answered before: a server that dies is given time to come back, however quickly it refuses."""
_READ_AHEAD = 2**18
_MOST_AT_ONCE, _PART = 2**25, 2**24
"""Bytes of an object that is put by one request, and of the parts of larger ones, which take three at least."""
_MOST_REMEMBERED = 2**17
"""Objects whose listing is kept in memory for a while: about 20 MB."""
_DELETED_AT_ONCE = 1000
_KNOW_TAILS = ("s3://", "gs://", "memory://")


class StorageError(OSError):
    """A store behind an address refuses or cannot be reached."""

    way_out = "check the address, the bucket and the credentials"


_answered: set[str] = set()


class StoreFolder:
    """Objects below an address; object stores put whole objects."""

    def __init__(self, url: str) -> None:
        self.where = url.rstrip("/")
        self._bucket = "/".join(self.where.split("/")[:3])
        with _store_errors(self.where):
            _, self.prefix = _open_store(self.where)

    @property
    def store(self) -> Any:
        """The store of obstore: one that soon gives up, until it has answered."""
        store, _ = _open_store(self.where, patient=self._bucket in _answered)
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        return StoreFolder, (self.where,)

    def _path(self, key: str) -> str:
        return "/".join(part for part in (self.prefix, key.strip("/")) if part)

    def _seen(self, what: str, key: str, ask: Callable[[], Any]) -> Any:
        return seen(what, f"{self.where}/{key}".rstrip("/"), ask)

    def _changed(self, key: str, content: bytes | None = None) -> None:
        changed(f"{self.where}/{key}".rstrip("/"), content)

    def _has_nothing(self, key: str) -> bool:
        """Whether a look has said that there is nothing to delete."""
        return has_nothing(f"{self.where}/{key}".rstrip("/"))

    @contextmanager
    def _asking(self, key: str) -> Iterator[Any]:
        import obstore

        with _store_errors(f"{self.where}/{key}".rstrip("/")):
            yield obstore
            _answered.add(self._bucket)

    def get(self, key: str) -> bytes | None:
        """Content of an object; None if it does not exist."""
        found: bytes | None = self._seen("content", key, lambda: self._get(key))
        return found

    def _get(self, key: str) -> bytes | None:
        with self._asking(key) as obstore:
            try:
                return bytes(obstore.get(self.store, self._path(key)).bytes())
            except FileNotFoundError:
                return None

    def open(self, key: str) -> BinaryIO:
        """Open an object to read parts of it; FileNotFoundError if it does not exist."""
        return cast("BinaryIO", io.BufferedReader(_ObjectFile(self, key), _READ_AHEAD))

    @contextmanager
    def parts(self, key: str) -> Iterator[Parts]:
        """Open an object of which some places are read; FileNotFoundError if it does not exist, when it is read."""
        yield _ObjectParts(self, key)

    def tail(self, key: str, count: int) -> bytes:
        """The last bytes of an object, fewer where it is shorter; FileNotFoundError if it does not exist."""
        if self.where.startswith(_KNOW_TAILS):
            with suppress(StorageError), self._asking(key) as obstore:  # an empty object has none
                return bytes(obstore.get(self.store, self._path(key), options={"range": {"suffix": count}}).bytes())
        size = self.size(key)
        return self.get_range(key, max(0, size - count), size) if size else b""

    def get_ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes at places given by their first byte and their bytes, together; FileNotFoundError as `get_range`."""
        starts, lengths = zip(*spans, strict=True)
        with self._asking(key) as obstore:
            found = obstore.get_ranges(self.store, self._path(key), starts=starts, lengths=lengths)
            return [bytes(one) for one in found]

    def size(self, key: str) -> int:
        """Bytes of an object; FileNotFoundError if it does not exist."""
        with self._asking(key) as obstore:
            return int(obstore.head(self.store, self._path(key))["size"])

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes ``start <= i < stop`` of an object; FileNotFoundError if it does not exist."""
        with self._asking(key) as obstore:
            return bytes(obstore.get_range(self.store, self._path(key), start=start, end=stop))

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write an object in one atomic step; returns its bytes."""
        data = b"".join(parts)
        self._changed(key)
        with self._asking(key) as obstore:
            in_parts = len(data) > _MOST_AT_ONCE
            obstore.put(self.store, self._path(key), data, use_multipart=in_parts, chunk_size=_PART)
        self._changed(key, data)
        return len(data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if there is none; returns whether it did."""
        self._changed(key)
        with self._asking(key) as obstore:
            try:
                obstore.put(self.store, self._path(key), data, mode="create")
            except (FileExistsError, obstore.exceptions.AlreadyExistsError):
                return False
        return True

    def version(self, key: str) -> tuple[str | None, bytes]:
        """ETag and content of an object; None, and nothing, if it does not exist."""
        with self._asking(key) as obstore:
            try:
                found = obstore.get(self.store, self._path(key))
                return str(found.meta["e_tag"]), bytes(found.bytes())
            except FileNotFoundError:
                return None, b""

    def replace(self, key: str, data: bytes, version: str | None) -> str | None:
        """Write an object only if it still is of a version (None: does not exist); its new version, None if it is not.

        Raises
        ------
        OSError
            Also where a store knows no conditions.
        """
        self._changed(key)
        with self._asking(key) as obstore:
            wanted = "create" if version is None else {"e_tag": version}
            try:
                return str(obstore.put(self.store, self._path(key), data, mode=wanted)["e_tag"])
            except (FileExistsError, FileNotFoundError):
                return None
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
                return None

    def delete(self, key: str) -> None:
        """Delete an object; does nothing if it does not exist."""
        if self._has_nothing(key):
            return
        self._changed(key)
        with self._asking(key) as obstore:
            try:
                obstore.delete(self.store, self._path(key))
            except FileNotFoundError:
                return

    def entries(self, key: str = "") -> list[str]:
        """Names directly below a prefix, sorted; empty if there are none."""
        found: list[str] = self._seen("entries", key, lambda: self._entries(key))
        return list(found)

    def _entries(self, key: str) -> list[str]:
        with self._asking(key) as obstore:
            try:
                found = obstore.list_with_delimiter(self.store, self._path(key))
            except FileNotFoundError:
                return []
            paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
            return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths)

    def tree(self, key: str = "") -> Iterator[tuple[str, bool]]:
        """Keys of all objects below a prefix; each is a plain file."""
        for name, _ in self.files(key):
            yield f"{key}/{name}".lstrip("/"), True

    def delete_files(self, keys: Iterable[str], key: str = "") -> None:
        """Delete objects below a prefix; everything else stays."""
        left = iter(keys)
        with self._asking(key) as obstore:
            while batch := [self._path(name) for name in islice(left, _DELETED_AT_ONCE)]:
                self._changed(key)
                obstore.delete(self.store, batch)

    def files(self, key: str = "") -> Iterator[tuple[str, int]]:
        """Every object below a prefix: its key from there on, and its bytes; none if there are none."""
        known = self._seen("files", key, lambda: self._few(key)) if is_looking() else None
        yield from self._files(key) if known is None else known

    def _few(self, key: str) -> list[tuple[str, int]] | None:
        """Every object below a prefix, to be remembered; None where they are too many for that."""
        found = list(itertools.islice(self._files(key), _MOST_REMEMBERED + 1))
        return found if len(found) <= _MOST_REMEMBERED else None

    def _files(self, key: str) -> Iterator[tuple[str, int]]:
        prefix = self._path(key)
        with self._asking(key) as obstore:
            for batch in obstore.list(self.store, prefix or None):
                for entry in batch:
                    yield str(entry["path"]).removeprefix(prefix).lstrip("/"), int(entry["size"])

    def delete_tree(self, key: str) -> None:
        """Delete an object or everything below a prefix."""
        if self._has_nothing(key):
            return
        self.delete(key)
        with self._asking(key) as obstore:
            for batch in obstore.list(self.store, self._path(key)):
                obstore.delete(self.store, [entry["path"] for entry in batch])

    def identity(self, key: str) -> str | None:
        """Size and ETag (or time of change) of an object; None if it does not exist."""
        found: str | None = self._seen("identity", key, lambda: self._identity(key))
        return found

    def _identity(self, key: str) -> str | None:
        with self._asking(key) as obstore:
            try:
                found = obstore.head(self.store, self._path(key))
            except FileNotFoundError:
                return None
            return f"{found['size']} bytes, {found['e_tag'] or found['last_modified']}"


class _ObjectParts:
    """Some places of an object: neighbours are asked for together, others at the same time."""

    def __init__(self, folder: StoreFolder, key: str) -> None:
        self._folder, self._key = folder, key

    def tail(self, count: int) -> bytes:
        return self._folder.tail(self._key, count)

    def spans(self, spans: Sequence[tuple[int, int]], most: int) -> Iterator[bytes]:
        for first in range(0, len(spans), most):
            yield from self._folder.get_ranges(self._key, spans[first : first + most])


class _ObjectFile(io.RawIOBase):
    """An object as a file: every read asks for its range."""

    def __init__(self, folder: StoreFolder, key: str) -> None:
        self._folder, self._key, self._place = folder, key, 0
        self._size = folder.size(key)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readall(self) -> bytes:
        start, self._place = min(self._place, self._size), max(self._place, self._size)
        return self._folder.get_range(self._key, start, self._size) if start < self._size else b""

    def readinto(self, buffer: Any) -> int:
        stop = min(self._place + len(buffer), self._size)
        if stop <= self._place:
            return 0
        data = self._folder.get_range(self._key, self._place, stop)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


@functools.lru_cache(maxsize=64)
def _open_store(url: str, *, patient: bool = False) -> tuple[Any, str]:
    """Store of an address and the prefix inside it."""
    from obstore import store

    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return _memory(), rest.strip("/")
    options: dict[str, Any] = {
        "client_options": {"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT},
        "retry_config": {
            "max_retries": _PATIENT_RETRIES if patient else _RETRIES,
            "retry_timeout": _PATIENT_FOR if patient else _RETRY_FOR,
        },
    }
    if scheme in ("http", "https"):
        options["client_options"]["allow_http"] = scheme == "http"
        host, _, path = rest.partition("/")
        return store.HTTPStore.from_url(f"{scheme}://{host}", **options), path.strip("/")
    bucket, _, path = rest.partition("/")
    if scheme == "s3":
        options |= _s3_options()
        options["client_options"]["allow_http"] = str(options.get("endpoint", "")).startswith("http://")
    elif scheme == "gs":
        options |= _gs_options()
    return store.from_url(f"{scheme}://{bucket}", **options), path.strip("/")


@functools.lru_cache(maxsize=1)
def _memory() -> Any:
    from obstore.store import MemoryStore

    return MemoryStore()


def _gs_options() -> dict[str, Any]:
    """Without keys of a service or a person, requests are not signed: public data need none."""
    named = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS")
    person = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    signed = any(os.environ.get(name) for name in named) or person.exists()
    if signed or os.environ.get("GOOGLE_SKIP_SIGNATURE", "true").lower() == "false":
        return {}
    return {"skip_signature": True}


def _s3_options() -> dict[str, Any]:
    """Endpoint, region and keys as Amazon's own tools find them; without keys requests are not signed."""
    found: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        found |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    found["region"] = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    elsewhere = ("AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE")
    if any(os.environ.get(name) for name in elsewhere):
        return found
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()
    profiles = configparser.ConfigParser()
    profiles.read(file)
    profile = os.environ.get("AWS_PROFILE", "default")
    if profiles.has_section(profile):
        given = profiles[profile]
        names = {"access_key_id": "aws_access_key_id", "secret_access_key": "aws_secret_access_key"}
        names["token"] = "aws_session_token"
        return found | {ours: given[theirs] for ours, theirs in names.items() if theirs in given}
    if os.environ.get("AWS_SKIP_SIGNATURE", "true").lower() != "false":
        found["skip_signature"] = True
    return found


@contextmanager
def _store_errors(url: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError, StorageError):
        raise
    except ImportError as error:
        raise StorageError(f"{url}: {error}") from error
    except Exception as error:  # every store has exceptions of its own
        raise StorageError(f"{url}: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    """What a store says, without what its library adds."""
    text = str(error).partition("\n\nDebug source")[0] or type(error).__name__
    said = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    return " ".join((said[1] if said else text).split())
