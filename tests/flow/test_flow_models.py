"""Flow models: published tables and curves, exact recovery, and what every model must do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flow_curves import FRAMES, bolus, empty_curves, left_blood, right_blood, uptake_rate

import myoscope.quantify.flow as flow
from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.convolution import exponential_frame_means
from myoscope.physics.frames import Frames
from myoscope.physics.tracers import ammonia_rates, extraction
from myoscope.quantify.flow import Blood, CompartmentModel, WallCurves, fit_model
from myoscope.quantify.flow.el_fakhri import LINEAR_ABOVE, YOSHIDA, LinearAbove

LONG = Frames.lasting([*[10] * 12, *[20] * 3, *[30] * 2, *[60] * 2, *[120] * 2])
RANGES: dict[str, tuple[float, float]] = {
    "flow": (0.4, 4.0),
    "k2": (0.05, 0.6),
    "k3": (0.3, 2.0),
    "k4": (0.02, 0.2),
    "ptf": (0.4, 0.9),
    "v_tissue": (1.0, 12.0),
}
MODELS: dict[str, Callable[[], CompartmentModel]] = {
    "lortie": flow.lortie,
    "lortie, recovery": lambda: flow.lortie(partial_volume="recovery"),
    "el fakhri": flow.el_fakhri,
    "sitek": flow.sitek,
    "katoh": flow.katoh,
    "herrero": flow.herrero,
    "alessio": flow.alessio,
    "degrado": flow.degrado,
    "hutchins": flow.hutchins,
    "ucla": flow.ucla,
    "ucla, plasma": lambda: flow.ucla(metabolites_per_min=0.077),
    "iida": flow.iida,
    "flurpiridaz": flow.flurpiridaz,
    "tetrofosmin": lambda: flow.tc99m_one_tissue("tetrofosmin"),
}


def _curves_of(model: CompartmentModel, n: int, seed: int) -> tuple[WallCurves, FloatArray]:
    """Curves that the model makes of random parameters, and the parameters (kinetic, then spill-over)."""
    rng = np.random.default_rng(seed)
    blank = model.prepared(empty_curves(n, LONG))
    kinetic = np.stack([rng.uniform(*RANGES[p.name], n) for p in model.kinetic], axis=1)
    spill = np.stack([rng.uniform(0.1, 0.4, n), rng.uniform(0.02, 0.2, n)], axis=1)
    tissue, _ = model.tissue(kinetic, blank)
    assert blank.recovery is not None
    assert blank.right is not None
    share = {"geometric": 1 - spill.sum(axis=1), "none": np.ones(n), "recovery": blank.recovery}[model.sharing]
    made = share[:, None] * tissue + spill @ np.stack([blank.left.means, blank.right.means])
    whole = empty_curves(n, LONG)
    filled = np.ones((n, len(LONG)))
    filled[:, : made.shape[1]] = made
    assert whole.right is not None
    curves = WallCurves(LONG, filled, whole.left, whole.right, recovery=whole.recovery)
    return curves, np.concatenate([kinetic, spill], axis=1)


# --- published numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "v_lv", "k2", "means"),
    [
        (0.7, 0.30, 0.12, [33.427, 26.142, 29.856, 32.593, 35.559]),
        (2.8, 0.30, 0.25, [45.475, 44.852, 51.395, 53.611, 52.205]),
    ],
)
def test_golden_curves_come_out_to_two_per_mille_and_fit_back(
    f: float, v_lv: float, k2: float, means: list[float]
) -> None:
    """Exact convolution of the analytic input read every 0.002 min, frames 4, 7, 13, 16 and 19."""
    curve = bolus(until_min=6.2, step_min=0.002)
    blood = Blood.from_curve(FRAMES, curve)
    made = (1 - v_lv) * uptake_rate(f) * exponential_frame_means(curve, FRAMES, k2) + v_lv * blood.means
    np.testing.assert_allclose(made[[3, 6, 12, 15, 18]], means, rtol=2e-3)
    found = flow.lortie(density_g_mL=1).estimate(WallCurves(FRAMES, made[None], blood))
    np.testing.assert_allclose(found.value[0], [f, k2, v_lv], rtol=1e-6)


def test_inverse_of_lorties_curve_is_the_table() -> None:
    found = extraction("rubidium").flow_mL_min_g([0.30, 0.50, 0.80, 1.00, 1.25])
    np.testing.assert_allclose(found, [0.3416, 0.7482, 1.7134, 2.4848, 3.5044], atol=5e-5)


def test_ucla_rates_are_the_published_retention_rewritten() -> None:
    k2, k3 = ammonia_rates([1.0, 3.0])
    np.testing.assert_allclose(k2, [1.25, 3.75])
    np.testing.assert_allclose(k3, [5.949, 5.636], atol=1e-3)
    np.testing.assert_allclose(k3 / (k2 + k3), [0.8261, 0.5998], atol=1e-3)


def test_tetrofosmin_gives_the_uptake_rates_of_its_constants() -> None:
    model = flow.tc99m_one_tissue("tetrofosmin", density_g_mL=1)
    np.testing.assert_allclose(model.uptake_rate(np.array([0.7, 1, 2, 3])), [0.3751, 0.4388, 0.5993, 0.7380], atol=5e-5)


def test_water_by_basis_functions_is_exact_on_the_grid_and_half_a_step_off_at_most_between() -> None:
    grid = np.geomspace(0.1, 6.0, 100)
    blank = empty_curves(3, LONG)
    model = flow.iida()
    true_flow = np.array([grid[40], grid[77], np.sqrt(grid[60] * grid[61])])
    ptf, spill = np.array([0.7, 0.55, 0.8]), np.array([[0.2, 0.1], [0.35, 0.0], [0.1, 0.05]])
    assert blank.right is not None
    tissue, _ = model.tissue(np.stack([true_flow, ptf], axis=1), blank)
    made = tissue + spill @ np.stack([blank.left.means, blank.right.means])
    curves = WallCurves(LONG, made, blank.left, blank.right)
    found = flow.basis_functions(curves)
    np.testing.assert_array_equal(found.flow[:2], grid[[40, 77]])
    np.testing.assert_allclose(found.ptf[:2], ptf[:2], rtol=1e-6)
    np.testing.assert_allclose(found.v_lv[:2], spill[:2, 0], rtol=1e-5)
    assert grid[60] <= found.flow[2] <= grid[61]
    np.testing.assert_allclose(model.estimate(curves).flow, true_flow, rtol=1e-6)


def test_flow_of_water_does_not_depend_on_how_much_of_the_sample_is_perfused() -> None:
    blank, model = empty_curves(3, LONG, both=False), flow.iida()
    kinetic = np.stack([np.full(3, 1.7), np.array([0.3, 0.6, 0.95])], axis=1)
    curves = WallCurves(LONG, model.tissue(kinetic, blank)[0] + 0.2 * blank.left.means, blank.left)
    np.testing.assert_allclose(model.estimate(curves).flow, 1.7, rtol=1e-6)


# --- every model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_curves_without_noise_give_their_flow_back(name: str) -> None:
    model = MODELS[name]()
    curves, truth = _curves_of(model, 20, seed=1)
    found = model.estimate(curves)
    assert not found.failed.any()
    np.testing.assert_allclose(found.flow, truth[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.value, truth, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_of_a_model_are_those_of_its_curves(name: str) -> None:
    model = MODELS[name]()
    curves, truth = _curves_of(model, 5, seed=2)
    part, kinetic = model.prepared(curves), truth[:, : len(model.kinetic)]
    _, slope = model.tissue(kinetic, part)
    for n in range(kinetic.shape[1]):
        step = 1e-5 * (1 + kinetic[:, n])
        more, less = kinetic.copy(), kinetic.copy()
        more[:, n] += step
        less[:, n] -= step
        numeric = (model.tissue(more, part)[0] - model.tissue(less, part)[0]) / (2 * step[:, None])
        np.testing.assert_allclose(slope[..., n], numeric, atol=1e-7 * np.abs(slope[..., n]).max() + 1e-9, rtol=1e-5)


@pytest.mark.parametrize("name", ["lortie", "el fakhri", "alessio", "degrado", "hutchins", "ucla", "iida"])
def test_another_unit_of_activity_changes_no_flow(name: str) -> None:
    model = MODELS[name]()
    curves, _ = _curves_of(model, 10, seed=3)
    noisy = curves.tissue * (1 + 0.03 * np.random.default_rng(3).standard_normal(curves.tissue.shape))
    assert curves.right is not None

    def scaled(factor: float) -> WallCurves:
        left, right = (
            Blood(factor * b.means, b.curve.times(np.full(len(b.curve.value), factor)))
            for b in (curves.left, curves.right)
            if b is not None
        )
        return WallCurves(LONG, factor * noisy, left, right, recovery=curves.recovery)

    np.testing.assert_allclose(model.estimate(scaled(1000.0)).flow, model.estimate(scaled(1.0)).flow, rtol=1e-5)


def test_metabolites_counted_as_supply_make_usual_flows_low() -> None:
    model = flow.ucla(metabolites_per_min=flow.METABOLITES_PER_MIN)
    curves, truth = _curves_of(model, 8, seed=5)
    right, whole_blood = (m.estimate(curves).flow for m in (model, flow.ucla()))
    np.testing.assert_allclose(right, truth[:, 0], rtol=1e-6)
    usual = truth[:, 0] < 3
    assert usual.sum() > 3
    assert np.all(whole_blood[usual] < 0.98 * right[usual])


def test_muscle_that_is_denser_has_less_flow_per_gram() -> None:
    curves, _ = _curves_of(flow.degrado(density_g_mL=1.05), 5, seed=4)
    dense, light = (flow.degrado(density_g_mL=d).estimate(curves).flow for d in (1.05, 1.0))
    np.testing.assert_allclose(light / dense, 1.05, rtol=1e-6)


# --- conventions ------------------------------------------------------------------------------------------------


def test_the_two_rubidium_conventions_differ_by_the_share_of_muscle() -> None:
    """Katoh's rates are per mL of sample, Lortie's per mL of muscle."""
    curves, truth = _curves_of(flow.lortie(), 6, seed=5)
    per_sample = flow.katoh().uptake_rate(flow.katoh().estimate(curves).flow)
    per_muscle = flow.lortie().uptake_rate(truth[:, 0])
    np.testing.assert_allclose(per_sample / per_muscle, 1 - truth[:, 2:].sum(axis=1), rtol=1e-5)


def test_yoshidas_curve_goes_on_straight_and_smooth() -> None:
    curve = LinearAbove(YOSHIDA, LINEAR_ABOVE)
    turn = float(YOSHIDA.flow_mL_min_g(LINEAR_ABOVE))
    around = curve.uptake_rate_mL_min_g([turn - 1e-4, turn, turn + 1e-4])
    np.testing.assert_allclose(np.diff(around), np.diff(around)[0], rtol=1e-4)
    high = np.array([1.0, 1.2, 1.4])
    np.testing.assert_allclose(np.diff(curve.flow_mL_min_g(high)), np.diff(curve.flow_mL_min_g(high))[0])
    flows = np.linspace(0.1, 9, 30)
    np.testing.assert_allclose(curve.flow_mL_min_g(curve.uptake_rate_mL_min_g(flows)), flows, rtol=1e-9)


def test_one_distribution_volume_for_all_is_found_and_held() -> None:
    blank, model = empty_curves(50), flow.lortie()
    rng = np.random.default_rng(6)
    true_flow = rng.uniform(0.5, 3.5, 50)
    rate = model.uptake_rate(true_flow)
    spill = rng.uniform(0.1, 0.3, (50, 1))
    made = (1 - spill) * model.tissue(np.stack([true_flow, rate / 4.2], 1), blank)[0] + spill * blank.left.means
    curves = WallCurves(FRAMES, made, blank.left)
    tied = flow.with_global_distribution_volume(model, curves)
    assert tied.distribution_volume_mL_mL == pytest.approx(4.2, rel=1e-3)
    np.testing.assert_allclose(tied.estimate(curves).flow, true_flow, rtol=1e-3)


def test_early_models_read_early_frames_only() -> None:
    curves, truth = _curves_of(flow.degrado(), 4, seed=7)
    late_nonsense = np.array(curves.tissue)
    late_nonsense[:, LONG.end_min > 4.001] = 1e6
    found = flow.degrado().estimate(WallCurves(LONG, late_nonsense, curves.left, curves.right))
    np.testing.assert_allclose(found.flow, truth[:, 0], rtol=1e-6)


def test_right_blood_spills_over_only_where_it_lies_beside() -> None:
    curves, _ = _curves_of(flow.lortie(), 8, seed=8)
    septal = np.arange(8) < 4
    found = flow.lortie().estimate(WallCurves(LONG, curves.tissue, curves.left, curves.right, beside_right=septal))
    assert (found.of("v_rv")[4:] == 0).all()
    assert (found.of("v_rv")[:4] > 0.01).all()


# --- errors, bounds, failures -----------------------------------------------------------------------------------


def _noisy(n: int, seed: int, level: float = 1.0) -> tuple[WallCurves, FloatArray]:
    """Curves of known flow with Gaussian noise of known variance, and weights that are its inverse."""
    rng = np.random.default_rng(seed)
    model, blank = flow.lortie(), empty_curves(n)
    true_flow = rng.uniform(0.5, 3.5, n)
    kinetic = np.stack([true_flow, model.uptake_rate(true_flow) / 5], axis=1)
    made = 0.7 * model.tissue(kinetic, blank)[0] + 0.3 * blank.left.means
    variance = level**2 * np.maximum(made.mean(axis=0), 5) * np.exp(0.544 * FRAMES.middle_min) / FRAMES.duration_min / 6
    noise = np.sqrt(variance) * rng.standard_normal(made.shape)
    return WallCurves(FRAMES, made + noise, blank.left, weight=1 / variance, absolute=True), true_flow


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    curves, truth = _noisy(3000, seed=9, level=0.3)
    for absolute in (True, False):
        found = flow.lortie().estimate(
            WallCurves(FRAMES, curves.tissue, curves.left, weight=curves.weight, absolute=absolute)
        )
        low, high = found.interval()
        inside = float(np.mean((low <= truth) & (truth <= high)))
        assert 0.93 < inside < 0.97
    assert float(np.median(found.reduced_chi2)) == pytest.approx(1, abs=0.1)


def test_standard_errors_are_the_scatter_of_repeated_fits() -> None:
    model, blank = flow.lortie(), empty_curves(2000, both=False)
    kinetic = np.tile([1.2, 0.15], (2000, 1))
    made = 0.7 * model.tissue(kinetic, blank)[0] + 0.3 * blank.left.means
    noisy = made + 0.25 * np.random.default_rng(10).standard_normal(made.shape)
    found = model.estimate(WallCurves(FRAMES, noisy, blank.left, weight=np.full(19, 16.0), absolute=True))
    scatter = found.value.std(axis=0)
    np.testing.assert_allclose(np.median(found.standard_error, axis=0), scatter, rtol=0.08)
    measured = np.corrcoef(found.value.T)
    np.testing.assert_allclose(np.median(found.correlation, axis=0), measured, atol=0.06)


def test_a_profile_is_lowest_at_the_fit_and_rises_by_the_chi_square_at_the_interval() -> None:
    curves, _ = _noisy(1, seed=11, level=0.2)
    found = flow.lortie().estimate(curves)
    best, error = float(found.flow[0]), float(found.flow_se[0])
    rise, _ = flow.profile(flow.lortie(), curves, "flow", best + error * np.array([-1.96, -1, 0, 1, 1.96]))
    assert rise[2] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(rise[[1, 3]], 1, atol=0.35)
    np.testing.assert_allclose(rise[[0, 4]], 3.84, atol=1.2)


def test_a_short_curve_hardly_knows_its_washout() -> None:
    curves, _ = _curves_of(flow.lortie(), 10, seed=12)
    unit = WallCurves(LONG, curves.tissue, curves.left, curves.right, weight=np.ones(len(LONG)), absolute=True)
    long, short = (flow.lortie().estimate(c) for c in (unit, unit.until(2.0)))
    assert np.median(short.error_of("k2") / long.error_of("k2")) > 3
    assert np.median(short.correlation[:, 0, 1]) > np.median(long.correlation[:, 0, 1])


def test_failed_fits_are_missing_with_their_reason() -> None:
    curves, truth = _curves_of(flow.lortie(), 5, seed=13)
    tissue = np.array(curves.tissue)
    tissue[0, 3] = np.nan
    tissue[1] = 0
    tissue[2] *= 40
    found = flow.lortie().estimate(WallCurves(LONG, tissue, curves.left, curves.right))
    assert list(found.failed) == [True, True, True, False, False]
    assert np.isnan(found.flow[:3]).all()
    assert np.isnan(found.value[:3]).all()
    assert "missing values" in found.reason[0]
    assert "no activity" in found.reason[1]
    assert "upper bound" in found.reason[2]
    np.testing.assert_allclose(found.flow[3:], truth[3:, 0], rtol=1e-6)


def test_a_parameter_on_its_bound_is_marked() -> None:
    blank, model = empty_curves(1, both=False), flow.lortie()
    made = 0.9 * model.tissue(np.array([[1.0, 0.1]]), blank)[0]  # no blood at all
    noisy = made * (1 + 0.05 * np.random.default_rng(1).standard_normal(made.shape)) - 0.05 * blank.left.means
    found = model.estimate(WallCurves(FRAMES, noisy, blank.left))
    assert found.at_bound[0].tolist() == [False, False, True]
    assert found.of("v_lv")[0] == 0
    assert found.flow_se[0] > 0


def test_a_held_parameter_stays_and_has_no_error() -> None:
    curves, truth = _curves_of(flow.lortie(), 4, seed=14)
    found = fit_model(flow.lortie(), curves, fixed={"v_rv": truth[:, 3]})
    np.testing.assert_allclose(found.of("v_rv"), truth[:, 3])
    assert (found.error_of("v_rv") == 0).all()
    np.testing.assert_allclose(found.flow, truth[:, 0], rtol=1e-6)
    with pytest.raises(InvalidValue, match="no parameter 'k9'"):
        fit_model(flow.lortie(), curves, fixed={"k9": 1.0})


def test_weights_leave_out_what_has_none() -> None:
    curves, truth = _curves_of(flow.lortie(), 4, seed=15)
    tissue = np.array(curves.tissue)
    tissue[:, 7] = 1e4
    weight = np.ones(len(LONG))
    weight[7] = 0
    found = flow.lortie().estimate(WallCurves(LONG, tissue, curves.left, curves.right, weight=weight))
    np.testing.assert_allclose(found.flow, truth[:, 0], rtol=1e-6)


def test_weights_by_counts_are_inverse_variances_of_decaying_frames() -> None:
    flat = np.full(len(FRAMES), 10.0)
    weight = flow.frame_weights(FRAMES, flat, nuclide="Rb-82")
    ratio = weight[-1] / weight[0]
    assert ratio == pytest.approx(6 * 2 ** (-(FRAMES.middle_min[-1] - FRAMES.middle_min[0]) * 60 / 76.4), rel=1e-9)
    assert (flow.frame_weights(FRAMES, flat, nuclide=None, weighting="uniform") == 1).all()
    with pytest.raises(InvalidValue, match="without activity"):
        flow.frame_weights(FRAMES, 0 * flat, nuclide=None)


# --- retention --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [flow.yoshida, flow.lautamaki, lambda: flow.net_retention("tetrofosmin")])
def test_what_is_kept_for_ever_gives_its_flow_by_retention(make: Callable[[], flow.FlowModel]) -> None:
    model = make()
    blank = empty_curves(3, both=False)
    true_flow = np.array([0.6, 1.5, 3.0])
    rate = 1.05 * model.extraction.uptake_rate_mL_min_g(true_flow)  # type: ignore[attr-defined]
    kept = exponential_frame_means(blank.left.curve, FRAMES, 0.0)
    late = FRAMES.start_min >= 1.99
    share, spill = model.muscle_share, model.blood_share  # type: ignore[attr-defined]
    made = share * rate[:, None] * np.where(late, float(blank.left.curve.integral(2.0)), kept)
    if model.name.startswith("Net"):
        # What is taken up while the late frames last counts as well.
        made = share * rate[:, None] * kept
    found = model.estimate(WallCurves(FRAMES, made + spill * blank.left.means, blank.left))
    np.testing.assert_allclose(found.flow, true_flow, rtol=2e-3)


def test_retention_without_late_frames_is_refused() -> None:
    curves = empty_curves(2, FRAMES.first(11), both=False)
    with pytest.raises(InvalidValue, match="two frames between"):
        flow.yoshida().estimate(curves)


def test_a_wall_that_keeps_less_than_its_blood_has_no_flow_but_a_reason() -> None:
    curves = empty_curves(1, both=False)
    found = flow.yoshida().estimate(WallCurves(FRAMES, 0.05 * curves.left.means[None], curves.left))
    assert found.failed[0]
    assert "less than its share of blood" in found.reason[0]


def test_spill_over_of_both_ventricles_is_told_apart() -> None:
    curves, truth = _curves_of(flow.lortie(), 6, seed=16)
    assert not np.allclose(left_blood(LONG).means, right_blood(LONG).means)
    found = flow.lortie().estimate(curves)
    np.testing.assert_allclose(found.of("v_lv"), truth[:, 2], rtol=1e-5)
    np.testing.assert_allclose(found.of("v_rv"), truth[:, 3], rtol=1e-5)
