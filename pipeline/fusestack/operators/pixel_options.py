"""Options of ImageMagick that only compute on pixels: a foreign configuration must not read or write files."""

from __future__ import annotations

import re
import shlex

# name: arguments after ``-name``, and after ``+name``, but for settings, which that only resets
_ARGUMENTS_NONE = """
append auto-gamma auto-level clut composite contrast despeckle difference enhance equalize flip flop
hald-clut monochrome negate normalize transpose transverse
"""
_ARGUMENTS_ONE = """
adaptive-blur adaptive-sharpen auto-threshold bilateral-blur black-threshold blue-shift blur
brightness-contrast canny charcoal clahe clone color-matrix colorize contrast-stretch convolve cycle
delete duplicate edge emboss evaluate-sequence fx gamma gaussian-blur grayscale implode insert
kuwahara lat level linear-stretch local-contrast mean-shift median mode modulate motion-blur noise
ordered-dither paint posterize radial-blur raise random-threshold range-threshold recolor roll
rotational-blur selective-blur sepia-tone shade sharpen sigmoidal-contrast solarize spread swap
swirl threshold tint unsharp vignette wave wavelet-denoise white-threshold
"""
_ARGUMENTS_TWO = """
evaluate function morphology statistic
"""
_OPERATIONS = {
    name: count
    for count, names in enumerate((_ARGUMENTS_NONE, _ARGUMENTS_ONE, _ARGUMENTS_TWO))
    for name in names.split()
}
_WITHOUT_ARGUMENT_AFTER_PLUS = {"clone", "delete", "duplicate", "insert", "swap"}
_SETTINGS = {
    "alpha",
    "attenuate",
    "background",
    "bias",
    "channel",
    "colorspace",
    "compose",
    "fuzz",
    "gravity",
    "interpolate",
    "kernel",
    "seed",
    "virtual-pixel",
}
_BRACKETS = {"(", ")"}
_CODER = re.compile(r"^[A-Za-z][A-Za-z0-9-]*:(?![0-9])")
_KERNEL = re.compile(r"^[A-Za-z]+(:[0-9.,x<>!^\-+]*)?$")
_KERNEL_OPERATIONS = ("morphology", "convolve")


def refusal(command: str) -> str | None:
    """Why options are not given to ImageMagick; None where they only compute on pixels.

    Parameters
    ----------
    command : str
        Options as on its command line.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"cannot be read: {error}"
    while words:
        word = words.pop(0)
        if word in _BRACKETS:
            continue
        name = word[1:].lower()
        if word[:1] not in "-+" or not (name in _OPERATIONS or name in _SETTINGS):
            return f"'{word}' is not one of its operations on pixels (files are neither read nor written)"
        plus = word.startswith("+")
        count = 1 if name in _SETTINGS else _OPERATIONS[name]
        if plus and (name in _SETTINGS or name in _WITHOUT_ARGUMENT_AFTER_PLUS):
            count = 0
        if len(words) < count:
            return f"'{word}' wants {count} arguments"
        given, words = words[:count], words[count:]
        for argument in given:
            kernel = name in _KERNEL_OPERATIONS and _KERNEL.match(argument) is not None
            if "@" in argument or (_CODER.match(argument) and not kernel):
                return f"'{word} {argument}': files are neither read nor written"
    return None
