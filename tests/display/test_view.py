"""``view``: what is served, to whom, and what a real browser draws of it."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import fusestack
from fusestack.cli.main import run
from fusestack.display import neuroglancer
from fusestack.display.outlines import outline_layers
from fusestack.display.served import MODES, Blocks, Mode
from fusestack.display.server import ViewServer
from fusestack.display.shown import show
from fusestack.display.stored import Outline
from fusestack.focus import lowpass
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.geometry import Affine, Box
from fusestack.planning.pyramid import block_means
from tests.conftest import UNTESTED
from tests.display.chromium import chromium, tab

LENGTHS = {"x": 0.5, "y": 0.5, "z": 1.0}
PLACES = {0: (12.0, 30.0, 90.0), 1: (20.0, 70.0, 25.0)}
"""Centre of the blob of each channel, z, y, x, in pixels."""


def blob(place: tuple[float, ...], shape: tuple[int, ...] = (32, 100, 120)) -> NDArray[np.uint16]:
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    square = sum((g - c) ** 2 for g, c in zip(grid, place, strict=True))
    return (10 + 2000 * np.exp(-square / 2 / 8**2)).astype(np.uint16)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration of two channels, each of two tiles, with a blob of its own."""
    folder = tmp_path_factory.mktemp("view")
    views = []
    for channel, place in PLACES.items():
        whole = blob(place)
        for tile, x in enumerate((0, 50)):
            path = folder / f"c{channel}t{tile}.tif"
            tifffile.imwrite(path, whole[..., x : x + 70], photometric="minisblack")
            affine = [1, 0, 0, x, 0, 1, 0, 0, 0, 0, 2, 0]
            views.append({"path": path.name, "affine": affine, "channel": channel, "tile": tile})
            views[-1] |= {"voxel_size": LENGTHS, "unit": "micrometer"}
    path = folder / "fuse.yaml"
    path.write_text(json.dumps({"version": 1, "input": {"views": views}, "output": {"path": "fused.ome.zarr"}}))
    fusestack.run(path)
    return path


@contextmanager
def serving(source: Path, mode: Mode = "cached") -> Iterator[ViewServer]:
    shown = show(str(source), remember=mode != "virtual")
    blocks = Blocks(shown.scene.images, mode, shown.memory)
    if mode == "precomputed":
        blocks.precompute()
    with answering(ViewServer(shown.scene, blocks)) as server:
        yield server


@contextmanager
def answering(server: ViewServer) -> Iterator[ViewServer]:
    """A server that serves, until it is not needed any more."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: ViewServer, path: str, host: str | None = None, method: str = "GET", body: bytes | None = None, **more: str
) -> tuple[int, bytes]:
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": host or f"127.0.0.1:{port}", **more}.items():
            if value:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def level_of(server: ViewServer, image: int, level: int) -> NDArray[Any]:
    """A level as a reader of Zarr puts it together."""
    root = f"/data/{server.token}/{image}"
    document = json.loads(ask(server, f"{root}/{level}/.zarray")[1])
    shape, chunks = document["shape"], document["chunks"]
    counts = [-(-n // size) for n, size in zip(shape, chunks, strict=True)]
    whole = np.full(
        [n * size for n, size in zip(counts, chunks, strict=True)], document["fill_value"], document["dtype"]
    )
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    for index in np.ndindex(*counts):
        connection.request("GET", f"{root}/{level}/{'/'.join(map(str, index))}")
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status in (200, 404)
        if answer.status == 200:
            region = tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, chunks, strict=True))
            whole[region] = np.frombuffer(data, document["dtype"]).reshape(chunks)
    connection.close()
    return whole[tuple(slice(n) for n in shape)]


def test_every_mode_serves_the_pixels_of_a_run(job: Path) -> None:
    expected = fusestack.fuse(job).values
    found: dict[str, list[NDArray[Any]]] = {}
    for mode in MODES:
        with serving(job, mode) as server:
            count = len(server.scene.images[0].levels)
            found[mode] = [level_of(server, 0, level) for level in range(count)]
            kept = server.blocks.kept_bytes
            assert (kept > 0) == (mode != "virtual")
    for levels in found.values():
        np.testing.assert_array_equal(levels[0], expected[0])
        for one, other in zip(levels, found["virtual"], strict=True):
            assert one.tobytes() == other.tobytes()


def test_an_image_that_is_stored_is_served_as_it_is(job: Path) -> None:
    import zarr

    path = job.parent / "fused.ome.zarr"
    with serving(path) as server:
        (image,) = server.scene.images
        group = zarr.open_group(path, mode="r")
        for level in range(len(image.levels)):
            np.testing.assert_array_equal(level_of(server, 0, level)[None], group[str(level)][:])
        assert [channel.color for channel in image.channels] == ["00FF00", "FF00FF"]
        assert b"<html" in ask(server, f"/report/{server.token}/")[1]
        assert b"report" in ask(server, f"/{server.token}/")[1]


def test_every_level_lies_where_its_pixels_are(job: Path) -> None:
    """On the grid of all sources: fused levels, stored levels, inputs."""
    for source in (job, job.parent / "fused.ome.zarr"):
        images = show(str(source)).scene.images
        for image in images:
            for c, channel in enumerate(image.channels):
                for number, level in enumerate(image.levels):
                    pixels = image.pixels.read(number, 0, c, Box.of_shape(level.shape))
                    assert pixels is not None
                    weight = np.clip(pixels.astype(float) - 800, 0, None)
                    if weight.max() < 1000:
                        continue  # a tile beside the blob
                    grid = np.meshgrid(*map(np.arange, level.shape), indexing="ij")
                    place = [(weight * g).sum() / weight.sum() for g in grid]
                    physical = np.array(level.origin) + np.array(level.scale) * place
                    wanted = np.array(PLACES[channel.id]) * [LENGTHS[axis] for axis in "zyx"]
                    assert np.abs(physical - wanted).max() < 0.05 * 0.5, (image.name, number, physical - wanted)


def test_what_is_turned_is_told_to_the_page(job: Path) -> None:
    """Neuroglancer takes places of what is turned from a matrix; the others say theirs as OME-Zarr."""
    config = json.loads(job.read_text())
    turned = [0.8, -0.6, 0, 50, 0.6, 0.8, 0, 7, 0, 0, 2, 3]
    config["input"]["views"][1]["affine"] = turned
    config["input"]["select"] = {"channels": [0]}
    path = job.parent / "turned.yaml"
    path.write_text(json.dumps(config))
    with serving(path) as server:
        layers = {layer["name"]: layer for layer in server.state["layers"]}
        images = [s["source"] for s in layers.values() if s["type"] == "image"]
        (matrix,) = (source["transform"]["matrix"] for source in images if "matrix" in str(source))
        to_world = np.array(matrix)[1:, 1:]  # z, y, x; in micrometers from pixels, which count half of one
        x, y, z = np.array(turned).reshape(3, 4) * 0.5
        np.testing.assert_allclose(to_world, [z[[2, 1, 0, 3]], y[[2, 1, 0, 3]], x[[2, 1, 0, 3]]])


def _drawn(layers: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Corners of the boxes of layers, x, y, z, by their names."""
    found = {}
    for layer in layers:
        matrix = np.array(layer["source"]["transform"].get("matrix", np.eye(3, 4)))
        for box in layer["annotations"]:
            assert box["type"] == "axis_aligned_bounding_box"
            ends = np.array([box["pointA"], box["pointB"]])
            corners = np.array(list(itertools.product(*ends.T)))
            found[box["description"]] = corners @ matrix[:, :3].T + matrix[:, 3]
    return found


def test_outlines_lie_where_the_inputs_lie() -> None:
    """In layers by how they are turned: neuroglancer shows sections only of boxes along the axes of their layer."""
    shape = (20, 100, 70)
    about_z = [0.8, -0.6, 0, 50, 0.6, 0.8, 0, 7, 0, 0, 2, 3]
    about_y = [0.8, 0, 0.6, 0, 0, 1, 0, 60, -0.6, 0, 0.8, 40]
    sheared = [1, 1e-4, 0, 9, 0, 1, 0, 8, 0, 0, 2, 7]
    mirrored = [-1, 0, 0, 99, 0, 1, 0, 0, 0, 0, 1, 0]
    affines = [about_z, [1, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7], about_y, sheared, mirrored]
    affines.append([*about_z[:3], 400, *about_z[4:7], 500, *about_z[8:11], 600])
    outlines = [Outline(f"{n}", shape, Affine.from_xyz(affine)) for n, affine in enumerate(affines)]
    layers = outline_layers(outlines, {axis: [0.5, "m"] for axis in "xyz"}, 0.5)
    names = ["outlines of the inputs", *(f"outlines of the inputs, turned {n}" for n in (1, 2))]
    assert [(layer["name"], len(layer["annotations"])) for layer in layers] == list(zip(names, (3, 2, 1), strict=True))
    drawn = _drawn(layers)
    pixels = np.array(list(itertools.product(*((-0.5, n - 0.5) for n in shape))))
    for name, outline in zip("012345", outlines, strict=True):
        wanted = outline.pixel_to_place.apply(pixels)[:, ::-1] / 0.5
        gaps = np.linalg.norm(wanted[:, None] - drawn[name][None], axis=-1).min(axis=1)
        assert gaps.max() < 0.1, (name, gaps)
    many = [Outline(f"{n}", shape, Affine.from_xyz([1, 0.01 * n, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0])) for n in range(30)]
    layers = outline_layers(many, {axis: [1, ""] for axis in "xyz"}, 1.0)
    kinds = [one["type"] for layer in layers for one in layer["annotations"]]
    assert kinds.count("line") == 12 * (30 - kinds.count("axis_aligned_bounding_box")) > 0
    assert outline_layers([], {}, 1.0) == []


def test_inputs_that_are_layers_can_be_chosen(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def inputs(**options: Any) -> list[str]:
        shown = show(str(job), **options)
        assert len(shown.scene.outlines) == 4, "the outlines of all are there"
        said.append(shown.warnings)
        return [image.name.split()[1] for image in shown.scene.images if image.kind == "input"]

    said: list[tuple[str, ...]] = []
    assert inputs() == ["0", "1", "2", "3"]
    assert inputs(layers=[3, 1]) == ["1", "3"]
    monkeypatch.setattr("fusestack.display.shown._MOST_INPUTS", 2)
    assert inputs() == ["0", "1"]
    assert inputs(layers=[1, 2, 3]) == ["1", "2"]
    assert inputs(layers=[2, 3]) == ["2", "3"]
    assert [text for texts in said for text in texts] == [
        "2 of 4 inputs are no layers, at most 2 are; choose others with --views, such as --views 100-199",
        "1 of 3 inputs of --views are no layers, at most 2 are; choose others with --views, such as --views 100-199",
    ]
    for text, message in (("1-9", "4 is no setup that is fused; there are 0 to 3"), ("x", "names no setups")):
        assert run(["view", str(job), "--views", text]) == 2
        assert message in capsys.readouterr().err
    assert run(["view", str(job.parent / "fused.ome.zarr"), "--views", "0"]) == 2
    assert "--views chooses views of a configuration" in capsys.readouterr().err


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for k in range(3):
        pixels = np.full((40, 60, 3), 100, np.uint8)
        pixels[:, 20 * k : 20 * k + 20] = rng.integers(0, 255, (40, 20, 3))
        Image.fromarray(pixels).save(folder / f"s{k}.png")
    path = folder / "focus.yaml"
    focus = {"method": "masks", "output": {"path": "sharp.png", "depth": "depth.tif"}}
    path.write_text(json.dumps({"version": 1, "input": {"images": "s*.png"}, "focus": focus}))
    return path


def test_a_focus_stack_is_shown_with_its_masks_and_results(photographs: Path) -> None:
    before = show(str(photographs))
    assert [image.name.split()[0] for image in before.scene.images] == ["slices", "masks", "merged"]
    assert any("not made yet" in text for text in before.warnings)
    assert any("2 stages of masks: not in the cache, and computed" in text for text in before.warnings)
    whole = Box((0, 0, 0), (3, 40, 60))
    computed = {image.name: image.pixels.read(0, 0, 0, whole) for image in before.scene.images[1:]}
    fusestack.run(photographs)
    for image in show(str(photographs)).scene.images[-2:]:
        np.testing.assert_array_equal(image.pixels.read(0, 0, 0, whole), computed[image.name])
    shown = show(str(photographs))
    assert shown.warnings == ()
    images = {image.name.split()[0]: image for image in shown.scene.images}
    assert list(images) == ["slices", "image", "depth", "masks", "merged"]
    assert [name for name, image in images.items() if image.shown] == ["image"]
    for k in range(3):
        expected = np.asarray(Image.open(photographs.parent / f"s{k}.png"))
        for c in range(3):
            found = images["slices"].pixels.read(0, 0, c, Box((k, 3, 5), (k + 1, 40, 60)))
            np.testing.assert_array_equal(found, expected[None, 3:, 5:, c])
    sharp = np.asarray(Image.open(photographs.parent / "sharp.png"))
    found = images["image"].pixels.read(0, 0, 1, Box((0, 0, 0), (1, 40, 60)))
    np.testing.assert_array_equal(found, sharp[None, ..., 1])
    (plane,) = images["image"].levels
    assert (plane.scale[0], plane.origin[0]) == (3.0, 1.0)  # as thick as the stack
    masks = images["merged"].pixels.read(0, 0, 0, Box((0, 0, 0), (3, 40, 60)))
    assert masks is not None
    assert masks[:, :, 45].mean(axis=1).argmax() == 2
    with serving(photographs) as server:
        assert server.state["layers"][0]["shaderControls"]["contrast"]["range"] == [0.0, 255.0]
        assert b"report" in ask(server, f"/{server.token}/")[1]


@pytest.mark.parametrize(
    "options",
    [
        "--fft=r40 --cmd='-blur 0x1 -normalize' --maskfft --maskcmd='-auto-level' --prepresize=p50",
        "--max --blur=s1,C=Lab --evaluate=RootMeanSquare --maskblur=s2",
        "tiled",
    ],
)
def test_masks_that_are_not_stored_are_those_of_a_run(
    photographs: Path, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options == "tiled":
        monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
        options = "--fft=r40 --fft=c2,C=Lab --maskblur=s1 --maskfft"
    path = tmp_path / "focus.yaml"
    output = {"path": str(tmp_path / "sharp.tif")}
    images = str(photographs.parent / "s?.png")
    path.write_text(
        json.dumps({"version": 1, "input": {"images": images}, "focus": {"options": options, "output": output}})
    )
    before = [image for image in show(str(path)).scene.images if image.kind == "mask"]
    assert not list(tmp_path.glob("cache*")), "nothing is stored"
    parts = [Box((0, 3, 5), (2, 20, 30)), Box((1, 0, 0), (3, 20, 30))]
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(one.pixels.read, 0, 0, 0, box) for one in before for box in parts]
        computed = [read.result() for read in reads]
    fusestack.run(path)
    stored = [image for image in show(str(path)).scene.images if image.kind == "mask"]
    assert [image.name for image in stored] == [image.name for image in before]
    for one, pixels in zip(((image, box) for image in stored for box in parts), computed, strict=True):
        np.testing.assert_array_equal(one[0].pixels.read(0, 0, 0, one[1]), pixels)
    level, size = stored[-1].levels[0], (3, 40, 60)
    ends = [(n * s, o - s / 2) for n, s, o in zip(level.shape, level.scale, level.origin, strict=True)]
    assert ends == [(n, -0.5) for n in size], "masks of another size lie where the slices lie"


@pytest.mark.parametrize("name", ["rgb.tif", "pages.tif", "imagej.tif", "p.png", "p.jpg"])
def test_pictures_in_colour_are_shown(name: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 30, 50, 3), np.uint8)
    path = tmp_path / name
    if name == "imagej.tif":
        tifffile.imwrite(
            path, pixels, imagej=True, metadata={"axes": "ZYXS", "spacing": 2, "unit": "um"}, resolution=(2, 2)
        )
    elif name.endswith(".tif"):
        tifffile.imwrite(path, pixels if name == "pages.tif" else pixels[0], photometric="rgb")
    else:
        Image.fromarray(pixels[0]).save(path)
    (image,) = show(str(path)).scene.images
    assert [(channel.name, channel.color) for channel in image.channels] == [
        ("R", "FF0000"),
        ("G", "00FF00"),
        ("B", "0000FF"),
    ]
    found = image.pixels.read(0, 0, 1, Box.of_shape(image.levels[0].shape))
    expected = pixels[: len(found), ..., 1]
    if name != "p.jpg":
        np.testing.assert_array_equal(found, expected)
    if name == "imagej.tif":
        assert (len(found), image.unit) == (4, "micrometer")


def test_keys_that_an_image_asks_for_are_those_of_a_configuration(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as file:
        for count in (3, 4):
            file.write(np.zeros((count, 20, 30), np.uint16), metadata={"axes": "ZYX"})
    with pytest.raises(
        InputError, match=r"^\S*two.ome.tif: holds 2 images .* keys of input\.views: view a configuration"
    ):
        show(str(tmp_path / "two.ome.tif"))


def test_the_focus_of_a_fusion_lies_in_its_world(job: Path) -> None:
    config = json.loads(job.read_text())
    config["input"]["select"] = {"channels": [1]}
    config["output"]["path"] = "one.ome.zarr"
    config["focus"] = {"axis": "y", "output": {"path": "sharp.tif"}}
    path = job.parent / "both.yaml"
    path.write_text(json.dumps(config))
    fusestack.run(path)
    images = {image.name: image for image in show(str(path)).scene.images}
    assert images["fused"].shown
    assert not images["image"].shown
    level, to_world = images["image"].levels[0], images["image"].to_world
    assert to_world is not None
    pixels = images["image"].pixels.read(0, 0, 0, Box.of_shape(level.shape))
    assert pixels is not None
    brightest = np.unravel_index(pixels.argmax(), pixels.shape) * np.array(level.scale) + level.origin
    expected = np.array(PLACES[1]) * [LENGTHS[axis] for axis in "zyx"]
    np.testing.assert_allclose(to_world.apply(brightest)[[0, 2]], expected[[0, 2]], atol=0.3)


def test_planes_larger_than_a_screen_have_levels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 1000, (1, 1500, 2100), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "large.tif", pixels, photometric="minisblack")
    (image,) = show(str(tmp_path / "large.tif")).scene.images
    assert [level.shape for level in image.levels] == [(1, 1500, 2100), (1, 750, 1050), (1, 375, 525)]
    assert image.levels[2].origin == (0, 1.5, 1.5)
    expected = block_means(pixels[None, None], (1, 4, 4), (1, 1, 1, 375, 525))[0, 0]
    found = image.pixels.read(2, 0, 0, Box((0, 300, 7), (1, 375, 90)))
    np.testing.assert_array_equal(found, expected[:, 300:, 7:90])


def test_who_does_not_know_the_token_sees_nothing(job: Path) -> None:
    with serving(job) as server:
        port, token = server.server_address[1], server.token
        assert server.server_address[0] == "127.0.0.1"
        assert len(token) >= 32
        good = [f"/{token}/", f"/v/{token}/", f"/data/{token}/0/.zattrs", f"/data/{token}/0/0/0/0/0/0"]
        for path in good:
            assert ask(server, path)[0] == 200, path
            for wrong in ("", "x", token[:-1], token.swapcase(), f"{token}x"):
                assert ask(server, path.replace(token, wrong))[0] == 403, (path, wrong)
            for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", " "):
                assert ask(server, path, host=host)[0] == 403, host
            assert ask(server, path, Origin="http://evil.example")[0] == 403
            assert ask(server, path, host=f"localhost:{port}")[0] == 200
        for path in (f"/events/{token[:-1]}?c=a&gs=", "/", "/v/", "/favicon.ico"):
            assert ask(server, path)[0] == 403
        assert ask(server, f"/state/{token[:-1]}", method="POST", body=b"{}")[0] == 403
        addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in addresses - {"127.0.0.1"}:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), timeout=5)


def test_only_what_is_shown_can_be_asked_for(job: Path) -> None:
    with serving(job) as server:
        for path in (
            "/v/{}/../../../etc/passwd",
            "/v/{}/..%2f..%2fetc%2fpasswd",
            "/v/{}/%2e%2e/server.py",
            "/v/{}//etc/passwd",
            "/data/{}/0/../../secret",
            "/data/{}/99/.zattrs",
            "/data/{}/-1/.zattrs",
            "/data/{}/0/0/0/0/0/99999999999999999999999",
            "/data/{}/0/0/0/0/0/-1",
            "/data/{}/0/0/0/0/0/%D9%A3",
            "/data/{}/0/7/0/0/0/0",
            "/data/{}/0",
            "/report/{}/x",
            "/nothing",
        ):
            status, body = ask(server, path.format(server.token))
            assert status in (403, 404), path
            assert b"root:" not in body


def test_the_state_of_a_page_is_kept(job: Path) -> None:
    with serving(job) as server:
        path = f"/state/{server.token}"
        told = {"s": {"layers": []}, "pg": "0", "g": 3, "c": "me"}
        assert ask(server, path, method="POST", body=json.dumps(told).encode())[0] == 200
        assert server.state == {"layers": []}
        assert ask(server, path, method="POST", body=json.dumps(told).encode())[0] == 412  # another was faster
        assert ask(server, path, method="POST", body=b"[1")[0] == 400
        assert ask(server, path, method="POST", body=b"", **{"Content-Length": "99999999999"})[0] == 413


def test_what_is_kept_stays_within_the_limit(job: Path) -> None:
    image = show(str(job)).scene.images[0]
    limit = 3 * 2 * np.prod(image.block)
    blocks = Blocks((image,), "cached", int(limit))
    for place in image.places():
        assert blocks.get(0, *place) == image.compute(*place)
        assert blocks.kept_bytes <= limit
    with pytest.raises(ConfigError, match=r"--mode precomputed: .* do not fit"):
        Blocks((image,), "precomputed", int(limit)).precompute()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_by_ctrl_c(number: signal.Signals, job: Path) -> None:
    """That is its normal end, as the help says: nothing is left to be resumed."""
    command = [sys.executable, "-m", "fusestack", "view", str(job)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert any(line.startswith("http://127.0.0.1") for line in process.stdout)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "interrupted" not in errors


def test_before_it_serves_ctrl_c_is_an_interruption(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Blocks, "precompute", interrupted)
    assert run(["view", str(job), "--mode", "precomputed"]) == 130
    with pytest.raises(SystemExit):
        run(["view", "--help"])
    assert "is how it ends: exit code 0; before" in " ".join(capsys.readouterr().out.split())


def test_the_command(job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(server: ViewServer) -> None:
        assert ask_later(server)
        raise KeyboardInterrupt

    def ask_later(server: ViewServer) -> bool:
        return server.scene.images[0].levels[0].scale == (1.0, 1.0, 1.0)

    monkeypatch.setattr(ViewServer, "serve_forever", interrupted)
    box = "{min: {x: 0, y: 0, z: 0}, max: {x: 59, y: 39, z: 19}}"
    for mode in MODES:
        assert run(["view", str(job), "--mode", mode, "--downsampling", "2", "--box", box]) == 0
        assert "http://127.0.0.1:" in capsys.readouterr().out
    assert run(["view", str(job.parent / "fused.ome.zarr"), "--downsampling", "2"]) == 2
    assert "nothing is fused" in capsys.readouterr().err
    assert run(["view", str(job.parent / "missing.ome.zarr")]) == 3
    monkeypatch.setattr(neuroglancer.importlib.util, "find_spec", lambda name: None)
    assert run(["view", str(job)]) == 2
    assert "pip install 'fusestack[view]'" in capsys.readouterr().err


def _colours(picture: NDArray[np.uint8], channel: int) -> NDArray[np.bool_]:
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    bright = green - red if channel == 0 else np.minimum(red, blue) - green
    found: NDArray[np.bool_] = bright > 150
    return found


def _lines(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Outlines, below the names of the layers."""
    found: NDArray[np.bool_] = np.abs(picture[..., :3].astype(int) - [255, 176, 0]).max(axis=-1) < 40
    found[:150] = False
    return found


@pytest.mark.slow
def test_a_browser_draws_the_specimen_at_its_place(job: Path, tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip(f"{UNTESTED}IN A BROWSER: there is no chromium on this machine; apt-get install chromium")
    for source in (job, job.parent / "fused.ome.zarr"):
        with serving(source) as server:
            server.state |= {"layout": "xy", "showScaleBar": False}
            server.state["layers"] = [layer for layer in server.state["layers"] if layer.get("visible")]
            # a box of 30 x 30 pixels that is turned by 45 degrees
            half = np.sqrt(0.5)
            turned = Affine.from_xyz([half, -half, 0, 59.5, half, half, 0, 49.5, 0, 0, 1, 0])
            box = Outline("a", (200, 30, 30), turned @ Affine.translation((0, -14.5, -14.5)))
            server.state["layers"] += outline_layers([box], server.state["dimensions"], 1.0)
            # the plane in the middle between the two blobs, 50 units of the page to each side
            server.state |= {"position": [59.5, 49.5, 32], "crossSectionScale": 0.2}
            with tab(server.address, tmp_path / source.name) as page:
                seen = page.wait(
                    lambda picture: (
                        all(_colours(picture, c).sum() > 500 for c in PLACES) and _lines(picture).sum() > 400
                    )
                )
            lines = np.argwhere(_lines(seen))
            side = 30 * np.sqrt(2) / 0.2
            assert np.abs(np.ptp(lines, axis=0) - side).max() < 8, "its section is a square on its tip"
            assert np.abs(np.abs(lines - lines.mean(axis=0)).sum(axis=1) - side / 2).max() < 12
            places = {c: np.argwhere(_colours(seen, c)).mean(axis=0) for c in PLACES}
            # in pixels of the page, which are a fifth of a pixel of the image: differences need no frame of the page
            found = (places[0] - places[1]) * 0.2
            wanted = np.array(PLACES[0][1:]) - PLACES[1][1:]
            assert np.abs(found - wanted).max() < 1.0, (found, page.console[:5])
            assert places[0][0] < seen.shape[0] / 2 < places[1][0]  # above the middle, and below
            assert places[1][1] < seen.shape[1] / 2 < places[0][1]  # left, and right
