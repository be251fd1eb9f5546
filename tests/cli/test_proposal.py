"""What ``fusestack init`` proposes for what is there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fusestack.cli.main import run
from fusestack.cli.proposal import describe
from fusestack.config.document import read_document
from fusestack.config.load import from_mapping
from fusestack.config.models import Input
from fusestack.model.errors import InputError
from tests.project.example import write


def proposed(places: Any, folder: Path, kind: str | None = None) -> Input:
    found = from_mapping(read_document(describe(places, folder, kind).text, "text")[0]).config.input
    assert found is not None
    return found


def tile(path: Path, x: float | None = None, value: int = 1) -> Path:
    place = {} if x is None else {"Plane": {"PositionX": [x], "PositionXUnit": ["µm"]}}
    metadata = {"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeY": 1, **place}
    tifffile.imwrite(path, np.full((20, 30), value, np.uint16), ome=True, metadata=metadata)
    return path


def paths(found: Input) -> list[str]:
    assert found.views is not None
    return [view.path for view in found.views]


def test_tiles_that_know_their_places(tmp_path: Path) -> None:
    for n in range(3):
        tile(tmp_path / f"t{n}.ome.tif", 30.0 * n)
    (tmp_path / "._t0.ome.tif").write_bytes(b"Mac OS X")
    found = proposed(tmp_path, tmp_path)
    assert paths(found) == ["t0.ome.tif", "t1.ome.tif", "t2.ome.tif"]
    assert found.views is not None
    assert all(view.translation is None for view in found.views)
    assert "position (OME-XML)" in describe(tmp_path, tmp_path).text


def test_tiles_that_do_not_are_put_in_a_row(tmp_path: Path) -> None:
    for n in range(2):
        tile(tmp_path / f"t{n}.ome.tif")
    found = proposed(tmp_path, tmp_path)
    assert found.views is not None
    assert [view.translation.zyx for view in found.views if view.translation] == [(0, 0, 0), (0, 0, 30)]
    assert "The translations are guesses" in describe(tmp_path, tmp_path).text


def test_those_that_do_not_know_it_beside_others_wait_for_it(tmp_path: Path) -> None:
    for n, x in enumerate((15.0, None, None)):
        tile(tmp_path / f"t{n}.ome.tif", x)
    assert paths(proposed(tmp_path, tmp_path)) == ["t0.ome.tif"]
    assert "    # - {path: t1.ome.tif" in describe(tmp_path, tmp_path).text


def test_patterns_and_several_files(tmp_path: Path) -> None:
    for n in range(3):
        tile(tmp_path / f"t{n}.ome.tif", 30.0 * n)
    assert paths(proposed(str(tmp_path / "t[01].ome.tif"), tmp_path)) == ["t0.ome.tif", "t1.ome.tif"]
    assert paths(proposed([tmp_path / "t2.ome.tif", tmp_path / "t0.ome.tif"], tmp_path)) == ["t2.ome.tif", "t0.ome.tif"]
    with pytest.raises(InputError, match="no file fits the pattern"):
        describe(str(tmp_path / "x*.tif"), tmp_path)


def test_one_zarr_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("a.ome.zarr", "plain"):
        group = zarr.open_group(tmp_path / name, mode="w")
        group.create_array("0", data=np.zeros((4, 8, 9), np.uint16))
        axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
        level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
        assert paths(proposed(tmp_path / name, tmp_path)) == [name]
    assert paths(proposed(tmp_path, tmp_path)) == ["a.ome.zarr", "plain"]


def test_series_are_views(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "both.ome.tif", ome=True) as tiff:
        for value in (1, 2):
            tiff.write(np.full((3, 20, 30), value, np.uint16), photometric="minisblack", metadata={"axes": "ZYX"})
    found = proposed([tmp_path / "both.ome.tif"], tmp_path, "tiles")
    assert found.views is not None
    assert [(view.path, view.series) for view in found.views] == [("both.ome.tif", 0), ("both.ome.tif", 1)]


def test_a_folder_with_a_project_is_the_project(tmp_path: Path) -> None:
    write(tmp_path)
    (name,) = [path.name for path in tmp_path.glob("*.xml")]
    assert proposed(tmp_path, tmp_path).project == name


def zarr_below(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    zarr_image(folder / "volume.ome.zarr")
    return folder / "volume.ome.zarr"


@pytest.mark.parametrize("below", ["", "below/"])
@pytest.mark.parametrize("pictures", [".png", ".tif"])
def test_projects_and_zarr_are_taken_rather_than_pictures(pictures: str, below: str, tmp_path: Path) -> None:
    """Pictures of a screen, or of what was made, lie in the folders of projects; what else is there is said."""
    place, inside = tmp_path / "data", tmp_path / "data" / below
    inside.mkdir(parents=True)
    for n in range(2):
        imwrite(place / f"shot{n}{pictures}")
    (place / "cache.fusestack").mkdir()
    zarr_below(place / "cache.fusestack")
    assert len(proposed(place, place).views or proposed(place, place).images or ()) == 2
    zarr_below(inside)
    assert paths(proposed(place, place)) == [f"{below}volume.ome.zarr"]
    (said,) = describe(place, place).said
    assert said.startswith(f"The folder also holds shot0{pictures}, shot1{pictures}; to take them, name them")
    assert len(proposed(sorted(place.glob("shot*")), place, "stack").images or ()) == 2
    write(inside)
    (name,) = [path.name for path in inside.glob("*.xml")]
    assert proposed(place, place).project == f"{below}{name}"
    (said,) = describe(place, place).said
    assert f"shot0{pictures}, shot1{pictures}" in said


def test_of_several_zarr_below_none_is_taken_rather(tmp_path: Path) -> None:
    for n in range(2):
        imwrite(tmp_path / f"shot{n}.png")
        zarr_below(tmp_path / f"below {n}")
    assert proposed(tmp_path, tmp_path).images == ("shot0.png", "shot1.png")


def imwrite(path: Path) -> None:
    tifffile.imwrite(path, np.ones((20, 30), np.uint16)) if path.suffix == ".tif" else Image.new("L", (8, 6)).save(path)


def test_photographs_are_no_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(2):
        imwrite(tmp_path / f"shot{n}.png")
    for places in ([str(tmp_path)], [str(tmp_path / "shot0.png")]):
        assert run(["init", *places, "-o", str(tmp_path / "c.yaml"), "--as", "tiles"]) == 3
        assert "shot0.png" in (text := capsys.readouterr().err)
        assert "not as tiles; save them as TIFF" in text


def test_a_stack_is_called_like_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the examples of the documentation: the slices of moss/ make moss.tif."""

    def outputs(places: Any, folder: Path) -> str:
        return describe(places, folder).text.partition("  output:")[2]

    folder = tmp_path / "moss"
    folder.mkdir()
    for n in range(3):
        imwrite(folder / f"s{n}.png")
    text = outputs(folder, tmp_path)
    assert "path: moss.tif\n" in text
    assert "# depth: moss_depth.tif " in text
    assert "# mask: moss_mask.tif" in text
    assert "path: moss.tif\n" in outputs(str(folder / "*.png"), tmp_path)
    monkeypatch.chdir(folder)
    assert "path: moss.tif\n" in outputs(".", folder)
    assert "path: sharp.tif\n" in outputs("s0.png", folder)
    config = tmp_path / "moss.yaml"
    assert run(["init", str(folder), "-o", str(config)]) == run(["run", str(config), "--quiet"]) == 0
    assert "path: moss.tif\n" in outputs(folder, tmp_path)  # what we made of it may be made anew
    imwrite(tmp_path / "moss.tif")
    assert "path: sharp.tif\n" in outputs(folder, tmp_path)


def test_results_are_a_question(tmp_path: Path) -> None:
    for n in range(3):
        tile(tmp_path / f"img{n}.tif", 30.0 * n)
    tile(tmp_path / "focus-stack-result.tif")
    tile(tmp_path / "img_fused.tif")
    text = describe(tmp_path, tmp_path).text
    assert "# Are these results of a program? They are left out: focus-stack-result.tif, img_fused.tif." in text
    assert paths(proposed(tmp_path, tmp_path)) == ["img0.tif", "img1.tif", "img2.tif"]
    (tmp_path / "only").mkdir()
    tile(tmp_path / "only" / "fused.tif")
    assert paths(proposed(tmp_path / "only", tmp_path, "tiles")) == ["only/fused.tif"]


def test_hints_are_quoted_and_true(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my tiles"
    folder.mkdir()
    for n in range(2):
        tile(folder / f"t{n}.tif")
    config = tmp_path / "a b.yaml"
    assert run(["init", str(folder), "-o", str(config)]) == 0
    plan, stack = [shlex.split(line[line.index("fusestack ") :]) for line in capsys.readouterr().out.splitlines()]
    assert plan == ["fusestack", "plan", str(config)]
    assert run(stack[1:]) == 0
    assert "images:" in config.read_text()


def test_planes_of_a_stack_are_proposed_with_their_distance(tmp_path: Path) -> None:
    for depth in (10.0, 14.0):
        place = {"PositionX": [1.0], "PositionZ": [depth], "PositionXUnit": ["µm"], "PositionZUnit": ["µm"]}
        metadata = {"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeY": 1, "Plane": place}
        tifffile.imwrite(tmp_path / f"z{depth}.ome.tif", np.zeros((8, 9), np.uint16), ome=True, metadata=metadata)
    text = describe(tmp_path, tmp_path).text
    assert "distance of planes: 4 micrometer (the smallest step of their z)" in text


def test_images_of_one_file_are_looked_at_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for n in range(5):
            metadata = {"axes": "ZYX", "PhysicalSizeX": n + 1}
            tiff.write(np.zeros((2, 8, 9), np.uint16), photometric="minisblack", metadata=metadata)
    opened: list[object] = []
    plain = tifffile.FileHandle.open
    monkeypatch.setattr(
        tifffile.FileHandle,
        "open",
        lambda self: (opened.append(self) if isinstance(self._file, str) else None, plain(self))[1],
    )
    text = describe(tmp_path / "a.ome.tif", tmp_path, kind="tiles").text
    assert [f"series: {n}" in text for n in range(5)] == [True] * 5
    assert len(opened) <= 3  # what kind it is, which images it holds, and all of them


def zarr_image(path: Path) -> Path:
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=np.ones((3, 20, 30), np.uint16))
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": [1, 1, 1]}]
    images = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": images}
    return path


def volume_file(path: Path) -> Path:
    tifffile.imwrite(path, np.arange(1800, dtype=np.uint16).reshape(3, 20, 30), ome=True, metadata={"axes": "ZYX"})
    return path


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", ["planes", "volumes", "zarr", "zarr without a suffix"])
def test_a_stack_is_offered_where_it_can_be_one(
    kind: str, several: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that init offers writes a configuration that is valid."""
    place = tmp_path / "data"
    place.mkdir()
    for n in range(1 + several):
        if kind == "planes":
            tile(place / f"t{n}.ome.tif", value=n + 1)
        elif kind == "volumes":
            volume_file(place / f"t{n}.ome.tif")
        else:
            zarr_image(place / (f"t{n}.zarr" if kind == "zarr" else f"t{n}"))
    config = str(tmp_path / "c.yaml")
    assert run(["init", str(place), "-o", config]) == 0
    offered = [line for line in capsys.readouterr().out.splitlines() if "slices of a focus stack" in line]
    assert bool(offered) == (kind == "planes" or not several)
    if offered:
        assert run(shlex.split(offered[0].partition("? fusestack ")[2])) == 0
        assert run(["validate", config]) == 0
    elif "zarr" in kind:
        assert run(["init", str(place), "-o", config, "--as", "stack", "--force"]) == 3


def test_images_in_folders_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(2):
        (tmp_path / "data" / f"Pos {n}").mkdir(parents=True)
        tile(tmp_path / "data" / f"Pos {n}" / "img.ome.tif")
    assert run(["init", str(tmp_path / "data"), "-o", str(tmp_path / "c.yaml")]) == 3
    text = capsys.readouterr().err.strip()
    assert "its folders do (Pos 0, Pos 1): name one of them" in text
    again = shlex.split(text.partition("fusestack init ")[2])
    assert run(["init", *again, "-o", str(tmp_path / "c.yaml")]) == 0
    assert (tmp_path / "c.yaml").read_text().count("img.ome.tif") == 2


def test_folders_that_nobody_may_look_into_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    tile(tmp_path / "a.ome.tif", 0)
    tile(tmp_path / "b.ome.tif", 20)
    listed = Path.iterdir

    def refused(self: Path) -> Any:
        if self == closed:
            raise PermissionError(13, "Permission denied", str(closed))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refused)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != closed)
    assert len(paths(proposed(tmp_path, tmp_path))) == 2
