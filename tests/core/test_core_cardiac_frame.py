"""The heart's own directions; the basis vectors are those of the quantification reference, section 1.1 (AT-01)."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from myoscope.core import CardiacFrame, InvalidValue, unit_vector

component = st.floats(-1, 1, allow_nan=False)
vectors = st.tuples(component, component, component)


def frame_along(axis: tuple[float, float, float]) -> CardiacFrame:
    length = np.linalg.norm(axis)
    assume(length > 1e-3 and abs(axis[2]) / length < 0.999)
    return CardiacFrame(np.array((12.0, -34.0, 56.0)), np.array(axis))


def test_the_worked_example_of_the_reference() -> None:
    frame = CardiacFrame(np.array((0, 0, 0)), np.array((1, -1, -1)))
    np.testing.assert_allclose(frame.long_axis, np.array([1, -1, -1]) / np.sqrt(3))
    np.testing.assert_allclose(frame.up, np.array([1, -1, 2]) / np.sqrt(6))
    np.testing.assert_allclose(frame.lateral, np.array([1, 1, 0]) / np.sqrt(2), atol=1e-12)


def test_a_horizontal_axis_to_the_left_has_its_lateral_wall_behind() -> None:
    frame = CardiacFrame(np.array((0, 0, 0)), np.array((1, 0, 0)))
    np.testing.assert_allclose(frame.up, (0, 0, 1))
    np.testing.assert_allclose(frame.lateral, (0, 1, 0))


@settings(max_examples=40, deadline=None)
@given(vectors)
def test_the_three_directions_are_orthonormal_and_lateral_is_up_cross_axis(axis: tuple[float, float, float]) -> None:
    frame = frame_along(axis)
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(frame.lateral, np.cross(frame.up, frame.long_axis), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(vectors)
def test_there_is_no_roll_up_points_to_the_head_and_lateral_is_horizontal(axis: tuple[float, float, float]) -> None:
    frame = frame_along(axis)
    assert frame.up[2] > 0
    assert frame.lateral[2] == pytest.approx(0, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(vectors)
def test_the_three_displayed_views_are_right_handed_towards_the_viewer(axis: tuple[float, float, float]) -> None:
    frame = frame_along(axis)
    u, up, lateral = frame.long_axis, frame.up, frame.lateral
    for right, upwards, viewer in ((lateral, up, u), (lateral, u, -up), (u, up, -lateral)):  # SA, HLA, VLA
        np.testing.assert_allclose(np.cross(right, upwards), viewer, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(vectors, st.floats(-180, 180))
def test_turning_the_patient_about_the_body_axis_turns_the_frame_along(
    axis: tuple[float, float, float], degrees: float
) -> None:
    frame = frame_along(axis)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    turned = CardiacFrame(frame.centre_mm, turn @ frame.long_axis)
    np.testing.assert_allclose(turned.up, turn @ frame.up, atol=1e-9)
    np.testing.assert_allclose(turned.lateral, turn @ frame.lateral, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(vectors, st.tuples(*[st.floats(-300, 300)] * 3))
def test_heart_coordinates_and_back_keep_points_and_distances(
    axis: tuple[float, float, float], point: tuple[float, float, float]
) -> None:
    frame = frame_along(axis)
    heart = frame.to_heart(point)
    np.testing.assert_allclose(frame.to_patient(heart), point, atol=1e-9)
    assert np.linalg.norm(heart) == pytest.approx(np.linalg.norm(np.subtract(point, frame.centre_mm)), abs=1e-9)


def test_the_apex_lies_along_the_third_heart_coordinate() -> None:
    frame = CardiacFrame(np.array((5, 6, 7)), np.array((1, -1, -1)))
    np.testing.assert_allclose(frame.to_heart(frame.centre_mm + 40 * frame.long_axis), (0, 0, 40), atol=1e-12)
    np.testing.assert_allclose(frame.to_heart([frame.centre_mm, frame.centre_mm]), np.zeros((2, 3)))


@settings(max_examples=40, deadline=None)
@given(vectors, st.floats(0.01, 1000))
def test_the_length_of_the_given_axis_does_not_matter(axis: tuple[float, float, float], factor: float) -> None:
    frame = frame_along(axis)
    scaled = CardiacFrame(frame.centre_mm, factor * frame.long_axis)
    np.testing.assert_allclose(scaled.long_axis, frame.long_axis, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(vectors)
def test_a_direction_of_length_one_is_left_as_it_is(axis: tuple[float, float, float]) -> None:
    assume(np.linalg.norm(axis) > 1e-6)
    once = unit_vector(axis)
    np.testing.assert_array_equal(unit_vector(once), once)
    assert np.linalg.norm(once) == pytest.approx(1, abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(vectors, vectors)
def test_the_angle_between_axes_is_symmetric_and_zero_to_itself(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> None:
    a, b = frame_along(first), frame_along(second)
    assert a.angle_to_deg(b) == pytest.approx(b.angle_to_deg(a))
    assert a.angle_to_deg(a) == pytest.approx(0, abs=1e-5)
    assert a.angle_to_deg(CardiacFrame(a.centre_mm, -a.long_axis)) == pytest.approx(180, abs=1e-5)


def test_a_short_axis_grid_runs_to_lateral_inferior_and_base_about_the_centre() -> None:
    frame = CardiacFrame(np.array((12, -34, 56)), np.array((1, -1, -1)))
    grid = frame.short_axis_grid((64, 64, 32), spacing_mm=4.0)
    np.testing.assert_allclose(grid.centre_mm, frame.centre_mm)
    np.testing.assert_allclose(grid.direction, np.stack([frame.lateral, -frame.up, -frame.long_axis], axis=1))
    # Rows cross columns give the direction in which slices advance: apex to base.
    row, column, along = grid.direction.T
    np.testing.assert_allclose(np.cross(row, column), along, atol=1e-12)


@pytest.mark.parametrize(
    ("centre", "axis", "message"),
    [
        ((0, 0, np.nan), (1, 0, 0), "three finite coordinates"),
        ((0, 0), (1, 0, 0), "three finite coordinates"),
        ((0, 0, 0), (0, 0, 0), "length zero"),
        ((0, 0, 0), (1, np.inf, 0), "three finite numbers"),
        ((0, 0, 0), (0, 0.001, -1), "head-feet"),
    ],
)
def test_a_frame_without_a_place_or_direction_is_refused(centre: object, axis: object, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        CardiacFrame(centre, axis)  # type: ignore[arg-type]


def test_frames_compare_by_value_and_cannot_be_changed() -> None:
    a, b = (
        CardiacFrame(np.array((1, 2, 3)), np.array((1, 0, 0))),
        CardiacFrame(np.array((1, 2, 3)), np.array((2, 0, 0))),
    )
    assert a == b
    assert hash(a) == hash(b)
    assert a != CardiacFrame(np.array((1, 2, 4)), np.array((1, 0, 0)))
    with pytest.raises(ValueError, match="read-only"):
        a.centre_mm[0] = 9


def test_a_frame_says_where_it_is() -> None:
    assert repr(CardiacFrame(np.array((1, 2, 3)), np.array((0, -1, 0)))) == (
        "CardiacFrame(centre (1.0, 2.0, 3.0) mm LPS, base to apex (+0.000, -1.000, +0.000))"
    )
