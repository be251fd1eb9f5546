"""From what a configuration asks for to stages with fingerprints; metadata only."""
