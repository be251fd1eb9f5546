"""Tasks of this package, for ``fractal-manifest``."""

from fractal_task_tools.task_models import ConverterNonParallelTask

AUTHORS = "the fusestack authors"
DOCS_LINK = ""
TASK_LIST = [
    ConverterNonParallelTask(
        name="Fuse with fusestack",
        executable="fuse.py",
        meta={"cpus_per_task": 4, "mem": 16000},
        category="Conversion",
        modality="lightsheet",
        tags=["fusion", "BigStitcher"],
    )
]
