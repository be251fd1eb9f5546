"""What is released: built as ``make dist`` does, installed where the clone is not to be seen, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.test_architecture import PACKAGE

ROOT = Path(__file__).parents[1]
DATA = {
    "py.typed",
    "napari.yaml",
    "config/schema.json",
    "display/sheet.css",
    "display/sheet.js",
    *(f"planning/profiles/{name}.yaml" for name in ("htcondor", "lsf", "pbs", "sge", "slurm")),
}
"""All files of the package that are no Python."""


def tracked() -> list[str]:
    """Files of the project as a clone has them, and those that will be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in answer.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the source distribution, and of the wheel that is made from it."""
    folder = tmp_path_factory.mktemp("dist")
    clone, dist = folder / "clone", folder / "dist"
    for name in tracked():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(clone)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-4000:]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())], check=True)
    return dist


def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    wanted = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")} | DATA
    with zipfile.ZipFile(wheel(built)) as file:
        names = {name for name in file.namelist() if not name.endswith("/")}
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        about = {name.removeprefix(f"{info}/") for name in names if name.startswith(f"{info}/")}
        facts = HeaderParser().parsestr(file.read(f"{info}/METADATA").decode())
    assert {name.removeprefix("fusestack/") for name in names if name.startswith("fusestack/")} == wanted
    assert {name for name in names if not name.startswith(("fusestack/", f"{info}/"))} == set()
    assert about == {"METADATA", "WHEEL", "RECORD", "top_level.txt", "entry_points.txt", "licenses/LICENSE"}
    assert facts["License-Expression"] == "BSD-3-Clause"
    assert facts["Description-Content-Type"] == "text/markdown"


def test_data_of_the_package_are_all_named() -> None:
    """A new file that is no Python must be in the wheel, too."""
    there = {path for path in tracked() if path.startswith("pipeline/fusestack/") and not path.endswith(".py")}
    assert {path.removeprefix("pipeline/fusestack/") for path in there} == DATA


def test_the_source_distribution_holds_what_the_wheel_is_made_from(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as file:
        names = {member.name.partition("/")[2] for member in file.getmembers() if member.isfile()}
    rest = {name for name in names if not name.startswith(("pipeline/fusestack/", "pipeline/fusestack.egg-info/"))}
    assert rest == {
        "CHANGELOG.md",
        "LICENSE",
        "MANIFEST.in",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
    }


class Elsewhere:
    """An installation of the wheel, in an environment of its own that borrows the libraries of this one."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder / "elsewhere"
        home = folder / "home"
        for path in (self.folder, home):
            path.mkdir()
        venv.create(folder / "venv", with_pip=False, symlinks=os.name != "nt")
        self.programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = self.programs / Path(sys.executable).name
        self.python = str(python if python.exists() else self.programs / "python")
        own = Path(self._said("import sysconfig; print(sysconfig.get_path('purelib'))"))
        # an editable installation of the clone is made known by a file .pth, which is not looked at in folders of this
        (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        install = [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", "--no-index", "-q"]
        subprocess.run([*install, "--ignore-installed", "--no-compile", str(wheel)], check=True)
        self.package = own / "fusestack"
        self._borrow_compiled_kernels()
        kept = {name: one for name, one in os.environ.items() if not name.startswith(("PYTHON", "XDG_", "FUSESTACK"))}
        self.environment = {**kept, "HOME": str(home), "USERPROFILE": str(home)}
        self.environment["PATH"] = os.pathsep.join([str(self.programs), kept.get("PATH", "")])

    def _borrow_compiled_kernels(self) -> None:
        """Those of the clone, as far as there are any: to compile takes a minute, and is tested elsewhere."""
        for source in (PACKAGE / "kernels").glob("*.py"):
            target = self.package / "kernels" / source.name
            assert target.read_bytes() == source.read_bytes()
            os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
        (self.package / "kernels" / "__pycache__").mkdir(exist_ok=True)
        for compiled in (PACKAGE / "kernels" / "__pycache__").glob("*.nb[ic]"):
            (self.package / "kernels" / "__pycache__" / compiled.name).write_bytes(compiled.read_bytes())

    def _said(self, code: str) -> str:
        answer = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def call(self, *words: str) -> str:
        """Standard output of a command."""
        command = [str(self.programs / words[0]), *words[1:]]
        answer = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{words}\n{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}"
        return answer.stdout

    def facts(self, *words: str) -> dict[str, Any]:
        """What a command tells machines."""
        found: dict[str, Any] = json.loads(self.call("fusestack", *words, "--json").splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def elsewhere(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("installed"), wheel(built))


def test_it_is_the_wheel_that_is_used(elsewhere: Elsewhere) -> None:
    code = "import fusestack, sys; print(fusestack.__file__); print(*sys.path, sep='\\n')"
    said = elsewhere.call("python", "-c", code).splitlines()
    assert Path(said[0]) == elsewhere.package / "__init__.py"
    assert not any(Path(line).is_relative_to(ROOT / "pipeline") for line in said)


def test_the_schema_and_profiles_are_packaged(elsewhere: Elsewhere) -> None:
    path = Path(elsewhere.call("fusestack", "schema", "--path").strip())
    assert path == elsewhere.package / "config" / "schema.json"
    assert json.loads(path.read_text(encoding="utf-8"))["title"] == "Config"
    written = elsewhere.facts("init", "--profile", "slurm")["profile"]
    assert Path(written).is_relative_to(elsewhere.environment["HOME"])
    code = "from fusestack.planning.cluster_profiles import load_profile; from pathlib import Path; "
    assert "lifetime" in elsewhere.call("python", "-c", code + "print(load_profile('pbs', Path.cwd()))")


def test_tiles_are_fused(elsewhere: Elsewhere) -> None:
    """From nothing but images: a configuration, its check, its plan, its run, a picture."""
    folder = elsewhere.folder / "tiles"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        tifffile.imwrite(folder / f"tile{number}.tif", rng.integers(1, 999, (6, 20, 24), np.uint16), imagej=True)
    elsewhere.call("fusestack", "init", "tiles", "-o", "fuse.yaml")
    for command in ("validate", "plan", "run"):
        assert elsewhere.facts(command, "fuse.yaml")["ok"]
    assert elsewhere.facts("verify", "fused.ome.zarr")["ok"]
    elsewhere.call("fusestack", "preview", "fused.ome.zarr", "-o", "look.png")
    assert (elsewhere.folder / "look.png").stat().st_size > 100


def test_sets_are_tuned(elsewhere: Elsewhere) -> None:
    """The contact sheet is made of files of the package."""
    folder = elsewhere.folder / "slices"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        tifffile.imwrite(folder / f"slice{number}.tif", rng.integers(1, 255, (40, 50), np.uint8))
    elsewhere.call("fusestack", "init", "slices", "--as", "stack", "-o", "focus.yaml")
    sets = "focus.tune.vary={multiscale.levels: [2, 3]}"
    page = elsewhere.facts("tune", "focus.yaml", "--set", sets)["page"]
    style = (elsewhere.package / "display" / "sheet.css").read_text(encoding="utf-8")
    assert style.strip().splitlines()[0] in Path(page).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_demo_runs(elsewhere: Elsewhere) -> None:
    assert elsewhere.facts("demo", "demo", "--quiet")["ok"]


def test_napari_finds_the_plugin(elsewhere: Elsewhere) -> None:
    code = (
        "from importlib.metadata import entry_points; from importlib.resources import files; "
        "(one,) = entry_points(group='napari.manifest', name='fusestack'); "
        "package, _, name = one.value.partition(':'); print(files(package) / name)"
    )
    assert Path(elsewhere.call("python", "-c", code).strip()).samefile(elsewhere.package / "napari.yaml")
