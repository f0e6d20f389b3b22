import numpy as np
import pytest

from myoscope.core import EnergyWindow, Gating, Grid, InvalidValue, Projections, Volume

GRID = Grid.axis_aligned((5, 6, 7), spacing_mm=(2, 3, 4))


def gated(n: int = 8, rng: np.random.Generator | None = None) -> Volume:
    rng = rng or np.random.default_rng(1)
    return Volume(rng.poisson(20, (n, 5, 6, 7)), GRID, "counts", ("made up",), "gate", Gating(n, rr_ms=800))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_a_volume_keeps_the_type_of_its_voxels(dtype: str) -> None:
    assert Volume(np.ones((5, 6, 7), dtype), GRID, "counts").array.dtype == dtype


@pytest.mark.parametrize(
    ("array", "unit", "frame_axis", "message"),
    [
        (np.ones((5, 6, 8)), "counts", None, "does not fit a grid"),
        (np.ones((2, 5, 6, 7)), "counts", None, "does not fit a grid"),
        (np.ones((5, 6, 7)), "counts", "gate", "does not fit a grid of .* with a gate axis"),
        (np.ones((5, 6, 7)), "", None, "carries a unit"),
        (np.full((5, 6, 7), "x"), "counts", None, "must be numbers"),
    ],
)
def test_voxels_that_do_not_fit_are_refused(array: object, unit: str, frame_axis: object, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Volume(array, GRID, unit, frame_axis=frame_axis)  # type: ignore[arg-type]


def test_gating_must_agree_with_the_frames() -> None:
    with pytest.raises(InvalidValue, match="gating says 16 gates"):
        Volume(np.ones((8, 5, 6, 7)), GRID, "counts", (), "gate", Gating(16))
    with pytest.raises(InvalidValue, match="gating says 8 gates"):
        Volume(np.ones((8, 5, 6, 7)), GRID, "counts", (), "time", Gating(8))


def test_frame_times_belong_to_time_frames_one_each() -> None:
    array = np.ones((3, 5, 6, 7))
    volume = Volume(array, GRID, "Bq/mL", (), "time", None, [0, 10, 30], [10, 20, 60])  # type: ignore[arg-type]
    np.testing.assert_array_equal(volume.frame_start_s, [0, 10, 30])
    with pytest.raises(InvalidValue, match="frame_start_s needs one value per time frame"):
        Volume(array, GRID, "Bq/mL", (), "time", None, [0, 10])  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="frame_duration_s needs one value per time frame"):
        Volume(array, GRID, "Bq/mL", (), "gate", None, None, [1, 1, 1])  # type: ignore[arg-type]


def test_adding_up_the_gates_keeps_every_count() -> None:
    volume = gated()
    total = volume.summed()
    assert total.array.sum() == volume.array.sum()
    assert total.frame_axis is None
    assert total.gating is None
    assert total.made_by == ("made up", "sum of 8 gates")
    np.testing.assert_array_equal(total.array, sum(volume.frame(n).array for n in range(8)))


def test_sixteen_bit_gates_do_not_overflow_when_added_up() -> None:
    volume = Volume(np.full((8, 5, 6, 7), 60_000, np.uint16), GRID, "counts", (), "gate")
    assert volume.summed().array.max() == 480_000


def test_a_static_volume_is_its_own_sum_and_has_no_frames() -> None:
    volume = Volume(np.ones((5, 6, 7)), GRID, "counts")
    assert volume.summed() is volume
    assert volume.n_frames == 1
    with pytest.raises(InvalidValue, match="no frames"):
        volume.frame(0)


def test_like_keeps_the_place_the_frames_and_the_history() -> None:
    volume = gated()
    smoother = volume.like(volume.array / 2, "halved", unit="1/2 counts")
    assert smoother.grid is volume.grid
    assert smoother.gating == volume.gating
    assert smoother.made_by == ("made up", "halved")
    assert (smoother.unit, volume.unit) == ("1/2 counts", "counts")
    assert volume.like(volume.array, "copied").unit == "counts"


def test_a_volume_cannot_be_changed_and_leaves_the_callers_array_alone() -> None:
    mine = np.ones((5, 6, 7))
    volume = Volume(mine, GRID, "counts")
    mine[0] = 9
    assert volume.array.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 2
    with pytest.raises(AttributeError):
        volume.unit = "%"  # type: ignore[misc]


def test_a_volume_says_what_it_holds_even_with_missing_voxels() -> None:
    array = np.ones((5, 6, 7))
    array[0, 0, 0] = np.nan
    assert repr(Volume(array, GRID, "%")).startswith("Volume(float64, 1 to 1 %, Grid(5 x 6 x 7")
    assert "no finite value" in repr(Volume(np.full((5, 6, 7), np.nan), GRID, "%"))
    assert repr(gated()).startswith("Volume(8 gates, int64")


@pytest.mark.parametrize("rr_ms", [0, 199.9, 3001, -800])
def test_an_interval_that_no_heart_beats_is_refused(rr_ms: float) -> None:
    with pytest.raises(InvalidValue, match="not a heart beat"):
        Gating(8, rr_ms=rr_ms)


def test_one_gate_is_not_gated() -> None:
    with pytest.raises(InvalidValue, match="at least 2 gates"):
        Gating(1)


@pytest.mark.parametrize(("low", "high"), [(154, 126), (140, 140), (-1, 10)])
def test_an_empty_energy_window_is_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidValue, match="empty or negative"):
        EnergyWindow("Tc-99m", low, high)


def projections(**changes: object) -> Projections:
    values: dict[str, object] = {
        "counts": np.ones((1, 1, 30, 64, 60)),
        "angle_deg": 225.0 - 6 * np.arange(30),
        "radius_mm": np.full(30, np.nan),
        "pixel_mm": (6.8, 6.8),
        "windows": (EnergyWindow("Tc-99m", 126, 154),),
        "view_duration_s": np.full(30, 25.0),
    }
    return Projections(**{**values, **changes})  # type: ignore[arg-type]


def test_projections_say_what_they_hold() -> None:
    text = repr(projections())
    assert text == (
        "Projections(1 windows x 1 gates x 30 views of 60 x 64 pixels of 6.8 mm, 174 deg, 1.152e+05 counts)"
    )
    assert projections().n_views == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.ones((30, 64, 60))}, "axes"),
        ({"angle_deg": np.zeros(29)}, "angle_deg needs one value for each of the 30 views"),
        ({"radius_mm": np.zeros(1)}, "radius_mm needs one value"),
        ({"view_duration_s": np.zeros(1)}, "view_duration_s needs one value"),
        ({"windows": ()}, "1 energy windows of counts but 0 described"),
        ({"gating": Gating(8)}, "gating information says otherwise"),
        ({"pixel_mm": (0, 6.8)}, "not positive"),
    ],
)
def test_projections_that_contradict_themselves_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        projections(**change)


def test_projections_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        projections().counts[0] = 3
