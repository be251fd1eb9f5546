"""Functions of the user's that mix views: what they get, what becomes of what they give; blocks do not matter."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import scipy.ndimage
from numpy.typing import NDArray

import fusestack
from fusestack.fusion.own import FuseOwn
from fusestack.model.errors import BlockError, ConfigError, OutputError
from fusestack.model.function import Function
from fusestack.model.geometry import Box
from tests.focus.test_declarations import made
from tests.fusion.test_compute import PYTHON_BYTES, overlapping, peak_of
from tests.small import config, tree

Views = NDArray[np.float32]


def ones(views: Views, masks: Views) -> Views:
    return np.ones_like(views)


def weighted_mean(views: Views, masks: Views) -> Views:
    total = masks.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(masks > 0, masks * views, np.float32(0)).sum(axis=0) / total


def greatest(views: Views, masks: Views) -> Views:
    return np.fmax.reduce(views)


def weighted_median(views: Views, masks: Views) -> Views:
    order = np.argsort(views, axis=0)
    values, heavy = np.take_along_axis(views, order, 0), np.take_along_axis(masks, order, 0)
    half = np.cumsum(heavy, axis=0) >= heavy.sum(axis=0) / 2
    return np.take_along_axis(values, np.argmax(half, axis=0)[None], 0)[0]


def variance(views: Views, masks: Views, radius: int = 2) -> Views:
    """Local variance: how much a view tells. Zero where a view has nothing, so the edge of a view is as a window's."""
    values = np.where(masks > 0, views, 0)
    line = np.full(2 * radius + 1, 1 / (2 * radius + 1), np.float32)
    mean, square = values, values**2
    for axis in (1, 2, 3):  # a line at a time: 15 products for a pixel, not 125
        mean = scipy.ndimage.correlate1d(mean, line, axis, mode="nearest")
        square = scipy.ndimage.correlate1d(square, line, axis, mode="nearest")
    return np.abs(square - mean**2)


def blurred_maximum(views: Views, masks: Views) -> Views:
    kernel = np.full((3, 3, 5), 1 / 45, np.float32)
    return scipy.ndimage.correlate(np.fmax.reduce(np.where(masks > 0, views, 0)), kernel, mode="nearest")


blurred_maximum.depth = {"z": 1, "y": 1, "x": 2}  # type: ignore[attr-defined]
VARIANCE = {"function": variance, "depth": 2, "options": {"radius": 2}}
BLURRED = {"function": blurred_maximum}
OWN: dict[str, dict[str, Any]] = {
    "maximum": {"method": greatest},
    "median": {"method": weighted_median},
    "variance": {"weights": VARIANCE},
    "blurred": {"method": BLURRED},
    "both": {"method": BLURRED, "weights": VARIANCE},
    "both, by content": {"method": weighted_mean, "weights": VARIANCE, "content_based": {"sigma1": 3, "sigma2": 6}},
}


def fused(settings: dict[str, Any], **fusion: Any) -> NDArray[Any]:
    """Stored pixels of an image."""
    settings = {**settings, "fusion": fusion}
    fusestack.run(settings)
    image = fusestack.plan(settings).images[0]
    return image.target.open().read(0, Box.of_shape(image.target.image.shape))


def design(settings: dict[str, Any], **fusion: Any) -> FuseOwn:
    compute = fusestack.plan({**settings, "fusion": fusion}).images[0].stages[0].compute
    assert isinstance(compute, FuseOwn)
    return compute


def whole(compute: Any) -> NDArray[Any]:
    frame = next(iter(compute.tables.values())).frame
    found = compute(Box.of_shape((1, 1, *frame.shape)))
    assert found is not None
    return found  # type: ignore[no-any-return]


PLAIN = [
    *itertools.product(["uint8", "uint16", "uint32", "float32"], [{}]),
    ("uint16", {"blending": False}),
    ("uint16", {"blending": {"range": 9, "border": 3}}),
    ("uint16", {"numerics": "bigstitcher"}),
    ("uint16", {"numerics": "bigstitcher", "blending": {"range": 9, "border": 3}, "interpolation": "nearest"}),
    ("uint16", {"interpolation": "nearest", "downsampling": 1.3}),
    ("uint16", {"content_based": {"sigma1": 3, "sigma2": 6}}),
    ("uint16", {"content_based": {"sigma1": 3, "sigma2": 6}, "numerics": "bigstitcher"}),
    ("uint16", {"dtype": "uint8", "intensity_range": [20, 300], "rounding": "down", "background": 7}),
    ("uint16", {"dtype": "float32", "background": float("nan")}),
]


@pytest.mark.parametrize(("dtype", "fusion"), PLAIN)
def test_weights_of_one_change_no_byte(dtype: str, fusion: dict[str, Any], tmp_path: Path) -> None:
    settings = config(tmp_path, dtype)
    plain = fusestack.plan({**settings, "fusion": fusion}).images[0].stages[0].compute
    if plain.content is not None:  # type: ignore[attr-defined]
        fusestack.run({**settings, "fusion": fusion})  # makes the nodes
    found = whole(design(settings, **fusion, weights=ones))
    assert found.tobytes() == whole(plain).tobytes()
    if dtype != "uint8":
        assert len(np.unique(found)) > 50


@pytest.mark.parametrize("fusion", [{}, {"numerics": "bigstitcher"}, {"content_based": {"sigma1": 3, "sigma2": 6}}])
def test_a_mean_of_ones_own_is_the_average(fusion: dict[str, Any], tmp_path: Path) -> None:
    options = {**fusion, "dtype": "float32", "background": float("nan")}
    mine = fused(config(tmp_path), **options, method=weighted_mean)
    plain = fused(config(tmp_path, overwrite=True), **options)
    np.testing.assert_allclose(mine, plain, rtol=1e-4)
    assert np.isnan(mine).any()
    assert not np.isnan(mine).all()


def test_the_maximum_is_the_maximum(tmp_path: Path) -> None:
    settings = config(tmp_path, "float32")
    plain = fusestack.plan({**settings, "fusion": {"method": "max"}}).images[0].stages[0].compute
    assert whole(design(settings, method=greatest)).tobytes() == whole(plain).tobytes()


@pytest.mark.parametrize("name", OWN)
def test_blocks_do_not_matter(name: str, tmp_path: Path) -> None:
    settings = config(tmp_path)
    found = {}
    for number, (chunks, shards) in enumerate([(8, 16), ({"x": 7, "y": 5, "z": 3}, {"x": 21, "y": 35, "z": 9})]):
        settings["output"] |= {"chunks": chunks, "shards": shards, "path": str(tmp_path / f"{number}.ome.zarr")}
        found[number] = fused(settings, **OWN[name])
    lazy = fusestack.fuse(views_of(settings), **OWN[name])
    assert found[0].tobytes() == found[1].tobytes() == np.asarray(lazy).tobytes()
    compute = design(settings, **OWN[name])
    box = Box((0, 0, 3, 5, 20), (1, 1, 4, 6, 61))
    assert compute(box).tobytes() == found[0][box.slices].tobytes()  # type: ignore[union-attr]
    parts = whole(replace(compute, part_bytes=1))
    assert parts.tobytes() == found[0].tobytes()
    assert len(np.unique(found[0])) > 50


def views_of(settings: dict[str, Any]) -> Any:
    return fusestack.plan(settings).inputs.views  # type: ignore[union-attr]


def test_a_depth_that_is_too_small_would_show(tmp_path: Path) -> None:
    compute = design(config(tmp_path), method={**BLURRED, "depth": 0})
    box = Box((0, 0, 3, 5, 20), (1, 1, 4, 6, 61))
    assert compute(box).tobytes() != whole(compute)[box.slices].tobytes()  # type: ignore[union-attr]


def test_what_is_given(tmp_path: Path) -> None:
    seen: list[tuple[Views, Views]] = []

    def look(views: Views, masks: Views) -> Views:
        seen.append((views, masks))
        return np.full(views.shape[1:], 5, np.float32)

    compute = design(config(tmp_path, "float32"), method=Function(look, "tests:look"), background=-1, blending=False)
    found = whole(compute)[0, 0]
    ((views, masks),) = seen
    assert views.dtype == masks.dtype == np.float32
    assert views.shape == masks.shape == (3, *found.shape)
    assert (np.isnan(views) == (masks == 0)).all()
    assert ((masks == 0) | (masks == 1)).mean() > 0.9  # else shares, less than a pixel beyond the views
    assert masks.max() == 1
    covered = (masks > 0).any(axis=0)
    assert np.isnan(views[:, covered]).any()
    assert (found[covered] == 5).all()
    assert (found[~covered] == -1).all()
    assert (~covered).any()
    with pytest.raises(ValueError, match="read-only"):
        views[0, 0, 0, 0] = 3
    compute = design(config(tmp_path), method=Function(look, "tests:look"))
    whole(compute)
    edge = seen[-1][1]
    assert 0 < edge[edge > 0].min() < 1e-3
    assert np.quantile(edge[edge > 0], 0.9) < 0.5  # 24 planes fade over 40


def test_no_number_is_background_and_no_weight_is_none(tmp_path: Path) -> None:
    def holes(views: Views, masks: Views) -> Views:
        found = np.fmax.reduce(views)
        found[:, ::2] = np.nan
        return found

    settings = config(tmp_path)
    found = whole(design(settings, method=Function(holes, "tests:holes"), background=3))
    assert (found[0, 0, :, ::2] == 3).all()
    assert (found[0, 0, 5, 5, 5:20] != 3).mean() > 0.9

    def first(views: Views, masks: Views) -> Views:
        found = np.full(views.shape, np.nan, np.float32)
        found[0] = 1
        return found

    plain = fusestack.plan({**settings, "fusion": {"method": "lowest_view"}}).images[0].stages[0].compute
    part = (0, 0, slice(2, 20), slice(5, 35), slice(35, 45))
    mine = whole(design(settings, weights=Function(first, "tests:first"), blending=False))[part]
    assert mine.tobytes() == whole(plain)[part].tobytes()


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("method", lambda v: v, r"fusion\.method: .*bad gives float32\[3, .*must give float32\[z, y, x\], here \["),
        ("weights", lambda v: v[0], r"fusion\.weights: .*bad gives float32\[.*must give float32\[view, z, y, x\]"),
        ("method", lambda v: v[0].astype(complex), r"bad gives complex128\["),
        ("method", lambda v: 1 // 0, r"tests:bad raises ZeroDivisionError: integer division"),
        ("method", lambda v: v.fill(0), r"raises ValueError: .*views and masks are read-only: copy them first"),
        ("method", lambda v: None, r"bad gives NoneType; it must give"),
        ("weights", lambda v: np.full_like(v, -1), r"bad gives weights from -1 .*not negative"),
        ("weights", lambda v: np.full_like(v, np.inf), r"bad gives weights from .* to inf; they must be finite"),
    ],
)
def test_wrong_results_name_function_and_way_out(key: str, given: Any, said: str, tmp_path: Path) -> None:
    def bad(views: Views, masks: Views) -> Any:
        return given(views)

    compute = design(config(tmp_path), **{key: Function(bad, "tests:bad")})
    with pytest.raises(BlockError, match=said):
        whole(compute)


def test_an_exception_is_a_failed_block_with_its_traceback(tmp_path: Path) -> None:
    def stumbling(views: Views, masks: Views) -> Views:
        raise KeyError("not today")

    settings = {**config(tmp_path), "fusion": {"method": stumbling}, "execution": {"retries": 0}}
    with pytest.raises(BlockError, match="not today") as caught:
        fusestack.run(settings)
    assert "in stumbling" in caught.value.tracebacks[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "float32"])
@pytest.mark.parametrize("name", OWN)
def test_a_block_takes_no_more_memory_than_it_says(dtype: str, name: str, tmp_path: Path) -> None:
    image = fusestack.plan(overlapping(tmp_path, dtype, {**OWN[name], "dtype": "float32"})).images[0]
    for stage in image.preparation:  # no run: nothing else of it is read here
        list(made(stage))
    fuse = image.stages[0]
    fuse.target.open().create()
    fuse.compute.warm_up()
    peaks = [peak_of(fuse, fuse.grid.box(number)) for number in range(fuse.grid.count)]
    assert max(peaks) <= fuse.peak_bytes + PYTHON_BYTES
    assert max(peaks) > fuse.peak_bytes / 6
    small = replace(fuse.compute, part_bytes=2**22, kept_bytes=2**17)
    part = replace(fuse, compute=small, peak_bytes=small.peak_bytes(fuse.grid.block))
    assert part.peak_bytes < fuse.peak_bytes
    assert peak_of(part, fuse.grid.box(0)) <= part.peak_bytes + PYTHON_BYTES


MODULE = '''
import numpy as np

def blend(views, masks, power=1):
    """Mine."""
    return np.fmax.reduce(views) * np.float32({factor})

blend.depth = 3
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module on the path that can be written anew."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it tells files apart by whole seconds and their size
    (tmp_path / "code").mkdir()

    def write(factor: int) -> None:
        (tmp_path / "code" / "my_fusion.py").write_text(MODULE.format(factor=factor))
        sys.modules.pop("my_fusion", None)
        importlib.invalidate_caches()

    write(1)
    yield write
    sys.modules.pop("my_fusion", None)


def test_an_edited_function_runs_again_and_says_why(module: Any, tmp_path: Path) -> None:
    settings = {**config(tmp_path, "float32"), "fusion": {"method": "my_fusion:blend"}}
    fusestack.run(settings)
    assert fusestack.run(settings).reused_all
    before = fusestack.plan(settings).images[0]
    assert before.components["fusion"]["method"]["depth"] == {"x": 3, "y": 3, "z": 3}
    module(20)
    with pytest.raises(OutputError, match=r"fusion\.method\.source: \w+ -> \w+"):
        fusestack.run(settings)
    report = fusestack.run(settings, ["output.overwrite=true"])
    assert not report.reused_all
    record = json.loads(Path(f"{settings['output']['path']}.run.json").read_text())
    assert record["config"]["fusion"]["method"] == {
        "function": "my_fusion:blend",
        "depth": {"x": 3, "y": 3, "z": 3},
        "options": {},
    }
    again = {**record["config"], "output": settings["output"]}
    assert fusestack.plan(again).images[0].fingerprint == fusestack.plan(settings).images[0].fingerprint
    with pytest.raises(OutputError, match=r"fusion\.method: my_fusion:blend -> average"):
        fusestack.run({**settings, "fusion": {}})


def test_depth_and_options_are_facts_and_places_are_not(tmp_path: Path) -> None:
    settings = config(tmp_path)

    def fingerprint(**fusion: Any) -> str:
        return fusestack.plan({**settings, "fusion": fusion}).images[0].stages[0].fingerprint

    found = [
        fingerprint(),
        fingerprint(weights=variance),
        fingerprint(weights=VARIANCE),
        fingerprint(weights={**VARIANCE, "depth": 3}),
        fingerprint(weights={**VARIANCE, "options": {"radius": 1}}),
        fingerprint(method=greatest),
        fingerprint(method=weighted_median),
        fingerprint(method=greatest, weights=ones),
    ]
    assert len(set(found)) == len(found)
    assert fingerprint(method=greatest) == fingerprint(method="tests.fusion.test_own:greatest")


def enclosing(factor: float) -> Any:
    def inner(views: Views, masks: Views) -> Views:
        return np.fmax.reduce(views) * np.float32(factor)

    return inner


class Callable:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, views: Views, masks: Views) -> Views:
        return np.fmax.reduce(views) * np.float32(self.factor)


def test_what_a_function_holds_is_part_of_it() -> None:
    def recursive(views: Views, masks: Views) -> Views:
        return recursive(views, masks)

    lambdas = [lambda v, m: v[0], lambda v, m: m[0]]
    cases = [
        *(enclosing(factor) for factor in (1, 2)),
        *(Callable(factor) for factor in (1, 2)),
        *(partial(variance, radius=radius) for radius in (1, 2)),
        Callable(1).__call__,
        *lambdas,
        recursive,
        np.fmax.reduce,
        greatest,
    ]
    sources = [Function.of(case).source for case in cases]
    assert len(set(sources)) == len(sources)
    assert [Function.of(case).source for case in (enclosing(1), Callable(1), partial(variance, radius=1))] == [
        sources[i] for i in (0, 2, 4)
    ]


def test_functions_travel() -> None:
    views = np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4)
    for call in (greatest, enclosing(3), Callable(2), partial(variance, radius=1), lambda v, m: v[0]):
        sent = Function.of(call)
        found = pickle.loads(pickle.dumps(sent))
        assert found.name == sent.name
        assert found(views, views).tobytes() == call(views, views).tobytes()  # type: ignore[operator]
    assert b"fmax" not in pickle.dumps(Function.of(greatest))  # by name
    assert cloudpickle.loads(cloudpickle.dumps(Function.of(greatest))).call is greatest


def test_a_worker_with_another_version_says_so(module: Any) -> None:
    sent = pickle.dumps(Function.of("my_fusion:blend"))
    module(2)
    with pytest.raises(ConfigError, match="my_fusion:blend: this worker has another version"):
        pickle.loads(sent)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_schedulers_agree(scheduler: str, tmp_path: Path) -> None:
    settings = {**config(tmp_path), "execution": {"scheduler": scheduler, "workers": 2}}
    found = fused(settings, method=enclosing(0.5), weights=lambda views, masks: masks)
    plain = config(tmp_path, path=str(tmp_path / "plain.ome.zarr"))
    assert tree(tmp_path / "fused.ome.zarr")
    assert found.tobytes() == fused(plain, method=enclosing(0.5), weights=ones).tobytes()


def test_other_numbers_become_float32(tmp_path: Path) -> None:
    single, double = (
        whole(design(config(tmp_path), method=lambda views, masks, kind=kind: np.fmax.reduce(views).astype(kind)))
        for kind in (np.float32, np.float64)
    )
    assert single.tobytes() == double.tobytes()


FACTOR = 2


def _helped(views: Views) -> Views:
    return views[0]


def test_what_a_function_names_in_its_module_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(views: Views, masks: Views) -> Views:
        return _helped(views) * np.float32(FACTOR)

    before = Function.of(scaled).source
    assert Function.of(scaled).source == before
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert Function.of(scaled).source != before, "a number"
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "_helped", enclosing(1))
    assert Function.of(scaled).source != before, "a function that it calls"


def test_what_wraps_a_function_counts() -> None:
    import functools

    def times(factor: int) -> Any:
        @functools.wraps(greatest)
        def wrapper(views: Views, masks: Views) -> Views:
            return greatest(views, masks) * np.float32(factor)

        return wrapper

    assert Function.of(times(2)).source == Function.of(times(2)).source != Function.of(times(3)).source


def test_the_state_of_objects_counts() -> None:
    class Slotted:
        __slots__ = ("factor",)

        def __init__(self, factor: int) -> None:
            self.factor = factor

        def __call__(self, views: Views, masks: Views) -> Views:
            return views[0] * self.factor

    assert Function.of(Slotted(2)).source == Function.of(Slotted(2)).source != Function.of(Slotted(3)).source
    one = Callable(1)
    before = Function.of(one).source
    vars(one)[next(iter(vars(one)))] = 7
    assert Function.of(one).source != before, "objects may be changed in place"


@pytest.mark.filterwarnings("ignore::fusestack.model.errors.FusestackWarning")
def test_flat_views(tmp_path: Path) -> None:
    import tifffile

    settings = config(tmp_path)
    for view in settings["input"]["views"]:
        tifffile.imwrite(view["path"], tifffile.imread(view["path"])[0], photometric="minisblack")
        view["affine"][11] = 0.0  # at one depth
    plain = fused(settings)
    settings["output"]["overwrite"] = True
    assert plain.shape[2] == 1
    assert len(np.unique(plain)) > 50
    assert fused(settings, weights=ones).tobytes() == plain.tobytes()
    both = fused(settings, **OWN["both"])
    assert both.tobytes() == whole(design(settings, **OWN["both"])).tobytes()
