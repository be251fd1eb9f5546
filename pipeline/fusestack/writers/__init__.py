"""Pixels out: one file per format."""

from __future__ import annotations

WRITERS: dict[str, str] = {
    "ome-zarr": "fusestack.writers.ome_zarr:OmeZarrWriter",
    "bdv-hdf5": "fusestack.writers.bdv_hdf5:BdvHdf5Writer",
    "bdv-n5": "fusestack.writers.bdv_n5:BdvN5Writer",
    "bdv-n5-view": "fusestack.writers.bdv_n5_views:BdvN5ViewWriter",
    "bdv-n5-member": "fusestack.writers.bdv_n5_views:BdvN5MemberWriter",
    "tiff": "fusestack.writers.tiff_stack:TiffStackWriter",
    "bdv-tiff": "fusestack.writers.tiff_stack:TiffStackWriter",
    "dzi": "fusestack.writers.deep_zoom:DeepZoomWriter",
    "picture": "fusestack.writers.picture:PictureWriter",
    "mesh": "fusestack.writers.mesh:MeshWriter",
}
"""``output.format`` to ``"module:Class"`` of the `fusestack.model.stage.ImageWriter` that writes it.

``bdv-n5-view`` adds to a container of somebody else, ``bdv-n5-member`` shares one with other images of a run,
``picture`` is what photographs become, ``mesh`` a surface.
"""
