"""Focus stacks with known truth: what macro photographs are hard to stack for, a scene each.

Layers are seen through a lens far first: each is blurred by its distance from the plane in focus, and covers what lies
behind it by its blurred opacity. So a sharp hair covers blurred ground, and a blurred hair veils sharp ground.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Plane = NDArray[np.float64]
    Picture = NDArray[np.float64]

_LENS = 0.35
"""Blur of what is in focus, pixels."""


@dataclass(frozen=True)
class MacroStack:
    """Slices of a scene, and what is true of it.

    Parameters
    ----------
    slices : float32[k, y, x, 3]
        0..1, the first one is focused nearest.
    truth : float32[y, x, 3]
        Everything in focus, without noise.
    depth : float32[y, x]
        Slice in which the nearest opaque layer is in focus; NaN where nothing has detail in any.
    """

    slices: NDArray[np.float32]
    truth: NDArray[np.float32]
    depth: NDArray[np.float32]


@dataclass(frozen=True)
class _Layer:
    depth: float
    colour: Picture
    opacity: Plane


def _blurred(planes: NDArray[Any], sigma: float | tuple[float, ...]) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(planes, sigma, mode="nearest"))


class _Scene:
    """What scenes are made of: a size, a random generator, textures, and the lens."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.y, self.x = np.mgrid[:size, :size].astype(float)

    def texture(self, contrast: float, level: float = 0.45, finest: float = 1.0) -> Picture:
        """Grain of four scales, alike but not the same in all colours."""

        def grain() -> Plane:
            noise = (self.rng.standard_normal((self.size, self.size)) for _ in range(4))
            scales = (_blurred(one, finest * 2**k) for k, one in enumerate(noise))
            return np.asarray(sum(one / one.std() for one in scales) / 4)

        common = grain()
        return np.clip(level + contrast * np.stack([0.8 * common + 0.35 * grain() for _ in range(3)], axis=-1), 0, 1)

    def surface(self, height: Plane, colour: Picture, count: int) -> list[_Layer]:
        """A height as layers, far first; each covers all pixels that are nearer, so that there are no gaps."""
        edges = np.linspace(height.min(), height.max() + 1e-9, 4 * count + 1)
        pairs = list(itertools.pairwise(edges))
        return [_Layer((a + b) / 2, colour, (height < b).astype(float)) for a, b in reversed(pairs)]

    def line(self, width: float) -> Plane:
        """Opacity of a hair somewhere, bent a little."""
        x0, y0 = self.rng.uniform(0, self.size, 2)
        angle, bend = self.rng.uniform(0, np.pi), self.rng.uniform(-0.003, 0.003)
        along = (self.x - x0) * np.cos(angle) + (self.y - y0) * np.sin(angle)
        across = (self.y - y0) * np.cos(angle) - (self.x - x0) * np.sin(angle) + bend * along**2
        length = self.rng.uniform(0.2, 0.6) * self.size
        return np.asarray(np.clip(width + 0.5 - np.abs(across), 0, 1) * (np.abs(along) < length))


def _seen(layers: list[_Layer], blur: Callable[[float], float]) -> Picture:
    size = layers[0].opacity.shape
    found = np.zeros((*size, 3))
    for layer in layers:
        sigma = float(np.hypot(_LENS, blur(layer.depth)))
        opacity = _blurred(layer.opacity, sigma)[..., None]
        colour = _blurred(layer.colour * layer.opacity[..., None], (sigma, sigma, 0))
        found = found * (1 - opacity) + colour
    return np.clip(found, 0, 1)


def _relief(scene: _Scene, contrast: float = 0.17) -> tuple[list[_Layer], Plane]:
    y, x = scene.y / scene.size, scene.x / scene.size
    height = 8 * (0.15 + 0.6 * x + 0.25 * np.sin(6 * y) * x)
    height = np.clip(np.where(np.hypot(x - 0.35, y - 0.5) < 0.16, 0.2 * height + 0.2, height), 0, 8)
    return scene.surface(height, scene.texture(contrast), 9), height


def _hairs(scene: _Scene, *, bright: bool) -> tuple[list[_Layer], Plane]:
    ground = scene.texture(0.02 if bright else 0.12, 0.4 if bright else 0.5, 12 if bright else 1)
    depth = np.full((scene.size, scene.size), 8.0)
    layers = [_Layer(8.0, ground, np.ones_like(depth))]
    for near in sorted(scene.rng.uniform(0, 5, max(6, scene.size // 16)), reverse=True):
        opacity = scene.line(scene.rng.uniform(0.6, 2.2))
        shade = scene.rng.uniform(0.75, 0.95) if bright else scene.rng.uniform(0.02, 0.25)
        layers.append(_Layer(near, np.full((scene.size, scene.size, 3), shade), opacity))
        depth = np.where(opacity > 0.5, near, depth)
    return layers, depth


def _highlights(scene: _Scene) -> tuple[list[_Layer], Plane]:
    y, x = scene.y / scene.size - 0.5, scene.x / scene.size - 0.5
    inside = np.hypot(x, y) < 0.4
    height = np.where(inside, 7 * (1 - np.sqrt(np.clip(0.4**2 - x**2 - y**2, 0, None)) / 0.4) + 0.5, 7.5)
    colour = scene.texture(0.1, 0.3) * (0.5, 0.8, 0.6)
    for at in scene.rng.uniform(-0.25, 0.25, (scene.size // 6, 2)):
        colour[np.hypot(y - at[0], x - at[1]) < scene.rng.uniform(0.002, 0.008)] = 6
    dome = [_Layer(one.depth, colour, one.opacity * inside) for one in scene.surface(height, colour, 9)]
    ground = np.full((scene.size, scene.size, 3), 0.08)
    return [_Layer(14.0, ground, np.ones_like(height)), *dome], np.where(inside, height, np.nan)


def _steps(scene: _Scene) -> tuple[list[_Layer], Plane]:
    depth = np.full((scene.size, scene.size), 7.0)
    depth[:, scene.size // 2 :] = 4
    depth[scene.size // 4 : scene.size // 2, scene.size // 8 : scene.size * 3 // 4] = 2
    layers = [_Layer(7.0, scene.texture(0.17), np.ones_like(depth))]
    right = (scene.x >= scene.size // 2).astype(float)
    layers += [_Layer(4.0, scene.texture(0.17), right), _Layer(2.0, scene.texture(0.17), (depth == 2).astype(float))]
    return layers, depth


SCENES = {
    "relief": "a textured slope with a step",
    "hairs": "dark hairs over a textured ground",
    "bristles": "bright bristles over a smooth ground",
    "highlights": "a dome with small white highlights",
    "steps": "flat steps with straight edges",
    "weak": "little texture, much noise",
    "flicker": "a slope, each slice a little brighter or darker",
    "dropped": "a slope, one slice black",
}
"""Names of the scenes, and what they show."""


def simulate_macro(name: str, *, size: int = 320, seed: int = 0) -> MacroStack:
    """Simulate a focus stack of nine slices.

    Parameters
    ----------
    name : str
        One of `SCENES`.
    size : int
        Rows and columns.
    seed : int

    Raises
    ------
    KeyError
        If there is no such scene.

    Examples
    --------
    >>> simulate_macro("hairs", size=64).slices.shape
    (9, 64, 64, 3)
    """
    makers: dict[str, Callable[[_Scene], tuple[list[_Layer], Plane]]] = {
        "relief": _relief,
        "hairs": lambda scene: _hairs(scene, bright=False),
        "bristles": lambda scene: _hairs(scene, bright=True),
        "highlights": _highlights,
        "steps": _steps,
        "weak": lambda scene: _relief(scene, 0.03),
        "flicker": _relief,
        "dropped": _relief,
    }
    scene = _Scene(size, seed)
    layers, depth = makers[name](scene)
    slices = np.stack([_seen(layers, lambda depth, k=k: 1.1 * abs(depth - k)) for k in range(9)])  # type: ignore[misc]
    if name == "flicker":
        slices *= scene.rng.uniform(0.92, 1.08, (9, 1, 1, 1))
    if name == "dropped":
        slices[4] = 0
    slices = np.clip(slices + 0.01 * scene.rng.standard_normal(slices.shape), 0, 1)
    truth = _seen(layers, lambda depth: 0.0)
    return MacroStack(slices.astype(np.float32), truth.astype(np.float32), depth.astype(np.float32))


def best_choice(stack: MacroStack) -> NDArray[np.float32]:
    """At each pixel the slice that is nearest to the truth around it, float32[y, x, 3].

    No program knows it; one that takes one slice at each pixel comes no closer.
    """
    error = ((stack.slices - stack.truth) ** 2).sum(axis=-1)
    nearest = np.argmin([_blurred(one, 1.5) for one in error], axis=0)
    found: NDArray[np.float32] = np.take_along_axis(stack.slices, nearest[None, ..., None], axis=0)[0]
    return found
