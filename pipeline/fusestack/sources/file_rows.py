"""Rows of a region are read from a file by one call: a thousand calls from Python would take four times as long.

It asks the system as `os.pread` does, and other threads go on meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusestack.kernels.jit import external, njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_pread = external("pread", "intp(int32, uintp, uintp, int64)")


def read_rows(file: int, start: int, step: int, out: NDArray[Any]) -> int:
    """Read as many rows as there are whole ones in the file; how many that are.

    Parameters
    ----------
    file : int
        Descriptor of an open file.
    start, step : int
        First byte of the first row, and bytes from there to that of the next one.
    out : array[y, ...]
        In one piece.

    Returns
    -------
    int
        Fewer than the rows of `out` where a row is cut, or the system refuses to read it.
    """
    return int(_read_rows(file, start, step, out.__array_interface__["data"][0], len(out), out[:1].nbytes))


@njit
def _read_rows(file: Any, start: Any, step: Any, address: Any, rows: Any, size: Any) -> Any:
    for y in range(rows):
        if _pread(file, address + y * size, size, start + y * step) != size:
            return y
    return rows
