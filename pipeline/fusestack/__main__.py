"""``python -m fusestack`` is the command ``fusestack``."""

from fusestack.cli.main import main

main()
