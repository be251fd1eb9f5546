"""Files for contributors, hosts and archives: they parse, and name what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

import fusestack

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PAGES = [*ROOT.glob("[A-Z]*.md"), GITHUB / "pull_request_template.md"]


def loaded(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def steps(path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every job of a workflow with each of its steps."""
    return [(job, step) for job in loaded(path)["jobs"].values() for step in job["steps"]]


def pythons() -> list[str]:
    """Versions that the project says it runs on."""
    allowed = SpecifierSet(PROJECT["requires-python"])
    return [f"3.{minor}" for minor in range(8, 30) if allowed.contains(f"3.{minor}.0")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_whole(path: Path) -> None:
    workflow = loaded(path)
    assert set(workflow) <= {"name", "on", "permissions", "concurrency", "jobs"}
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) < set(workflow["jobs"]), name
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), name
            assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./-]+", step.get("uses", "a/b@c"))
        text = str(job)
        for used in re.findall(r"\$\{\{ matrix\.(\w+) \}\}", text):
            assert used in job["strategy"]["matrix"], f"{name}: matrix.{used}"


def test_workflows_run_every_python() -> None:
    jobs = loaded(GITHUB / "workflows" / "tests.yml")["jobs"]
    assert jobs["all"]["strategy"]["matrix"]["python"] == pythons()
    assert jobs["systems"]["strategy"]["matrix"]["python"] == pythons()
    assert jobs["installed"]["strategy"]["matrix"]["python"] == [pythons()[0], pythons()[-1]]
    assert {*jobs["systems"]["strategy"]["matrix"]["os"], "ubuntu-latest"} == {
        *jobs["installed"]["strategy"]["matrix"]["os"]
    }
    lowest = [step for job, step in steps(GITHUB / "workflows" / "tests.yml") if job is not None and "with" in step]
    assert any(step["with"].get("python-version") == pythons()[0] for step in lowest)


def test_workflows_call_what_there_is() -> None:
    from fusestack.cli.main import build_parser

    targets = set(re.findall(r"(?m)^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    if not (ROOT / "docs" / "conf.py").exists():
        targets.add("docs")
    for path in WORKFLOWS:
        for _, step in steps(path):
            for line in step.get("run", "").splitlines():
                words = line.split()
                if words[0] == "make":
                    assert set(words[1:]) <= targets, line
                if words[0] == "fusestack":
                    build_parser(words[1:]).parse_args(words[1:])
                for listed in re.findall(r"@(tests/\S+)", line):
                    names = (ROOT / listed).read_text(encoding="utf-8").split()
                    assert all((ROOT / name).exists() for name in names)
                for extra in re.findall(r"--extra (\S+)|\"\.\[(\w+)\]\"", line):
                    assert set(filter(None, extra)) <= set(PROJECT["optional-dependencies"])


def test_lower_bounds_of_tests_are_the_same_everywhere() -> None:
    """What the job of lowest dependencies installs for the tests."""
    text = (GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8")
    wanted = {Requirement(one).name: one for one in PROJECT["optional-dependencies"]["test"]}
    found = re.findall(r'"(pytest|hypothesis|jsonschema)(>=[\d.]+)"', text)
    assert found
    for name, bound in found:
        assert wanted[name] == name + bound


def test_every_dependency_has_a_lower_bound() -> None:
    for one in PROJECT["dependencies"]:
        assert any(part.operator == ">=" for part in Requirement(one).specifier), one


def test_the_citation_is_of_this_version() -> None:
    """Checked by hand with cffconvert, whose requirements are too old for this environment."""
    found = loaded(ROOT / "CITATION.cff")
    assert found["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(found)
    assert found["title"] == PROJECT["name"]
    assert found["version"] == PROJECT["version"] == fusestack.__version__
    assert found["license"] == PROJECT["license"]
    for one in (found, *found["references"]):
        assert all("name" in author or {"family-names", "given-names"} <= set(author) for author in one["authors"])
    holder = re.search(r"Copyright \(c\) \d+, (.*)", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    assert holder is not None
    assert found["authors"] == [{"name": holder[1]}]


@pytest.mark.parametrize("name", ["bug", "wish"])
def test_issue_forms(name: str) -> None:
    form = loaded(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert set(form) == {"name", "description", "labels", "body"}
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    for field in form["body"]:
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert field["type"] in ("textarea", "input")
        assert set(field["attributes"]) <= {"label", "description", "placeholder", "render"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_name_what_there_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for found in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        assert (path.parent / found).exists(), found
    if path.name not in ("CONTRIBUTING.md", "RELEASING.md"):
        return
    assert set(re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", text, re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }
    for found in re.findall(r"`((?:tests|pipeline|deploy|docs|\.ci)/[\w./-]+)`", text):
        assert (ROOT / found).exists(), found
    for found in re.findall(r"`((?:project|sources|writers|kernels|cli)/[\w./-]*)`", text):
        assert (ROOT / "pipeline" / "fusestack" / found).exists(), found


def test_words_of_the_ten_steps_are_those_of_the_code() -> None:
    """CONTRIBUTING.md names functions and classes; they are imported here."""
    from fusestack.operators import base, masks
    from fusestack.sources import base as sources
    from fusestack.sources import facts
    from tests.contracts import source_contract, writer_contract

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for module, names in {
        base: ["operator"],
        masks: ["MaskOperator"],
        sources: ["SourceLevel", "check_box", "input_errors", "last_chunk"],
        facts: ["ImageFacts"],
        source_contract: ["SourceContract"],
        writer_contract: ["WriterContract"],
    }.items():
        for name in names:
            assert name in text
            assert hasattr(module, name)
    steps = re.findall(r"(?m)^(\d+)\. ", text)
    assert steps == [str(number) for number in range(1, 11)] * 2
