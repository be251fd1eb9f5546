"""What goes beside an output: the record of the run, and statistics of a whole stack."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from itertools import islice
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import FusestackError, OutputError
from fusestack.model.fingerprint import digest
from fusestack.running.report import listed
from fusestack.storage import folder_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.planning.plan import FrozenStatistics, Plan

_MOST_LISTED = 20
_LIBRARIES = ("fusestack", "numpy", "numba", "zarr", "numcodecs", "h5py", "tifffile", "dask", "distributed")


def run_record(plan: Plan, stages: Sequence[Any], found: Sequence[str] = ()) -> dict[str, Any]:
    """Content of ``<output>.run.json``; of many views and images some are listed, and all are counted.

    Parameters
    ----------
    plan : Plan
    stages : sequence of StageReport
        What became of the stages so far.
    found : sequence of str
        What they found that there is to say.
    """
    views = () if plan.inputs is None else plan.inputs.views
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.node(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "scheduler": plan.resources.scheduler,
        "workers": plan.resources.workers,
        "config": _plain(plan.config),
        "folder": plan.folder,
        "warnings": [*plan.warnings, *found],
        "view_count": len(views),
        "views": [list(view.id) for view in views[:_MOST_LISTED]],
        "image_count": len(plan.images),
        "images": [
            {
                "path": image.target.image.path,
                "fingerprint": image.fingerprint,
                "fingerprints": {stage.name: stage.fingerprint for stage in image.stages},
                "made_of": {**image.components, "inputs": _some(image.components.get("inputs", {}))},
                "shape": list(image.target.image.shape),
                "bytes": image.target.image.nbytes,
            }
            for image in plan.images[:_MOST_LISTED]
        ],
        "stages": [asdict(stage) for stage in listed(stages)],
    }


def _some(inputs: Mapping[str, str]) -> dict[str, str]:
    """Identities of some inputs, and a hash of all; those of thousands are beside the output."""
    if len(inputs) <= _MOST_LISTED:
        return dict(inputs)
    return dict(islice(inputs.items(), _MOST_LISTED)) | {f"all {len(inputs):,}": digest(dict(inputs))}


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what views do not say: there may be thousands of them."""
    found = dict(config)
    views = (found.get("input") or {}).get("views")
    if views:
        said = [{key: value for key, value in view.items() if value is not None} for view in views]
        found["input"] = {**found["input"], "views": said}
    return found


def recorded_configuration(output: str) -> tuple[LoadedConfig | None, str]:
    """The configuration that ``<output>.run.json`` keeps; or None, and why."""
    from fusestack.config.load import from_mapping

    name = f"{output}.run.json"
    folder, file = folder_of(name)
    try:
        record = json.loads(folder.get(file) or b"{}")
        if not record.get("folder"):
            return None, f"{name} has no configuration; give its file instead of the output"
        return from_mapping(record["config"], record["folder"]), ""
    except (OSError, ValueError, FusestackError) as error:
        return None, f"{name} cannot be used ({error}); give the configuration instead of the output"


def _version(name: str) -> str | None:
    """As `importlib.metadata.version`, which reads the whole description of a library as if it were a mail."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    lines = (found.read_text("METADATA") or "").partition("\n\n")[0].splitlines()
    said = (line.removeprefix("Version:").strip() for line in lines if line.startswith("Version:"))
    return next(said, None) or found.version


def write_statistics(statistics: FrozenStatistics) -> None:
    """Keep statistics of a whole stack in a file, for crops of it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    found = {
        label: {f"{t} {c}": [float(v) for v in values.of(t, c)] for t in range(times) for c in range(channels)}
        for label, values, times, channels in statistics.entries
    }
    folder, name = folder_of(statistics.path)
    try:
        folder.put(name, [json.dumps({"version": 1, "statistics": found}).encode()])
    except OSError as error:
        raise OutputError(f"{statistics.path}: cannot be written: {error.strerror or error}") from error
