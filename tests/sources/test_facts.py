"""What files of every kind say about themselves, format by format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.units import known_unit, length_factor
from fusestack.project.readers import READERS
from fusestack.sources.base import open_source
from fusestack.sources.facts import FactsWanted, ImageFacts, all_facts, facts_of

if TYPE_CHECKING:
    from pathlib import Path

TIFF, ZARR = READERS[".tif"], READERS[".zarr"]


def facts(path: Path, series: int | None = None, axes: str | None = None) -> ImageFacts:
    reader = ZARR if path.is_dir() else TIFF
    return facts_of(FactsWanted(reader, str(path), series, axes))


def image(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def ome(path: Path, pixels: np.ndarray, axes: str, **metadata: Any) -> Path:
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})
    return path


def imagej(
    path: Path, pixels: np.ndarray, axes: str, resolution: tuple[float, float] = (1, 1), **metadata: Any
) -> Path:
    tifffile.imwrite(path, pixels, imagej=True, resolution=resolution, metadata={"axes": axes, **metadata})
    return path


def ngff(
    path: Path,
    pixels: np.ndarray,
    axes: list[Any],
    steps: list[dict[str, Any]],
    outer: list[dict[str, Any]] | None = None,
    version: int = 3,
    **more: Any,
) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("s0", data=pixels)
    found = {
        "axes": axes,
        "datasets": [{"path": "s0", "coordinateTransformations": steps}],
        **({"coordinateTransformations": outer} if outer else {}),
    }
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [found], **more}
    else:
        group.attrs.update({"multiscales": [{"version": "0.4", **found}], **more})
    return path


def space(unit: str | None = "micrometer") -> list[dict[str, str]]:
    return [{"name": axis, "type": "space", **({"unit": unit} if unit else {})} for axis in "zyx"]


def scale(*numbers: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(numbers)}


def shift(*numbers: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(numbers)}


def place(found: ImageFacts, pixel: tuple[float, float, float] = (0, 0, 0), timepoint: int = 0) -> list[float]:
    """Where a pixel is, in the unit."""
    return [round(float(v), 9) for v in found.pixel_to_unit[timepoint].apply(pixel)]


class TestOmeTiff:
    def test_places_sizes_and_channels(self, tmp_path: Path) -> None:
        planes = 6
        position = {"PositionX": [25.0] * planes, "PositionY": [-3.0] * planes, "PositionZ": [7.0, 9.0, 11.0] * 2}
        units = {f"Position{axis}Unit": ["µm"] * planes for axis in "XYZ"}
        path = ome(
            tmp_path / "a.ome.tif",
            image(2, 3, 8, 9),
            "CZYX",
            PhysicalSizeX=0.5,
            PhysicalSizeY=0.25,
            PhysicalSizeZ=2,
            Channel={"Name": ["DAPI", "GFP"], "Color": [-16776961, 0x00FF00FF]},
            Plane={**position, **units},
        )
        found = facts(path)
        assert (found.shape, found.sizes, found.unit) == ((1, 2, 3, 8, 9), (2, 0.25, 0.5), "micrometer")
        assert found.positions == ((7.0, -3.0, 25.0),)
        assert (found.names, found.colors) == (("DAPI", "GFP"), ("FF0000", "00FF00"))
        assert ("position", "OME-XML") in found.found
        assert found.said == ()

    @pytest.mark.parametrize(("unit", "factor"), [("nm", 1e-3), ("mm", 1e3), ("pixel", 0.5)])
    def test_places_in_other_units(self, tmp_path: Path, unit: str, factor: float) -> None:
        plane = {"PositionX": [8.0], "PositionXUnit": [unit]}
        path = ome(tmp_path / "a.ome.tif", image(1, 8, 9), "ZYX", PhysicalSizeX=0.5, PhysicalSizeY=0.5, Plane=plane)
        assert facts(path).positions == ((0.0, 0.0, pytest.approx(8 * factor)),)
        assert facts(path).said == ()

    @pytest.mark.parametrize("unit", [{}, {"PositionXUnit": ["reference frame"]}])
    def test_places_without_a_unit_are_taken_for_that_of_the_sizes_and_said(
        self, tmp_path: Path, unit: dict[str, Any]
    ) -> None:
        sizes = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm"}
        found = facts(ome(tmp_path / "a.ome.tif", image(1, 8, 9), "ZYX", **sizes, Plane={"PositionX": [8.0], **unit}))
        assert found.positions == ((0.0, 0.0, 8.0),)
        assert (found.unit, found.sizes) == ("nanometer", (None, None, 500))
        assert "taken for nanometer" in found.said[0]

    def test_sizes_in_several_units_are_converted(self, tmp_path: Path) -> None:
        sizes = {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeZ": 2, "PhysicalSizeZUnit": "µm"}
        found = facts(ome(tmp_path / "a.ome.tif", image(2, 8, 9), "ZYX", **sizes))
        assert (found.unit, found.sizes) == ("nanometer", (2000, None, 250))

    def test_the_step_of_planes_where_their_size_is_not_told(self, tmp_path: Path) -> None:
        plane = {"PositionZ": [3.0, 4.5, 6.0], "PositionZUnit": ["µm"] * 3}
        path = ome(tmp_path / "a.ome.tif", image(3, 8, 9), "ZYX", PhysicalSizeX=1, PhysicalSizeY=1, Plane=plane)
        assert facts(path).sizes == (1.5, 1, 1)

    def test_planes_that_go_down_lie_below_one_another(self, tmp_path: Path) -> None:
        plane = {"PositionZ": [6.0, 4.0, 2.0], "PositionZUnit": ["µm"] * 3}
        path = ome(tmp_path / "a.ome.tif", image(3, 8, 9), "ZYX", PhysicalSizeZ=2, Plane=plane)
        assert place(facts(path), (2, 0, 0)) == [2, 0, 0]

    def test_places_of_timepoints(self, tmp_path: Path) -> None:
        plane = {"PositionX": [1.0, 2.0], "PositionXUnit": ["µm"] * 2}
        found = facts(ome(tmp_path / "a.ome.tif", image(2, 1, 8, 9), "TZYX", PhysicalSizeX=1, Plane=plane))
        assert [place(found, timepoint=t)[2] for t in (0, 1)] == [1, 2]

    def test_a_channel_elsewhere_is_said(self, tmp_path: Path) -> None:
        plane = {"PositionZ": [1.0, 2.5], "PositionZUnit": ["µm"] * 2}
        found = facts(
            ome(tmp_path / "a.ome.tif", image(2, 1, 8, 9), "CZYX", PhysicalSizeX=1, PhysicalSizeZ=1, Plane=plane)
        )
        assert "channel 1 lies x 0, y 0, z 1.5" in found.said[0]

    def test_several_images_have_to_be_chosen(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
            for number, size in enumerate((1.0, 2.0)):
                tiff.write(
                    image(2, 8, 9) + number, photometric="minisblack", metadata={"axes": "ZYX", "PhysicalSizeX": size}
                )
        with pytest.raises(InputError, match=r"holds 2 images.*series: 0 \(.*2 x 8 x 9\), 1"):
            facts(tmp_path / "a.ome.tif")
        found = facts(tmp_path / "a.ome.tif", series=1)
        assert (found.sizes[2], found.options) == (2.0, (("series", 1),))
        assert open_source(found.source(0, 0)).read(0, Box((0, 0, 0), (1, 1, 1))) == 1
        with pytest.raises(InputError, match="no series 2"):
            facts(tmp_path / "a.ome.tif", series=2)


class TestImageJ:
    def test_sizes_and_origins(self, tmp_path: Path) -> None:
        path = imagej(
            tmp_path / "a.tif",
            image(3, 8, 9),
            "ZYX",
            resolution=(4, 2),
            spacing=3.0,
            unit="\\u00B5m",
            xorigin=-8.0,
            yorigin=2.0,
        )
        found = facts(path)
        assert (found.sizes, found.unit) == ((3, 0.5, 0.25), "micrometer")
        assert found.positions == ((0, -1, 2),)

    @pytest.mark.parametrize(("unit", "known"), [("micron", "micrometer"), ("nm", "nanometer"), ("inch", "inch")])
    def test_units(self, tmp_path: Path, unit: str, known: str) -> None:
        found = facts(imagej(tmp_path / "a.tif", image(3, 8, 9), "ZYX", resolution=(4, 4), spacing=2.0, unit=unit))
        assert (found.unit, found.sizes) == (known, (2, 0.25, 0.25))

    def test_a_spacing_without_a_unit_is_said(self, tmp_path: Path) -> None:
        found = facts(imagej(tmp_path / "a.tif", image(3, 8, 9), "ZYX", spacing=2.0))
        assert found.sizes == (None, None, None)
        assert "spacing of 2 along z has no unit and is not used; voxel_size" in found.said[0]

    def test_frames_slices_and_channels(self, tmp_path: Path) -> None:
        found = facts(imagej(tmp_path / "a.tif", image(5, 3, 2, 8, 9), "TZCYX"))
        assert found.shape == (5, 2, 3, 8, 9)


class TestPlainTiff:
    @pytest.mark.parametrize(("unit", "size"), [("CENTIMETER", 5.0), ("INCH", 12.7)])
    def test_resolution(self, tmp_path: Path, unit: str, size: float) -> None:
        tifffile.imwrite(tmp_path / "a.tif", image(8, 9), resolution=(2000, 1000), resolutionunit=unit, metadata=None)
        found = facts(tmp_path / "a.tif")
        assert (found.sizes, found.unit) == ((None, pytest.approx(2 * size), pytest.approx(size)), "micrometer")

    def test_the_resolution_of_screens_is_none(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", image(8, 9), resolution=(72, 72), resolutionunit="INCH", metadata=None)
        assert facts(tmp_path / "a.tif").sizes == (None, None, None)

    def test_planes_without_a_name_are_z_and_axes_says_otherwise(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", image(5, 8, 9), photometric="minisblack")
        found = facts(tmp_path / "a.tif")
        assert found.shape == (1, 1, 5, 8, 9)
        assert found.found == (
            ("axes", "planes without a name are taken for z; axes: tyx or axes: cyx says otherwise"),
        )
        named = facts(tmp_path / "a.tif", axes="tyx")
        assert (named.shape, named.found) == ((5, 1, 1, 8, 9), ())
        np.testing.assert_array_equal(
            open_source(named.source(3, 0)).read(0, Box((0, 0, 0), (1, 8, 9)))[0], image(5, 8, 9)[3]
        )

    def test_two_axes_without_a_name_are_refused(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", image(2, 5, 8, 9), photometric="minisblack")
        with pytest.raises(InputError, match=r"axes are Q \(2\), Q \(5\), Y \(8\), X \(9\).*axes: czyx"):
            facts(tmp_path / "a.tif")
        assert facts(tmp_path / "a.tif", axes="zcyx").shape == (1, 5, 2, 8, 9)
        with pytest.raises(InputError, match="names 3 axes, its array has 4"):
            facts(tmp_path / "a.tif", axes="zyx")

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_colours_are_channels_where_axes_says_so(
        self, tmp_path: Path, planar: str, compression: str | None
    ) -> None:
        pixels = image(8, 9, 3) if planar == "contig" else image(3, 8, 9)
        settings = {"photometric": "rgb", "planarconfig": planar, "compression": compression}
        tifffile.imwrite(tmp_path / "a.tif", pixels, **settings)
        axes = "yxc" if planar == "contig" else "cyx"
        with pytest.raises(InputError, match=f"holds colours.*axes: {axes}"):
            facts(tmp_path / "a.tif")
        found = facts(tmp_path / "a.tif", axes=axes)
        assert found.shape == (1, 3, 1, 8, 9)
        for channel in range(3):
            wanted = pixels[..., channel] if planar == "contig" else pixels[channel]
            read = open_source(found.source(0, channel)).read(0, Box((0, 2, 1), (1, 7, 9)))
            np.testing.assert_array_equal(read[0], wanted[2:7, 1:9])


class TestNgff:
    @pytest.mark.parametrize("version", [2, 3])
    def test_level_and_image_transformations(self, tmp_path: Path, version: int) -> None:
        steps, outer = [scale(2, 1, 1), shift(3, 0, 5)], [scale(0.5, 0.5, 0.25), shift(0, 100, 0)]
        found = facts(ngff(tmp_path / "a", image(3, 8, 9), space(), steps, outer, version))
        assert (found.sizes, found.unit) == ((1, 0.5, 0.25), "micrometer")
        assert found.positions == ((1.5, 100, 1.25),)
        assert found.turn is None

    def test_channels_time_and_units(self, tmp_path: Path) -> None:
        axes = [
            {"name": "t", "type": "time", "unit": "second"},
            {"name": "channel", "type": "channel"},
            *space("nanometer"),
        ]
        axes[2] = {**axes[2], "unit": "micrometer"}
        channels = [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP"}]
        found = facts(
            ngff(tmp_path / "a", image(2, 2, 3, 8, 9), axes, [scale(9, 1, 2, 500, 500)], omero={"channels": channels})
        )
        assert (found.shape, found.sizes, found.unit) == ((2, 2, 3, 8, 9), (2000, 500, 500), "nanometer")
        assert (found.names, found.colors) == (("DAPI", "GFP"), ("0000FF", None))

    def test_rotation_and_affine_are_used(self, tmp_path: Path) -> None:
        turned = {"type": "rotation", "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]}
        moved = {"type": "affine", "affine": [[1, 0, 0, 4], [0, 1, 0.5, 0], [0, 0, 1, 0]]}
        steps = [{"type": "sequence", "transformations": [scale(2, 1, 1), turned]}]
        found = facts(ngff(tmp_path / "a", image(3, 8, 9), space(), steps, [moved]))
        assert place(found, (1, 0, 0)) == [6, 0, 0]
        assert place(found, (0, 1, 0)) == [4, 0.5, 1]
        assert ("orientation", "NGFF") in found.found
        assert open_source(found.source(0, 0)).levels[0].factors == (1, 1, 1)

    @pytest.mark.parametrize("kind", ["displacements", "mapAxis"])
    def test_other_transformations_are_refused_by_name(self, tmp_path: Path, kind: str) -> None:
        path = ngff(tmp_path / "a", image(3, 8, 9), space(), [{"type": kind, "path": "field"}])
        with pytest.raises(InputError, match=f"transformation '{kind}' is not read, only scale"):
            facts(path)

    def test_axes_in_another_order_are_turned(self, tmp_path: Path) -> None:
        pixels = image(9, 8, 3)
        axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "xyz"]
        found = facts(ngff(tmp_path / "a", pixels, axes, [scale(0.25, 0.5, 2), shift(1, 0, 0)]))
        assert (found.shape, found.sizes, found.positions) == ((1, 1, 3, 8, 9), (2, 0.5, 0.25), ((0, 0, 1),))
        source = open_source(found.source(0, 0))
        np.testing.assert_array_equal(source.read(0, Box((1, 2, 3), (3, 7, 9))), pixels.T[1:3, 2:7, 3:9])

    def test_planes_and_images_without_units(self, tmp_path: Path) -> None:
        axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
        found = facts(ngff(tmp_path / "a", image(8, 9), axes, [scale(2, 3)]))
        assert (found.shape, found.sizes, found.unit) == ((1, 1, 1, 8, 9), (None, 2, 3), None)

    def test_arrays_with_and_without_names(self, tmp_path: Path) -> None:
        zarr.create_array(tmp_path / "a", data=image(2, 3, 8, 9))
        assert facts(tmp_path / "a").shape == (1, 2, 3, 8, 9)
        assert facts(tmp_path / "a", axes="ztyx").shape == (3, 1, 2, 8, 9)
        zarr.create_array(tmp_path / "b", data=image(2, 3, 8, 9), dimension_names=("z", "c", "y", "x"))
        found = facts(tmp_path / "b")
        assert found.shape == (1, 3, 2, 8, 9)
        read = open_source(found.source(0, 2)).read(0, Box((0, 0, 0), (2, 8, 9)))
        np.testing.assert_array_equal(read, image(2, 3, 8, 9)[:, 2])

    def test_one_of_several_images_of_a_group_has_to_be_chosen(self, tmp_path: Path) -> None:
        path = ngff(tmp_path / "a", image(3, 8, 9), space(), [scale(1, 1, 1)])
        group = zarr.open_group(path)
        group.create_array("other", data=image(2, 4, 4))
        described = group.attrs["ome"]
        second = {"axes": space(), "datasets": [{"path": "other", "coordinateTransformations": [scale(1, 2, 2)]}]}
        group.attrs["ome"] = {**described, "multiscales": [*described["multiscales"], second]}
        with pytest.raises(InputError, match=r"a.*: holds 2 images; choose one with series: 0 \(\w+\), 1 \(other\)"):
            facts(path)
        assert facts(path, series=0).shape == (1, 1, 3, 8, 9)
        found = facts(path, series=1)
        assert (found.shape, found.said) == ((1, 1, 2, 4, 4), ())
        assert open_source(found.source(0, 0)).levels[0].shape == (2, 4, 4)

    def test_plates_and_what_bioformats2raw_writes(self, tmp_path: Path) -> None:
        zarr.open_group(tmp_path / "p", mode="w").attrs["ome"] = {
            "plate": {"wells": [{"path": "A/1"}, {"path": "B/1"}]}
        }
        for well in ("A/1", "B/1"):
            zarr.open_group(tmp_path / "p" / well, mode="w").attrs["ome"] = {"well": {"images": [{"path": "0"}]}}
            ngff(tmp_path / "p" / well / "0", image(3, 8, 9), space(), [scale(1, 1, 1)])
        with pytest.raises(InputError, match=r"holds 2 images; choose one with series: 0 \(A/1/0\), 1 \(B/1/0\)"):
            facts(tmp_path / "p")
        assert facts(tmp_path / "p", series=1).path == str(tmp_path / "p/B/1/0")
        assert facts(tmp_path / "p/B/1").path == str(tmp_path / "p/B/1/0")

    def test_bioformats2raw_keeps_places_in_xml(self, tmp_path: Path) -> None:
        root = zarr.open_group(tmp_path / "b", mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
        root.create_group("OME", attributes={"series": ["0"]})
        ngff(tmp_path / "b/0", image(3, 8, 9), space(), [scale(1, 0.5, 0.5)], version=2)
        (tmp_path / "b/OME/METADATA.ome.xml").write_text(
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels SizeT="1" '
            'SizeC="1" SizeZ="3" SizeY="8" SizeX="9" Type="uint16" PhysicalSizeX="0.5"><Channel Name="GFP"/>'
            '<Plane TheT="0" TheC="0" TheZ="0" PositionX="2000" PositionXUnit="nm"/></Pixels></Image></OME>'
        )
        found = facts(tmp_path / "b")
        assert (found.positions, found.names) == (((0, 0, 2.0),), ("GFP",))
        assert ("position", "OME-XML of bioformats2raw") in found.found


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["ome", "imagej", "plain"])
def test_a_file_that_is_to_be_turned_says_so(tmp_path: Path, kind: str, orientation: int) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "plain": {"photometric": "minisblack"},
    }
    tag = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", image(3, 8, 9), extratags=tag, **kinds[kind])
    said = [sentence for sentence in facts(tmp_path / "a.tif").said if "turned" in sentence]
    turned = f"says that it is to be turned (Orientation {orientation}), which is not done to volumes"
    assert said == ([f"{turned}; affine turns it"] if 2 <= orientation <= 8 else [])


def test_channels_of_one_name_are_numbered_and_said(tmp_path: Path) -> None:
    found = facts(ome(tmp_path / "a.ome.tif", image(2, 3, 8, 9), "CZYX", Channel={"Name": ["GFP", "GFP"]}))
    assert found.names == (None, None)
    assert "several of its channels are called GFP" in found.said[0]


def test_many_files_are_looked_at_and_those_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    good = FactsWanted(TIFF, str(imagej(tmp_path / "a.tif", image(3, 8, 9), "ZYX")))
    bad = FactsWanted(TIFF, str(tmp_path / "b.tif"))
    found = all_facts([good, bad, good])
    assert isinstance(found[good], ImageFacts)
    assert isinstance(found[bad], InputError)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", image(3, 8, 9), "ZYX")
    assert facts(path).shape[2] == 3
    imagej(path, image(7, 8, 9), "ZYX")
    assert facts(path).shape[2] == 7


@pytest.mark.parametrize(
    ("unit", "into", "factor"),
    [("mm", "µm", 1e3), ("um", "micron", 1), ("nm", "mm", 1e-6), (None, "px", 1), ("furlong", "m", None)],
)
def test_lengths(unit: str | None, into: str, factor: float | None) -> None:
    assert length_factor(unit, into) == factor
    assert known_unit("Furlong") == "Furlong"


class TestLevels:
    """What a plan knows of pixels without opening them is what their reader finds."""

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("tile", [None, (16, 16)])
    @pytest.mark.parametrize("kind", ["ome", "imagej", "plain", "two images", "pyramid", "colours"])
    def test_of_tiff(self, tmp_path: Path, kind: str, tile: tuple[int, int] | None, compression: str | None) -> None:
        path = tmp_path / "a.tif"
        settings: dict[str, Any] = {"photometric": "minisblack", "tile": tile, "compression": compression}
        metadata = {"axes": "TCZYX"}
        pixels, series, axes = image(2, 2, 3, 40, 36), None, None
        if kind == "imagej":
            tifffile.imwrite(
                path, pixels.transpose(0, 2, 1, 3, 4), imagej=True, metadata={"axes": "TZCYX"}, compression=compression
            )
        elif kind == "plain":
            pixels = pixels[0, 0][None, None]
            tifffile.imwrite(path, pixels[0, 0], **settings)
        elif kind == "colours":
            pixels, axes = image(1, 3, 1, 40, 36), "cyx"
            tifffile.imwrite(path, pixels[0, :, 0], **{**settings, "photometric": "rgb"}, planarconfig="separate")
        else:
            with tifffile.TiffWriter(path, ome=True) as tiff:
                if kind == "two images":
                    tiff.write(pixels[:1] + 1, **settings, metadata=metadata)
                    series = 1
                tiff.write(pixels, **settings, metadata=metadata, subifds=1 if kind == "pyramid" else None)
                if kind == "pyramid":
                    tiff.write(pixels[..., ::2, ::2], **settings, subfiletype=1)
        found = facts(path, series, axes)
        assert found.levels
        for t, c in np.ndindex(*found.shape[:2]):
            source = open_source(found.source(t, c))
            assert (source.levels, source.dtype.name) == (found.levels, found.dtype)
            np.testing.assert_array_equal(source.read(0, Box.of_shape(found.zyx)), pixels[t, c])
        assert len(found.levels) == (2 if kind == "pyramid" else 1)

    @pytest.mark.parametrize("version", [2, 3])
    def test_of_zarr(self, tmp_path: Path, version: int) -> None:
        group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=version)
        for number in range(2):
            group.create_array(str(number), data=image(2, 8 >> number, 8 >> number, 8 >> number), chunks=(1, 4, 2, 2))
        steps = [{"path": str(n), "coordinateTransformations": [scale(1, *(2**n,) * 3)]} for n in range(2)]
        found = {"axes": [{"name": "c", "type": "channel"}, *space()], "datasets": steps}
        group.attrs.update({"ome": {"multiscales": [found]}} if version == 3 else {"multiscales": [found]})
        known = facts(tmp_path / "a")
        assert [level.chunks for level in known.levels] == [(4, 2, 2)] * 2
        assert known.levels == open_source(known.source(0, 1)).levels


def test_pages_that_are_cut_are_noticed_by_what_the_file_says(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 1}
    tifffile.imwrite(tmp_path / "a.ome.tif", image(1, 8, 9), photometric="minisblack", ome=True, metadata=metadata)
    text = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    tifffile.imwrite(tmp_path / "a.ome.tif", image(8, 9), photometric="minisblack", description=text, metadata=None)
    data = (tmp_path / "a.ome.tif").read_bytes()
    assert data.endswith(image(8, 9).tobytes())  # the only directory lies before the pixels
    (tmp_path / "a.ome.tif").write_bytes(data[:-2])
    with pytest.raises(InputError, match="is truncated"):
        facts(tmp_path / "a.ome.tif")


def test_channels_that_axes_makes_others_of_are_said(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", image(2, 3, 8, 9), "CZYX", Channel={"Name": ["DAPI", "GFP"]})
    found = facts(path, axes="tzyx")
    assert (found.shape, found.names) == ((2, 1, 3, 8, 9), (None,))
    assert "what is said of its 2 channels (DAPI, GFP) is not used" in found.said[0]


@pytest.mark.parametrize(
    ("size", "used"), [(None, "one step of 1 is used for all"), (2.0, "PhysicalSizeZ, 2, is used")]
)
def test_planes_that_are_not_even_are_said(tmp_path: Path, size: float | None, used: str) -> None:
    place = {"PositionZ": [0.0, 2.0, 4.0, 9.0], "PositionZUnit": ["µm"] * 4}
    metadata = {"axes": "ZYX", "PhysicalSizeX": 1, "PhysicalSizeY": 1, "Plane": place}
    metadata |= {} if size is None else {"PhysicalSizeZ": size}
    pixels = np.zeros((4, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "z.ome.tif", pixels, ome=True, photometric="minisblack", metadata=metadata)
    (said,) = facts_of(FactsWanted(READERS[".tif"], str(tmp_path / "z.ome.tif"))).said
    assert "its planes lie 2 to 5 micrometer apart along z" in said
    assert used in said
