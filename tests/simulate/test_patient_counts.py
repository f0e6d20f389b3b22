"""Counts of virtual patients against published ones: wide limits, the page on acquisition has the figures."""

import numpy as np
import pytest

from myoscope.simulate.acquire import expose
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.patient import draw_patient


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "low", "high"),
    # Myocardial counts per second and injected MBq of the published groups: 0.6, 5.6 and 11.4.
    [("north", 0.24, 1.5), ("hillside", 2.2, 14.0), ("riverside", 4.6, 28.0)],
)
def test_counts_of_the_heart_are_those_of_the_camera_within_two_and_a_half_times(
    site: str, low: float, high: float
) -> None:
    per_MBq = []
    for index in range(3):
        patient = draw_patient(3, site=site, index=index, population="low-likelihood")
        look, camera = patient.looks()[0], CAMERAS[patient.site.camera]
        seen = expose(patient.scene(look, n_phases=1), camera, view_duration_s=10)
        heart = seen.heart[0]
        outline = heart > 0.35 * heart.max(axis=(1, 2), keepdims=True)
        counts = float(((heart + seen.rest[0]) * outline).sum())
        per_MBq.append(counts / camera.n_stops / patient.site.scan(look.state).dose_MBq)
    assert low < np.mean(per_MBq) < high
