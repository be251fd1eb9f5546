"""A project of two views as HDF5 project, and ways to break it."""

from __future__ import annotations

from pathlib import Path


def setup_xml(number: int, *, tile: int = 0, channel: int = 0) -> str:
    return f"""<ViewSetup><id>{number}</id><name>tile {"AB"[tile]}</name><size>100 100 60</size>
        <voxelSize><unit>micrometer</unit><size>0.5 0.5 1.5</size></voxelSize>
        <attributes><illumination>0</illumination><channel>{channel}</channel><tile>{tile}</tile><angle>0</angle>
        </attributes></ViewSetup>"""


CALIBRATION = (
    "<ViewTransform type='affine'><Name>calibration</Name><affine>1 0 0 0 0 1 0 0 0 0 3 0</affine></ViewTransform>"
)
HDF5 = "<ImageLoader format='bdv.hdf5'><hdf5 type='relative'>dataset.h5</hdf5></ImageLoader>"
TIMEPOINTS = "<Timepoints type='pattern'><integerpattern>0</integerpattern></Timepoints>"
BOXES = (
    "<BoundingBoxes><BoundingBoxDefinition name='embryo'><min>10 10 0</min><max>149 89 120</max>"
    "</BoundingBoxDefinition></BoundingBoxes>"
)

EXAMPLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<SpimData version="0.2">
  <BasePath type="relative">.</BasePath>
  <SequenceDescription>
    {HDF5}
    <ViewSetups>
      {setup_xml(0, tile=0)}
      {setup_xml(1, tile=1)}
      <Attributes name="illumination"><Illumination><id>0</id><name>0</name></Illumination></Attributes>
      <Attributes name="channel"><Channel><id>0</id><name>488</name></Channel></Attributes>
      <Attributes name="tile"><Tile><id>0</id><name>0</name><location>0.0 0.0 0.0</location></Tile>
                              <Tile><id>1</id><name>1</name><location>80.0 0.0 0.0</location></Tile></Attributes>
      <Attributes name="angle"><Angle><id>0</id><name>0</name></Angle></Attributes>
    </ViewSetups>
    {TIMEPOINTS}
    <MissingViews/>
  </SequenceDescription>
  <ViewRegistrations>
    <ViewRegistration timepoint="0" setup="0">{CALIBRATION}</ViewRegistration>
    <ViewRegistration timepoint="0" setup="1">
      <ViewTransform type="affine"><Name>Stitching Transform</Name>
        <affine>1 0 0 1.25 0 1 0 -0.5 0 0 1 0</affine></ViewTransform>
      <ViewTransform type="affine"><Name>Translation to Regular Grid</Name>
        <affine>1 0 0 80 0 1 0 0 0 0 1 0</affine></ViewTransform>
      {CALIBRATION}</ViewRegistration>
  </ViewRegistrations>
  <ViewInterestPoints/>
  {BOXES}
  <PointSpreadFunctions/>
  <StitchingResults/>
  <IntensityAdjustments/>
</SpimData>
"""


def write(folder: Path, *changes: tuple[str, str], text: str = EXAMPLE) -> Path:
    """Write the example with pieces of text replaced, each of which must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "dataset.xml"
    path.write_text(text, encoding="utf-8")
    return path
