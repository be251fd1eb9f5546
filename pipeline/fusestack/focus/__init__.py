"""Focus stacking: from a stack of slices to one sharp picture, its mask and its depth.

::

    slices ---> generators ---> levels ---> merged masks ---> montage ---> finals, backgrounds ---> outputs
       |            ^                            |                ^
       +-> images --+                            +-> level -------+

Every arrow is an array ``[t, mask set, slice, y, x]``, on disk but for the last one before files, every name a stage.
A mask set is what is painted by one set of masks: the colours of a photograph, one channel of a volume, or all of its
channels by the masks of one.
"""
