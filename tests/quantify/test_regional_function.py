import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from normal_wall import SHAPE, polar_map

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, InvalidValue, Surfaces
from myoscope.quantify import (
    WALL_MOTION_TERMS,
    RegionalFunction,
    corrected_thickening_percent,
    count_thickening_percent,
    graded,
    inward_motion_mm,
    regional_function,
    sector_volumes_mL,
    slab_recovery,
    slab_thickness_mm,
)
from myoscope.simulate import Cycle, lv_phantom
from myoscope.simulate.deficit import SEGMENT_OF_PLACE

AXIS = np.array([0.5, -0.7, -0.4])
FRAME = CardiacFrame(np.array([10.0, -20.0, 5.0]), AXIS)


def cup(radius_mm: float, shift_mm: np.ndarray | float = 0.0) -> np.ndarray:
    """Nodes (41, 72, 3) of three quarters of a sphere about the frame's centre, open towards the base."""
    polar = np.linspace(0, 0.75 * np.pi, 41)[:, None]
    angle = np.arange(72) * 2 * np.pi / 72
    radius = radius_mm + np.broadcast_to(shift_mm, (41, 72))
    heart = np.stack(
        [np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) * np.ones(72)], axis=-1
    )
    return FRAME.to_patient(radius[..., None] * heart)


def surfaces(endo_mm: list[np.ndarray], epi_mm: list[np.ndarray]) -> Surfaces:
    base = FRAME.centre_mm + FRAME.long_axis * 30 * np.cos(0.75 * np.pi)
    return Surfaces(np.stack(endo_mm), np.stack(epi_mm), FRAME, base, -FRAME.long_axis)


@pytest.mark.parametrize(("fwhm_mm", "recovery"), [(6.7, 0.9211), (8.6, 0.8290), (12, 0.6735), (15, 0.5675)])
def test_recovery_of_a_wall_of_ten_millimetres(fwhm_mm: float, recovery: float) -> None:
    """AT-08."""
    assert slab_recovery(10, fwhm_mm) == pytest.approx(recovery, abs=5e-5)


@pytest.mark.parametrize(
    ("ed_mm", "es_mm", "fwhm_mm", "seen"),
    [
        (10, 14, 8.6, 14.0),
        (10, 14, 12, 23.3),
        (10, 14, 15, 28.3),
        (9, 13.5, 8.6, 19.6),
        (9, 13.5, 12, 30.8),
        (9, 13.5, 15, 36.7),
    ],
)
def test_counts_thicken_less_than_the_wall_and_are_corrected(
    ed_mm: float, es_mm: float, fwhm_mm: float, seen: float
) -> None:
    """AT-08: 40 and 50 % of true thickening."""
    rise = count_thickening_percent(slab_recovery(ed_mm, fwhm_mm), slab_recovery(es_mm, fwhm_mm))
    assert rise == pytest.approx(seen, abs=0.05)
    assert corrected_thickening_percent(rise, ed_mm, fwhm_mm) == pytest.approx(100 * (es_mm / ed_mm - 1), rel=1e-9)


@given(st.floats(1, 25), st.floats(5, 20))
def test_recovery_and_thickness_are_inverse_until_the_wall_is_resolved(thickness_mm: float, fwhm_mm: float) -> None:
    recovery = slab_recovery(thickness_mm, fwhm_mm)
    found = slab_thickness_mm(recovery, fwhm_mm)
    if recovery < 0.995:
        assert found == pytest.approx(thickness_mm, rel=1e-6)
    else:
        assert np.isnan(found)


def test_a_resolved_wall_and_a_wall_without_counts_have_no_corrected_thickening() -> None:
    assert np.isnan(corrected_thickening_percent(30.0, 14, 8.6))
    assert np.isnan(count_thickening_percent(0.0, 5.0))
    assert np.isnan(corrected_thickening_percent(np.nan, 10, 12))


def test_a_shrinking_sphere_moves_inward_everywhere_by_the_change_of_its_radius() -> None:
    motion = inward_motion_mm(cup(30), cup(24))
    assert motion.shape == SHAPE
    assert motion == pytest.approx(np.full(SHAPE, 6.0), rel=0.003)


def test_a_bulging_sector_moves_outward_and_the_rest_stays() -> None:
    bulge = np.zeros((41, 72))
    bulge[15:25, 30:42] = 4.0
    motion = inward_motion_mm(cup(30), cup(30, bulge))
    assert motion[18:22, 32:39] == pytest.approx(np.full((4, 7), -4.0), rel=0.01)
    assert np.abs(motion[:, :25]).max() < 1e-9


def test_motion_does_not_depend_on_where_the_patient_lies() -> None:
    endo, later = cup(30), cup(24, 2.0 * np.cos(np.arange(72) * np.pi / 36))
    turn = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)
    moved = [nodes @ turn.T + np.array([50.0, -20.0, 7.0]) for nodes in (endo, later)]
    assert inward_motion_mm(*moved) == pytest.approx(inward_motion_mm(endo, later), abs=1e-9)


def test_sectors_of_the_cavity_add_up_to_it() -> None:
    rng = np.random.default_rng(1)
    nodes = cup(30, rng.normal(0, 1, (41, 72)))
    nodes[0] = nodes[0, 0]
    whole = surfaces([nodes], [cup(40)])
    sectors = sector_volumes_mL(nodes)
    assert sectors.shape == SHAPE
    assert sectors.sum() == pytest.approx(float(whole.cavity_mL[0]), rel=1e-9)
    even = sector_volumes_mL(cup(30))
    assert even == pytest.approx(np.repeat(even.mean(axis=1, keepdims=True), 72, axis=1), rel=1e-6)
    assert (even > 0).all()


def function_of(counts: list[np.ndarray], walls: Surfaces, fwhm_mm: float = 12.0) -> RegionalFunction:
    maps = [polar_map(gate, "counts") for gate in counts]
    return regional_function(maps, walls, ed_gate=0, es_gate=1, fwhm_mm=fwhm_mm)


def test_an_evenly_contracting_sphere_is_the_same_in_all_segments() -> None:
    walls = surfaces([cup(30), cup(24)], [cup(40), cup(38)])
    counts = [np.full(SHAPE, 1000 * float(slab_recovery(mm, 12.0))) for mm in (10, 14)]
    found = function_of(counts, walls)
    assert found.segment_motion_mm == pytest.approx(np.full(17, 6.0), rel=0.003)
    assert found.segment_thickening_percent == pytest.approx(np.full(17, 40.0), rel=0.01)
    assert found.segment_count_thickening_percent == pytest.approx(np.full(17, 23.3), abs=0.05)
    assert found.segment_corrected_thickening_percent == pytest.approx(np.full(17, 40.0), rel=0.005)
    assert found.segment_ef_percent == pytest.approx(np.full(17, 100 * (1 - 0.8**3)), rel=1e-6)
    assert found.segment_edv_mL.sum() == pytest.approx(float(walls.cavity_mL[0]))
    assert found.segment_esv_mL.sum() == pytest.approx(float(walls.cavity_mL[1]))
    assert (found.motion.unit, found.corrected_thickening.unit) == ("mm", "%")


def test_a_still_segment_neither_moves_nor_thickens_nor_ejects() -> None:
    still = SEGMENT_OF_PLACE == 10
    nodes = np.zeros((41, 72), bool)  # nodes whose cells are all still, and those about them
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        nodes[row : row + 40] |= np.roll(still, column, axis=1)
    walls = surfaces([cup(30), cup(24, np.where(nodes, 6.0, 0.0))], [cup(40), cup(38, np.where(nodes, 2.0, 0.0))])
    counts = [np.full(SHAPE, 800.0), np.where(still, 800.0, 1000.0)]
    found = function_of(counts, walls)
    assert found.segment_motion_mm[9] == pytest.approx(0, abs=0.01)
    assert found.segment_thickening_percent[9] == pytest.approx(0, abs=0.1)
    assert found.segment_count_thickening_percent[9] == pytest.approx(0)
    assert found.segment_motion_mm[6] == pytest.approx(6, rel=0.02)
    # The middle of the rings comes nearer to the still wall, so its sector shrinks a little all the same.
    assert found.segment_ef_percent[9] < 0.5 * found.segment_ef_percent[6]


def test_a_beating_phantom_thickens_by_counts_as_much_as_its_wall_once_corrected() -> None:
    """Counts on the mid-wall of a blurred phantom without noise, against its true surfaces."""
    from scipy.ndimage import map_coordinates

    grid = Grid.axis_aligned((36, 36, 36), spacing_mm=4)
    frame = CardiacFrame(np.zeros(3), np.array([0.45, -0.80, -0.40]))
    beat = lv_phantom(
        grid,
        frame=frame,
        fwhm_mm=12,
        short_axis_radius_mm=32,
        cycle=Cycle(45, n_gates=2),
        blood_ratio=0,
        background_ratio=0,
        lung_ratio=0,
    )
    counts = []
    for gate in range(2):
        nodes = beat.surfaces.mid_mm[gate]
        middle = 0.25 * (nodes[:-1] + nodes[1:] + np.roll(nodes[:-1], -1, 1) + np.roll(nodes[1:], -1, 1))
        at = np.moveaxis(grid.to_index(middle), -1, 0)
        counts.append(map_coordinates(np.asarray(beat.volume.array[gate], float), at, order=3))
    found = function_of(counts, beat.surfaces)
    body = np.isin(SEGMENT_OF_PLACE, np.arange(7, 13))
    true = float(found.thickening.value[body].mean())
    assert true > 10
    seen, corrected = (float(m.value[body].mean()) for m in (found.count_thickening, found.corrected_thickening))
    assert seen < 0.75 * true
    assert corrected == pytest.approx(true, rel=0.15)


def test_scores_count_the_cut_offs_above_a_value() -> None:
    cut_offs = (6.0, 4.5, 3.0, 1.5, -0.5)
    scores = graded([8.0, 6.0, 5.0, 4.0, 2.0, 0.0, -2.0, np.nan], cut_offs)
    assert scores[:-1] == pytest.approx([0, 0, 1, 2, 3, 4, 5])
    assert np.isnan(scores[-1])
    assert [name for name, _ in WALL_MOTION_TERMS][4:] == ["akinesis", "dyskinesis"]
    with pytest.raises(InvalidValue, match="five cut-offs"):
        graded([1.0], (1, 2, 3, 4, 5))


def test_maps_and_surfaces_must_belong_together() -> None:
    walls = surfaces([cup(30), cup(24)], [cup(40), cup(38)])
    with pytest.raises(GeometryMismatch):
        function_of([np.ones(SHAPE)], walls)
    with pytest.raises(InvalidValue, match="gated surfaces"):
        regional_function([polar_map(np.ones(SHAPE))], walls.gate(0), ed_gate=0, es_gate=0, fwhm_mm=12)
    with pytest.raises(InvalidValue, match="not both among"):
        regional_function([polar_map(np.ones(SHAPE))] * 2, walls, ed_gate=0, es_gate=2, fwhm_mm=12)
