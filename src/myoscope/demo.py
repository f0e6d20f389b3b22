"""One study that the project makes itself: gated stress and ungated rest of a simulated heart, as DICOM.

The stress images show a defect in the territory of the left anterior descending artery that has mostly
recovered at rest. The truth is in the constants below; the patient is not a person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from myoscope import io
from myoscope.core import CardiacFrame, Grid
from myoscope.simulate import Cycle, Defect, lv_phantom

FRAME = CardiacFrame(np.array([48.0, -35.0, 12.0]), np.array([0.48, -0.78, -0.40]))
EJECTION_FRACTION_PERCENT = 58.0
STRESS_DEFECT = Defect(angle_deg=115, arc_fraction=0.45, extent=0.16, depth=0.65)
REST_DEFECT = Defect(angle_deg=115, arc_fraction=0.45, extent=0.08, depth=0.25)
_FWHM_MM = 8.5
_GRID = Grid.axis_aligned((64, 64, 56), spacing_mm=4.0, centre_mm=(40.0, -25.0, 10.0))


def write_demo_study(folder: Path, *, seed: int, overwrite: bool = False) -> Path:
    """Simulate the study into ``folder`` as two NM DICOM files; same seed, same bytes.

    Raises
    ------
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    """
    rng = np.random.default_rng(seed)
    with io.atomic_folder(folder, replace=overwrite, sign="stress.dcm") as part:
        for number, (state, defect, gated) in enumerate(
            (("stress", STRESS_DEFECT, True), ("rest", REST_DEFECT, False)), start=1
        ):
            phantom = lv_phantom(
                _GRID,
                frame=FRAME,
                fwhm_mm=_FWHM_MM,
                short_axis_radius_mm=29.0,
                long_axis_mm=80.0,
                wall_mm=9.5,
                apical_thinning=0.2,
                rv_ratio=0.35,
                liver_ratio=0.7,
                liver_gap_mm=14.0,
                defect=defect,
                cycle=Cycle(EJECTION_FRACTION_PERCENT, n_gates=8) if gated else None,
                myocardial_counts=2.5e6 if gated else 1.0e6,
                rng=rng,
            )
            description = io.NmDescription(
                patient_name="Demo^Simulated",
                patient_id=f"SIMULATED-{seed}",
                state=state,
                corrected=False,
                position="supine",
                gantry="head-first",
                tracer="sestamibi",
                camera="simulated camera",
                study_description="Simulated myocardial perfusion study",
                series_description=f"{state} {'gated' if gated else 'ungated'}, simulated",
                series_label=state,
                place_label=state,
                series_number=number,
                uid_seed=f"myoscope demo {seed}",
            )
            io.write_nm(phantom.volume, part / f"{state}.dcm", description=description)
    return folder
