"""A converter of Fractal: a fusestack configuration in, OME-Zarr images of the dataset out."""

from typing import Any

from pydantic import validate_call


@validate_call
def fuse(*, zarr_dir: str, configuration: str, name: str = "fused", overwrite: bool = False) -> dict[str, Any]:
    """Fuse what a configuration of fusestack names into OME-Zarr.

    A task that is run again continues where the one before ended.

    Args:
        zarr_dir: Folder of the dataset's images.
        configuration: Path of the YAML file; what it says of the output's path, format and project is not used.
        name: Name of the image, without a suffix.
        overwrite: Replace an image that was made with other settings.
    """
    import fusestack

    output = [f"output.path={zarr_dir}/{name}.ome.zarr", "output.format=ome-zarr", "output.project=null"]
    report = fusestack.run(configuration, [*output, f"output.overwrite={str(overwrite).lower()}"])
    return {"image_list_updates": [{"zarr_url": path, "types": {"is_3D": True}} for path in report.outputs]}


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=fuse)
