"""Programs that tests compare with, where they are installed."""

from __future__ import annotations

from fusestack.model.errors import ConfigError
from fusestack.operators.commands import Command, check_command
from tests.conftest import UNTESTED

NO_IMAGEMAGICK = f"{UNTESTED}AGAINST IMAGEMAGICK: it is not installed; apt-get install imagemagick"


def has_imagemagick() -> bool:
    """Whether commands that are not computed by kernels of ours can be run."""
    try:
        check_command(Command(command="-flip"))
    except ConfigError:
        return False
    return True
