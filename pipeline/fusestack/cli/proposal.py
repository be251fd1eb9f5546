"""What ``fusestack init`` proposes: what is there, by its metadata, as the text of a configuration."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.amounts import counted
from fusestack.model.errors import InputError
from fusestack.sources.file_names import is_companion, is_pattern, named_files, natural_order
from fusestack.storage import absolute, is_address, relative

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from fusestack.sources.facts import ImageFacts

_PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
_TIFF = (".tif", ".tiff")
_RESULT = re.compile(
    r"focus[-_ ]?stack[-_ ]?result|(^|[-_. ])(fused|focused|stitched|retouched)([-_. ]|\d*$)|^zs[-_ ]|"
    r"[-_ ](dmap|pmax)([-_. ]|$)|\([abc],\s*radius",
    re.IGNORECASE,
)
"""Names that programs give to what they made of tiles or slices: focus-stack, Zerene, Helicon Focus, ours, others."""
_OURS = (".fusestack", ".tune")
"""Suffixes of folders that are no data of people."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Proposal:
    """A configuration as text, and what was left out or is doubtful, as its comments say it, too.

    `perhaps_stack` says that what it takes for tiles may be slices as well.
    """

    text: str
    said: tuple[str, ...] = ()
    perhaps_stack: bool = False


@dataclass(frozen=True)
class _There:
    """What is in the places that the user names.

    Parameters
    ----------
    projects : list of Path
        Project XMLs.
    images : list of Path
        Files and folders that are read as views, in natural order.
    photographs : list of Path
    results : list of Path
        What has the name of a result of some program.
    own : list of Path
        Pictures that fusestack made.
    others : list of Path
        What is no image that is read.
    """

    projects: list[Path] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    photographs: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def describe(places: str | Path | Sequence[str | Path], folder: Path, kind: str | None = None) -> Proposal:
    """Configuration in `folder` for a project, a folder of images, images, or patterns of names.

    Parameters
    ----------
    places : path or sequence of paths
        Also the address of a project or of a Zarr image.
    folder : Path
        Where the configuration will be.
    kind : {"tiles", "stack"}, optional
        What images are, where it is not clear.

    Raises
    ------
    InputError
        If something is missing, or nothing is there that can be fused.
    """
    listed = [places] if isinstance(places, str | Path) else list(places)
    if len(listed) == 1 and is_address(str(listed[0])):
        return Proposal(_at_address(str(listed[0])))
    paths = _existing(listed)
    alone = paths[0] if len(paths) == 1 else None
    if alone is not None and alone.suffix.lower() == ".xml":
        return Proposal(_for_project(alone, _relative(alone, folder)))
    from fusestack.model.image import PICTURE_SUFFIXES

    if alone is not None and alone.is_file() and alone.suffix.lower() in PICTURE_SUFFIXES and kind != "tiles":
        return _for_stack([alone], folder)
    there = _look(paths)
    if kind is None:
        projects, images = _rather(there, paths)
        others = [path for path in (*there.images, *there.photographs) if path not in images]
        if projects:
            first, *more = projects
            notes = _not_taken([*more, *others], "the project says what belongs to it")
            return _with_notes(Proposal(_for_project(first, _relative(first, folder))), notes)
        if images:
            notes = _not_taken(others, "to take them, name them, or say what they are with --as")
            return _with_notes(_for_tiles(images, folder), notes)
    is_stack = (there.photographs and not there.images) or _in_colour(there.images) if kind is None else kind == "stack"
    if is_stack and (there.images or there.photographs):
        slices, left = sorted((there.photographs, there.images), key=len, reverse=True)
        return _with_notes(_for_stack(slices, folder, [*left, *there.others]), _question(there))
    if not there.images and not there.photographs:
        return _nothing(listed, there, folder, kind)
    if not there.images:
        raise InputError(
            f"{_named(there.photographs)}: JPEG and PNG are read as slices of a focus stack (--as stack), "
            "not as tiles; save them as TIFF"
        )
    return _with_notes(_for_tiles(there.images, folder), _question(there))


def _at_address(address: str) -> str:
    if address.lower().endswith(".xml"):
        return _for_project(address, address)
    if address.rstrip("/").lower().endswith(".zarr"):
        return _for_tiles([address], Path()).text
    raise InputError(f"{address}: is no project XML and no .zarr; at an address only these can be looked at")


def _existing(places: Sequence[str | Path]) -> list[Path]:
    """Paths that are there; patterns of names stand for theirs."""
    found: list[Path] = []
    for place in places:
        if Path(place).exists():
            found.append(Path(place))
        elif is_pattern(str(place)):
            found += map(Path, named_files([str(place)]))
        else:
            raise InputError(f"{place}: does not exist; give a project XML, images, or a folder of images")
    return found


def _look(paths: Sequence[Path]) -> _There:
    """Sort what is there, inside of folders and by name."""
    from fusestack.model.image import PICTURE_SUFFIXES
    from fusestack.project.readers import READERS
    from fusestack.sources.ome_zarr_facts import is_zarr
    from fusestack.sources.picture_notes import made_by_us

    there = _There()
    folders = [path for path in paths if path.is_dir() and not is_zarr(str(path))]
    inside = [
        entry for path in folders for entry in sorted(path.iterdir(), key=lambda entry: natural_order(str(entry)))
    ]
    for path in [*(path for path in paths if path not in folders), *inside]:
        suffix = path.suffix.lower()
        if is_companion(path):
            continue
        named = path in paths
        picture = suffix in PICTURE_SUFFIXES
        is_image = (suffix in READERS and suffix != ".zarr") or (path.is_dir() and is_zarr(str(path)))
        if suffix == ".xml" and _is_project(path):
            there.projects.append(path)
        elif not (picture or is_image):
            there.others.append(path)
        elif not named and picture and made_by_us(str(path)):
            there.own.append(path)
        elif not named and _is_result(path):
            there.results.append(path)
        elif suffix in _PHOTOGRAPHS:
            there.photographs.append(path)
        else:
            there.images.append(path)
    return there


def _rather(there: _There, paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Projects, or else OME-Zarr, that are taken rather than other images of folders; also from one folder below.

    Of OME-Zarr in the folders below only one that is alone: several may be anything.
    """
    from fusestack.sources.ome_zarr_facts import is_zarr

    if there.projects or any(not path.is_dir() or is_zarr(str(path)) for path in paths):
        return there.projects, []
    if images := [path for path in there.images if path.is_dir()]:
        return [], images
    projects: list[Path] = []
    below = [path for folder in paths for path in folder.iterdir() if path.is_dir() and path.suffix not in _OURS]
    for entry in (entry for path in sorted(below) for entry in _entries(path)):
        if entry.suffix.lower() == ".xml" and _is_project(entry):
            projects.append(entry)
        elif entry.is_dir() and is_zarr(str(entry)) and not _is_result(entry):
            images.append(entry)
    return projects, images if len(images) == 1 else []


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where nobody may look."""
    return sorted(folder.iterdir()) if os.access(folder, os.R_OK | os.X_OK) else []


def _is_result(path: Path) -> bool:
    """Whether something has the name of a result, or lies beside the work folder of one of ours."""
    return bool(_RESULT.search(path.name.split(".")[0])) or Path(f"{path}.fusestack").is_dir()


def _is_project(path: Path) -> bool:
    """Whether an XML is a project of BigDataViewer."""
    try:
        with path.open("rb") as file:
            return b"<SpimData" in file.read(4096)
    except OSError:
        return False


def _nothing(places: Sequence[str | Path], there: _There, folder: Path, kind: str | None) -> Proposal:
    """Take what seemed to be results where there is nothing else, or say that there is nothing."""
    from fusestack.project.readers import READERS

    if there.results:
        return describe(there.results, folder, kind)
    names = ", ".join(str(place) for place in places[:_MOST_NAMED])
    known = [*READERS, *_PHOTOGRAPHS]
    inside = sorted(path for place in places for path in Path(place).glob("*/*") if path.suffix.lower() in known)
    way_out = f"known are .xml, {', '.join(known)}"
    if inside:
        folders = list(dict.fromkeys(path.parent for path in inside))
        pattern = shlex.quote(f"{places[0]}/*/*{inside[0].suffix}")
        way_out = f"its folders do ({_named(folders)}): name one of them, or all their images: fusestack init {pattern}"
    raise InputError(f"{names}: holds no image and no project; {way_out}")


def _in_colour(images: Sequence[Path]) -> bool:
    """Whether the first of some images is a photograph in colour, which no microscope's tile is."""
    from fusestack.sources.pictures import describe_picture

    if not images or images[0].suffix.lower() not in _TIFF:
        return False
    try:
        return describe_picture(str(images[0]))[0].colours.startswith("RGB")
    except InputError:
        return False


def _for_project(source: str | Path, written: str) -> str:
    from fusestack.config.template import project_template
    from fusestack.fusion.frame import average_anisotropy
    from fusestack.project.xml import read_project

    project = read_project(source)
    return project_template(
        written,
        channels={view.channel: view.channel_name or str(view.channel) for view in project.views},
        timepoints=project.timepoints,
        bounding_boxes=list(project.bounding_boxes),
        anisotropy=average_anisotropy(project.views),
    )


def _for_tiles(images: Sequence[str | Path], folder: Path) -> Proposal:
    """Tiles where their files say, or in a row, one beside the other: a guess that the user corrects."""
    from fusestack.config.template import GUESSED, ViewLine, views_template
    from fusestack.fusion.file_world import distance_of_planes

    found = _images(images)
    names = {path: path if is_address(path) else _relative(Path(path), folder) for path, _, _ in found}
    several = {path for path, series, _ in found if series}
    lost = [facts for _, _, facts in found if not facts.placed]
    lines: list[ViewLine] = []
    notes: list[str] = []
    x = 0.0
    for number, (path, series, facts) in enumerate(found):
        keys = {"series": series} if path in several else {}
        guess = None
        if len(found) > 1 and len(lost) == len(found):
            guess, x = (0.0, 0.0, x), x + facts.shape[4]
        unknown = len(found) > len(lost) > 1 and not facts.placed
        lines.append(ViewLine(names[path], guess, {**keys, "tile": number}, commented=unknown))
    if len(found) > 1 and len(lost) == len(found):
        notes += [f"{GUESSED}, since no file says where it is: correct them (world pixels)."]
    elif len(lost) > 1:
        notes += ["Files behind a '#' do not say where they are: give them a translation (world pixels)."]
    said = tuple(notes)
    sources = sorted({f"{what} ({where})" for _, _, facts in found for what, where in facts.found})
    stacks: dict[Hashable, list[ImageFacts]] = {}
    for _, _, facts in found:
        stacks.setdefault(facts.names, []).append(facts)
    units = {facts.unit for _, _, facts in found}
    if len(units) == 1 and (apart := distance_of_planes(stacks)) is not None:
        sources.append(f"distance of planes: {apart:.6g} {units.pop() or ''} (the smallest step of their z)")
    if sources:
        notes += ["What the files say is used, unless a view says it:", *(f"    {line}" for line in sources)]
    notes += [f"{names[path]}: {line}" for path, _, facts in found[:1] for line in facts.said]
    planes = all(facts.shape[0] == facts.shape[2] == 1 and Path(path).is_file() for path, _, facts in found)
    return Proposal(views_template(lines, notes=notes), said, planes or len(found) == 1)


def _images(images: Sequence[str | Path]) -> list[tuple[str, int, ImageFacts]]:
    """Path, series and facts of every image; files of a set are one image."""
    from fusestack.fusion.stored_tiles import reader_of_file
    from fusestack.sources.facts import FactsWanted, all_facts

    paths = [absolute(path) for path in images]
    wanted = [FactsWanted(reader_of_file(path), path) for path in paths]
    known = all_facts(wanted)
    found: list[tuple[str, int, ImageFacts]] = []
    sets: set[tuple[tuple[str, ...], object]] = set()
    for which in wanted:
        facts = known[which]
        if isinstance(facts, InputError):
            found += _series(which.reader, which.path, facts)
            continue
        if facts.files:
            key = (facts.files, facts.options)
            if key in sets:
                continue
            sets.add(key)
        found.append((which.path, int(dict(facts.options).get("series", 0)), facts))  # type: ignore[call-overload]
    return found


def _series(reader: str, path: str, error: InputError) -> list[tuple[str, int, ImageFacts]]:
    """All images of a file that holds several, which is looked at once; the error of any other file."""
    from fusestack.sources.facts import ChoiceError, FactsWanted, all_facts

    if not isinstance(error, ChoiceError):
        raise error
    found = []
    for which, facts in all_facts(FactsWanted(reader, path, number) for number in range(error.count)).items():
        if isinstance(facts, InputError):
            raise facts
        found.append((path, which.series or 0, facts))
    return found


def _for_stack(images: Sequence[Path], folder: Path, left: Sequence[Path] = ()) -> Proposal:
    """Slices, and what is doubtful about them and about what is left out."""
    from fusestack.config.template import stack_template
    from fusestack.focus.slice_files import told_files, unread_files
    from fusestack.model.image import PICTURE_SUFFIXES

    volumes = [path for path in images if path.is_dir()]
    if len(images) > 1 and volumes:
        raise InputError(
            f"{_named(volumes)}: slices of a stack are TIFF, PNG or JPEG files; in Zarr a stack is one volume, "
            "which is named alone"
        )
    pictures = [path for path in left if path.suffix.lower() in PICTURE_SUFFIXES]
    doubts = [f"{_named(pictures)}: left out"] if pictures else []
    doubts += unread_files([str(path) for path in left], str(images[0].parent))
    doubts += told_files([str(path) for path in images]) if len(images) > 1 else []
    names = [_relative(path, folder) for path in images]
    text = stack_template(names, doubts=doubts, output=_named_as(images, folder), volume=bool(volumes))
    return Proposal(text, tuple(doubts))


def _named_as(images: Sequence[Path], folder: Path) -> str:
    """Name of the picture that is made of slices: that of the folder that they are in."""
    from fusestack.sources.picture_notes import made_by_us

    parents = {path.absolute().parent for path in images}
    made = f"{parents.pop().name}.tif"
    is_free = not (folder / made).exists() or made_by_us(str(folder / made))
    return made if len(images) > 1 and not parents and made != ".tif" and is_free else "sharp.tif"


def _with_notes(made: Proposal, notes: Sequence[str]) -> Proposal:
    """Proposal with comments before what is read."""
    lines = "".join(f"# {note}\n" for note in notes)
    text = made.text.replace("\ninput:\n", f"\n{lines}input:\n", 1)
    return replace(made, text=text, said=(*notes, *made.said))


def _question(there: _There) -> list[str]:
    """What was left out, and whether that is right."""
    notes = []
    if there.results:
        notes.append(f"Are these results of a program? They are left out: {_named(there.results)}. If not, add them.")
    if there.own:
        notes.append(f"Left out: {counted(len(there.own), 'picture')} that fusestack made.")
    return notes


def _not_taken(others: Sequence[Path], way_out: str) -> list[str]:
    return [f"The folder also holds {_named(others)}; {way_out}."] if others else []


def _named(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name if path.name.isprintable() else repr(path.name) for path in paths[:_MOST_NAMED])
    return names + (f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else "")


def _relative(path: Path, folder: Path) -> str:
    return relative(path.absolute(), folder)
