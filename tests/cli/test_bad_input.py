"""Everything a user can get wrong: the exit code, sentences that name the file and the thing, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from fusestack.cli.main import run

XML = """<?xml version="1.0"?>
<SpimData version="0.2"><BasePath type="relative">.</BasePath>
<SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5 type="relative">data.h5</hdf5></ImageLoader>
<ViewSetups><ViewSetup><id>0</id><size>12 10 8</size><attributes><channel>0</channel><tile>0</tile>
<angle>0</angle><illumination>0</illumination></attributes></ViewSetup></ViewSetups>
<Timepoints type="pattern"><integerpattern>0</integerpattern></Timepoints></SequenceDescription>
<ViewRegistrations><ViewRegistration timepoint="0" setup="0"><ViewTransform type="affine">
<affine>1 0 0 0 0 1 0 0 0 0 1 0</affine></ViewTransform></ViewRegistration></ViewRegistrations></SpimData>
"""
CONFIG = "version: 1\ninput: {project: data.xml}\noutput: {path: out.ome.zarr}\n"
TIFF = "version: 1\ninput: {views: [{path: a.tif}]}\noutput: {path: out.ome.zarr}\n"
ZARR = "version: 1\ninput: {views: [{path: a.zarr}]}\noutput: {path: out.ome.zarr}\n"

Change = Callable[[Path], None]


def text(name: str, old: str, new: str) -> Change:
    """Replace a piece of a file."""

    def change(folder: Path) -> None:
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return change


def content(name: str, new: str) -> Change:
    return lambda folder: (folder / name).write_text(new) and None  # type: ignore[func-returns-value]


def cut(name: str, share: float) -> Change:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return change


def gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def several(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
CASES: dict[str, tuple[Change, int, list[str]]] = {
    # configuration
    "tab": (content("fuse.yaml", "version: 1\n\tinput: 3\n"), 2, ["fuse.yaml:2", "tab"]),
    "unclosed": (content("fuse.yaml", 'version: 1\ninput: {project: "data.xml}\n'), 2, ["fuse.yaml:"]),
    "twice": (content("fuse.yaml", CONFIG + "output: {path: other.ome.zarr}\n"), 2, ["fuse.yaml:4", "output"]),
    "empty": (content("fuse.yaml", ""), 2, ["fuse.yaml"]),
    "list": (content("fuse.yaml", "- 1\n- 2\n"), 2, ["fuse.yaml"]),
    "typo": (
        text("fuse.yaml", "version: 1", "version: 1\nfusion: {blendin: true}"),
        2,
        ["fuse.yaml:2:10", "'blending'"],
    ),
    "section typo": (text("fuse.yaml", "output:", "outptu:"), 2, ["fuse.yaml:3:1", "outptu", "'output'"]),
    "value": (text("fuse.yaml", "version: 1", "version: 1\nfusion: {method: averge}"), 2, ["averge", "'average'"]),
    "negative": (text("fuse.yaml", "version: 1", "version: 1\nfusion: {downsampling: -2}"), 2, ["downsampling", "-2"]),
    "type": (text("fuse.yaml", "version: 1", "version: 1\nfusion: {blending: {range: wide}}"), 2, ["range", "wide"]),
    "nan": (text("fuse.yaml", "version: 1", "version: 1\nfusion: {background: .nan}"), 2, ["background", "float32"]),
    "suffix": (text("fuse.yaml", "out.ome.zarr", "out.nrrd"), 2, ["out.nrrd", "output.format"]),
    "no input": (content("fuse.yaml", "version: 1\noutput: {path: a.ome.zarr}\n"), 2, ["input"]),
    "no output": (content("fuse.yaml", "version: 1\ninput: {project: data.xml}\n"), 2, ["output.path"]),
    "two inputs": (text("fuse.yaml", "data.xml", "data.xml, views: [{path: a.tif}]"), 2, ["exactly one"]),
    "align before fusing": (
        text("fuse.yaml", "version: 1", "version: 1\nfocus: {align: true, output: {path: a.tif}}"),
        2,
        ["focus.align", "run the fusion alone"],
    ),
    "box": (text("fuse.yaml", "version: 1", "version: 1\nfusion: {bounding_box: embryo}"), 2, ["embryo", "all_views"]),
    "box beside": (
        text("fuse.yaml", "version: 1", "version: 1\nfusion: {bounding_box: {min: 900, max: 990}}"),
        2,
        ["bounding_box", "no selected view reaches it"],
    ),
    "background range": (
        text("fuse.yaml", "version: 1", "version: 1\nfusion: {background: 70000}"),
        2,
        ["background", "70000", "uint16"],
    ),
    "memory": (
        text("fuse.yaml", "version: 1", "version: 1\nexecution: {memory: 1MiB}"),
        2,
        ["a worker has", "execution.memory"],
    ),
    "profile": (
        text("fuse.yaml", "version: 1", "version: 1\nexecution: {scheduler: slurm, profile: nowhere}"),
        2,
        ["execution.profile", "nowhere"],
    ),
    # project
    "no project": (gone("data.xml"), 3, ["data.xml"]),
    "truncated xml": (cut("data.xml", 0.6), 3, ["data.xml"]),
    "not a project": (content("data.xml", "<html/>"), 3, ["data.xml", "SpimData"]),
    "bomb": (text("data.xml", '<?xml version="1.0"?>', f'<?xml version="1.0"?>{BOMB}'), 3, ["data.xml"]),
    "external": (
        text(
            "data.xml",
            '<?xml version="1.0"?>',
            '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        ),
        3,
        ["data.xml"],
    ),
    "loader": (text("data.xml", "bdv.hdf5", "bdv.magic"), 3, ["data.xml", "bdv.magic"]),
    "singular": (text("data.xml", "1 0 0 0 0 1 0 0 0 0 1 0", "1 0 0 0 2 0 0 0 0 0 1 0"), 3, ["setup 0", "singular"]),
    "not finite": (text("data.xml", "1 0 0 0 0 1", "nan 0 0 0 0 1"), 3, ["data.xml", "setup 0"]),
    "eleven": (text("data.xml", "0 0 1 0</affine>", "0 0 1</affine>"), 3, ["data.xml", "12"]),
    "unregistered": (text("data.xml", 'setup="0"><ViewTr', 'setup="7"><ViewTr'), 3, ["data.xml", "setup"]),
    "size": (text("data.xml", "12 10 8", "12 10 9"), 3, ["setup 0", "12 x 10 x 9", "12 x 10 x 8", "data.h5"]),
    "selection": (
        text("fuse.yaml", "data.xml", "data.xml, select: {channels: [3]}"),
        3,
        ["input.select.channels", "3"],
    ),
    # pixels
    "no pixels": (gone("data.h5"), 3, ["data.h5"]),
    "truncated hdf5": (cut("data.h5", 0.5), 3, ["data.h5"]),
    "not hdf5": (content("data.h5", "hello"), 3, ["data.h5"]),
    "no tiff": (several(content("fuse.yaml", TIFF), gone("a.tif")), 3, ["a.tif"]),
    "truncated tiff": (several(content("fuse.yaml", TIFF), cut("a.tif", 0.5)), 3, ["a.tif"]),
    "not tiff": (several(content("fuse.yaml", TIFF), content("a.tif", "hello")), 3, ["a.tif"]),
    "unknown image": (several(content("fuse.yaml", TIFF.replace("a.tif", "a.xyz"))), 3, ["a.xyz", ".tif"]),
    "flat affine": (
        content("fuse.yaml", TIFF.replace("a.tif", "a.tif, affine: [0,0,0,0, 0,1,0,0, 0,0,1,0]")),
        3,
        ["a.tif", "singular"],
    ),
    "broken zarr": (several(content("fuse.yaml", ZARR), cut("a.zarr/zarr.json", 0.5)), 3, ["a.zarr"]),
    "missing level": (
        several(content("fuse.yaml", ZARR), lambda folder: (folder / "a.zarr/0/zarr.json").unlink()),
        3,
        ["a.zarr"],
    ),
    # output
    "input as output": (
        text("fuse.yaml", "out.ome.zarr}", "data.h5, overwrite: true}"),
        2,
        ["output.path", "data.h5", "is an input"],
    ),
    "input project as output": (
        text("fuse.yaml", "out.ome.zarr}", "out.h5, project: data.xml, overwrite: true}"),
        2,
        ["output.project", "data.xml", "is an input"],
    ),
    "nobody at the address": (
        text("fuse.yaml", "version: 1", "version: 1\nexecution: {scheduler: 'tcp://127.0.0.1:9'}"),
        2,
        ["execution.scheduler", "tcp://127.0.0.1:9"],
    ),
    "foreign output": (content("out.ome.zarr", "mine"), 5, ["out.ome.zarr", "exists"]),
    "below a file": (text("fuse.yaml", "out.ome.zarr", "a.tif/out.ome.zarr"), 5, ["a.tif/out.ome.zarr"]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("fusestack.taskgraph.clusters._ANSWER_SECONDS", 1)
    pixels = np.arange(12 * 10 * 8, dtype=np.uint16).reshape(8, 10, 12)
    (tmp_path / "data.xml").write_text(XML)
    (tmp_path / "fuse.yaml").write_text(CONFIG)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        file["s00/subdivisions"] = np.full((1, 3), 8, dtype=np.int32)
        file.create_dataset("t00000/s00/0/cells", data=pixels.view(np.int16), chunks=(8, 8, 8))
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("0", data=pixels)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", CASES)
def test_exit_code_and_sentence(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, code, words = CASES[name]
    change(folder)
    before = listing(folder)
    assert run(["run", "fuse.yaml"]) == code
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith("warning")]
    assert 1 <= len(lines) <= 2, printed.err
    assert all(line.startswith("fusestack: ") for line in lines)
    assert "Traceback" not in printed.err
    for word in words:
        assert word in printed.err
    assert printed.out == ""
    assert listing(folder) == before, "nothing is created before everything is known to be good"


def test_the_untouched_example_is_good(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text_of_config in (CONFIG, TIFF, ZARR):
        (folder / "fuse.yaml").write_text(text_of_config)
        assert run(["validate", "fuse.yaml"]) == 0
        assert run(["run", "fuse.yaml", "--quiet", "--force"]) == 0
        pixels = zarr.open_array(folder / "out.ome.zarr" / "0", mode="r")[0, 0]
        np.testing.assert_array_equal(pixels, np.arange(960).reshape(8, 10, 12))


def test_all_problems_are_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fuse.yaml").write_text(CONFIG + "fusion: {blendin: 1, downsampling: 0, dtype: int12}\n")
    assert run(["plan", "fuse.yaml"]) == 2
    errors = capsys.readouterr().err
    assert all(word in errors for word in ("blendin", "downsampling", "int12"))


def test_what_is_not_used_may_be_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = XML[XML.index("<ViewSetup>") : XML.index("</ViewSetup>")] + "</ViewSetup>"
    broken = setup.replace("<id>0<", "<id>1<").replace("12 10 8", "0 0 0")
    box = "<BoundingBoxDefinition name='b'><min>NaN 0 0</min><max>1 1 1</max></BoundingBoxDefinition>"
    xml = XML.replace(setup, setup + broken).replace("</SpimData>", f"<BoundingBoxes>{box}</BoundingBoxes></SpimData>")
    (folder / "data.xml").write_text(xml)
    assert run(["run", "fuse.yaml"]) == 3
    errors = capsys.readouterr().err
    assert "ViewSetup 1: size must be between 1" in errors
    assert "leave out view (timepoint 0, setup 1)" in errors
    (folder / "fuse.yaml").write_text(CONFIG.replace("data.xml", "data.xml, select: {setups: [0]}"))
    assert run(["plan", "fuse.yaml", "--set", "fusion.bounding_box=b"]) == 3
    assert "bounding box 'b': min must be a whole number" in capsys.readouterr().err
    assert run(["run", "fuse.yaml"]) == 0
    assert "view (timepoint 0, setup 1) cannot be used and is not selected" in capsys.readouterr().err
