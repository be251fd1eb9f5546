"""One run at a time on an output."""

from __future__ import annotations

import fcntl
import os
import platform
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def output_lock(path: Path, output: str) -> Iterator[None]:
    """Hold the lock of an output; it is released when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Lock file; stays behind, its presence means nothing.
    output : str
        What is locked, for the message.

    Raises
    ------
    OutputError
        If another run holds it; names the machine and the process.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(
            f"{output}: cannot write beside it: {error.strerror or error} ({path.parent}); "
            "choose another output.path or mend the permissions"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = Path(path).read_text(errors="replace").strip() or "another process"
            raise OutputError(
                f"{output}: another run is writing it ({holder}); wait for it to end or stop it, "
                "'fusestack status' shows how far it is"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a run holds the lock, as far as this machine can see."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
