"""Files, places, ``--set``, and what cannot be read."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fusestack.config.load import LoadedConfig, from_mapping, load_config, unsupported
from fusestack.model.errors import ConfigError

GOOD = """\
version: 1
input:
  project: data/dataset.xml   # a comment
  select: {channels: [0], tiles: 0-3}
fusion:
  interpolation: linear
  blending:
    range: 20
output: {path: out/fused.ome.zarr}
"""


def written(folder: Path, text: str | bytes, name: str = "fuse.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems(folder: Path, text: str | bytes, *overrides: str) -> list[str]:
    """Messages, with the folder removed."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    return [problem.replace(str(path), "fuse.yaml") for problem in caught.value.problems]


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    return load_config(written(tmp_path, GOOD))


def test_a_good_file(loaded: LoadedConfig) -> None:
    assert loaded.config.fusion.blending.range == 20
    assert loaded.config.input.select.tiles == (0, 1, 2, 3)


def test_paths_begin_at_the_file(loaded: LoadedConfig, tmp_path: Path) -> None:
    assert loaded.folder == tmp_path
    assert loaded.resolve_path("data/dataset.xml") == str(tmp_path / "data" / "dataset.xml")
    assert loaded.resolve_path("/data/dataset.xml") == "/data/dataset.xml"
    assert loaded.resolve_path("s3://bucket/x.zarr") == "s3://bucket/x.zarr"
    assert loaded.resolve_path("~/x.zarr") == str(Path.home() / "x.zarr")


def test_places(loaded: LoadedConfig) -> None:
    name = loaded.name
    assert loaded.where("fusion.interpolation") == f"{name}:6:18"
    assert loaded.where("input.select.channels.0") == f"{name}:4:23"
    assert loaded.where("fusion.method") == f"{name}:5:1"  # not written: its section
    assert loaded.where("execution.workers") == name
    assert loaded.cite("fusion.interpolation") == f"{name}:6:18: fusion.interpolation"


def test_a_loaded_configuration_travels(loaded: LoadedConfig) -> None:
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_messages_name_file_line_key_and_what_is_meant(tmp_path: Path) -> None:
    text = (
        "input: {project: a.xml}\nfusion:\n  blendin: true\n  interpolation: linaer\n  workers: 2\n"
        "  numerics:\noutput: {path: a.zarr, chunks: {x: 1, y: two, z: 3}}\nkonfig: 1\nmemory: 4GiB\n"
    )
    assert problems(tmp_path, text) == [
        "fuse.yaml:4:18: fusion.interpolation: 'linaer' is not allowed; use linear or nearest (did you mean 'linear'?)",
        "fuse.yaml:6:3: fusion.numerics: nothing (null) is not allowed; use exact or bigstitcher",
        "fuse.yaml:3:3: fusion.blendin: unknown key (did you mean 'blending'?)",
        "fuse.yaml:5:3: fusion.workers: unknown key (did you mean execution.workers?)",
        "fuse.yaml:7:42: output.chunks.y: 'two' is not allowed; use a whole number",
        "fuse.yaml:8:1: konfig: unknown key; allowed are version, input, fusion, output, focus, execution, cache",
        "fuse.yaml:9:1: memory: unknown key (did you mean execution.memory?)",
    ]


def test_a_section_in_the_wrong_place(tmp_path: Path) -> None:
    assert problems(tmp_path, "input: {project: a.xml, cache: {}}") == [
        "fuse.yaml:1:25: input.cache: unknown key (did you mean cache?)"
    ]


def test_yaml_1_2_and_json(tmp_path: Path) -> None:
    config = load_config(
        written(tmp_path, "input: {project: no, views: null}\nfusion: {downsampling: 1e1, bounding_box: 12:30:00}\n")
    ).config
    assert config.input.project == "no"
    assert config.fusion.downsampling == 10
    assert config.fusion.bounding_box == "12:30:00"
    path = written(tmp_path, '\ufeff{"input": {"project": "a.xml"}, "fusion": {"bounding_box": "2001-01-01"}}')
    assert load_config(path).config.input.project == "a.xml"
    path = written(
        tmp_path, "input: {project: a.xml}\nfusion: {bounding_box: 2001-01-01, background: .nan, dtype: float32}"
    )
    assert load_config(path).config.fusion.bounding_box == "2001-01-01"


def test_anchors_are_welcome(tmp_path: Path) -> None:
    text = "input:\n  views:\n  - {path: a.tif, voxel_size: &v {x: 1, y: 1, z: 2}}\n  - {path: b.tif, voxel_size: *v}\n"
    views = load_config(written(tmp_path, text)).config.input.views
    assert [view.voxel_size.zyx for view in views] == [(2, 1, 1)] * 2


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fuse.yaml: is empty"),
        ("# nothing\n", "fuse.yaml: is empty"),
        ("just text", "fuse.yaml:1:1: is not a mapping"),
        ("- a\n- b\n", "fuse.yaml:1:1: is not a mapping"),
        ("input:\n\tproject: a.xml\n", "fuse.yaml:2:1: is not valid YAML"),
        ("input:\n\tproject: a.xml\n", "indent with spaces, not with tabs"),
        ("input: {project: 'a.xml}\n", "is not valid YAML: while scanning a quoted scalar"),
        ("input: {project: a.xml\nfusion: {}\n", "is not valid YAML"),
        ('input: {project: "C:\\Users\\me.xml"}\n', "write paths in single quotes, or with /"),
        ('input: {project: "C:\\data\\me.xml"}\n', "write paths in single quotes, or with /"),
        ('input: {project: "C:\\temp\\new.xml"}\n', "fuse.yaml:1:18: in double quotes, \\t, \\n"),
        ("input: a: b\n", "fuse.yaml:1:9: is not valid YAML"),
        ("input: {project: a.xml, project: b.xml}", "1:25: input.project: is given twice (first in line 1, column 9)"),
        ("input: *missing\n", "is not valid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML: expected a single document"),
        ("input: &a [*a]\n", "fuse.yaml:1:8: an alias contains itself"),
        (BOMB, "aliases expand to more than 1,000,000 values"),
        ("{" * 1200, "is nested too deeply"),
        ("input: !!python/object/apply:os.system [ls]\n", "fuse.yaml:1:8: the tag"),
        ("input: !secret x\n", "fuse.yaml:1:8: the tag !secret is not allowed"),
        ("version: !!int one\n", "'one' is not a value of type int"),
        ("version: " + "9" * 5000, "is not a value of type int"),
        ("? [a, b]\n: 1\n", "a key must be a word"),
        (b"\x89HDF\r\n\x1a\n\x00\xff", "is not a text file in UTF-8"),
        (b"PK\x03\x04\x00\x00", "is not a YAML text file"),
        ("fusion: {}\n", "fuse.yaml: input: is missing"),
        ("1: 2\ninput: {project: a.xml}\n", "fuse.yaml:1:1: 1: unknown key"),
    ],
)
def test_broken_files(tmp_path: Path, text: str | bytes, message: str) -> None:
    [problem] = problems(tmp_path, text)
    assert message in problem
    assert problem.startswith("fuse.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.yaml", "No such file"), (tmp_path, "directory"), ("a\0b", "null byte")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load_config(path)
        assert str(caught.value).startswith(str(path))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2**26)
    with pytest.raises(ConfigError, match="is larger than 32 MiB"):
        load_config(path)


class TestSet:
    def test_values_are_yaml(self, tmp_path: Path) -> None:
        path = written(tmp_path, GOOD)
        overrides = [
            "fusion.blending=false",
            "fusion.downsampling=2.5",
            "output.chunks={x: 64, y: 64, z: 32}",
            "output.ome_zarr_version=0.4",
            "execution.memory=4GiB",
            "input.project=other=name.xml",
            "input.select.channels=0-2",
        ]
        config = load_config(path, overrides).config
        assert config.fusion.blending is None
        assert config.fusion.downsampling == 2.5
        assert config.output.chunks.zyx == (32, 64, 64)
        assert config.output.ome_zarr_version == "0.4"
        assert config.execution.memory == 4 * 2**30
        assert config.input.project == "other=name.xml"
        assert config.input.select.channels == (0, 1, 2)

    def test_lists_by_index(self, tmp_path: Path) -> None:
        path = written(tmp_path, "input:\n  views:\n    - path: a.tif\n    - path: b.tif\n")
        views = load_config(path, ["input.views.1.path=c.tif", "input.views.1.tile=4"]).config.input.views
        assert [(view.path, view.tile) for view in views] == [("a.tif", 0), ("c.tif", 4)]

    def test_a_switch_gives_way_to_options(self, tmp_path: Path) -> None:
        path = written(tmp_path, "input: {project: a.xml}\nfusion: {blending: true}\nexecution:\n")
        config = load_config(path, ["fusion.blending.range=10", "execution.workers=3"]).config
        assert config.fusion.blending.range == 10
        assert config.execution.workers == 3

    def test_the_last_one_wins(self, tmp_path: Path) -> None:
        path = written(tmp_path, GOOD)
        assert load_config(path, ["fusion.downsampling=2", "fusion.downsampling=3"]).config.fusion.downsampling == 3

    def test_mistakes_are_named(self, tmp_path: Path) -> None:
        overrides = ["fusion.metod=max", "fusion.downsampling=0", "fusion.blending={range: a}", "output.path="]
        assert problems(tmp_path, GOOD, *overrides) == [
            "--set fusion.blending: fusion.blending.range: 'a' is not allowed; use a number",
            "--set fusion.downsampling: 0 is not allowed; use a number greater than 0",
            "--set fusion.metod: unknown key (did you mean 'method'?)",
            "--set output.path: nothing (null) is not allowed; use text",
        ]

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("fusion.blending", "--set fusion.blending: is not KEY=VALUE"),
            ("=3", "--set =3: is not KEY=VALUE"),
            ("fusion..method=max", "is not KEY=VALUE"),
            ("fusion.method=[a", "--set fusion.method: is not valid YAML"),
            ("input.select.channels.3=1", "input.select.channels is a list of 1, it has no '3'; use 0 to 0"),
            ("input.select.channels.x=1", "it has no 'x'"),
        ],
    )
    def test_broken_overrides(self, tmp_path: Path, override: str, message: str) -> None:
        [problem] = problems(tmp_path, GOOD, override)
        assert message in problem

    def test_all_broken_overrides_are_told(self, tmp_path: Path) -> None:
        assert len(problems(tmp_path, GOOD, "a", "b", "c=[")) == 3

    def test_places_of_overrides(self, tmp_path: Path) -> None:
        path = written(tmp_path, GOOD)
        loaded = load_config(path, ["fusion.blending.range=3", "execution.workers=2"])
        assert loaded.where("fusion.blending.range") == "--set fusion.blending.range"
        assert loaded.where("execution") == "--set execution.workers"
        assert loaded.where("fusion.blending") == f"{path}:8:5"
        assert loaded.cite("execution.workers") == "--set execution.workers"


class TestMapping:
    def test_paths_and_numpy_values(self, tmp_path: Path) -> None:
        loaded = from_mapping(
            {
                "input": {"views": ({"path": Path("a.tif"), "affine": np.eye(3, 4).ravel()},)},
                "fusion": {"downsampling": np.float32(2), "bounding_box": {"min": np.int64(0), "max": 9}},
            },
            tmp_path,
            ["fusion.dtype=float32"],
        )
        [view] = loaded.config.input.views
        assert view.affine == (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
        assert loaded.config.fusion.dtype == "float32"
        assert loaded.resolve_path(view.path) == str(tmp_path / "a.tif")

    def test_messages_have_no_place(self) -> None:
        with pytest.raises(ConfigError, match=r"^fusion\.blendin: unknown key \(did you mean 'blending'\?\)$"):
            from_mapping({"input": {"project": "a.xml"}, "fusion": {"blendin": True}})

    def test_the_mapping_is_not_changed(self) -> None:
        given = {"input": {"project": "a.xml"}, "fusion": {"blending": True}}
        from_mapping(given, overrides=["fusion.blending.range=3"])
        assert given == {"input": {"project": "a.xml"}, "fusion": {"blending": True}}


class TestUnsupported:
    def test_nothing_to_say(self, loaded: LoadedConfig) -> None:
        assert unsupported(loaded) == []
        ready = {
            "input": {"views": [{"path": "a.tif"}]},
            "fusion": {
                "numerics": "bigstitcher",
                "content_based": True,
                "intensity_adjustment": True,
                "dtype": "uint8",
            },
            "output": {"path": "a.h5", "project": "a.xml", "pyramid": "none", "partitions": None},
            "execution": {"scheduler": "slurm"},
            "focus": {"method": "masks", "masks": [{"fft": {}}], "align": False},
            "cache": {"limit": "auto"},
        }
        assert unsupported(from_mapping(ready)) == []
        ready |= {"fusion": {"method": "mask", "rounding": "down"}, "output": {"path": "s3://bucket/a.zarr"}}
        assert unsupported(from_mapping(ready)) == []

    def test_hdf5_is_not_written_to_an_address(self) -> None:
        config = {"input": {"project": "a.xml"}, "output": {"path": "s3://bucket/a.h5"}}
        (sentence,) = unsupported(from_mapping(config))
        assert "HDF5 is written on a disk, not to an address; use a local path" in sentence

    def test_a_sentence_has_place_key_and_way_out(self, tmp_path: Path) -> None:
        path = written(tmp_path, "input: {project: a.xml}\noutput: {path: 's3://b/a.dzi'}\n")
        assert unsupported(load_config(path)) == [
            f"{path}:2:16: output.path: Deep Zoom is written on a disk, not to an address; "
            "use a local path, or format ome-zarr"
        ]


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    code = (
        f"import sys; from fusestack.config.load import load_config; load_config({str(path)!r}); "
        "print([m for m in ('numpy', 'zarr', 'dask', 'numba', 'h5py', 'scipy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
