from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from myoscope.core import CardiacFrame, Gating, Grid, InvalidValue, PolarMap, Surfaces, Volume, segment_table
from myoscope.heart import SAMPLING_METHODS, LeftVentricle, fit_surfaces, sample_wall
from myoscope.simulate import Defect, Phantom, lv_phantom

QUIET: dict[str, Any] = {"background_ratio": 0.0, "lung_ratio": 0.0, "blood_ratio": 0.0}
# The wall is open at the valve: blur takes counts from the last 15 % of the rings.
OFF_BASE = slice(0, 34)

CZT = Grid.axis_aligned((44, 44, 40), spacing_mm=4)
CONVENTIONAL = Grid.axis_aligned((34, 34, 28), spacing_mm=6.4)


def outlined(phantom: Phantom) -> LeftVentricle:
    """The wall as blurred counts show it: half as thick again."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(phantom.wall.array, 2.5 / phantom.volume.grid.spacing_mm)
    return LeftVentricle(phantom.frame, Volume(blurred > 0.25, phantom.volume.grid, "mask"), "truth", 1.0)


@pytest.fixture(scope="module")
def uniform() -> Callable[[int], tuple[Phantom, dict[str, PolarMap]]]:
    """Uniform walls at several resolutions, places and axes, sampled on their fitted surfaces; made once each."""
    cases = (
        (CZT, 6.7, (0.0, 0.0, 0.0), (0.5, -0.75, -0.4)),
        (CZT, 8.6, (1.7, -1.1, 0.9), (0.15, -0.95, -0.10)),
        (CONVENTIONAL, 12.0, (3.1, 2.2, -2.9), (0.6, -0.6, -0.5)),
        (CONVENTIONAL, 15.0, (-1.3, 0.4, 2.0), (0.3, -0.9, -0.2)),
    )
    made: dict[int, tuple[Phantom, dict[str, PolarMap]]] = {}

    def case(number: int) -> tuple[Phantom, dict[str, PolarMap]]:
        if number not in made:
            grid, fwhm_mm, centre, axis = cases[number]
            frame = CardiacFrame(np.array(centre), np.array(axis))
            phantom = lv_phantom(grid, frame=frame, fwhm_mm=fwhm_mm)
            surfaces = fit_surfaces(phantom.volume, outlined(phantom), resolution_fwhm_mm=fwhm_mm)
            made[number] = (phantom, {m: sample_wall(phantom.volume, surfaces, method=m) for m in SAMPLING_METHODS})
        return made[number]

    return case


Uniform = Callable[[int], tuple[Phantom, dict[str, PolarMap]]]


@pytest.mark.parametrize("number", range(4))
def test_a_uniform_wall_gives_a_uniform_map(uniform: Uniform, number: int) -> None:
    for polar_map in uniform(number)[1].values():
        body = polar_map.value[OFF_BASE]
        assert body.std() / body.mean() <= 0.02, polar_map.method


@pytest.mark.parametrize("number", range(4))
def test_the_three_methods_agree_within_one_percent(uniform: Uniform, number: int) -> None:
    means = [polar_map.value[OFF_BASE].mean() for polar_map in uniform(number)[1].values()]
    assert max(means) / min(means) - 1 <= 0.01


@pytest.mark.parametrize("number", range(4))
def test_there_is_no_step_between_neighbouring_rings(uniform: Uniform, number: int) -> None:
    for polar_map in uniform(number)[1].values():
        ring = polar_map.value[OFF_BASE].mean(axis=1)
        assert np.abs(np.diff(ring)).max() / ring.mean() < 0.01, polar_map.method


def test_sampling_sees_the_recovery_of_a_blurred_slab(uniform: Uniform) -> None:
    from scipy.special import erf

    phantom, maps = uniform(1)
    expected = 1000 * erf(np.sqrt(np.log(2)) * 10 / phantom.fwhm_mm)
    assert maps["surface"].value[14:28].mean() == pytest.approx(expected, rel=0.02)


def test_scaling_the_image_scales_the_map(uniform: Uniform) -> None:
    phantom, _ = uniform(0)
    doubled = phantom.volume.like(2 * phantom.volume.array, "doubled")
    for method in SAMPLING_METHODS:
        once = sample_wall(phantom.volume, phantom.surfaces, method=method).value
        np.testing.assert_allclose(sample_wall(doubled, phantom.surfaces, method=method).value, 2 * once, rtol=1e-5)


@pytest.mark.parametrize("method", SAMPLING_METHODS)
@pytest.mark.parametrize(("angle", "ring"), [(30, 20), (90, 12), (180, 24), (270, 20)])
def test_a_defect_appears_where_it_was_put(method: Any, angle: int, ring: int) -> None:
    frame = CardiacFrame(np.array([1.0, 2.0, -1.0]), np.array([0.5, -0.75, -0.4]))
    defect = Defect(angle_deg=angle, arc_fraction=ring / 40, extent=0.12, depth=0.9)
    phantom = lv_phantom(CZT, frame=frame, fwhm_mm=7, defect=defect, **QUIET)
    value = sample_wall(phantom.volume, phantom.surfaces, method=method).value
    deep = value[OFF_BASE] < 0.6 * np.median(value)
    rows, columns = np.nonzero(deep)
    assert rows.size > 50
    centre = np.degrees(np.angle(np.exp(1j * np.radians(columns * 5 + 2.5)).mean())) % 360
    assert centre == pytest.approx(angle, abs=6)
    assert rows.mean() == pytest.approx(ring, abs=2.5)


def test_every_segment_is_on_the_map_and_lies_where_its_name_says(uniform: Uniform) -> None:
    polar_map = uniform(0)[1]["surface"]
    assert set(np.unique(polar_map.segment)) == set(range(1, 18))
    assert set(np.unique(polar_map.segment_20)) == set(range(1, 21))
    assert (polar_map.segment[0] == 17).all()
    assert (polar_map.segment[-1] <= 6).all()
    angle = np.broadcast_to(polar_map.angle_deg, polar_map.segment.shape)
    for segment in segment_table(17)[:16]:
        cells = polar_map.segment == segment.number
        assert (((angle[cells] - segment.start_deg) % 360) < segment.end_deg - segment.start_deg).all()
    # Thirds of the long axis from the end of the cavity: levels never go back along a meridian.
    level = np.select([polar_map.segment <= 6, polar_map.segment <= 12, polar_map.segment <= 16], [3, 2, 1], 0)
    assert (np.diff(level, axis=0) >= 0).all()


def test_the_apex_ends_where_the_cavity_begins(uniform: Uniform) -> None:
    phantom, _ = uniform(0)
    surfaces = phantom.surfaces
    polar_map = sample_wall(phantom.volume, surfaces, method="surface")
    corner = surfaces.mid_mm
    centre = 0.25 * (corner[:-1] + corner[1:] + np.roll(corner[:-1] + corner[1:], -1, axis=1))
    height = (centre - surfaces.endo_mm[0, 0]) @ phantom.frame.long_axis
    np.testing.assert_array_equal(polar_map.segment == 17, height > 0)


def test_cells_outside_the_field_of_view_are_not_seen() -> None:
    frame = CardiacFrame(np.array([0.0, 0.0, 0.0]), np.array([0.5, -0.75, -0.4]))
    phantom = lv_phantom(CZT, frame=frame, fwhm_mm=7, **QUIET)
    low = 16
    cut = np.array(CZT.affine)
    cut[:3, 3] = CZT.to_mm((low, 0, 0))
    part = Volume(phantom.volume.array[low:], Grid((CZT.shape[0] - low, *CZT.shape[1:]), cut), "counts")
    for method in SAMPLING_METHODS:
        whole = sample_wall(phantom.volume, phantom.surfaces, method=method).value
        value = sample_wall(part, phantom.surfaces, method=method).value
        seen = np.isfinite(value)
        assert 0.2 < seen.mean() < 0.98
        assert np.isfinite(whole).all()
        # The spline forgets the cut edge within a few voxels.
        assert np.median(np.abs(value[seen] / whole[seen] - 1)) < 0.001


def test_voxels_without_a_value_are_not_seen(uniform: Uniform) -> None:
    phantom, _ = uniform(0)
    holes = np.array(phantom.volume.array)
    place = np.rint(phantom.volume.grid.to_index(phantom.surfaces.mid_mm[20, 18])).astype(int)
    holes[tuple(place)] = np.nan
    value = sample_wall(phantom.volume.like(holes, "hole"), phantom.surfaces, method="surface").value
    assert np.isnan(value[19:21, 17:19]).all()
    assert np.isnan(value).mean() < 0.05


def test_what_cannot_be_sampled_is_refused(uniform: Uniform) -> None:
    phantom, _ = uniform(0)
    with pytest.raises(InvalidValue, match="sampled by"):
        sample_wall(phantom.volume, phantom.surfaces, method="mean")  # type: ignore[arg-type]
    gated = Volume(np.stack([phantom.volume.array] * 2), phantom.volume.grid, "counts", (), "gate", Gating(2))
    with pytest.raises(InvalidValue, match="one frame"):
        sample_wall(gated, phantom.surfaces, method="surface")
    surfaces = phantom.surfaces
    twice = Surfaces(
        np.stack([surfaces.endo_mm] * 2),
        np.stack([surfaces.epi_mm] * 2),
        surfaces.frame,
        surfaces.valve_point_mm,
        surfaces.valve_normal,
    )
    with pytest.raises(InvalidValue, match="one frame"):
        sample_wall(phantom.volume, twice, method="surface")
