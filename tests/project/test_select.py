from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.view import SourceRef, ViewId
from fusestack.project.model import Project, Setup
from fusestack.project.select import Selection, select_views

SETUPS = {
    number: Setup(number, channel=c, illumination=i, angle=a, tile=t)
    for number, (c, i, a, t) in enumerate(itertools.product((0, 2), (0,), (0, 1), (4, 7)))
}
TIMEPOINTS = (0, 5)
MISSING = frozenset({ViewId(5, 7)})
UNREGISTERED = frozenset({ViewId(5, 0), ViewId(5, 1)})


def project_of(missing: frozenset[ViewId] = MISSING, unregistered: frozenset[ViewId] = frozenset()) -> Project:
    views = tuple(
        setup.view(timepoint, Affine.identity(), SourceRef("m:S", "/x"))
        for timepoint in TIMEPOINTS
        for setup in SETUPS.values()
        if ViewId(timepoint, setup.id) not in missing | unregistered
    )
    return Project("p.xml", "bdv.hdf5", views, TIMEPOINTS, SETUPS, missing, unregistered)


PROJECT = project_of()


def test_everything_present_by_default() -> None:
    assert select_views(PROJECT) == PROJECT.views
    assert len(PROJECT.views) == 15


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "timepoints": st.sets(st.sampled_from(TIMEPOINTS), min_size=1),
            "channels": st.sets(st.sampled_from((0, 2)), min_size=1),
            "illuminations": st.just({0}),
            "angles": st.sets(st.sampled_from((0, 1)), min_size=1),
            "tiles": st.sets(st.sampled_from((4, 7)), min_size=1),
            "setups": st.sets(st.sampled_from(range(8)), min_size=1),
            "views": st.sets(st.sampled_from([view.id for view in PROJECT.views]), min_size=1),
        },
    )
)
def test_conditions_hold_together(wanted: dict[str, set[int]]) -> None:
    expected = [
        view
        for view in PROJECT.views
        if all(
            {
                "timepoints": view.id.timepoint,
                "channels": view.channel,
                "illuminations": view.illumination,
                "angles": view.angle,
                "tiles": view.tile,
                "setups": view.id.setup,
                "views": view.id,
            }[key]
            in ids
            for key, ids in wanted.items()
        )
    ]
    selection = Selection(**{key: frozenset(ids) for key, ids in wanted.items()})
    if expected:
        assert list(select_views(PROJECT, selection)) == expected
    else:
        with pytest.raises(InputError, match=r"p\.xml: no view is left"):
            select_views(PROJECT, selection)


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("timepoints", "0, 5"),
        ("channels", "0, 2"),
        ("illuminations", "0"),
        ("angles", "0, 1"),
        ("tiles", "4, 7"),
        ("setups", "0, 1, 2, 3, 4, 5, 6, 7"),
    ],
)
def test_unknown_ids_are_named_with_those_that_exist(key: str, known: str) -> None:
    with pytest.raises(InputError) as caught:
        select_views(PROJECT, Selection(**{key: frozenset({0, 99, 98})}))
    (problem,) = [p for p in caught.value.problems if "99" in p]
    assert problem.startswith(f"p.xml: input.select.{key}: ")
    assert problem.endswith(f"98, 99 does not exist; there are {known}")


def test_problems_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        select_views(PROJECT, Selection(channels=frozenset({9}), views=frozenset({ViewId(1, 1), ViewId(5, 7)})))
    assert len(caught.value.problems) == 3


def test_views_named_one_by_one() -> None:
    with pytest.raises(InputError, match=r"\(timepoint 3, setup 0\) does not exist; there are timepoints 0, 5"):
        select_views(PROJECT, Selection(views=frozenset({ViewId(3, 0), ViewId(0, 0)})))
    with pytest.raises(InputError, match=r"\(timepoint 5, setup 7\) is a missing view"):
        select_views(PROJECT, Selection(views=frozenset({ViewId(5, 7), ViewId(0, 0)})))


def test_nothing_left() -> None:
    with pytest.raises(InputError, match="no view is left"):
        select_views(PROJECT, Selection(timepoints=frozenset({5}), setups=frozenset({7})))
    with pytest.raises(InputError, match="no view is left"):
        select_views(replace(PROJECT, views=()))


def test_unregistered_views_are_an_error_only_where_selected() -> None:
    project = project_of(unregistered=UNREGISTERED)
    with pytest.raises(InputError) as caught:
        select_views(project)
    (problem,) = caught.value.problems
    assert "view (timepoint 5, setup 0), (timepoint 5, setup 1) has no ViewRegistration" in problem
    assert "input.select" in problem
    assert len(select_views(project, Selection(timepoints=frozenset({0})))) == 8
    assert len(select_views(project, Selection(angles=frozenset({1})))) == 7


def test_long_lists_are_shortened() -> None:
    project = project_of(unregistered=frozenset(view.id for view in PROJECT.views))
    with pytest.raises(InputError, match="and 5 more"):
        select_views(project)
