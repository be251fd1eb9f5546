"""Any valid configuration survives YAML, and so does what it resolves to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fusestack.config.document import override, read_document
from fusestack.config.load import from_mapping
from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=8)
NUMBERS = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-3, 1e6)
COUNTS = st.integers(1, 512)


def per_axis(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.fixed_dictionaries(dict.fromkeys("xyz", values))


def options(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


IDS = st.just("all") | st.lists(st.integers(0, 99), min_size=1, max_size=3) | st.sampled_from(["0-3,5", "0-6:3", "7"])
VIEW = st.fixed_dictionaries(
    {"path": TEXTS},
    optional={
        "voxel_size": per_axis(POSITIVE),
        "unit": TEXTS,
        **{key: st.integers(0, 9) for key in ("timepoint", "channel", "illumination", "angle", "tile")},
    },
)
PLACED = VIEW | st.builds(lambda v, a: {**v, "affine": a}, VIEW, st.lists(NUMBERS, min_size=12, max_size=12))
SOURCES = st.fixed_dictionaries({"project": TEXTS}) | st.fixed_dictionaries(
    {"views": st.lists(PLACED, min_size=1, max_size=3)}
)
SELECT = options(timepoints=IDS, tiles=IDS, views=st.lists(st.tuples(*[st.integers(0, 9)] * 2), min_size=1, max_size=2))
CORNERS = st.builds(
    lambda low, size: {"min": low, "max": {axis: low[axis] + size[axis] for axis in "xyz"}},
    st.fixed_dictionaries({axis: st.integers(-999, 999) for axis in "xyz"}),
    st.fixed_dictionaries({axis: st.integers(0, 999) for axis in "xyz"}),
)
FUSION = options(
    bounding_box=CORNERS | TEXTS,
    group_by=st.sampled_from(["timepoint_channel", "timepoint_channel_illumination", "all", "view"]),
    background=NUMBERS,
    blending=st.booleans() | options(range=POSITIVE, border=POSITIVE, **{"from": st.just("views")}),
    content_based=st.booleans() | options(sigma1=POSITIVE),
    interpolation=st.sampled_from(["linear", "nearest"]),
    downsampling=st.floats(0.125, 64) | st.integers(1, 64),
    rounding=st.sampled_from(["half_up", "down"]),
    preserve_anisotropy=st.booleans() | POSITIVE,
    dtype=st.sampled_from(["input", "uint8", "uint16", "float32"]),
    intensity_range=st.just("auto") | st.tuples(st.floats(-9, 0), st.floats(1, 9)),
    intensity_adjustment=st.booleans(),
    numerics=st.sampled_from(["exact", "bigstitcher"]),
)
OUTPUT = st.builds(
    lambda path, chunk, rest: {"path": path, "chunks": chunk, "shards": chunk * 2, **rest},
    TEXTS.map(lambda name: f"{name}.ome.zarr"),
    COUNTS,
    options(
        project=TEXTS,
        compression=st.sampled_from([{"codec": "zstd", "level": 5}, {"codec": "none"}, {"level": 4}]),
        pyramid=st.sampled_from(["auto", "none", [1, {"x": 2, "y": 2, "z": 1}, 4]]),
        overwrite=st.booleans(),
    ),
) | st.fixed_dictionaries({"path": TEXTS.map(lambda name: f"{name}.h5")}, optional={"chunks": per_axis(COUNTS)})
EXECUTION = options(
    scheduler=st.sampled_from(["threads", "slurm", "tcp://localhost:8786"]),
    workers=st.just("auto") | COUNTS,
    memory=st.sampled_from(["auto", "4GiB", "1.5 GB", 2**31]),
    retries=st.integers(0, 9),
)
FOCUS = options(
    align=st.booleans() | options(model=st.just("rigid"), reference=st.integers(0, 9) | st.just("first")),
    masks=st.lists(st.sampled_from([{"fft": {}}, {"darkness": {"weight": 10}}]), max_size=2),
    background=st.sampled_from(["black", {"wave": {}}, None]),
)
CACHE = options(limit=st.sampled_from(["5GB", "auto", None]))
CONFIGS = st.builds(
    lambda source, select, rest: {"version": 1, "input": {**source, "select": select}, **rest},
    SOURCES,
    SELECT,
    options(
        fusion=FUSION,
        output=OUTPUT,
        execution=EXECUTION,
        focus=FOCUS,
        cache=CACHE,
    ),
)


def dumped(data: Any) -> str:
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(data, stream)
    return stream.getvalue()


def listed(value: Any) -> Any:
    """Tuples as lists, which is what YAML knows."""
    if isinstance(value, dict):
        return {key: listed(inner) for key, inner in value.items()}
    return [listed(inner) for inner in value] if isinstance(value, list | tuple) else value


def problems_of(attempt: Callable[[], Any]) -> tuple[str, ...]:
    try:
        attempt()
    except ConfigError as error:
        return error.problems
    return ()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIGS)
def test_yaml_gives_the_same_configuration(given_data: dict[str, Any]) -> None:
    config = from_mapping(given_data).config
    data, _ = read_document(dumped(listed(given_data)), "text")
    assert from_mapping(data).config == config
    resolved, _ = read_document(dumped(listed(config.model_dump())), "text")
    assert from_mapping(resolved).config == config


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FUSION, EXECUTION)
def test_set_says_the_same_as_the_file(fusion: dict[str, Any], execution: dict[str, Any]) -> None:
    base = {"input": {"project": "a.xml"}}
    texts = [
        f"{section}.{key}={in_yaml(value)}"
        for section, values in (("fusion", fusion), ("execution", execution))
        for key, value in values.items()
    ]
    whole = from_mapping({**base, "fusion": fusion, "execution": execution})
    assert from_mapping(base, overrides=texts).config == whole.config


def in_yaml(value: Any) -> str:
    return dumped(listed(value))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_no_text_is_a_surprise(text: str) -> None:
    for attempt in (lambda: read_document(text, "text"), lambda: override({}, read_document("a: 1", "t")[1], [text])):
        assert all(problem.startswith(("text", "--set")) for problem in problems_of(attempt))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "min", "path", "fft"]), inner),
    max_leaves=5,
)


EVERYTHING = from_mapping({"input": {"project": "a.xml"}, "output": {"path": "a.zarr"}, "focus": {}}).config
KEYS = {name: list(section) for name, section in EVERYTHING.model_dump().items() if isinstance(section, dict)}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_value_is_a_surprise(data: st.DataObject) -> None:
    """Whatever stands at whatever key, the answer is a configuration or sentences that begin with the key."""
    section = data.draw(st.sampled_from(list(KEYS)))
    key = data.draw(st.sampled_from([*KEYS[section], "unheard_of"]))
    base: dict[str, Any] = {"input": {"project": "a.xml"}, "output": {"path": "a.zarr"}}
    base[section] = {**base.get(section, {}), key: data.draw(JUNK)}
    assert all(problem.startswith(section) for problem in problems_of(lambda: from_mapping(base)))
