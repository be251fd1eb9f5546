"""Slices brought over one another: how they moved, estimated from their details, and what is done with it.

`estimate` looks at all slices and makes an `Alignment`; nothing here is needed where an alignment is known.
"""
