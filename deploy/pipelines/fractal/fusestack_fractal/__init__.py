"""fusestack as a task of Fractal."""
