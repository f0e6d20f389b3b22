"""What the pictures show lies where a reader expects it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analytic_heart import (
    BASE_MM,
    FRAME,
    LENGTH_MM,
    RADIUS_MM,
    Uptake,
    cold_spot,
    even,
    heart_of,
    hot_spot,
    series_of,
    study_of,
    surfaces_of,
)
from PIL import Image

from myoscope.core import GeometryMismatch, HeartResult, InvalidValue, MyoscopeError, OutputError, Stated, Volume
from myoscope.report import COLOUR_TABLES, figure_png
from myoscope.report.colour_tables import colour_table
from myoscope.report.indexed_png import LEVELS, NOT_SEEN, encode_png, to_levels, windowed_palette
from myoscope.report.plane_contours import plane_contours
from myoscope.report.polar_disc import disc_image, segment_centres, segment_edges
from myoscope.report.surface_view import BACKGROUND, N_SHADES, VIEWPOINTS, still_picture, surface_cloud, view_matrix
from myoscope.report.view_slices import (
    View,
    cut_slices,
    display_maximum,
    frame_together,
    heart_box,
    slice_contours,
    slice_depths_mm,
    spline_weights,
)


@pytest.fixture(scope="module")
def uniform_heart() -> HeartResult:
    return heart_of(even)[1]


def _slices(heart: HeartResult, view: View, count: int = 7, n_pixels: int = 96) -> np.ndarray:
    box = heart_box(heart)
    framing = frame_together([box], n_short_axis=count, n_long_axis=count)
    stack = np.asarray(heart.short_axis.array, float)
    return cut_slices(
        heart,
        stack,
        view,
        depths_mm=slice_depths_mm(view, box, framing, count),
        middle_mm=box.middle,
        half_mm=framing.half_mm(view),
        n_pixels=n_pixels,
    )


def _side_with_most(picture: np.ndarray) -> str:
    """Where the counts of a slice lean to, seen from its middle."""
    n = picture.shape[0]
    weight = np.clip(picture, 0, None)
    along = np.arange(n) - (n - 1) / 2
    x, y = float((weight * along[None, :]).sum()), float((weight * along[:, None]).sum())
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "bottom" if y > 0 else "top"


WALLS = [(0.0, "right"), (90.0, "top"), (180.0, "left"), (270.0, "bottom")]


@pytest.mark.parametrize(("angle_deg", "side"), WALLS)
def test_a_hot_wall_appears_on_its_side_of_the_short_axis(angle_deg: float, side: str) -> None:
    heart = heart_of(hot_spot(angle_deg))[1]
    assert _side_with_most(_slices(heart, "SA")[3]) == side


@pytest.mark.parametrize(("angle_deg", "side"), WALLS)
def test_a_hot_wall_appears_on_its_side_of_the_polar_map(angle_deg: float, side: str) -> None:
    heart = heart_of(hot_spot(angle_deg))[1]
    picture = disc_image(heart.polar_map.value, n_pixels=101)
    assert _side_with_most(np.nan_to_num(picture)) == side


def test_one_hot_cell_of_the_polar_map_lights_its_own_place() -> None:
    for angle, (row, column) in {18: (0, 1), 36: (1, 0), 54: (2, 1), 0: (1, 2)}.items():
        value = np.zeros((40, 72))
        value[20, angle] = 1
        hottest = np.unravel_index(np.nanargmax(disc_image(value, n_pixels=99)), (99, 99))
        assert (int(hottest[0]) // 33, int(hottest[1]) // 33) == (row, column)


def test_unseen_cells_and_the_corners_of_the_disc_have_no_value() -> None:
    value = np.ones((40, 72))
    value[30:, :18] = np.nan  # lateral to anterior, basal
    picture = disc_image(value, n_pixels=120)
    assert np.isnan(picture[0, 0])
    assert np.isnan(picture[30, 95])
    assert picture[60, 60] == pytest.approx(1)
    assert picture[90, 25] == pytest.approx(1)


def test_the_apex_is_on_the_right_of_the_vertical_and_on_top_of_the_horizontal_long_axis(
    uniform_heart: HeartResult,
) -> None:
    vertical, horizontal = _slices(uniform_heart, "VLA")[3], _slices(uniform_heart, "HLA")[3]
    # The open base leaves the middle of its edge cold; the apex closes the opposite one.
    middle = vertical.shape[0] // 2
    assert vertical[middle, middle:].max() > 3 * vertical[middle, : middle - 5].max()
    assert horizontal[:middle, middle].max() > 3 * horizontal[middle + 5 :, middle].max()


def test_long_axis_slices_run_from_septal_to_lateral_and_from_inferior_to_anterior() -> None:
    lateral, anterior = heart_of(hot_spot(0))[1], heart_of(hot_spot(90))[1]
    vertical = _slices(lateral, "VLA").max(axis=(1, 2))
    horizontal = _slices(anterior, "HLA").max(axis=(1, 2))
    assert vertical[-1] > 1.5 * vertical[0]
    assert horizontal[-1] > 1.5 * horizontal[0]


def test_short_axis_slices_run_from_apex_to_base(uniform_heart: HeartResult) -> None:
    slices = _slices(uniform_heart, "SA", count=20)
    centre = slices[:, 44:52, 44:52].mean(axis=(1, 2))
    rim = slices.max(axis=(1, 2))
    assert centre[1] > 0.8 * rim[1]  # the apical cap is filled
    assert centre[12] < 0.3 * rim[12]  # the cavity is not
    assert rim[19] < 0.5 * rim[12]  # behind the valve plane there is no wall


@pytest.mark.parametrize("view", ["SA", "VLA", "HLA"])
def test_the_contours_lie_around_the_hottest_counts_of_each_slice(uniform_heart: HeartResult, view: View) -> None:
    n_pixels, count = 96, 7
    box = heart_box(uniform_heart)
    framing = frame_together([box], n_short_axis=count, n_long_axis=count)
    half = framing.half_mm(view)
    contours = slice_contours(
        uniform_heart,
        uniform_heart.surfaces,
        view,
        depths_mm=slice_depths_mm(view, box, framing, count),
        middle_mm=box.middle,
        half_mm=half,
    )[3]
    picture = _slices(uniform_heart, view, count)[3]
    inner, outer = np.concatenate(contours["endo"]), np.concatenate(contours["epi"])
    nearest = np.linalg.norm(outer[None] - inner[:, None], axis=-1).argmin(axis=1)
    mid = (inner + outer[nearest]) / 2 / (2 * half) * n_pixels - 0.5
    # Away from the open base, where the blurred wall ends.
    keep = mid[:, 1] < 0.75 * n_pixels if view == "HLA" else mid[:, 0] > 0.25 * n_pixels
    on_wall = picture[tuple(np.rint(mid[keep][:, ::-1]).astype(int).T)]
    assert on_wall.min() > 0.7 * picture.max()


def test_contours_of_a_short_axis_slice_are_the_circles_of_the_formula(uniform_heart: HeartResult) -> None:
    half, depth = 50.0, 10.0
    found = slice_contours(
        uniform_heart,
        uniform_heart.surfaces,
        "SA",
        depths_mm=np.array([depth]),
        middle_mm=np.zeros(3),
        half_mm=half,
    )[0]
    for name, offset in (("endo", -5.0), ("epi", 5.0)):
        (line,) = found[name]
        share = (depth + 6.0) / (LENGTH_MM + offset)
        expected = (RADIUS_MM + offset) * np.sqrt(1 - share**2)
        radius = np.linalg.norm(line - half, axis=1)
        assert radius == pytest.approx(expected, abs=0.15)
        assert np.array_equal(line[0], line[-1])


def test_a_plane_beside_the_surface_cuts_nothing_and_one_along_it_leaves_the_base_open() -> None:
    nodes = FRAME.to_heart(surfaces_of().epi_mm)
    assert plane_contours(nodes, normal=np.array([0.0, 0, 1]), offset_mm=200.0) == []
    (line,) = plane_contours(nodes, normal=np.array([1.0, 0, 0]), offset_mm=0.0)
    assert not np.array_equal(line[0], line[-1])
    assert line[[0, -1], 2] == pytest.approx(BASE_MM, abs=0.5)
    assert np.abs(line[:, 0]).max() < 1e-6


def test_hearts_that_are_compared_share_scale_and_slice_distance(uniform_heart: HeartResult) -> None:
    small = heart_box(uniform_heart)
    large = replace(small, low=small.low * 1.4, high=small.high * 1.4)
    framing = frame_together([small, large], n_short_axis=20, n_long_axis=5)
    assert framing == frame_together([large, small], n_short_axis=20, n_long_axis=5) or framing.short_half_mm > 0
    assert framing.short_half_mm > frame_together([small], n_short_axis=20, n_long_axis=5).short_half_mm
    depths = slice_depths_mm("SA", small, framing, 20)
    assert np.diff(depths) == pytest.approx(-framing.sa_step_mm)


def test_a_hot_liver_does_not_dim_the_heart() -> None:
    image, heart = heart_of(even, hot_liver=True)
    stack = np.asarray(heart.short_axis.array, float)
    assert stack.max() > 1.3 * display_maximum(heart, stack)
    assert display_maximum(heart, stack) <= image.array[heart.wall.array > 0].max() * 1.05


def test_a_wall_without_counts_has_no_maximum(uniform_heart: HeartResult) -> None:
    with pytest.raises(InvalidValue, match="no positive counts"):
        display_maximum(uniform_heart, np.zeros(uniform_heart.short_axis.grid.shape))


def test_a_stack_in_other_axes_than_the_hearts_is_refused(uniform_heart: HeartResult) -> None:
    grid = uniform_heart.wall.grid
    turned = replace(uniform_heart, short_axis=Volume(np.ones(grid.shape), grid, "counts"))
    with pytest.raises(GeometryMismatch, match="not aligned"):
        _slices(turned, "SA")


def test_spline_weights_return_the_samples_and_straight_lines_between_them() -> None:
    n = 12
    at_samples = spline_weights(n, np.arange(n, dtype=float))
    assert at_samples == pytest.approx(np.eye(n), abs=1e-9)
    inside = np.linspace(3, 8, 41)
    assert spline_weights(n, inside) @ np.arange(n) == pytest.approx(inside, abs=0.02)
    assert spline_weights(n, inside).sum(axis=1) == pytest.approx(1)
    assert not spline_weights(n, np.array([-0.7, n - 0.3])).any()


def test_segment_labels_stand_inside_their_segment_and_lines_between_segments(uniform_heart: HeartResult) -> None:
    polar_map = uniform_heart.polar_map
    for model, numbers in ((17, polar_map.segment), (20, polar_map.segment_20)):
        for number, (x, y) in segment_centres(polar_map, model).items():  # type: ignore[arg-type]
            ring = min(int(np.hypot(x, y) * 40), 39)
            angle = int(np.degrees(np.arctan2(-y, x)) // 5) % 72
            assert numbers[ring, angle] == number or np.hypot(x, y) < 0.02


def test_lines_between_segments_follow_the_borders_of_the_cells(uniform_heart: HeartResult) -> None:
    polar_map = uniform_heart.polar_map
    for model, numbers in ((17, polar_map.segment), (20, polar_map.segment_20)):
        lines = segment_edges(polar_map, model)  # type: ignore[arg-type]
        assert len(lines) == 3 + (4 + 6 + 6 if model == 17 else 2 + 6 + 6 + 6)
        for line in lines:
            for x, y in (line[:-1] + line[1:]) / 2:
                radius, angle = np.hypot(x, y), np.degrees(np.arctan2(-y, x))
                if not 0.05 < radius < 0.98:
                    continue
                rings = np.clip(np.floor((radius + np.array([-0.045, 0.045])) * 40).astype(int), 0, 39)
                columns = np.floor((angle + np.array([-6, 6])) / 5).astype(int) % 72
                assert len(np.unique(numbers[np.ix_(rings, columns)])) > 1


def test_each_still_shows_the_wall_that_its_name_promises() -> None:
    nodes = FRAME.to_heart(surfaces_of().epi_mm)
    for view in VIEWPOINTS:
        across = view_matrix(view)
        assert across @ across.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(across) == pytest.approx(1)
    for name, middle in {"Anterior": 18, "Septal": 36, "Inferior": 54, "Lateral": 0}.items():
        level = np.full((40, 72), 50, np.uint8)
        level[15:25, np.arange(middle - 4, middle + 4) % 72] = LEVELS
        cloud = surface_cloud(nodes, level, n_pixels=80)
        hot = {}
        for view in VIEWPOINTS:
            picture = still_picture(cloud, view, n_pixels=80)
            hot[view.name] = int(((picture // N_SHADES == 30) & (picture != BACKGROUND)).sum())
        assert max(hot, key=lambda view: hot[view]) == name
        assert hot[name] > 100


def test_stills_have_no_holes() -> None:
    nodes = FRAME.to_heart(surfaces_of().epi_mm)
    cloud = surface_cloud(nodes, np.full((40, 72), 200, np.uint8), n_pixels=140)
    for viewpoint in VIEWPOINTS:
        seen = still_picture(cloud, viewpoint, n_pixels=140) != BACKGROUND
        inner = seen[1:-1, 1:-1]
        surrounded = seen[:-2, 1:-1] & seen[2:, 1:-1] & seen[1:-1, :-2] & seen[1:-1, 2:]
        assert not (surrounded & ~inner).any()


def test_the_apex_of_a_still_points_where_its_label_says() -> None:
    nodes = FRAME.to_heart(surfaces_of().epi_mm)
    for viewpoint in VIEWPOINTS:
        apex = view_matrix(viewpoint) @ (nodes[0, 0] - nodes[-1].mean(axis=0))
        top, bottom, left, right = viewpoint.edges
        pointing = {top: apex[1], bottom: -apex[1], left: -apex[0], right: apex[0]}
        assert max(pointing, key=lambda edge: pointing[edge]) == "Apex"


def test_levels_keep_percentages_and_mark_what_was_not_seen() -> None:
    assert to_levels(np.array([-5.0, 0, 50, 100, 140, np.nan])).tolist() == [0, 0, 127, LEVELS, LEVELS, NOT_SEEN]


def test_a_png_reads_back_to_the_colours_of_its_table() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (17, 23), dtype=np.uint8)
    palette = windowed_palette(colour_table("hot"))
    read = np.asarray(Image.open(io.BytesIO(encode_png(pixels, palette))).convert("RGB"))
    assert np.array_equal(read, palette[pixels])


def test_a_window_moves_the_colours_and_not_the_pixels() -> None:
    grey = windowed_palette(colour_table("grey"), lower_percent=40, upper_percent=80)
    levels = to_levels(np.array([0.0, 40, 60, 80, 100]))
    assert grey[levels, 0].astype(float) == pytest.approx([0, 0, 128, 255, 255], abs=3)


def test_the_default_table_rises_evenly_in_lightness_and_reads_in_grey() -> None:
    rgb = colour_table("uniform") / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.diff(lightness[::16])
    assert (steps > 0).all()
    assert steps[3:].max() < 1.5 * steps[3:].min()


def test_every_table_is_256_colours_and_step_tables_have_as_many_as_they_say() -> None:
    for name in COLOUR_TABLES:
        table = colour_table(name)
        assert table.shape == (256, 3)
        assert table.dtype == np.uint8
    assert len(np.unique(colour_table("steps_10"), axis=0)) == 10
    assert len(np.unique(colour_table("steps_20"), axis=0)) == 20
    assert np.array_equal(colour_table("grey"), colour_table("grey_inverse")[::-1])
    with pytest.raises(InvalidValue, match="no colour table called 'jet'"):
        colour_table("jet")


@pytest.mark.parametrize("uptakes", [(even,), (cold_spot(110), even)], ids=["one series", "stress and rest"])
def test_the_figure_is_one_small_picture_with_every_series(tmp_path: Path, uptakes: tuple[Uptake, ...]) -> None:
    states = ("stress", "rest")
    members = [series_of(s, *heart_of(u), state=Stated(s, "code")) for s, u in zip(states, uptakes, strict=False)]
    figure_png(study_of(*members), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        height = picture.size[1]
    assert (tmp_path / "figure.png").stat().st_size < 300_000
    assert height > 250 * len(members)


def test_a_study_without_a_heart_has_no_figure(tmp_path: Path) -> None:
    image, _ = heart_of(even)
    with pytest.raises(MyoscopeError, match="no left ventricle"):
        figure_png(study_of(series_of("rest", image, None)), tmp_path / "figure.png")
    with pytest.raises(OutputError, match="could not be written"):
        figure_png(study_of(series_of("rest", *heart_of(even))), tmp_path / "missing" / "figure.png")
    assert list(tmp_path.iterdir()) == []
