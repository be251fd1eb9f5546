"""Pixels in: one file per format, each a `fusestack.sources.base.PixelSource`.

A new format is one file here and one line in a table: in ``project/readers.py`` if its files are opened by their
suffix, in ``project/loaders/`` if a project names it (as ``bdv_hdf5:BdvHdf5Source``, called with
``setup`` and ``timepoint``).
Readers are strings, so that the library of a format is loaded only when a file of it is opened.
"""
