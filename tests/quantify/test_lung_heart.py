from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import CardiacFrame, EnergyWindow, Gating, InvalidValue, Projections, Surfaces
from myoscope.physics.camera_geometry import GENERIC_19_PINHOLE
from myoscope.quantify import lung_heart_ratio, on_detector_mm

ANGLES = 225.0 - 180.0 * (np.arange(30) + 0.5) / 30


def surfaces(centre_mm: tuple[float, float, float] = (35.0, -30.0, 0.0)) -> Surfaces:
    frame = CardiacFrame(np.array(centre_mm), np.array([0.5, -0.7, -0.4]))
    polar, angle = np.linspace(0, 0.7 * np.pi, 41)[:, None], np.arange(72) * 2 * np.pi / 72
    unit = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) * np.ones(72)], -1)
    return Surfaces(frame.to_patient(25 * unit), frame.to_patient(36 * unit), frame, frame.centre_mm, -frame.long_axis)


def planar(lung: float, heart: float, *, angles: np.ndarray = ANGLES, wall: Surfaces | None = None) -> Projections:
    """Views of ``lung`` counts in every pixel, and of ``heart`` counts where the heart is."""
    blank = Projections(
        np.zeros((1, 1, len(angles), 64, 64)),
        angles,
        np.full(len(angles), 200.0),
        (6.4, 6.4),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(len(angles), 25.0),
    )
    place = on_detector_mm(blank, (wall or surfaces()).epi_mm.reshape(-1, 3)) / 6.4 + 31.5
    v, u = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    counts = np.full(blank.counts.shape, lung)
    for n, points in enumerate(place):
        middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
        reach = 0.5 * np.ptp(points, axis=0)
        inside = ((v - middle[0]) / reach[0]) ** 2 + ((u - middle[1]) / reach[1]) ** 2 <= 1
        counts[0, 0, n][inside] = heart
    return replace(blank, counts=counts)


@pytest.mark.parametrize("ratio", [0.25, 0.4, 0.6])
def test_a_known_ratio_comes_back(ratio: float) -> None:
    found = lung_heart_ratio(planar(200 * ratio, 200.0), surfaces())
    assert found.ratio == pytest.approx(ratio)
    assert found.angle_deg == 180
    assert found.n_views == 5


def test_the_ratio_does_not_depend_on_the_dose() -> None:
    assert lung_heart_ratio(planar(4.0, 10.0), surfaces()).ratio == pytest.approx(0.4)
    assert lung_heart_ratio(planar(400.0, 1000.0), surfaces()).ratio == pytest.approx(0.4)


def test_the_scatter_of_repeated_counts_is_what_it_says() -> None:
    expected = planar(16.0, 40.0)
    rng = np.random.default_rng(2)
    drawn = [lung_heart_ratio(replace(expected, counts=rng.poisson(expected.counts)), surfaces()) for _ in range(60)]
    ratios = np.array([one.ratio for one in drawn])
    # The hottest of several squares is a little hotter than any of them on average.
    assert ratios.mean() == pytest.approx(0.4, rel=0.12)
    assert ratios.std(ddof=1) == pytest.approx(drawn[0].ratio_sd, rel=0.5)


def test_gates_are_added_up() -> None:
    whole = planar(80.0, 200.0)
    gated = replace(whole, counts=np.repeat(whole.counts / 4, 4, axis=1), gating=Gating(4, rr_ms=900))
    assert lung_heart_ratio(gated, surfaces()).heart_counts == pytest.approx(200)


def test_a_hot_liver_below_the_heart_is_not_taken_for_it() -> None:
    views = planar(80.0, 200.0)
    counts = np.array(views.counts)
    counts[..., 46:, :] = 900
    assert lung_heart_ratio(replace(views, counts=counts), surfaces()).ratio == pytest.approx(0.4)


def test_without_a_front_view_left_anterior_is_taken() -> None:
    side = 45.0 + 3.0 * np.arange(33)
    found = lung_heart_ratio(planar(80.0, 200.0, angles=side), surfaces())
    assert found.angle_deg == 135
    assert found.ratio == pytest.approx(0.4)
    with pytest.raises(InvalidValue, match="from the front"):
        lung_heart_ratio(planar(80.0, 200.0, angles=np.array([60.0, 80.0, 300.0])), surfaces())


def test_what_cannot_be_measured_is_refused_with_the_reason() -> None:
    high = surfaces((35.0, -30.0, 160.0))
    with pytest.raises(InvalidValue, match="too close above the heart"):
        lung_heart_ratio(planar(80.0, 200.0, wall=high), high)
    with pytest.raises(InvalidValue, match="no planar views"):
        lung_heart_ratio(replace(planar(80.0, 200.0), collimator=GENERIC_19_PINHOLE), surfaces())
    with pytest.raises(InvalidValue, match="hardly any counts"):
        lung_heart_ratio(planar(0.0, 0.0), surfaces())


@pytest.mark.slow
def test_lungs_of_a_virtual_patient_raise_the_ratio_in_step_with_their_uptake() -> None:
    """Counts of the lung's square are linear in lung activity; the ratio less so, for lung lies over the heart too."""
    from myoscope.core import Volume
    from myoscope.simulate import CAMERAS
    from myoscope.simulate.acquire import expected_counts
    from myoscope.simulate.patient import draw_patient
    from myoscope.simulate.scene import Scene
    from myoscope.simulate.tissues import ORGANS

    patient = draw_patient(11, site="north", index=1)
    look = patient.looks()[0]
    organs, _ = patient.concentrations(look)
    scene = patient.scene(look, n_phases=1)
    tissues = patient.tissues(look.state, look.position)
    heart = patient.beating(look.state, look.position).surfaces.gate(0)
    found = []
    for factor in (0.0, 1.0, 2.0, 3.0):
        known = {name: value for name, value in organs.items() if name in ORGANS}
        background = tissues.activity({**known, "lung": factor * organs["lung"]})
        changed = Scene(scene.heart, Volume(background.array, background.grid, "kBq/mL"), scene.attenuation)
        seen = expected_counts(changed, CAMERAS["conventional"].with_views(20), view_duration_s=25, scatter=False)
        found.append(lung_heart_ratio(seen, heart))
    lung = np.diff([one.lung_counts for one in found])
    assert lung == pytest.approx(np.full(3, lung[0]), rel=1e-3)
    ratios = np.array([one.ratio for one in found])
    assert (np.diff(ratios) > 0.02).all()
    assert 0.2 < ratios[1] < 0.5
