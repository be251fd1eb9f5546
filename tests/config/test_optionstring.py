"""imfuse's option string: every word, letter and default; mistakes; back and forth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fusestack.config.focus import Focus
from fusestack.config.load import from_mapping
from fusestack.config.optionstring import option_string, parse_options
from fusestack.focus.recipe import ranges, recipe_of
from fusestack.model.errors import ConfigError
from fusestack.operators import REGISTRY
from fusestack.operators.base import KINDS
from fusestack.operators.generators import Generator
from tests.operators.table import TABLE


def focus(options: str | list[str]) -> Focus:
    return Focus.model_validate({"options": options})


def one(options: str) -> Any:
    found = focus(options)
    ((operator,),) = [operators for key in KINDS.values() if (operators := getattr(found, key))]
    return operator


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("--blur", {"sigma": 0.3, "sigma2": None, "radius": 0, "kernel": "blur"}),
        ("--blur=s1,S2,gaussian", {"sigma": 1, "sigma2": 2, "kernel": "gaussian"}),
        ("--blur=s1,s2", {"sigma": 1, "sigma2": 2}),
        ("--blur=s=1,w=60,t10,T=90", {"sigma": 1, "weight": 60, "low": 10, "high": 90}),
        ("--blur=neg,mask=no,level=no,clut=no", {"negate": True, "mask": False, "level": False, "equalise": False}),
        ("--fft", {"radius": 75, "radius2": None, "curve": "gradient", "shape": "circle", "high_pass": 0}),
        ("--fft=r11,R13,s5,p0", {"radius": 11, "radius2": 13, "contrast": 5, "middle": 0}),
        ("--fft=r40,N1,log100,square", {"high_pass": 1, "curve": "log100", "shape": "square"}),
        ("--statistic=r5,dev", {"window": 5, "statistic": "StandardDeviation"}),
        ("--statistic=r5,min", {"statistic": "Minimum"}),
        ("--statistic=r5,grad", {"statistic": "Gradient"}),
        ("--diffstat=r3,r5,Mean,Median", {"window": 3, "window2": 5, "statistic": "Mean", "statistic2": "Median"}),
        ("--morphology=r2,R3,close,disk", {"radius": 2, "repeats": 3, "method": "Close", "kernel": "Disk"}),
        ("--channel=C=Lab,c0", {"colorspace": "Lab", "channel": 0}),
        ("--channel=HSL,1", {"colorspace": "HSL", "channel": 1}),
        ("--saturation=w25,level", {"weight": 25, "level": True}),
        ("--compose=SoftLight2", {"compare": "SoftLight2"}),
        ("--evaluate=Mean", {"compare": "Mean"}),
        ("--wavelet=p5%,P20%", {"percent": 5, "percent2": 20}),
        ("--resize=p33,Spline", {"percent": 33, "interpolation": "Spline"}),
        ("--depthmap=a/b.png", {"path": "a/b.png"}),
        ("--maskblur=s2,p60,P10", {"sigma": 2, "percent": 60, "percent2": 10}),
        ("--maskfft", {"radius": 25, "curve": "log1000"}),
        ("--maskmorph=r2,R2,close", {"radius": 2, "repeats": 2, "method": "Close"}),
        ("--maskstat=r6,Mean", {"window": 6, "statistic": "Mean"}),
        ("--maskthreshold=t30,T+90", {"low": 30, "high": 90}),
        ("--masklevel=t10,p5,P80,substack", {"step": 10, "low": 5, "high": 80, "over": "substack"}),
        ("--maskmerge=plus", {"mode": "Plus"}),
        ("--maskkuwahara=r3", {"radius": 3}),
        ("--maskdespeckle=n2", {"number": 2}),
        ("--masktest", {"percent": 50}),
        ("--cutalpha=p-25,P150", {"low": -25, "high": 150}),
        ("--cutbg", {"use": "compose"}),
        ("--cutbg=background", {"use": "background"}),
        ("--cutless", {"percent": 20}),
        ("--cutwave", {"percent": 25}),
        ("--cutsoft=s3", {"sigma": 3}),
        ("--cutthreshold=t5", {"percent": 5}),
        ("--cuttest=t40", {"percent": 40}),
        ("--finalalpha=off", {"off": True}),
        ("--finalblur=t50,s5,S2", {"threshold": 50, "sigma": 5, "border": 2}),
        ("--finalgamma", {"gamma": "auto"}),
        ("--finalgamma=g1.2", {"gamma": 1.2}),
        ("--finalthreshold=t20,s2", {"low": 20, "high": 100, "sigma": 2}),
        ("--finalsharpen=s2", {"sigma": 2, "radius": 0}),
        ("--blur=r2.5,s3", {"radius": 2.5, "sigma": 3}),
        ("--maskwave=p150", {"percent": 150}),
        ("--cutmax=p-5", {"percent": -5}),
        ("--evaluate=rms", {"compare": "RootMeanSquare"}),
        ("--comet=plus", {"combine": "Plus"}),
        ("--freichen=n15", {"number": 15}),
        ("--depthmap=w50,map.png", {"weight": 50, "path": "map.png"}),
        ("--depthmap=w50", {"path": "w50"}),
    ],
)
def test_words_letters_and_defaults(options: str, fields: dict[str, Any]) -> None:
    operator = one(options)
    assert {name: getattr(operator, name) for name in fields} == fields


def test_commands_are_taken_as_they_are() -> None:
    assert one("'--cmd=-edge 1'").command == "-edge 1"
    assert focus(["--cmddiff=-blur 0x5,halo=9,w20"]).masks[0].reach == 9
    first = focus(["--cmd=w25,halo=3,-edge 1"]).masks[0]
    assert (first.weight, first.reach, first.command) == (25, 3, "-edge 1")
    assert one("'--cmd=-level 10%,90%,1.2 -gamma 2,w20'").command == "-level 10%,90%,1.2 -gamma 2"
    assert one("--maskcmd=my.module:function").command == "my.module:function"


@pytest.mark.parametrize(
    ("word", "mask", "level", "compared"),
    [
        # defaults of imfuse's generators
        ("blur", True, True, False),
        ("blur=s1,S0", True, True, True),
        ("fft", True, True, True),
        ("fft=r11,R13", True, True, False),
        ("fft=N1", True, True, False),
        ("wavelet", True, True, True),
        ("wavelet=p5,P20", True, True, False),
        ("statistic", True, True, False),
        ("statistic=Median", True, True, True),
        ("diffstat", True, True, False),
        ("morphology", True, True, False),
        ("morphology=Dilate", True, True, True),
        ("sobel", True, True, False),
        ("comet", True, True, True),
        ("resize", True, True, True),
        ("cmd=a:b", True, True, False),
        ("cmddiff=a:b", True, True, True),
        ("channel=Lab,0", False, False, False),
        ("darkness", False, False, False),
        ("compose", False, False, False),
        ("enfuse", False, False, False),
        ("max", False, False, False),
        ("blur=diff", True, True, True),
        ("wavelet=diff=no", True, True, False),
    ],
)
def test_what_generators_do_by_default(word: str, mask: bool, level: bool, compared: bool) -> None:
    generator = one(f"--{word}")
    assert isinstance(generator, Generator)
    assert (generator.merged_first, generator.levelled, generator.compared) == (mask, level, compared)


def test_every_operator_has_a_word() -> None:
    words = [operator.word for operators in REGISTRY.values() for operator in operators.values()]
    assert len(words) == len(set(words))
    for kind, name in TABLE:
        operator = REGISTRY[kind][name]
        if kind == "prepare":  # no part of imfuse's option string
            continue
        assert set(operator.letters.values()) | set(operator.words) >= set(operator.model_fields), name


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.sampled_from(
            [(kind, name, options) for (kind, name), rows in TABLE.items() if kind in KINDS for options in rows]
        ),
        max_size=5,
    ),
    weight=st.integers(1, 10),
)
def test_back_and_forth(rows: list[tuple[str, str, dict[str, Any]]], weight: int) -> None:
    spelled: dict[str, Any] = {key: [] for key in KINDS.values()}
    for kind, name, options in rows:
        given_weight = {"weight": weight, "low": 5, "negate": True} if kind == "generator" else {}
        spelled[KINDS[kind]].append({name: {**options, **given_weight}})
    first = Focus.model_validate(spelled)
    words = " ".join(option_string(getattr(first, key)) for key in KINDS.values() if getattr(first, key))
    again = focus(words) if words else Focus()
    for key in KINDS.values():
        assert (getattr(again, key) or ()) == getattr(first, key), words
    assert TypeAdapter(Focus).validate_python(first.model_dump(mode="json")) == first


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--blurr=s1", "there is no option --blurr (did you mean --blur?)"),
        ("blur", "'blur' is no option; options begin with --"),
        ("--cutless=q5", "'q5' is no argument of cutless"),
        ("--blur=s1 --maskstat=r6,Meen", "--maskstat=r6,Meen: statistic: 'Meen' is not allowed"),
        ("--fft=w200", "--fft=w200: weight: 200 is not allowed; use at most 100"),
        ("--fft=gradiant", "(did you mean 'gradient'?)"),
        ("-o out.tif --blur", "--o is not said here; use focus.output.path"),
        ("--rmcache", "use the command fusestack cache rm"),
        ("--align --blur", "use focus.align"),
        ("--blur='s1", "the quotes do not match"),
        ("--stat=r4", "there is no option --stat (did you mean --statistic?)"),
        ("--cutmin=p20", "there is no option --cutmin (did you mean --cutmax?)"),
        ("'--blur=s 1'", "'s 1' is no argument of blur"),
        ("--blur=s", "--blur=s: s: needs a value, such as s2"),
        ("--fft=log0", "curve: 'log0' is not allowed"),
        ("--blur=x1", "'x1' is no argument of blur"),
        ("--blur=s1;S2", "'s1;S2' is no argument of blur"),
        ("--colorspace=Foo --blur", "--colorspace=Foo: there is no colour space 'Foo'; known are sRGB"),
    ],
)
def test_mistakes_are_cited_where_the_user_wrote_them(options: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"input": {"images": "*.tif"}, "focus": {"options": options}})
    (problem,) = caught.value.problems
    assert problem.startswith("focus.options: ")
    assert sentence in problem


def test_both_forms_are_one() -> None:
    string = focus(
        "--fft --darkness=w10 --maskfft --cutwave=p100 --cutbg --cutalpha=p-25,P150 --bg=max --substacks=n3,r1"
    )
    spelled = Focus.model_validate(
        {
            "masks": [{"fft": {}}, {"darkness": {"weight": 10}}],
            "merge": ["fft"],
            "cut": [{"wave": {"percent": 100}}, {"background": None}, {"alpha": {"low": -25, "high": 150}}],
            "background": "max",
            "substacks": {"number": 3, "radius": 1},
        }
    )
    assert string == spelled
    assert parse_options("--prepresize=p40,Catrom --colorspace=Lab,c0 --revert --layered") == {
        "mask_size": {"percent": 40, "interpolation": "Catrom"},
        "colorspace": {"space": "Lab", "channel": 0},
        "reverse": True,
        "layered": True,
    }
    with pytest.raises(ConfigError, match="says the same as cut"):
        from_mapping({"input": {"images": "*.tif"}, "focus": {"options": "--blur", "cut": ["wave"]}})


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ("--blur --wavelet --sobel", (0.33, 0.33, 0.33)),
        ("--blur=w60", (0.6,)),
        ("--blur --darkness=w10", (0.9, 0.1)),
        ("--blur=w50 --wavelet --sobel", (0.5, 0.25, 0.25)),
    ],
)
def test_weights(options: str, weights: tuple[float, ...]) -> None:
    assert recipe_of(focus(options), photographs=True).weights == pytest.approx(weights)


@pytest.mark.parametrize("options", ["--blur=w60 --wavelet=w50", "--blur=w100 --wavelet"])
def test_weights_that_leave_nothing(options: str) -> None:
    with pytest.raises(ConfigError, match="weights"):
        from_mapping({"input": {"images": "*.tif"}, "focus": {"options": options}})


@pytest.mark.parametrize(
    ("options", "count", "expected"),
    [
        ("n3,r1", 7, [(0, 4), (1, 7)]),  # imfuse's ``substacks``
        ("n3,r0", 7, [(0, 3), (2, 6), (5, 7)]),
        ("n2,N4,r0", 7, [(1, 4)]),
        ("n2,N4,r1", 7, [(0, 5)]),
        ("p50,P100,r0", 8, [(3, 8)]),
        ("n3,r1,kurt", 7, [(0, 4), (0, 7)]),
        ("", 30, [(0, 5), (2, 9), (6, 13), (10, 17), (14, 21), (18, 25), (22, 29), (26, 30)]),
    ],
)
def test_ranges_of_substacks(options: str, count: int, expected: list[tuple[int, int]]) -> None:
    found = ranges(focus(f"--blur --substacks={options}").substacks, count)
    assert found == expected


@given(number=st.integers(1, 9), radius=st.integers(0, 4), count=st.integers(1, 40))
def test_ranges_cover_every_slice(number: int, radius: int, count: int) -> None:
    found = ranges(focus(f"--blur --substacks=n{number},r{radius}").substacks, count)
    assert {k for first, last in found for k in range(first, last)} == set(range(count))
    assert all(0 <= first < last <= count for first, last in found)


@pytest.mark.parametrize(
    ("key", "operator"),
    [
        ("masks", {"morphology": {"radius": "3"}}),
        ("merge", {"morphology": {"radius": True}}),
        ("cut", {"morphology": {"radius": "2"}}),
        ("final", {"sharpen": {"sigma": "1"}}),
        ("final", {"sharpen": {"radius": True}}),
    ],
)
def test_numbers_are_numbers(key: str, operator: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not allowed; use a"):
        from_mapping({"input": {"images": "*.tif"}, "focus": {key: [operator]}})


def test_ranges_that_end_before_they_begin() -> None:
    with pytest.raises(ConfigError, match=r"last_number: is 5, before the first one, 10"):
        from_mapping({"input": {"images": "*.tif"}, "focus": {"substacks": {"number": 10, "last_number": 5}}})
    with pytest.raises(ConfigError, match=r"n: needs a value, such as n2"):
        from_mapping({"input": {"images": "*.tif"}, "focus": {"options": "--substacks=n"}})
