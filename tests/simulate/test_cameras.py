"""Cameras as a protocol sees them."""

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue, Volume
from myoscope.physics.camera_geometry import geometry_named
from myoscope.simulate.cameras import CAMERAS

GRID = Grid.axis_aligned((40, 30, 20), spacing_mm=10.0)


def _body(half_x_mm: float, half_y_mm: float) -> Volume:
    x, y, _ = np.moveaxis(GRID.points_mm(), -1, 0)
    return Volume(0.15 * ((x / half_x_mm) ** 2 + (y / half_y_mm) ** 2 < 1), GRID, "1/cm")


def test_the_table_names_its_cameras() -> None:
    assert set(CAMERAS) == {"conventional", "multi-pinhole-czt", "column-czt"}
    assert [CAMERAS[name].n_views for name in ("conventional", "multi-pinhole-czt", "column-czt")] == [60, 19, 108]
    assert all(camera.towards_detector.shape == (camera.n_views, 3) for camera in CAMERAS.values())


def test_the_conventional_orbit_runs_from_right_anterior_to_left_posterior() -> None:
    angles = CAMERAS["conventional"].angle_deg
    assert angles[0] == pytest.approx(223.5)
    assert angles[-1] == pytest.approx(46.5)
    assert np.allclose(np.diff(angles), -3)


def test_two_heads_at_a_right_angle_count_at_the_same_time() -> None:
    camera = CAMERAS["conventional"]
    assert camera.n_stops == 30
    first, second = np.flatnonzero(camera.stop == 4)
    assert camera.angle_deg[first] - camera.angle_deg[second] == pytest.approx(90)
    assert camera.scan_s(25.0) == pytest.approx(30 * 25 + 29 * 2)


def test_columns_count_together_and_pinholes_all_the_time() -> None:
    assert CAMERAS["multi-pinhole-czt"].n_stops == 1
    columns = CAMERAS["column-czt"]
    assert columns.n_stops == 12
    assert (np.bincount(columns.stop) == 9).all()


def test_the_orbit_clears_the_body_and_grows_with_it() -> None:
    camera = CAMERAS["conventional"]
    small, large = camera.radius_mm(_body(140, 90)), camera.radius_mm(_body(180, 130))
    assert np.ptp(small) == 0
    assert small[0] >= 140
    assert large[0] > small[0]
    assert (camera.radius_mm(_body(20, 20)) >= 130).all()


def test_dedicated_cameras_are_found_again_by_the_name_their_projections_carry() -> None:
    for name in ("multi-pinhole-czt", "column-czt"):
        camera = CAMERAS[name]
        assert geometry_named(camera.collimator) == camera.geometry
    assert geometry_named(CAMERAS["conventional"].collimator) is None
    assert geometry_named(None) is None


def test_the_number_of_views_changes_over_the_same_arc() -> None:
    half = CAMERAS["conventional"].with_views(30)
    assert half.n_views == 30
    assert half.angle_deg[0] == pytest.approx(222)
    assert np.allclose(np.diff(half.angle_deg), -6)
    with pytest.raises(InvalidValue, match="fixed"):
        CAMERAS["multi-pinhole-czt"].with_views(10)
