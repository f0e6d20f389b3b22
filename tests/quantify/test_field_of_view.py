from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import CardiacFrame, EnergyWindow, Grid, InvalidValue, Projections, Surfaces, Volume
from myoscope.physics import COLLIMATORS, parallel_projector, pinhole_projector
from myoscope.physics.camera_geometry import GENERIC_19_PINHOLE, GENERIC_COLUMNS, generic_19_pinhole, generic_columns
from myoscope.quantify import heart_truncation, on_detector_mm, wall_outside_image


def surfaces(centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Surfaces:
    """Three quarters of a ball of 30 to 40 mm radius."""
    frame = CardiacFrame(np.array(centre_mm), np.array([0.5, -0.7, -0.4]))
    polar, angle = np.linspace(0, 0.75 * np.pi, 41)[:, None], np.arange(72) * 2 * np.pi / 72
    unit = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) * np.ones(72)], -1)
    return Surfaces(frame.to_patient(30 * unit), frame.to_patient(40 * unit), frame, frame.centre_mm, -frame.long_axis)


def projections(shape: tuple[int, int] = (64, 64), n_views: int = 12, collimator: str | None = None) -> Projections:
    return Projections(
        np.ones((1, 1, n_views, *shape), np.float32),
        np.linspace(225, 45, n_views),
        np.full(n_views, 200.0),
        (6.4, 6.4),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(n_views, 25.0),
        collimator=collimator,
    )


def centroid_mm(views: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Middle of the counts of every view, (view, 2) along v and u."""
    n_v, n_u = views.shape[1:]
    v, u = ((np.arange(n) - (n - 1) / 2) * pixel_mm for n in (n_v, n_u))
    total = views.sum(axis=(1, 2))
    return np.stack([(views.sum(axis=2) * v).sum(axis=1) / total, (views.sum(axis=1) * u).sum(axis=1) / total], axis=1)


def test_points_appear_where_the_projectors_put_them() -> None:
    import torch

    grid = Grid.axis_aligned((24, 24, 24), spacing_mm=6.4)
    index = (17, 9, 15)
    image = torch.zeros(grid.shape)
    image[index] = 1e4
    point = grid.to_mm(index)[None]
    seen = projections()
    projector = parallel_projector(
        grid,
        angle_deg=seen.angle_deg,
        radius_mm=seen.radius_mm,
        pixel_mm=6.4,
        detector_shape=(64, 64),
        collimator=COLLIMATORS["SY-LEHR"],
    )
    expected = centroid_mm(projector.forward(image).numpy(), 6.4)
    assert on_detector_mm(seen, point)[:, 0] == pytest.approx(expected, abs=0.5)
    camera = generic_19_pinhole()
    holes = pinhole_projector(grid, geometry=camera, attenuation=None).forward(image).numpy()
    here = on_detector_mm(projections(camera.detector_shape, 19, GENERIC_19_PINHOLE), point)[:, 0]
    inside = np.abs(here).max(axis=1) < 25
    assert inside.sum() > 10
    assert here[inside] == pytest.approx(centroid_mm(holes, camera.pixel_mm)[inside], abs=0.5)


def test_a_heart_within_the_detector_raises_no_flag() -> None:
    assert heart_truncation(projections(), surfaces()) is None


def test_a_heart_too_high_is_cut_in_all_views() -> None:
    """The detector ends 205 mm above its middle; the heart's top reaches 180 + 40 mm."""
    flag = heart_truncation(projections(), surfaces((0.0, 0.0, 180.0)))
    assert flag is not None
    assert flag.severity == "warning"
    assert flag.evidence["n_views"] == 12
    assert flag.evidence["edges"] == ["head"]
    assert flag.evidence["beyond_mm"] == pytest.approx(180 + 40 - 204.8, abs=1)


def test_a_heart_far_to_the_left_is_cut_in_the_views_from_the_front() -> None:
    narrow = projections((64, 24))
    flag = heart_truncation(narrow, surfaces((60.0, 0.0, 0.0)))
    assert flag is not None
    assert 0 < flag.evidence["n_views"] < 12
    assert "head" not in flag.evidence["edges"]
    one_gate = surfaces((60.0, 0.0, 0.0))
    gated = replace(one_gate, endo_mm=one_gate.endo_mm[None], epi_mm=one_gate.epi_mm[None])
    again = heart_truncation(narrow, gated)
    assert again is not None
    assert again.evidence == flag.evidence


def test_pinholes_cut_a_heart_off_their_centre_and_columns_are_not_judged() -> None:
    camera = generic_19_pinhole()
    views = projections(camera.detector_shape, 19, GENERIC_19_PINHOLE)
    views = replace(views, pixel_mm=(camera.pixel_mm, camera.pixel_mm))
    assert heart_truncation(views, surfaces()) is None
    assert heart_truncation(views, surfaces((0.0, -30.0, 70.0))) is not None
    columns = projections(generic_columns().detector_shape, generic_columns().n_views, GENERIC_COLUMNS)
    assert heart_truncation(columns, surfaces((0.0, 0.0, 180.0))) is None
    with pytest.raises(InvalidValue, match="swivelling"):
        on_detector_mm(columns, np.zeros((1, 3)))


def test_wall_outside_of_the_image_is_counted_by_its_area() -> None:
    grid = Grid.axis_aligned((30, 30, 30), spacing_mm=4)
    volume = Volume(np.ones(grid.shape), grid, "counts")
    assert wall_outside_image(volume, surfaces()) is None
    moved = surfaces((40.0, 0.0, 0.0))
    flag = wall_outside_image(volume, moved)
    assert flag is not None
    outside = moved.mid_mm[..., 0] > 60
    assert flag.evidence["share_percent"] == pytest.approx(100 * outside.mean(), abs=8)
    holes = np.ones(grid.shape)
    holes[grid.points_mm()[..., 0] > 20] = np.nan
    missing = wall_outside_image(Volume(holes, grid, "counts"), surfaces())
    assert missing is not None
    assert 0 < missing.evidence["share_percent"] < 40
