"""Fuse and focus-stack microscope images of any size."""
