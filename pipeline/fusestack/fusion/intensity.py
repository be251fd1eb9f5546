"""Correction of the intensities of views: the project's linear models, or coefficient maps."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.config.models import IntensityAdjustment
    from fusestack.model.view import View, ViewId


@dataclass(frozen=True)
class LinearModel:
    """``I' = factor * I + offset`` for a whole view."""

    factor: float
    offset: float

    def facts(self) -> list[float]:
        """What a result depends on."""
        return [self.factor, self.offset]

    def read(self) -> NDArray[np.float64]:
        """Coefficients of a grid of one cell, ``[2, 1, 1, 1]``."""
        return np.array([self.factor, self.offset]).reshape(2, 1, 1, 1)


@dataclass(frozen=True)
class CoefficientMap:
    """Coefficients of a view on a coarse grid, in a container of N5, Zarr or HDF5."""

    container: str
    view: ViewId
    group: str
    dataset: str

    def facts(self) -> list[str]:
        """What a result depends on, besides the identity of the container."""
        return [PurePath(self.container).name, str(self.view), self.group, self.dataset]

    def read(self) -> NDArray[np.float64]:
        """Coefficients ``[2, mz, my, mx]``.

        Raises
        ------
        InputError
            If the container has no map for the view, or it cannot be read.
        """
        return _read(self)


Adjustment: TypeAlias = LinearModel | CoefficientMap


@functools.lru_cache(maxsize=1024)
def _read(found: CoefficientMap) -> NDArray[np.float64]:
    timepoint, setup = found.view
    from fusestack.sources.coefficients import read_coefficients

    return read_coefficients(found.container, setup, timepoint, found.group, found.dataset)


def adjustments_of(
    views: Sequence[View],
    models: Mapping[ViewId, tuple[float, float]],
    options: IntensityAdjustment | None,
    warnings: list[str],
) -> dict[ViewId, Adjustment]:
    """Correction of every view; empty where none is wanted.

    Parameters
    ----------
    views : sequence of View
    models : mapping of ViewId to (float, float)
        Linear models of the project.
    options : IntensityAdjustment or None
        With the absolute path of the coefficients.
    warnings : list of str
        Is added to.

    Raises
    ------
    ConfigError
        If the project has no model for any of the views.
    InputError
        If a coefficient map is missing or damaged.
    """
    if options is None:
        return {}
    if options.coefficients is not None:
        maps = {v.id: CoefficientMap(options.coefficients, v.id, options.group, options.dataset) for v in views}
        for found in maps.values():
            found.read()
        return dict(maps)
    known = [view.id for view in views if view.id in models]
    if not known:
        raise ConfigError(
            "fusion.intensity_adjustment: the project has no intensity adjustments for the selected views; "
            "use false, or give coefficients: PATH"
        )
    if len(known) < len(views):
        missing = next(view.id for view in views if view.id not in models)
        warnings.append(
            f"{len(views) - len(known)} of {len(views)} views have no intensity adjustment in the project "
            f"(first: {missing}); they are used as they are"
        )
    return {view.id: LinearModel(*models.get(view.id, (1.0, 0.0))) for view in views}
