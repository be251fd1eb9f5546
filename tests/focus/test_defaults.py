"""A key of the section ``focus`` replaces itself and nothing else; a default that is written down changes nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import fusestack
from fusestack.config.focus import Focus
from fusestack.focus.recipe import recipe_of
from tests.focus.stacks import scene, write

BASES: dict[str, dict[str, Any]] = {
    "default": {},
    "preset": {"method": "masks"},
    "another background": {"background": "median"},
    "another cut": {"cut": [{"wave": {"percent": 30}}]},
    "no merging": {"merge": []},
    "own masks": {"masks": [{"fft": {}}], "merge": [{"blur": {"sigma": 3}}]},
    "words": {"options": "--blur --maskblur=s4 --cutless --bg=mean"},
    "multiscale": {"method": "multiscale"},
    "multiscale in words": {"method": "multiscale", "options": "--multiscale --bg=mean --finalalpha=p-10"},
    "background alone": {"options": "--bg=enfuse"},
}


def defaults(model: type[BaseModel], place: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every key and its default; keys of sections within sections, too."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            found += defaults(type(field.default), (*place, key))
        else:
            found.append(((*place, key), list(field.default) if isinstance(field.default, tuple) else field.default))
    return found


EXPLICIT = [*defaults(Focus), (("align",), False)]


def with_defaults(base: dict[str, Any], chosen: list[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """A configuration of the section that also says some defaults, of keys that it does not name."""
    made = copy.deepcopy(base)
    for (*sections, key), value in chosen:
        where = made
        for section in sections:
            where = where.setdefault(section, {})
        where.setdefault(key, value)
    return made


@pytest.mark.parametrize("photographs", [True, False])
@pytest.mark.parametrize("name", BASES)
@settings(max_examples=30, deadline=None)
@given(chosen=st.lists(st.sampled_from(EXPLICIT)))
def test_a_default_that_is_said_changes_no_recipe(
    name: str, photographs: bool, chosen: list[tuple[tuple[str, ...], Any]]
) -> None:
    def made(section: dict[str, Any]) -> Any:
        return recipe_of(Focus.model_validate(section), photographs=photographs)

    assert made(with_defaults(BASES[name], chosen)) == made(BASES[name])


@pytest.mark.parametrize("name", BASES)
def test_a_default_that_is_said_changes_no_output(name: str, tmp_path: Path) -> None:
    write(tmp_path / "in", scene((40, 50), 3)[0])

    def planned(section: dict[str, Any]) -> Any:
        data = {"version": 1, "input": {"images": str(tmp_path / "in/*.tif")}, "focus": section}
        plan = fusestack.plan(data)
        return [(image.fingerprint, image.target.image) for image in plan.images], plan.warnings

    here = {"output": {"path": str(tmp_path / "sharp.tif")}}
    base = planned(BASES[name] | here)
    for one in [*([one] for one in EXPLICIT if one[0] != ("input",)), EXPLICIT]:
        assert planned(with_defaults(BASES[name] | here, one)) == base, one


@pytest.mark.parametrize("method", ["multiscale", "masks"])
def test_a_key_replaces_only_itself(method: str) -> None:
    usual = recipe_of(Focus.model_validate({"method": method}), photographs=True)
    for key, value, field in (
        ("background", "median", "backgrounds"),
        ("final", [{"gamma": {}}], "finals"),
        ("merge", [{"blur": {"sigma": 2}}], "chain"),
        ("substacks", {"number": 2}, "substacks"),
    ):
        if method == "multiscale" and key == "merge":
            continue
        changed = recipe_of(Focus.model_validate({"method": method, key: value}), photographs=True)
        assert {name for name in vars(usual) if getattr(changed, name) != getattr(usual, name)} == {field}, key


@pytest.mark.parametrize("said", [{"masks": [], "background": "mean"}, {"options": "--bg=mean"}])
def test_a_background_alone(said: dict[str, Any], tmp_path: Path) -> None:
    stack = scene((40, 50), 3)[0]
    paths = write(tmp_path / "in", stack)
    found = fusestack.focus_stack(paths, **said)
    np.testing.assert_allclose(found.image, np.floor(stack * 255 + 0.5).mean(0), atol=1)
    assert "mean" in found.attrs["options"]
    assert "blur" not in found.attrs["options"]


def test_lists_without_masks_are_told(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene((40, 50), 3)[0])
    focus = {"masks": [], "background": "max", "cut": [{"wave": {}}], "output": {"path": str(tmp_path / "a.tif")}}
    (warning,) = fusestack.plan({"version": 1, "input": {"images": paths}, "focus": focus}).warnings
    assert warning.startswith("focus.cut: is not used: without masks, only the background is painted")


@pytest.mark.parametrize("key", ["pyramid", "overwrite", "suffix", "mask"])
def test_defaults_about_files_are_welcome_with_arrays(key: str) -> None:
    stack = (scene((40, 50), 3)[0] * 255).astype(np.uint8)
    default = type(Focus().output).model_fields[key].default
    assert fusestack.focus_stack(stack, output={key: default}).image.shape == stack.shape[1:]
