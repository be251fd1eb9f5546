"""The files of a stack: what paths, folders and patterns name, in which order, and what of it is no slice."""

from __future__ import annotations

import glob
import itertools
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError
from fusestack.model.image import PICTURE_SUFFIXES
from fusestack.planning.pictures import split_suffix
from fusestack.sources.copies import copies
from fusestack.sources.file_names import fitting, is_companion, natural_order
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fusestack.config.load import LoadedConfig

_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl "
    ".sr2 .srf .srw .x3f"
)
_OTHERS = (
    ".avif .bmp .btf .dcm .dm3 .dm4 .exr .gif .hdr .heic .heif .hif .jfif .jls .jp2 .jpe .jxl .jxr .lsm .mpo .ndpi "
    ".pgm .pnm .ppm .psb .psd .qptiff .scn .svs .tf2 .tf8 .tga .webp"
)
_DEVELOP, _CONVERT = (
    "develop to TIFF",
    "convert to TIFF or PNG, or name one by one what is TIFF under another name",
)
UNREAD = {**dict.fromkeys(_RAW.split(), _DEVELOP), **dict.fromkeys(_OTHERS.split(), _CONVERT)}
"""Suffixes of pictures that folders are not searched for, and what helps."""

_DIGITS = re.compile(r"(\d+)")
_DECIMALS = re.compile(r"\d+\.\d+")
_RESULT = re.compile(
    r"(?<![a-z])(result|stacked|focus[-_ ]?stack(ed)?|fused|pmax|dmap|depth[-_ ]?map|enfused?|helicon|zerene|picolay|"
    r"shine[-_ ]?stack(er)?|montage|all[-_ ]?in[-_ ]?focus|edf|edof|output)(?![a-z])",
    re.IGNORECASE,
)
_MOST_NAMES = 3


def slice_files(loaded: LoadedConfig, patterns: Sequence[str], key: str) -> tuple[list[str], list[str]]:
    """Files of paths, folders and patterns, and what is to be said of them; `key` of the configuration names them.

    Raises
    ------
    InputError
        If there are none, or pictures that are there in two formats.
    """
    found: list[str] = []
    said: list[str] = []
    chosen: set[str] = set()
    for pattern in patterns:
        path = loaded.resolve_path(pattern)
        own, notices = files_of(path, key)
        chosen |= set(own) - {path}
        found += own
        said += notices
    return found, [*said, *_told(found, chosen)]


def files_of(path: str, key: str) -> tuple[list[str], list[str]]:
    """The files of one path, folder or pattern, and what is to be said of those that are left out.

    Raises
    ------
    InputError
        If there are none.
    """
    if is_address(path) or Path(path).is_file():
        return [path], []
    if Path(path).is_dir():
        return _without_ours(*_pictures(_entries(path), path), path)
    if not glob.has_magic(path):
        raise InputError(f"{path}: no such file or folder; correct {key}")
    found = [name for name in fitting(path) if Path(name).is_file()]
    if not found:
        raise InputError(f"{path}: {_why_nothing(path)}; correct {key}")
    if path.endswith("*"):
        return _without_ours(*_pictures(found, path), path)
    unread = [name for name in found if UNREAD.get(Path(name).suffix.lower()) == _DEVELOP]
    if unread:
        raise InputError(*_unread(unread, path))
    return _without_ours(found, [], path)


def told_files(files: Sequence[str]) -> list[str]:
    """What is to be said of the files of one folder in natural order, as `slice_files` says it.

    Raises
    ------
    InputError
        If pictures are there in two formats.
    """
    return _told(list(files), set(files))


def unread_files(files: Sequence[str], where: str) -> list[str]:
    """What is to be said of pictures in formats that are not read."""
    return _unread([name for name in files if Path(name).suffix.lower() in UNREAD], where)


def _why_nothing(pattern: str) -> str:
    folders = fitting(str(Path(pattern).parent))
    if not folders:
        return "there is no such folder"
    there = sorted({Path(name).suffix for folder in folders if Path(folder).is_dir() for name in _entries(folder)})
    known = [suffix for suffix in there if suffix.lower() in PICTURE_SUFFIXES or suffix.lower() in UNREAD]
    return "no file fits the pattern" + (f" (its folder holds {', '.join(known)})" if known else "")


def _entries(folder: str) -> list[str]:
    return [entry.as_posix() for entry in Path(folder).iterdir() if not is_companion(entry) and entry.is_file()]


def _pictures(names: Iterable[str], where: str) -> tuple[list[str], list[str]]:
    """Pictures among some files, and what is to be said of those in formats that are not read."""
    names = list(names)
    files = [name for name in names if name.lower().endswith(PICTURE_SUFFIXES)]
    unread = unread_files(names, where)
    if not files:
        raise InputError(*(unread or [f"{where}: holds no JPEG, PNG or TIFF file; name the folder of the slices"]))
    beside = ", ".join(sorted({Path(name).suffix for name in files}))
    return files, [f"{sentence}; the {len(files)} files {beside} are taken" for sentence in unread]


def _unread(names: Sequence[str], where: str) -> list[str]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=natural_order):
        kinds[Path(name).suffix].append(name)
    return [
        f"{where}: {len(found)} {'file' if len(found) == 1 else 'files'} {suffix} ({_listed(found)}) "
        f"{'is' if len(found) == 1 else 'are'} not read; {UNREAD[suffix.lower()]}"
        for suffix, found in kinds.items()
    ]


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(Path(path).name for path in paths[:_MOST_NAMES]) + (" ..." if len(paths) > _MOST_NAMES else "")


def _without_ours(files: Sequence[str], notices: list[str], where: str) -> tuple[list[str], list[str]]:
    """Sorted files without those that fusestack made: results of earlier runs are no slices."""
    from fusestack.sources.picture_notes import made_by_us

    files = sorted(files, key=natural_order)
    ours = [path for path in files if made_by_us(path)]
    if not ours:
        return files, notices
    if len(ours) == len(files):
        raise InputError(
            f"{where}: all pictures here were made by fusestack ({_listed(ours)}); name them one by one in input.images"
        )
    notice = (
        f"{where}: {len(ours)} results of fusestack are left out ({_listed(ours)}); to stack them, name them one by one"
    )
    return [path for path in files if path not in set(ours)], [*notices, notice]


def _told(files: list[str], chosen: set[str]) -> list[str]:
    """What is to be said of the files of a stack; `chosen` were not named one by one."""
    named = [path for path in files if path in chosen]
    return [*_doubles(files, chosen), *_copied(files), *_results(named), *_decimals(named), *_rollover(named)]


def _copied(files: Sequence[str]) -> list[str]:
    """Pictures that are there twice, under names of which nobody would know it."""
    twice = copies(files)
    if not twice:
        return []
    names = " and ".join(Path(path).name for path in twice[0])
    more = f" ({len(twice) - 1} more pictures are there twice, too)" if len(twice) > 1 else ""
    return [f"{Path(twice[0][0]).parent}: {names} hold the same picture{more}; leave copies out"]


def _doubles(files: Sequence[str], chosen: set[str]) -> list[str]:
    """Refuse pictures that are there in two formats; say so where each of them was named."""
    formats: dict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys(files):
        formats[split_suffix(path)[0]].append(path)
    twice = [paths for paths in formats.values() if len(paths) > 1]
    if not twice:
        return []
    names = " and ".join(Path(path).name for path in twice[0])
    more = f" ({len(twice) - 1} more names, too)" if len(twice) > 1 else ""
    suffixes = " or ".join(f"*{split_suffix(path)[1]}" for path in twice[0])
    sentence = f"{Path(twice[0][0]).parent}: {names} have one name and seem to be the same picture{more}"
    if any(path in chosen for paths in twice for path in paths):
        raise InputError(f"{sentence}; take those of one format: input.images with {suffixes}")
    return [f"{sentence}; each is a slice; leave one of them out if it is none"]


def _results(files: Sequence[str]) -> list[str]:
    """Results of other programs by their names, which other slices do not share."""
    alike = Counter(_DIGITS.sub("#", Path(path).stem) for path in files)
    odd = [path for path in files if _RESULT.search(Path(path).stem)]
    odd = [path for path in odd if alike[_DIGITS.sub("#", Path(path).stem)] <= 2]
    if not odd or 2 * len(odd) > len(files):
        return []
    return [
        f"{Path(odd[0]).parent}: {_listed(odd)}: called like results of a program, and taken for slices; if they are "
        "none, move them away, or use a pattern that leaves them out"
    ]


def _decimals(files: Sequence[str]) -> list[str]:
    """Names that would be in another order if their numbers were decimals: 0.25 comes before 0.5."""
    stems = [split_suffix(path)[0] for path in files]
    read = [[float(number) for number in _DECIMALS.findall(Path(stem).name)] for stem in stems]
    for k in range(1, len(files)):
        before, here = stems[k - 1], stems[k]
        same = _DECIMALS.sub("#", before) == _DECIMALS.sub("#", here)
        if same and read[k - 1] > read[k]:
            return [
                f"{files[k - 1]}: comes before {Path(files[k]).name}, as numbers between dots are counted one by one; "
                "if they are decimals, give all of them equally many digits, or list the files in input.images"
            ]
    return []


def _rollover(files: Sequence[str]) -> list[str]:
    """A camera that counted from IMG_9999 to IMG_0001 within the stack."""
    counters: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for path in files:
        if found := re.fullmatch(r"(.*?)(\d{3,6})", split_suffix(path)[0]):
            counters[found[1], len(found[2])].append((int(found[2]), path))
    for (_, digits), counted in counters.items():
        numbers = sorted(counted)
        gaps = [(b[0] - a[0], a, b) for a, b in itertools.pairwise(numbers)]
        gap, before, after = max(gaps, default=(0, (0, ""), (0, "")))
        whole = 10**digits
        if gap > whole / 2 and numbers[0][0] < whole / 10 and numbers[-1][0] >= whole * 9 // 10:
            first, last = Path(numbers[0][1]).name, Path(numbers[-1][1]).name
            return [
                f"{after[1]}: the camera seems to have counted on from {last} to {first}, but by name "
                f"{Path(before[1]).name} comes before {Path(after[1]).name}; if so, list the files in input.images in "
                f"their order, from {Path(after[1]).name} on"
            ]
    return []
