"""The fusion trade: boxes, levels, groups, which views touch which block, and the pixels of a block.

`frame` (the grid of the fused image in the world), `groups` (which views make one image), `placement` (every view
on that grid), `blocks` (the pixels). Nothing but `blocks` reads a pixel.
"""
