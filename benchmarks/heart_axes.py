"""How long axes lie in people: angles left of anterior and below transverse of the shared manual masks.

    python benchmarks/heart_axes.py [--masks ../shared/data/physionet-mps]

Prints the figures that `myoscope.simulate.torso` states for the direction of the heart. Only directions are
used: where the patient lay in the field of view of that camera is not known.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np

from myoscope.core import CardiacFrame, Grid, HeartNotFound, Volume
from myoscope.core.geometry import FloatArray
from myoscope.heart import frame_from_wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=Path, default=Path("../shared/data/physionet-mps"))
    axes = np.array([angles_deg(frame) for frame in frames(parser.parse_args().masks)])
    low, middle, high = np.percentile(axes, [10, 50, 90], axis=0)
    print(f"{len(axes)} scans; mean (SD), 10th, 50th, 90th percentile in degrees")
    for column, name in enumerate(("left of anterior", "below transverse")):
        values = axes[:, column]
        print(
            f"{name}: {values.mean():.1f} ({values.std(ddof=1):.1f}), "
            f"{low[column]:.1f}, {middle[column]:.1f}, {high[column]:.1f}"
        )
    print(f"correlation {np.corrcoef(axes.T)[0, 1]:+.2f}")


def angles_deg(frame: CardiacFrame) -> tuple[float, float]:
    """Angle left of anterior in the transverse plane, and below that plane."""
    left, posterior, superior = frame.long_axis
    return float(np.degrees(np.arctan2(left, -posterior))), float(np.degrees(-np.arcsin(superior)))


def frames(folder: Path) -> list[CardiacFrame]:
    """Centre and long axis of every shared scan that has a manual mask."""
    import nibabel
    import pydicom

    found = []
    for path in sorted((folder / "dicom").glob("*.dcm")):
        data = pydicom.dcmread(path)
        masks = list((folder / "masks").glob(f"{data.SOPInstanceUID}_mask*"))
        if not masks:
            continue
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(masks[0].read_bytes()))
        affine: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
        counts = data.pixel_array.astype(np.float32).transpose(2, 1, 0)
        volume = Volume(counts, Grid((counts.shape[0], counts.shape[1], counts.shape[2]), affine), "counts")
        try:
            found.append(frame_from_wall(volume, np.asarray(image.dataobj) > 0))
        except HeartNotFound as error:
            print(f"left out: {error}")
    return found


if __name__ == "__main__":
    main()
