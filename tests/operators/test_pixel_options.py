"""ImageMagick gets operations on pixels only: no files, no coders, no scripts."""

from __future__ import annotations

import numpy as np
import pytest

from fusestack.model.errors import ConfigError
from fusestack.operators.commands import MaskCommand, check_command, run_command
from fusestack.operators.pixel_options import refusal


@pytest.mark.parametrize(
    "command",
    [
        "-canny 0x1+10%+30%",
        "-morphology Convolve Sobel",
        "-morphology EdgeOut Disk:3.5",
        "-convolve '1,2,1,2,4,2,1,2,1'",
        "( +clone -blur 0x3 ) -compose difference -composite -auto-level",
        "-channel R +channel -fx 'u*0.5' -virtual-pixel mirror -lat 5x5+3%",
        "-color-matrix '1 0 0 0 1 0 0 0 1' -swap 0,1 +swap",
        "-kuwahara 2 -bilateral-blur 5x5",
    ],
)
def test_operations_on_pixels(command: str) -> None:
    assert refusal(command) is None


@pytest.mark.parametrize(
    "command",
    [
        "-write /tmp/x.png",
        "-blur 0x2 +write x.png",
        "/etc/passwd",
        "-blur @/etc/passwd",
        "-fx @expression.txt",
        "-convolve @kernel.txt",
        "-morphology Convolve @kernel.txt",
        "-composite png:/etc/passwd",
        "-fx msl:script.msl",
        "-lat https://example.org/x",
        "-define registry:temporary-path=/tmp",
        "-set filename:f x",
        "-process analyze",
        "-script x.mgk",
        "-read x.png",
        "( x.png ) -composite",
        "-remap x.png",
        "-tile x.png",
        "-profile x.icc",
        "-draw 'image over 0,0 0,0 x.png'",
        "-annotate 0 @/etc/passwd",
        "-print %[EXIF:*]",
        "-blur 0x2 ephemeral:x.png",
        "'unclosed",
        "-morphology Convolve",
    ],
)
def test_anything_else_is_refused(command: str) -> None:
    assert refusal(command) is not None
    with pytest.raises(ConfigError, match=r"cmd: .*name a Python function, module:function"):
        check_command(MaskCommand(command=command))
    with pytest.raises(ConfigError, match=r"cmd: .*name a Python function, module:function"):
        run_command(command, np.zeros((1, 4, 4), np.float32))
