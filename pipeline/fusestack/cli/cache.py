"""``fusestack cache``: show and free what is kept of the stages."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from fusestack.running.stage_cache import CacheEntry

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_SECONDS = {"": 86400, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=("ls", "rm"), help="ls: list the stages; rm: delete them")
    parser.add_argument(
        "place",
        metavar="CONFIG_OR_FOLDER",
        nargs="?",
        default=".",
        help="a configuration, a cache, or the folder beside it (default: this folder)",
    )
    parser.add_argument("--older-than", metavar="AGE", help="only stages not used for so long, such as 30d, 12h, 2w")
    parser.add_argument("--yes", action="store_true", help="rm on a terminal: delete without asking")
    parser.add_argument("--stage", metavar="NAME", help="only stages whose name begins so, such as masks or merge")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """List or delete."""
    from fusestack.model.amounts import size
    from fusestack.running.stage_cache import cache_entries, left_alone, remove_entries

    cache = cache_at(arguments.place)
    entries = cache_entries(cache)
    chosen = [entry for entry in entries if _fits(entry, arguments.older_than, arguments.stage)]
    stages = sorted({entry.stage.partition("/")[0] for entry in entries})
    if arguments.stage and stages and not any(entry.stage.startswith(arguments.stage) for entry in entries):
        raise ConfigError(f"--stage {arguments.stage}: no stage is called so; there are {', '.join(stages)}")
    kept = [(entry, said) for entry in chosen if arguments.action == "rm" and (said := left_alone(entry)) is not None]
    chosen = [entry for entry in chosen if entry not in {one for one, _ in kept}]
    for _, said in kept:
        print(f"{said}: move that elsewhere", file=sys.stderr)
    total = sum(entry.size for entry in chosen)
    facts: dict[str, Any] = {"cache": cache, "bytes": total, "entries": [vars_of(entry) for entry in chosen]}
    facts |= {"left_alone": [said for _, said in kept]} if kept else {}
    if arguments.action == "rm":
        if chosen and not arguments.yes and not _agreed(f"delete {len(chosen)} stages, {size(total)}, in {cache}?"):
            print(f"{cache}: nothing is deleted")
            return facts | {"freed": 0}
        freed = remove_entries(cache, chosen)
        if not arguments.quiet:
            print(f"{cache}: {len(chosen)} stages deleted, {size(freed)} are free")
        return facts | {"freed": freed}
    if not arguments.quiet:
        for entry in chosen:
            print(f"{entry.stage:<24} {size(entry.size):>11}  {_ago(entry.used):<10}  {entry.title}")
        print(f"{len(chosen)} stages, {size(total)} in {cache}" if Path(cache).is_dir() else f"{cache}: there is none")
    return facts


def _agreed(question: str) -> bool:
    """Ask whoever sits at a terminal; scripts are not asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def vars_of(entry: CacheEntry) -> dict[str, Any]:
    """One stage for machines."""
    return {"stage": entry.stage, "title": entry.title, "bytes": entry.size, "used": entry.used, "folder": entry.folder}


def cache_at(place: str) -> str:
    """Folder of the cache that a configuration, a cache or the folder beside it means."""
    from fusestack.planner import CACHE, cache_folder
    from fusestack.running.stage_cache import is_cache

    path = Path(place)
    if path.is_file():
        from fusestack.config.load import load_config

        return cache_folder(load_config(path))
    if not path.is_dir():
        raise ConfigError(f"{place}: no such file or folder; name a configuration, or the folder of a cache")
    here, inside = path.absolute(), path.absolute() / CACHE
    return str(here if (path.name == CACHE or is_cache(here)) and not inside.is_dir() else inside)


def _fits(entry: CacheEntry, older_than: str | None, stage: str | None) -> bool:
    if stage is not None and not entry.stage.startswith(stage):
        return False
    return older_than is None or time.time() - entry.used >= _seconds(older_than)


def _seconds(text: str) -> float:
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigError(f"--older-than: '{text}' is no age; use a number with s, m, h, d or w, such as 30d")
    return float(found[1]) * _SECONDS[found[2]]


def _ago(when: float) -> str:
    seconds = max(0.0, time.time() - when)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"
