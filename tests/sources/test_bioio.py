from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from tests.contracts.source_contract import Example, SourceContract, assert_refused, open_fresh, pixels

READER = "fusestack.sources.bioio:BioioSource"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def stacks(path):
    """Two timepoints and three channels, as a plug-in of bioio reads them."""
    array = pixels((2, 3, 11, 40, 50))
    tifffile.imwrite(path, array.swapaxes(1, 2), imagej=True, metadata={"axes": "TZCYX"})
    return array


class TestBioio(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = stacks(tmp_path / "image.tif")
        options = (("series", 0), ("channel", 2), ("timepoint", 1))
        return Example(SourceRef(READER, str(tmp_path / "image.tif"), options), (array[1, 2],))


def test_channels_and_timepoints(tmp_path):
    array = stacks(tmp_path / "image.tif")
    for timepoint, channel in np.ndindex(2, 3):
        source = open_fresh(
            SourceRef(READER, str(tmp_path / "image.tif"), (("channel", channel), ("timepoint", timepoint)))
        )
        np.testing.assert_array_equal(source.read(0, Box.of_shape((11, 40, 50))), array[timepoint, channel])
    ref = SourceRef(READER, str(tmp_path / "image.tif"), (("channel", 3), ("timepoint", 0)))
    assert_refused(ref, "has 3 channels, 0 to 2, and no channel 3")


def test_a_missing_plug_in_is_named(tmp_path):
    (tmp_path / "image.czi").write_bytes(b"ZISRAWFILE" + bytes(1000))
    assert_refused(SourceRef(READER, str(tmp_path / "image.czi")), "plug-in", "bioio-czi")


def test_without_bioio_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "image.nd2").write_bytes(bytes(1000))
    monkeypatch.setitem(sys.modules, "bioio", None)
    with pytest.raises(InputError, match=r'fusestack\[bioio\]" bioio-nd2'):
        open_fresh(SourceRef(READER, str(tmp_path / "image.nd2")))
