"""What sources have in common that change what another one gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusestack.sources.base import files_of, open_source

if TYPE_CHECKING:
    import numpy as np

    from fusestack.model.geometry import Box
    from fusestack.model.view import SourceRef
    from fusestack.sources.base import SourceLevel


class WrappedSource:
    """Another source, as it is; who inherits from it reads, and says what else is different.

    Parameters
    ----------
    path : str
        Of the source that is wrapped, for messages.
    source : SourceRef
        The source that is wrapped.

    Raises
    ------
    InputError
        If it cannot be opened.
    """

    def __init__(self, path: str, source: SourceRef) -> None:
        self._path = path
        self._source = open_source(source)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        return self._source.dtype

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        return self._source.levels

    @property
    def files(self) -> tuple[str, ...]:
        """Members of the set that it is a part of."""
        return files_of(self._source)

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored; None if nothing of the level is.

        Raises
        ------
        InputError
            If that cannot be told.
        """
        return self._source.stored_chunk(level)
