"""Defaults, the forms a value may take, and one bad value per key."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from fusestack.config.document import read_document
from fusestack.config.load import from_mapping, load_config
from fusestack.config.messages import _models_in
from fusestack.config.models import Config
from fusestack.model.errors import ConfigError


def load(text_free: dict[str, Any]) -> Config:
    return from_mapping({"input": {"project": "a.xml"}, **text_free}).config


def fusion(**options: Any) -> Any:
    return load({"fusion": options}).fusion


def _declares(depth: Any) -> Any:
    def look(views: Any, masks: Any) -> Any:
        return views[0]

    look.depth = depth  # type: ignore[attr-defined]
    return look


def output(**options: Any) -> Any:
    return load({"output": {"path": "a.ome.zarr", **options}}).output


DEFAULTS = {
    "version": 1,
    "input": {
        "project": "a.xml",
        "views": None,
        "images": None,
        "no_data": None,
        "reverse": False,
        "select": dict.fromkeys(
            ["timepoints", "channels", "illuminations", "angles", "tiles", "setups", "views"], None
        ),
    },
    "fusion": {
        "bounding_box": "all_views",
        "group_by": "timepoint_channel",
        "method": "average",
        "weights": None,
        "mask_offset": {"x": 0.0, "y": 0.0, "z": 0.0},
        "background": 0.0,
        "blending": {"range": 40.0, "border": 0.0, "from": "views"},
        "content_based": None,
        "interpolation": "linear",
        "downsampling": 1.0,
        "preserve_anisotropy": False,
        "dtype": "input",
        "rounding": "half_up",
        "intensity_range": "auto",
        "intensity_adjustment": None,
        "numerics": "exact",
    },
    "output": {
        "path": "a.ome.zarr",
        "format": "ome-zarr",
        "project": None,
        "append": False,
        "ome_zarr_version": "0.5",
        "chunks": {"x": 128, "y": 128, "z": 64},
        "partitions": None,
        "shards": "auto",
        "compression": {"codec": "blosc", "level": 1},
        "pyramid": "auto",
        "overwrite": False,
    },
    "focus": {
        "input": "fused",
        "axis": "z",
        "method": None,
        "multiscale": None,
        "reverse": False,
        "reference_channel": None,
        "align": None,
        "prepare": (),
        "options": None,
        "colorspace": {"space": "sRGB", "channel": None},
        "mask_size": None,
        "masks": None,
        "merge": None,
        "cut": None,
        "final": None,
        "background": None,
        "substacks": (),
        "retouch": (),
        "layered": False,
        "statistics": {"save": None, "use": None},
        "tune": None,
        "output": {
            "path": "sharp.tif",
            "mask": None,
            "depth": None,
            "height": None,
            "mesh": None,
            "mesh_corners": 500000,
            "slices": None,
            "depth_colour": None,
            "between_slices": None,
            "sharpen_between": None,
            "dtype": "input",
            "pyramid": "auto",
            "folder": ".",
            "basename": "",
            "long_name": False,
            "suffix": ".tif",
            "overwrite": False,
        },
    },
    "execution": {
        "scheduler": "threads",
        "workers": "auto",
        "threads_per_worker": 1,
        "memory": "auto",
        "retries": 3,
        "block_timeout": "auto",
        "profile": None,
    },
    "cache": {"path": None, "limit": "auto"},
}


def test_defaults() -> None:
    config = load({"output": {"path": "a.ome.zarr"}, "focus": {"output": {"path": "sharp.tif"}}})
    assert config.model_dump() == DEFAULTS


def test_sections_are_optional_and_may_be_empty() -> None:
    assert load({"fusion": None, "execution": None, "output": None, "focus": None, "cache": None}) == load({})
    assert load({}).focus is None
    assert load({}).output is None


def test_defaults_of_a_view() -> None:
    view = from_mapping({"input": {"views": [{"path": "t.tif"}]}}).config.input.views[0]
    assert view.model_dump() == {
        "path": "t.tif",
        "array": None,
        "affine": None,
        "translation": None,
        "voxel_size": None,
        "unit": None,
        "timepoint": None,
        "channel": None,
        "illumination": 0,
        "angle": 0,
        "tile": 0,
        "no_data": None,
        "series": None,
        "axes": None,
    }


def test_models_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load({}).fusion.downsampling = 2.0


class TestForms:
    def test_one_number_or_one_per_axis(self) -> None:
        assert output(chunks=32).chunks.zyx == (32, 32, 32)
        assert output(chunks={"x": 1, "y": 2, "z": 3}).chunks.zyx == (3, 2, 1)
        assert output(chunks={"x": 1, "y": 2, "z": 3}).chunks.xyz == (1, 2, 3)

    @pytest.mark.parametrize(
        ("given", "resolved"),
        [(False, None), (True, (40, 0)), ({"range": 7}, (7, 0)), ({"border": 2}, (40, 2)), ({}, (40, 0))],
    )
    def test_blending(self, given: Any, resolved: Any) -> None:
        blending = fusion(blending=given).blending
        assert (blending and (blending.range, blending.border)) == resolved

    def test_switches_with_options(self) -> None:
        chosen = fusion(content_based=True, intensity_adjustment={"coefficients": "c.n5"})
        assert (chosen.content_based.sigma1, chosen.content_based.sigma2) == (20, 40)
        assert chosen.intensity_adjustment.coefficients == "c.n5"
        align = load({"focus": {"align": True}}).focus.align
        assert align.model_dump() == {
            "model": None,
            "reference": "middle",
            "crop": True,
            "exposure": False,
            "white_balance": False,
            "interpolation": "lanczos",
            "transforms": None,
        }

    @pytest.mark.parametrize(
        ("given", "resolved"),
        [("all", None), ([0, 2], (0, 2)), ("0-3,5", (0, 1, 2, 3, 5)), ("0-6:3", (0, 3, 6)), (4, (4,)), ("7", (7,))],
    )
    def test_selections(self, given: Any, resolved: Any) -> None:
        config = from_mapping({"input": {"project": "a.xml", "select": {"tiles": given}}}).config
        assert config.input.select.tiles == resolved

    def test_selected_views(self) -> None:
        config = from_mapping({"input": {"project": "a.xml", "select": {"views": [[0, 3], [1, 4]]}}}).config
        assert config.input.select.views == ((0, 3), (1, 4))

    def test_bounding_boxes(self) -> None:
        assert fusion(bounding_box="My Box").bounding_box == "My Box"
        box = fusion(bounding_box={"min": 0, "max": {"x": 9, "y": 8, "z": 7}}).bounding_box
        assert (box.min.xyz, box.max.xyz) == ((0, 0, 0), (9, 8, 7))

    def test_anisotropy(self) -> None:
        assert fusion(preserve_anisotropy=True).preserve_anisotropy is True
        assert fusion(preserve_anisotropy=False).preserve_anisotropy is False
        factor = fusion(preserve_anisotropy=3).preserve_anisotropy
        assert isinstance(factor, float)
        assert factor == 3

    def test_background(self) -> None:
        assert math.isnan(fusion(background=math.nan, dtype="float32").background)
        assert fusion(background=7).background == 7

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("a.ome.zarr", "ome-zarr"),
            ("A.ZARR/", "ome-zarr"),
            ("s3://b/a.zarr", "ome-zarr"),
            ("a.h5", "bdv-hdf5"),
            ("a.hdf5", "bdv-hdf5"),
            ("a.n5", "bdv-n5"),
            ("a.tif", "tiff"),
            ("a.ome.tiff", "tiff"),
            ("a.dzi", "dzi"),
        ],
    )
    def test_format_of_the_suffix(self, path: str, kind: str) -> None:
        assert load({"output": {"path": path}}).output.format == kind

    def test_defaults_of_hdf5(self) -> None:
        hdf5 = load({"output": {"path": "a.h5"}}).output
        assert hdf5.chunks_of_levels[0].zyx == (32, 64, 64)
        assert (hdf5.resolved_codec.codec, hdf5.resolved_codec.level) == ("gzip", 1)
        assert load({"output": {"path": "a.h5", "chunks": 16}}).output.chunks_of_levels[0].zyx == (16, 16, 16)
        assert load({"output": {"path": "container", "format": "bdv-hdf5"}}).output.chunks.zyx == (32, 64, 64)

    @pytest.mark.parametrize(("codec", "level"), [("blosc", 1), ("zstd", 3), ("lz4", 1), ("gzip", 1), ("none", 0)])
    def test_default_levels(self, codec: str, level: int) -> None:
        assert output(compression={"codec": codec}).compression.level == level

    def test_ome_zarr_version_without_quotes(self) -> None:
        assert output(ome_zarr_version=0.4).ome_zarr_version == "0.4"

    @pytest.mark.parametrize(
        ("given", "size"),
        [
            ("auto", "auto"),
            (2**30, 2**30),
            ("4GiB", 4 * 2**30),
            ("500 MB", 500_000_000),
            ("1.5gib", 3 * 2**29),
            ("2000kB", 2_000_000),
            ("1048576B", 2**20),
        ],
    )
    def test_memory(self, given: Any, size: Any) -> None:
        assert load({"execution": {"memory": given}}).execution.memory == size

    def test_schedulers(self) -> None:
        assert load({"execution": {"scheduler": "tcp://10.0.0.1:8786"}}).execution.scheduler == "tcp://10.0.0.1:8786"
        assert load({"execution": {"scheduler": "slurm", "workers": 4}}).execution.workers == 4

    def test_pyramid_and_shards(self) -> None:
        levels = [1, {"x": 2, "y": 2, "z": 1}, {"x": 4, "y": 4, "z": 3}]
        assert [level.zyx for level in output(pyramid=levels).pyramid] == [(1, 1, 1), (1, 2, 2), (3, 4, 4)]
        assert output(shards={"x": 256, "y": 128, "z": 64}).shards.zyx == (64, 128, 256)

    def test_focus(self) -> None:
        focus = load(
            {
                "focus": {
                    "masks": [{"fft": {}}, {"darkness": {"weight": 10}}],
                    "cut": [{"wave": {"percent": 100}}, {"background": None}],
                    "background": ["black", {"wave": {}}],
                    "substacks": {"percent": 14},
                    "statistics": {"save": "s.json"},
                    "output": {"path": "sharp.tif", "depth": "d.tif"},
                }
            }
        ).focus
        assert [mask.name for mask in focus.masks] == ["fft", "darkness"]
        assert focus.masks[1].weight == 10
        assert focus.cut[1].use == "compose"
        assert focus.background == ("black", "wave")
        assert focus.model_dump(mode="json")["masks"] == [{"fft": {}}, {"darkness": {"weight": 10}}]

    def test_focus_stack_of_images(self) -> None:
        assert from_mapping({"input": {"images": "*.jpg", "reverse": True}}).config.input.images == "*.jpg"
        assert from_mapping({"input": {"images": ["a", "b"]}}).config.input.images == ("a", "b")


class TestOwnFunctions:
    def test_forms(self) -> None:
        named = fusion(method="numpy:where", weights={"function": "numpy:where", "depth": {"x": 1, "y": 2, "z": 3}})
        assert named.method.function.call is np.where
        assert named.method.depth.zyx == (0, 0, 0)
        assert named.weights.depth.zyx == (3, 2, 1)
        assert fusion(method=np.where) == fusion(method={"function": np.where, "depth": 0, "options": {}})
        assert fusion(method=_declares(4)).method.depth.zyx == (4, 4, 4)
        assert fusion(method=functools.partial(_declares({"x": 1, "y": 2, "z": 3}))).method.depth.xyz == (1, 2, 3)
        assert fusion(method={"function": _declares(4), "depth": 1}).method.depth.zyx == (1, 1, 1)

    def test_a_dump_is_plain_and_has_readable_names(self) -> None:
        options = {
            "weights": {"function": "shutil:copyfile", "options": {"follow_symlinks": np.bool_(False)}},
            "method": _declares(2),
        }
        config = load({"fusion": options})
        dump = json.loads(json.dumps(config.model_dump(mode="json")))["fusion"]
        assert dump["weights"] == {
            "function": "shutil:copyfile",
            "depth": {"x": 0, "y": 0, "z": 0},
            "options": {"follow_symlinks": False},
        }
        assert dump["method"]["function"] == "tests.config.test_models:_declares.<locals>.look"
        assert fusion(**{**dump, "method": "average"}).weights == config.fusion.weights

    def test_the_line_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "fuse.yaml"
        path.write_text("version: 1\ninput: {project: a}\nfusion:\n  method: nowhere:blend\n  weights: {depth: 1}\n")
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert caught.value.problems == (
            f"{path}:4:11: fusion.method: there is no function nowhere:blend (No module named 'nowhere'); it must be "
            "importable where the program runs: install its module, or put its folder on PYTHONPATH",
            f"{path}:5:3: fusion.weights.function: is missing, but needed here",
        )

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda views: views, r"<lambda> takes \(views\), but is called as \(views, masks\): too many"),
            (_declares((1, 2)), r"its attribute depth is \(1, 2\); give it one number of pixels, or \{x: ..."),
            (_declares(-1), "its attribute depth is -1; give it one number of pixels"),
        ],
        ids=["one argument", "pair", "negative"],
    )
    def test_bad_functions(self, function: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            fusion(weights=function)

    def test_a_module_that_fails_is_a_mistake_of_the_configuration(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "failing_fusion.py").write_text("1 / 0\n")
        with pytest.raises(ConfigError, match=r"failing_fusion:f \(ZeroDivisionError: division by zero\); it must"):
            fusion(method="failing_fusion:f")


BAD = [
    ("version", 2, "2 is not allowed; use 1"),
    ("version", "1", "'1' is not allowed; use 1"),
    ("input.project", 3, '3 is not allowed; use text, such as "3"'),
    ("input.project", "", "'' is not allowed; use text that is not empty"),
    ("input.views", {}, "a mapping is not allowed; use a list"),
    ("input.views", [], "an empty list is not allowed; use at least 1 entry"),
    ("input.images", 1, '1 is not allowed; use text, such as "1" or a list'),
    ("input.no_data", "none", "'none' is not allowed; use a number"),
    ("input.reverse", "yes", "'yes' is not allowed; use true or false"),
    ("input.select", [], "an empty list is not allowed; use a mapping with keys such as timepoints, channels"),
    ("input.select.timepoints", "some", "'some' is not allowed; use all, a list of numbers, or a pattern such as"),
    ("input.select.channels", "0-", "'0-' is not allowed; use all, a list"),
    ("input.select.illuminations", True, "true is not allowed; use all, a list"),
    ("input.select.angles", [-1], "angles.0: -1 is not allowed; use at least 0"),
    ("input.select.tiles", ["a"], "tiles.0: 'a' is not allowed; use a whole number"),
    ("input.select.setups", [], "an empty list is not allowed; use at least 1 entry"),
    ("input.select.views", [[0]], "views.0: a list of 1 is not allowed; use a list with 2 entries"),
    ("fusion", 3, "3 is not allowed; use a mapping with keys such as bounding_box"),
    ("fusion.bounding_box", {"min": 0}, "fusion.bounding_box.max: is missing, but needed here"),
    ("fusion.bounding_box", {"min": 0.5, "max": 3}, "bounding_box.min: 0.5 is not allowed; use a whole number"),
    ("fusion.bounding_box", {"min": 5, "max": {"x": 9, "y": 4, "z": 9}}, "max: y: 4 is below the minimum 5"),
    ("fusion.group_by", "chanel", "use timepoint_channel, timepoint_channel_illumination, all or view"),
    ("fusion.method", "maxx", "closest_pixel, mask or a function of your own, module:function or {fu"),
    ("fusion.method", "maxx", "function: module:function, depth: 4} (did you mean 'max'?)"),
    ("fusion.method", "no_such_module:blend", "there is no function no_such_module:blend (No module named"),
    ("fusion.method", "os:blend", "(module 'os' has no attribute 'blend'); it must be importable where the program"),
    ("fusion.method", "os:sep", "os:sep is no function, but str; name a function"),
    ("fusion.method", "os.path:normpath", "os.path:normpath takes (path), but is called as (views, masks): too many"),
    ("fusion.method", {"function": "numpy:where", "depth": -1}, "fusion.method.depth: -1 is not allowed; use at least"),
    (
        "fusion.method",
        {"function": "numpy:where", "dept": 1},
        "fusion.method.dept: unknown key (did you mean 'depth'?)",
    ),
    ("fusion.method", {"depth": 3}, "fusion.method.function: is missing, but needed here"),
    ("fusion.method", {"function": "where"}, "fusion.method.function: 'where' is not allowed; use module:function"),
    (
        "fusion.method",
        {"function": "os.path:join", "options": {"sigma": 2}},
        "fusion.method.options: os.path:join takes (a, *p), but is called as (views, masks, sigma=...): got an unex",
    ),
    ("fusion.weights", "average", "fusion.weights: 'average' is not allowed; use a function of your own, module:func"),
    ("fusion.weights", True, "fusion.weights: true is not allowed; use a function of your own, module:function or {"),
    ("fusion.weights", {"function": "numpy:where", "options": {"a": {1, 2}}}, "set is not JSON serializable; use numb"),
    ("fusion.mask_offset", 2, "only for method mask, the method is average"),
    ("fusion.background", "black", "'black' is not allowed; use a number"),
    ("fusion.background", math.nan, ".nan needs fusion.dtype float32, it is input"),
    ("fusion.background", math.inf, "is infinite"),
    ("fusion.blending", "yes", "'yes' is not allowed; use true, false, or a mapping such as {range: 40, border: 0}"),
    ("fusion.blending", {"range": 0}, "fusion.blending.range: 0 is not allowed; use a number greater than 0"),
    ("fusion.blending", {"from": "edges"}, "fusion.blending.from: 'edges' is not allowed; use views or data"),
    ("fusion.blending", {"border": -1}, "fusion.blending.border: -1 is not allowed; use at least 0"),
    ("fusion.blending", {"rnge": 4}, "fusion.blending.rnge: unknown key (did you mean 'range'?)"),
    ("fusion.content_based", 20, "20 is not allowed; use true, false, or a mapping such as {sigma1: 20, sigma2: 40}"),
    ("fusion.content_based", {"sigma2": "a"}, "content_based.sigma2: 'a' is not allowed; use a number"),
    ("fusion.interpolation", "linaer", "'linaer' is not allowed; use linear or nearest (did you mean 'linear'?)"),
    ("fusion.downsampling", 0, "0 is not allowed; use a number greater than 0"),
    ("fusion.downsampling", math.inf, ".inf is not allowed; use a finite number"),
    ("fusion.preserve_anisotropy", "auto", "'auto' is not allowed; use true, false or a number"),
    ("fusion.preserve_anisotropy", 0, "0 is not allowed; use true, false or a number greater than 0"),
    ("fusion.dtype", "int16", "'int16' is not allowed; use input, uint8, uint16 or float32 (did you mean 'uint16'?)"),
    ("fusion.rounding", "up", "'up' is not allowed; use half_up or down"),
    ("fusion.intensity_range", [1], "a list of 1 is not allowed; use auto or a list with 2 entries"),
    ("fusion.intensity_range", [1, 1], "its maximum must be greater than its minimum"),
    ("fusion.intensity_range", [1, 2, 3], "a list of 3 is not allowed; use auto or at most 2 entries"),
    ("fusion.intensity_adjustment", 1, "1 is not allowed; use true, false, or a mapping such as {coefficients: PATH}"),
    ("fusion.numerics", "fast", "'fast' is not allowed; use exact or bigstitcher"),
    ("output.path", None, "nothing (null) is not allowed; use text"),
    ("output.path", "a.foo", "output.format: cannot be guessed from 'a.foo'; set it to ome-zarr, bdv-hdf5"),
    (
        "output.format",
        "omezarr",
        "'omezarr' is not allowed; use ome-zarr, bdv-hdf5, bdv-n5, tiff, bdv-tiff or dzi",
    ),
    ("output.format", "bdv-hdf5", "bdv-hdf5 does not fit the suffix of 'a.ome.zarr', which means ome-zarr"),
    ("output.project", True, "true is not allowed; use text"),
    ("output.append", 1, "1 is not allowed; use true or false"),
    ("output.ome_zarr_version", "0.3", "'0.3' is not allowed; use 0.5 or 0.4"),
    ("output.chunks", 0, "0 is not allowed; use at least 1"),
    ("output.chunks", "big", "'big' is not allowed; use one number for all axes, or {x: ..., y: ..., z: ...}"),
    ("output.chunks", {"x": 1, "y": 1}, "output.chunks.z: is missing"),
    ("output.chunks", {"x": 1, "y": 1, "z": 1, "t": 1}, "chunks.t: unknown key; allowed are x, y, z"),
    ("output.partitions", {"setups": -1}, "output.partitions.setups: -1 is not allowed; use at least 0"),
    ("output.shards", 100, "{x: 100, y: 100, z: 100} is not a multiple of the chunks, {x: 128, y: 128, z: 64}"),
    ("output.shards", "no", "'no' is not allowed; use auto, none or one number for all axes, or {x:"),
    ("output.compression", "zstd", "'zstd' is not allowed; use a mapping with keys such as codec, level"),
    ("output.compression", {"codec": "zst"}, "compression.codec: 'zst' is not allowed; use blosc, zstd, lz4, gzip"),
    ("output.compression", {"codec": "zstd", "level": 23}, "level: 23 is not allowed for codec zstd; use 1 to 22"),
    ("output.compression", {"codec": "none", "level": 3}, "codec none; use nothing, it has no levels"),
    ("output.pyramid", "atuo", "'atuo' is not allowed; use auto, none or a list (did you mean 'auto'?)"),
    ("output.pyramid", [], "an empty list is not allowed; use auto, none or at least 1 entry"),
    ("output.pyramid", [2], "output.pyramid.0: the first level must be {x: 1, y: 1, z: 1}"),
    ("output.pyramid", [1, {"x": 1, "y": 1}], "output.pyramid.1.z: is missing"),
    (
        "output.pyramid",
        [1, 2, 3],
        "output.pyramid.2: {x: 3, y: 3, z: 3} is not a multiple of {x: 2, y: 2, z: 2}, the level before",
    ),
    ("output.pyramid", [1, 1], "output.pyramid.1: is the same as the level before"),
    ("output.overwrite", "no", "'no' is not allowed; use true or false"),
    ("focus", True, "true is not allowed; use a mapping with keys such as input, axis"),
    ("focus.input", 1, "1 is not allowed; use text"),
    ("focus.axis", "t", "'t' is not allowed; use x, y or z"),
    ("focus.method", "mask", "'mask' is not allowed; use multiscale or masks (did you mean 'masks'?)"),
    ("focus.multiscale", True, "true is not allowed; use a mapping with keys such as levels, sharpness"),
    ("focus.multiscale", {"levels": 0}, "focus.multiscale.levels: 0 is not allowed"),
    ("focus.multiscale", {"sharpness": 0}, "focus.multiscale.sharpness: 0 is not allowed"),
    ("focus.multiscale", {"noise": 0}, "focus.multiscale.noise: 0 is not allowed"),
    ("focus.multiscale", {"highlights": 257}, "focus.multiscale.highlights: 257 is not allowed"),
    ("focus.reference_channel", -1, "-1 is not allowed; use at least 0"),
    ("focus.align", "affine", "'affine' is not allowed; use true, false, or a mapping such as {model: rigid}"),
    ("focus.align", {"model": "afine"}, "focus.align.model: 'afine' is not allowed; use translation, rigid"),
    ("focus.align", {"reference": "front"}, "'front' is not allowed; use first, middle, last or a whole number"),
    ("focus.align", {"crop": 1}, "focus.align.crop: 1 is not allowed"),
    ("focus.align", {"exposure": 1}, "focus.align.exposure: 1 is not allowed"),
    ("focus.align", {"white_balance": 1}, "focus.align.white_balance: 1 is not allowed"),
    ("focus.align", {"interpolation": "spline"}, "'spline' is not allowed; use lanczos, cubic or linear"),
    ("focus.align", {"transforms": 3}, "focus.align.transforms: 3 is not allowed"),
    ("focus.align", {"transforms": "a.json", "model": "rigid"}, "the transforms are given, nothing is estimated"),
    ("focus.prepare", ["crop"], "name either geometry or region"),
    ("focus.prepare", [{"crop": {"geometry": "3,4"}}], "a size and a place in pixels, such as 800x600+100+50"),
    ("focus.prepare", [{"crob": {}}], "there is no such operator (did you mean 'crop'?)"),
    ("focus.prepare", [{"gamma": {"value": "aut"}}], "focus.prepare.0"),
    ("focus.options", 3, "3 is not allowed"),
    ("focus.tune", True, "true is not allowed; use a mapping with keys such as options, vary"),
    ("focus.tune", {"options": [3]}, "focus.tune.options.0: 3 is not allowed"),
    ("focus.tune", {"vary": {"cutless.percent": []}}, "focus.tune.vary.cutless.percent: an empty list is not allowed"),
    ("focus.tune", {"vary": {"cutless.percent": 10}}, "focus.tune.vary.cutless.percent: 10 is not allowed; use a list"),
    ("focus.tune", {"vary": ["cutless"]}, "focus.tune.vary: a list of 1 is not allowed; use a mapping"),
    ("focus.tune", {"crop": "middle"}, "'middle' is not allowed; use auto or a mapping with keys such as x, y"),
    ("focus.tune", {"crop": {"x": -1}}, "focus.tune.crop.x: -1 is not allowed; use at least 0"),
    ("focus.tune", {"crop": {"width": 0}}, "focus.tune.crop.width: 0 is not allowed; use at least 1"),
    ("focus.tune", {"truth": 3}, "focus.tune.truth: 3 is not allowed"),
    ("focus.options", "--blurr=s1", "focus.options: there is no option --blurr (did you mean --blur?)"),
    ("focus.reverse", "yes", "'yes' is not allowed; use true or false"),
    ("focus.layered", "yes", "'yes' is not allowed; use true or false"),
    ("focus.colorspace", {"space": 3}, "focus.colorspace.space: 3 is not allowed; use text"),
    ("focus.colorspace", {"channel": -1}, "focus.colorspace.channel: -1 is not allowed; use at least 0"),
    ("focus.mask_size", {"percent": 0}, "focus.mask_size.percent: 0 is not allowed; use a number greater than 0"),
    ("focus.masks", [{"fft": {}, "sobel": {}}], "focus.masks.0: a mapping is not allowed; use an operator"),
    ("focus.merge", [{"fft": 3}], "focus.merge.0.fft: 3 is not allowed; use a mapping with keys such as"),
    ("focus.cut", {"wave": {}}, "a mapping is not allowed; use a list"),
    ("focus.final", "sharpen", "'sharpen' is not allowed; use a list"),
    ("focus.background", 3, "3 is not allowed"),
    ("focus.substacks", "all", "'all' is not allowed; use a list"),
    ("focus.retouch", True, "true is not allowed; use a list"),
    ("focus.retouch", [{"slice": 1}], "focus.retouch.0.polygon: is missing"),
    (
        "focus.retouch",
        [{"slice": -1, "polygon": [[1, 2], [3, 4], [5, 7]]}],
        "focus.retouch.0.slice: -1 is not allowed; use at least 0",
    ),
    (
        "focus.retouch",
        [{"slice": 1, "polygon": [[1, 2], [3, 4]]}],
        "focus.retouch.0.polygon: a list of 2 is not allowed; use at least 3 entries",
    ),
    ("focus.retouch", [{"slice": 1, "polygon": [[1, 2], [3, 4], ["5", 6]]}], "polygon.2.0: '5' is not allowed"),
    ("focus.retouch", [{"slice": 1, "polygon": [[1, 2]] * 3}], "has fewer than three different corners"),
    ("focus.statistics", {"save": 1}, "focus.statistics.save: 1 is not allowed"),
    ("focus.statistics", {"use": 1}, "focus.statistics.use: 1 is not allowed"),
    ("focus.output", {"path": 3}, "focus.output.path: 3 is not allowed"),
    ("focus.output", {"height": 1}, "focus.output.height: 1 is not allowed"),
    ("focus.output", {"mesh": 1}, "focus.output.mesh: 1 is not allowed"),
    ("focus.output", {"slices": 3}, "focus.output.slices: 3 is not allowed"),
    ("focus.output", {"mesh_corners": 3}, "focus.output.mesh_corners: 3 is not allowed"),
    ("focus.output", {"depth_colour": 1}, "focus.output.depth_colour: 1 is not allowed"),
    ("focus.output", {"between_slices": 1}, "focus.output.between_slices: 1 is not allowed"),
    ("focus.output", {"sharpen_between": 101}, "focus.output.sharpen_between: 101 is not allowed; use at most 100"),
    ("focus.output", {"dtype": "int8"}, "'int8' is not allowed; use input, uint8, uint16 or float32"),
    ("focus.output", {"folder": 1}, "focus.output.folder: 1 is not allowed; use text"),
    ("focus.output", {"basename": 1}, "focus.output.basename: 1 is not allowed; use text"),
    ("focus.output", {"long_name": 1}, "focus.output.long_name: 1 is not allowed"),
    ("focus.output", {"suffix": ".bmp"}, "'.bmp' is not allowed; use .tif, .png, .jpg or .ome.zarr"),
    ("focus.output", {"overwrite": "no"}, "'no' is not allowed; use true or false"),
    ("focus.output", {"path": "a", "depth": 1}, "focus.output.depth: 1 is not allowed"),
    ("focus.output", {"path": "a", "mask": 1}, "focus.output.mask: 1 is not allowed"),
    ("focus.output", {"path": "a", "pyramid": 1}, "focus.output.pyramid: 1 is not allowed; use auto, none or a list"),
    ("execution.scheduler", "slrm", "(did you mean 'slurm'?)"),
    ("execution.scheduler", "tcp://host", "or the address of a dask scheduler such as tcp://host:8786"),
    ("execution.workers", 0, "0 is not allowed; use auto or at least 1"),
    ("execution.workers", "four", "'four' is not allowed; use auto or a whole number"),
    ("execution.threads_per_worker", 1.5, "1.5 is not allowed; use a whole number"),
    ("execution.memory", "4Gi", 'use auto or a number of bytes, or a size such as "4GiB" or "500 MB"'),
    ("execution.memory", 4, '4 is not allowed; use auto or a size with its unit, such as "4GiB"'),
    ("execution.retries", -1, "-1 is not allowed; use at least 0"),
    ("execution.block_timeout", 0, "0 is not allowed; use auto or a number greater than 0"),
    ("execution.profile", {}, "a mapping is not allowed; use text"),
    ("cache.path", 1, "1 is not allowed; use text"),
    ("cache.limit", "much", "'much' is not allowed; use auto or a number of bytes"),
]


def placed(key: str, value: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"input": {"project": "a.xml"}, "output": {"path": "a.ome.zarr"}}
    *sections, last = key.split(".")
    here = base
    for section in sections:
        here = here.setdefault(section, {})
    here[last] = value
    return base


@pytest.mark.parametrize(("key", "value", "message"), BAD, ids=[f"{key}={value!r}" for key, value, _ in BAD])
def test_a_bad_value_is_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(placed(key, value))
    [problem] = caught.value.problems
    assert problem.startswith(key.rsplit(".", 1)[0])
    assert message in problem


def keys_of(section: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in section.items():
        found |= keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


def test_every_key_has_a_bad_value() -> None:
    tried = set()
    for key, value, _ in BAD:
        tried |= {key, *(f"{key}.{inner}" for inner in value)} if isinstance(value, dict) else {key}
    axes = {f"{key}.{axis}" for key in ("fusion.mask_offset", "output.chunks") for axis in "xyz"}
    assert keys_of(DEFAULTS) - axes - {"fusion.content_based.sigma1"} <= tried


VIEW = [
    ({}, "input.views.0.path: is missing"),
    ({"path": "t.tif", "affine": [1, 2]}, "affine: a list of 2 is not allowed; use at least 12 entries"),
    ({"path": "t.tif", "affine": [0] * 13}, "affine: a list of 13 is not allowed; use at most 12 entries"),
    ({"path": "t.tif", "affine": ["a"] + [0] * 11}, "affine.0: 'a' is not allowed; use a number"),
    ({"path": "t.tif", "affine": [math.nan] + [0] * 11}, "affine.0: .nan is not allowed; use a finite number"),
    ({"path": "t.tif", "affine": [0] * 12, "translation": 1}, "translation: the view has an affine already"),
    ({"path": "t.tif", "translation": [1, 2, 3]}, "translation: a list of 3 is not allowed; use one number for all"),
    ({"path": "t.tif", "voxel_size": 0}, "voxel_size: 0 is not allowed; use a number greater than 0"),
    ({"path": "t.tif", "unit": 1}, "unit: 1 is not allowed; use text"),
    ({"path": "t.tif", "tile": "a"}, "tile: 'a' is not allowed; use a whole number"),
    ({"path": "t.tif", "series": -1}, "series: -1 is not allowed; use at least 0"),
    ({"path": "t.tif", "axes": "zyxs"}, "axes: 'zyxs' is not allowed"),
    ({"path": "t.tif", "chanel": 1}, "input.views.0.chanel: unknown key (did you mean 'channel'?)"),
]


@pytest.mark.parametrize(("view", "message"), VIEW)
def test_a_bad_view_is_named(view: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"input": {"views": [view]}})
    [problem] = caught.value.problems
    assert message in problem


COMBINATIONS = [
    ({"input": {}}, "input: names no source; give one of project, views, images"),
    ({"input": {"project": "a", "images": "b"}}, "input.images: there is input.project already; give exactly one"),
    ({"input": {"project": "a", "reverse": True}}, "input.reverse: only for images"),
    ({"input": {"images": "a", "select": {"tiles": 1}}}, "input.select: images have no views to select"),
    ({"fusion": {"method": "max", "content_based": True}}, "fusion.content_based: only for method average or one of"),
    ({"fusion": {"method": "mask", "weights": "numpy:where"}}, "fusion.weights: only for method average or one of you"),
    (
        {"fusion": {"method": "numpy:where", "mask_offset": 1}},
        "fusion.mask_offset: only for method mask, the method is",
    ),
    ({"output": {"path": "a.h5", "compression": {"codec": "zstd"}}}, "'zstd' is not allowed in bdv-hdf5; use gzip"),
    (
        {"output": {"path": "a.h5", "compression": {"codec": "lz4"}}},
        "output.compression.codec: 'lz4' is not allowed in bdv",
    ),
    (
        {"output": {"path": "a.h5", "chunks": [8, 4], "pyramid": [1]}},
        "output.chunks: has 2 entries, and pyramid 1 levels",
    ),
    (
        {"output": {"path": "a.zarr", "chunks": [8, 3], "shards": 16}},
        "is not a multiple of the chunks, {x: 3, y: 3, z: 3}",
    ),
    ({"output": {"path": "a.h5", "project": "a.xml", "append": True}}, "output.project: append adds to input.project"),
    ({"output": {"path": "a.tif", "append": True}}, "output.append: tiff is not added to a project; use .h5, .n5 or"),
    ({"output": {"path": "a.zarr", "partitions": {"timepoints": 1}}}, "output.partitions: only for bdv-hdf5, the form"),
    ({"output": {"path": "a.h5", "shards": 128}}, "output.shards: bdv-hdf5 has no shards"),
    ({"output": {"path": "a.zarr", "shards": 128, "ome_zarr_version": "0.4"}}, "OME-Zarr 0.4 has no shards"),
    ({"input": {"images": "a"}, "output": {"path": "a.zarr", "append": True}}, "output.append: there is no input.proj"),
    ({"focus": {"options": "--fft", "masks": [{"fft": {}}]}}, "focus.options: says the same as masks"),
]


@pytest.mark.parametrize(("sections", "message"), COMBINATIONS)
def test_impossible_combinations(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(sections)
    [problem] = caught.value.problems
    assert message in problem


def test_all_contradictions_of_a_section_are_told() -> None:
    with pytest.raises(ConfigError) as caught:
        output(shards=100, pyramid=[2, 3])
    assert len(caught.value.problems) == 3


def test_validation_of_a_dump_gives_the_same() -> None:
    config = load({"fusion": {"blending": False}, "output": {"path": "a.h5"}, "focus": {"align": True}})
    assert Config.model_validate(config.model_dump()) == config
    assert Config.model_validate_json(config.model_dump_json()) == config


CONTRACT = Path(__file__).parents[3] / "shared" / "design" / "contract.md"


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not part of the repository")
@pytest.mark.parametrize("source", ["project", "views", "images"])
def test_the_contract_is_valid(source: str) -> None:
    text = CONTRACT.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    data, _ = read_document(text, "contract")
    kept = {source, *(["reverse"] if source == "images" else ["select"])}
    data["input"] = {key: value for key, value in data["input"].items() if key in kept}
    for key in ("masks", "merge", "cut") if source == "images" else ("options",):
        del data["focus"][key]
    config = from_mapping(data).config
    assert {key: value for key, value in config.model_dump().items() if key in ("execution", "cache")} == {
        key: DEFAULTS[key] for key in ("execution", "cache")
    }
    assert config.fusion == load({}).fusion


def declared_keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the configuration that is said once, however deep."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        yield here
        for inner in _models_in(field.annotation):
            yield from declared_keys(inner, here)


@pytest.mark.parametrize("value", [0.5, -3, 1e30, 10**30, "x", True, [], {}, [[1]], {"zz": 1}, math.nan, None])
def test_what_a_key_does_not_take_is_said_in_our_words(value: Any) -> None:
    said = []
    for path in declared_keys(Config):
        config: Any = value
        for key in reversed(path):
            config = {key: config}
        try:
            from_mapping(config)
        except ConfigError as error:
            said += error.problems
    assert len(said) > 100
    foreign = ("Input should", "for which holds", "pydantic", "valid ", "validator")
    assert [text for text in said if any(word in text for word in foreign)] == []


@pytest.mark.parametrize("key", ["levels", "sharpness", "noise", "highlights"])
def test_numbers_of_multiscale_are_numbers(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"focus\.multiscale\.{key}: '5' is not allowed; use a (whole )?number"):
        from_mapping({"focus": {"multiscale": {key: "5"}}})
