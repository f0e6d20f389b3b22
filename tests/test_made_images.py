"""How images that are made of projections are described, for normal limits to ask."""

import numpy as np

from myoscope.core import EnergyWindow, Grid, Projections, Volume
from myoscope.made_images import processing_of


def test_words_on_an_image_leave_out_the_patient_it_was_made_of() -> None:
    projections = Projections(
        counts=np.ones((1, 1, 4, 3, 3), np.float32),
        angle_deg=np.array([0.0, 90.0, 180.0, 270.0]),
        radius_mm=np.full(4, 200.0),
        pixel_mm=(6.4, 6.4),
        windows=(EnergyWindow("photopeak", 126.0, 154.0),),
        view_duration_s=np.full(4, 20.0),
        collimator="SY-LEHR",
        made_by=("sum of 8 gates",),
    )

    def described(radius: str, shift: str) -> str:
        steps = (
            *projections.made_by,
            f"attenuation map: CT in HU; moved by {shift} mm",
            "OSEM, 4 iterations, 8 subsets, attenuation corrected, response of SY-LEHR modelled",
            f"detector at {radius} mm",
            "scatter modelled",
            "smoothed: Gaussian, 8 mm FWHM",
        )
        grid = Grid.axis_aligned((4, 4, 4), spacing_mm=6.4)
        return processing_of(Volume(np.ones((4, 4, 4), np.float32), grid, "counts", steps), projections)

    one = described("190 to 230", "(+2, 0, -4)")
    assert one == described("201 to 244", "(0, 0, 0)")
    assert one == (
        "OSEM, 4 iterations, 8 subsets, attenuation corrected, response of SY-LEHR modelled; scatter modelled; "
        "smoothed: Gaussian, 8 mm FWHM"
    )
