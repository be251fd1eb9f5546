"""The one way kernels are compiled."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Function = TypeVar("Function", bound=Callable[..., Any])

_PATIENCE = 60.0
"""Seconds that a process waits for what another one compiles, before it does so itself."""
_LOOK = 0.05


def njit(function: Function) -> Function:
    """Compile: no GIL, IEEE arithmetic (no fastmath, so that every block gets the same bytes), cached on disk.

    Of processes that want the same at once, one compiles and the others take it from the cache. Where no cache can be
    written (read-only installation without a home), every process compiles for itself.
    """
    import numba

    compiled: Any
    function.__qualname__ = f"{function.__qualname__}-{_stamp()}"
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
        turn = ExitStack()
        compiled._cache.load_overload = functools.partial(_load, compiled._cache, turn)
        compiled._cache.save_overload = functools.partial(_save, compiled._cache, compiled._cache.save_overload)
        compiled.compile = functools.partial(_compile, compiled.compile, turn)
    except RuntimeError:  # numba: "no locator available"
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    # kernels take arrays and numbers: no types of other packages, for which numba looks through all that are installed
    compiled._compilation_chain_init_hook = _nothing
    return cast("Function", compiled)


def external(name: str, signature: str) -> Any:
    """A function of the C library that kernels call, as ``intp(int32, uintp)``: what it gives, and what it takes."""
    from numba.core import sigutils, types

    takes, gives = sigutils.normalize_signature(signature)
    return types.ExternalFunction(name, gives(*takes))


def _nothing() -> None:
    pass


def _compile(compile_one: Callable[[Any], Any], turn: ExitStack, signature: Any) -> Any:
    """Compile, or take from the cache; whose turn it is ends with it."""
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock, turn:
        return compile_one(signature)


def _load(cache: Any, turn: ExitStack, signature: Any, context: Any) -> Any:
    """Take a kernel from the cache on disk; None where it is not there, and it is our turn to compile it.

    As numba does it, but without importing all that only its compiler needs (0.5 s): that follows when it compiles.
    Processes that compile a kernel for different types at once may give their files one name: what is of other types
    than it was kept for counts as not there.
    """
    from numba.core.runtime import rtsys

    rtsys.initialize(context)  # what machine code calls to allocate

    def look() -> Any:
        with cache._guard_against_spurious_io_errors():
            found = cache._load_overload(signature, context)
            return found if found is not None and found.signature.args == signature else None

    found = look()
    if found is None and turn.enter_context(_alone(cache, str(signature))):
        return look()
    return found


def _save(cache: Any, save_one: Callable[[Any, Any], None], signature: Any, compiled: Any) -> None:
    """Keep what was compiled; two that do so at once would lose one of both from the list of what there is."""
    with _alone(cache, ""):
        save_one(signature, compiled)


@contextmanager
def _alone(cache: Any, what: str) -> Iterator[bool]:
    """Keep other processes from the same part of a cache; gives whether we had to wait for one.

    A byte of a file stands for it, so that nothing is left behind by whoever dies. One that takes too long stops
    nobody, nor does a disk without locks.
    """
    key = hashlib.sha256(f"{cache._impl.filename_base} {what}".encode()).digest()
    byte, waited, until = int.from_bytes(key[:4], "big") >> 2, False, time.monotonic() + _PATIENCE
    file = None
    with suppress(OSError):
        Path(cache.cache_path).mkdir(parents=True, exist_ok=True)
        file = _locks(cache.cache_path)
        while not _is_locked(file, byte):
            waited = True
            if time.monotonic() > until:
                file = None
                break
            time.sleep(_LOOK)
    try:
        yield waited
    finally:
        if file is not None:
            with suppress(OSError):
                _lock_byte(file, byte, free=True)


def _is_locked(file: int, byte: int) -> bool:
    try:
        _lock_byte(file, byte)
    except (BlockingIOError, PermissionError):  # which of them, the system decides
        return False
    return True


@functools.cache
def _locks(folder: str) -> int:
    """File of the locks of a cache, which stays open: who closes one loses all locks that it has on it."""
    return os.open(f"{folder}/compiling.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)


if sys.platform == "win32":
    import msvcrt

    def _lock_byte(file: int, byte: int, *, free: bool = False) -> None:
        os.lseek(file, byte, os.SEEK_SET)  # its library counts bytes with 31 bits
        msvcrt.locking(file, msvcrt.LK_UNLCK if free else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_byte(file: int, byte: int, *, free: bool = False) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN if free else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)


@functools.cache
def _stamp() -> str:
    """Size and time of change of all kernels: numba's cache looks at one file, but kernels call those of others."""
    found = [(path.name, path.stat()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    facts = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in found])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
