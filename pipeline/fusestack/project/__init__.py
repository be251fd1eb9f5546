"""Everything that yields views: project XML in and out, files with their placement, selection. Metadata only.

===============  ==================================================================================
``model``        `Project` and `Setup`, what all the others speak of
``document``     XML files in, safely, and out, atomically and with backups; unknown elements survive
``xml``          `read_project`: a BigDataViewer or BigStitcher project
``elements``     the parts of a project XML as values
``loaders``      which pixel source reads the views of an ``ImageLoader``: one row and one function per format
``placed``       `project_of_files`: files with their placement, without a project
``select``       `select_views`: the views a run is about
``pattern``      `parse_integer_pattern`: ``0-6:3,9``
``write``        `write_project`: the project XML of fused images
===============  ==================================================================================
"""
