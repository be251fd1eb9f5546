"""What formats have no place for, said before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.image import is_ome_tiff

if TYPE_CHECKING:
    from fusestack.config.output import Output
    from fusestack.fusion.design import Design


def not_written(design: Design, output: Output) -> list[str]:
    """What a format has no place for."""
    image, said = design.images[0], []
    times = [opened.view.time for opened in design.opened.values() if opened.view.time is not None]
    if times and output.format != "ome-zarr" and len({view.timepoint for view in design.opened}) > 1:
        kind = "projects of BigDataViewer have" if output.format.startswith("bdv") else "stacks of one timepoint have"
        said.append(f"the time step of {times[0]} is not written: {kind} no place for it")
    if output.format == "bdv-hdf5" and output.compression.codec == "blosc":
        said.append(
            "output.compression.codec: blosc is read by h5py with hdf5plugin, but Java programs such as BigDataViewer "
            "may not read it; gzip is read by all"
        )
    if output.append and output.format == "ome-zarr":
        from fusestack.fusion.appending import zarr_version

        there = zarr_version(opened.view for opened in design.opened.values())
        if there != output.ome_zarr_version:
            said.append(
                f"output.ome_zarr_version: {output.ome_zarr_version} is added to a project of {there}, and "
                "BigDataViewer may not read both in one project; leave it out to write the same"
            )
    if output.format == "tiff" and len(image.channels) > 1:
        listed = ", ".join(channel.name for channel in image.channels)
        said.append(
            f"the channels {listed} become red, green and blue of one OME-TIFF, as in BigStitcher's large 2-D TIFF, "
            "without their names and colours; write .tif for a file of each, or .ome.zarr to keep them"
        )
    if output.is_stacks and image.unit is None and is_ome_tiff(output.path):
        said.append(
            "the size of a pixel and the place of the image are not written: OME-TIFF takes numbers without a unit for "
            "micrometers; give a unit in input.views, or write .tif or .ome.zarr"
        )
    if output.format == "tiff" and not is_ome_tiff(output.path):  # a project has the names
        names = {channel.name for one in design.images for channel in one.channels}
        named = sorted(name for name in names if not name.removeprefix("channel ").isdecimal())
        if named:
            kept = "write .ome.tif or .ome.zarr to keep them"
            said.append(f"names of channels ({', '.join(named)}) are not written into .tif; {kept}")
    return said
