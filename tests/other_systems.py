"""Python as it is on Windows, simulated on Linux: what a module finds there, and what it does not find.

What it lacks is hidden; of ``msvcrt`` there is a stand-in, whose locks are those that Linux has for open files: they
exclude one another as those of Windows do, also within a process.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import pkgutil
import shutil
import struct
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "crypt", "syslog", "readline")
_FUNCTIONS = (
    *("sched_getaffinity", "sched_setaffinity", "sysconf", "fork", "forkpty", "killpg", "setsid"),
    *("getuid", "geteuid", "getgid", "getegid", "getpgid", "getpgrp", "setpgid", "uname", "nice", "chown"),
    *("O_NOFOLLOW", "O_CLOEXEC", "O_DIRECTORY", "O_NONBLOCK", "posix_fadvise", "pread", "pwrite", "mkfifo"),
    *("wait", "WNOHANG", "getloadavg", "confstr", "fchmod", "fchown", "openpty", "memfd_create", "O_SYNC"),
)
_SIGNALS = ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGALRM")


def msvcrt() -> types.ModuleType:
    """A module whose ``locking`` is as that of Windows: at the place of the file, and for its handle alone."""
    module = types.ModuleType("msvcrt")
    module.LK_UNLCK, module.LK_LOCK, module.LK_NBLCK = 0, 1, 2  # type: ignore[attr-defined]

    def locking(file: int, mode: int, count: int) -> None:
        place = os.lseek(file, 0, os.SEEK_CUR)
        if place >= 2**31:
            raise OSError(22, "the C library of Windows counts with 32 bits")
        kind = fcntl.F_UNLCK if mode == 0 else fcntl.F_WRLCK
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, place, count, 0))
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    module.locking = locking  # type: ignore[attr-defined]
    return module


def load_everything() -> list[str]:
    """Import all modules of the package; their names."""
    import fusestack

    names = [one.name for one in pkgutil.walk_packages(fusestack.__path__, "fusestack.")]
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    return names


def pretend_windows() -> None:
    """From now on modules of ours see Windows; libraries stay as they were loaded."""
    import signal

    load_everything()  # and with them the libraries, which are not what is tried here
    for name in [name for name in sys.modules if name.partition(".")[0] == "fusestack"]:
        del sys.modules[name]
    sys.modules["msvcrt"] = msvcrt()
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, lacks in ((os, _FUNCTIONS), (signal, _SIGNALS)):
        for name in lacks:
            if hasattr(module, name):
                delattr(module, name)
    sys.platform = "win32"


def open_files() -> set[str]:
    """Files that this process has open or mapped."""
    found = set()
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(number.readlink()))
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    found |= {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}
    return found


def refuse_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no file that this process has open is deleted, renamed or replaced, nor a folder that holds one."""

    def refusing(function: Callable[..., None]) -> Callable[..., None]:
        def refused(*places: Any, **options: Any) -> None:
            if not any(isinstance(place, int) for place in places) and options.get("dir_fd") is None:
                there = open_files()
                for place in map(os.path.abspath, map(os.fspath, places)):
                    if used := [name for name in there if name == place or name.startswith(f"{place}/")]:
                        raise PermissionError(13, f"this process has {used[0]} open: {function.__name__}")
            function(*places, **options)

        return refused

    for name in ("unlink", "remove", "rename", "replace"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    # as on Windows: no descriptors of folders
    monkeypatch.setattr(shutil, "_use_fd_functions", False)
