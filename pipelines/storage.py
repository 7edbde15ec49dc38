"""Any fsspec URL as a directory: files are read, listed, and put atomically."""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import fsspec
from fsspec.core import split_protocol, url_to_fs

from pipelines.errors import CallerError, WriteError, first_line

LOCAL = (None, "file", "local")


CHAINING = {"zip", "tar", "libarchive", "reference", "dir", "simplecache", "filecache", "blockcache", "cached"}
"""The protocols by which a URL `a::b` is a chain of file systems; of others it is a name with colons."""

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp$")
"""The names of files on a disk that are being written, or were when their process was killed."""

SECRET = re.compile(
    r"[?&][^=&#]*(signature|sig|token|key|credential|password|passwd|secret|auth)[^=&#]*=", re.IGNORECASE
)
"""Parameters of a URL by which it is signed, or carries a token."""


def file_system(url: str, options: Mapping[str, Any]) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL and the path in it. `options` go to remote file systems only.

    Raises CallerError for a URL that holds credentials, or of an unknown kind.
    """
    protocol = split_protocol(url)[0]
    options = options if protocol not in LOCAL else {}
    _check_no_secret(url)
    try:
        if "::" in url and (protocol or url.partition("::")[0]) not in CHAINING:
            files = fsspec.filesystem(protocol or "file", **options)
            return files, str(files._strip_protocol(url))
        return url_to_fs(url, **options)
    except (ValueError, ImportError, TypeError) as error:
        raise CallerError(f"{url!r} cannot be opened: {error}") from error


def _check_no_secret(url: str) -> None:
    """Raises CallerError for a URL, or a chain of them, that holds a password, a token or a signature, and shows none
    of it: URLs are recorded in scan.json and plan.parquet."""
    for part in url.split("::"):
        protocol, separator, rest = part.partition("://")
        if separator and (held := _held(protocol, rest)):
            raise CallerError(f"a {protocol}:// URL holds {held}; give credentials by environment or --storage-options")


def _held(protocol: str, rest: str) -> str:
    """What credentials a URL holds; "" for none. A user alone counts over HTTP only: Azure's containers look so."""
    user, at, _ = rest.split("/")[0].rpartition("@")
    if ":" in user:
        return "a password"
    if protocol not in ("http", "https"):
        return ""
    return "a user or token" if at else "a signature or token" if SECRET.search(rest) else ""


@contextmanager
def storage_errors(what: str, failed: str = "cannot be read", but: type[Exception] = CallerError) -> Iterator[None]:
    """Turns whatever a file system raises into a CallerError: "`what` cannot be read: it does not exist".

    For files that the caller names. A CallerError passes through as it is, and so does what `but` names.
    """
    try:
        yield
    except (CallerError, but):
        raise
    except Exception as error:  # every file system has errors of its own
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else first_line(error)
        raise CallerError(f"{what} {failed}: {reason}") from error


def absolute(url: str) -> str:
    """A local path as workers see it, which may stand in another directory; any other URL as it is."""
    return str(Path(url.removeprefix("file://")).absolute()) if split_protocol(url)[0] in LOCAL else url


class Entry(NamedTuple):
    """A file as its folder lists it: bytes, and when it was written, in seconds by the storage's own clock.

    `written`: None where a file system does not tell.
    """

    size: int
    written: float | None


@dataclass(frozen=True)
class Directory:
    """A directory at a URL. Credentials in `options` stay out of its printed form."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", absolute(self.url))

    @classmethod
    def of_file(cls, url: str, options: Mapping[str, Any]) -> "tuple[Directory, str]":
        """The directory that a file lies in, and the file's name, "" if the URL has none."""
        folder, slash, name = url.rpartition("/")
        return cls(folder or ("/" if slash else "."), options), name

    def _open(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        files, path = file_system(self.url, self.options)
        return files, f"{path.rstrip('/')}/{name}" if name else path

    def folder(self, name: str) -> "Directory":
        """A directory in this one."""
        return Directory(f"{self.url.rstrip('/')}/{name}", self.options)

    def is_at(self, url: str) -> bool:
        """Whether a URL, however it is written, is that of this directory."""
        return absolute(url).rstrip("/") == self.url.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine, or mounted like one."""
        return split_protocol(self.url)[0] in LOCAL

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of this name."""
        files, path = self._open(name)
        return files.exists(path)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError if there is no such file."""
        files, path = self._open(name)
        return bytes(files.cat_file(path))  # pyright: ignore[reportArgumentType]

    def names(self, folder: str = "") -> list[str]:
        """Names of the files directly in a folder, sorted; none if there is no such folder."""
        return sorted(self.entries(folder))

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """The files directly in a folder, by name; none if there is no such folder."""
        files, path = self._open(folder)
        files.invalidate_cache()
        try:
            found = files.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            entry["name"].rsplit("/", 1)[-1]: Entry(int(entry["size"]), _written(entry))
            for entry in found
            if entry["type"] == "file"
        }

    def put(self, name: str, content: bytes) -> None:
        """Writes a whole file so that nobody ever sees a part of it. A second put of the same name replaces it.

        Raises WriteError if it cannot be written.
        """
        if self.is_local:
            with self.writing(name) as file:
                file.write(content)
        else:
            files, path = self._open(name)
            with self._write_errors():
                files.pipe_file(path, content)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to be written piece by piece. It is visible once it is whole; after an error it never is.

        Raises WriteError if it cannot be written.
        """
        with self._write_errors(OSError), self._writing(name) as file:
            yield file

    def take(self, name: str, other: "Directory") -> None:
        """Puts a copy of another directory's file of this name; by the storage itself if both are in one that can.

        Raises WriteError if it cannot be written, FileNotFoundError if there is no such file.
        """
        (files, path), (others, source) = self._open(name), other._open(name)
        if self.is_local or files is not others:  # fsspec has one file system for the same storage and options
            self.put(name, other.read(name))
            return
        if not files.exists(source):
            raise FileNotFoundError(source)
        with self._write_errors():
            files.cp_file(source, path)

    def create(self, name: str, content: bytes) -> bool:
        """Writes a file unless there is one of the name; returns whether it did.

        Of two that try at once one does, where the file system can refuse to replace a file: on disks, S3 and GCS.
        Raises WriteError if it cannot be written.
        """
        files, path = self._open(name)
        with self._write_errors():
            try:
                if self.is_local:
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                    with Path(path).open("xb") as file:
                        file.write(content)
                else:
                    files.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            except Exception:
                if not self.is_local and files.exists(path):  # S3 answers that a precondition has failed
                    return False
                raise
        return True

    @contextmanager
    def _write_errors(self, kind: type[Exception] = Exception) -> Iterator[None]:
        """Turns errors of the kind into WriteError: every file system has some of its own."""
        try:
            yield
        except kind as error:
            raise WriteError(f"{self.url!r} cannot be written to: {first_line(error)}") from error

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        files, path = self._open(name)
        if not self.is_local:
            file: Any = files.open(path, "wb", autocommit=False)
            try:
                yield file
                file.close()
                file.commit()
            except BaseException:
                file.discard()
                raise
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with beside.open("wb") as local:
                yield local
                local.flush()
                os.fsync(local.fileno())
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)

    def remove(self, name: str) -> None:
        """Removes a file, or a folder and all in it, if it is there."""
        files, path = self._open(name)
        with contextlib.suppress(FileNotFoundError):
            files.rm(path, recursive=True)

    def remove_files(self, names: Sequence[str]) -> None:
        """Removes these files, and the local folders that are then empty."""
        if not names:
            return
        files, root = self._open("")
        paths = [f"{root.rstrip('/')}/{name}" for name in names]
        files.rm(paths)
        for folder in {path.rpartition("/")[0] for path in paths} - {root} if self.is_local else ():
            with contextlib.suppress(OSError):  # not empty
                Path(folder).rmdir()

    def remove_unfinished(self, folder: str = "") -> None:
        """Removes what processes that were killed while they wrote have left directly in a folder, on a disk."""
        if self.is_local:
            self.remove_files([f"{folder}/{name}".lstrip("/") for name in self.names(folder) if UNFINISHED.match(name)])

    def check_writable(self, option: str) -> None:
        """Raises CallerError, naming the option, if nothing can be written here."""
        probe = f".write-check-{uuid.uuid4().hex[:8]}"
        try:
            self.put(probe, b"")
            self.remove(probe)
        except WriteError as error:
            raise CallerError(f"{option} {error}") from error


def _written(entry: Mapping[str, Any]) -> float | None:
    """When a listed file was written, as the file systems of fsspec tell: seconds, or a time under one of its names."""
    found = next(
        (entry[name] for name in ("mtime", "LastModified", "last_modified", "updated", "created") if name in entry),
        None,
    )
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    return found.timestamp() if isinstance(found, datetime) else found


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
