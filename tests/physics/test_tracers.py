"""Extraction: exact values, and what holds for every tracer."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.physics.tracers import EXTRACTION, extraction


def test_tetrofosmin_gives_the_uptake_rates_of_its_constants() -> None:
    rates = extraction("tetrofosmin").uptake_rate_mL_min_g([0.7, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(rates, [0.3751, 0.4388, 0.5993, 0.7380], atol=5e-5)


def test_rubidium_gives_the_table_of_lortie() -> None:
    flow = [0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0]
    table = [0.3908, 0.4809, 0.5899, 0.7411, 0.8761, 1.0038, 1.1276, 1.3688, 1.6058]
    np.testing.assert_allclose(extraction("rubidium").uptake_rate_mL_min_g(flow), table, atol=5e-5)


@pytest.mark.parametrize(("tracer", "ratio"), [("tetrofosmin", 0.71), ("rubidium", 0.66)])
def test_half_the_hyperaemic_flow_shows_as_the_published_uptake_ratio(tracer: str, ratio: float) -> None:
    low, high = extraction(tracer).uptake_rate_mL_min_g([1.5, 3.0])
    assert round(low / high, 2) == ratio


@pytest.mark.parametrize("tracer", sorted(EXTRACTION))
def test_uptake_rises_with_flow_and_never_exceeds_it(tracer: str) -> None:
    flow = np.linspace(0, 6, 400)
    rate = extraction(tracer).uptake_rate_mL_min_g(flow)
    assert rate[0] == 0
    assert (np.diff(rate) > 0).all()
    assert (rate <= flow + 1e-12).all()
    assert EXTRACTION[tracer].source


def test_thallium_shows_a_flow_defect_better_than_technetium_agents() -> None:
    def ratio(tracer: str) -> float:
        low, high = extraction(tracer).uptake_rate_mL_min_g([1.5, 3.0])
        return float(low / high)

    assert ratio("thallium") < ratio("sestamibi") <= ratio("tetrofosmin")


def test_unknown_tracers_and_negative_flow_are_refused() -> None:
    with pytest.raises(InvalidValue, match="no extraction curve"):
        extraction("teboroxime")
    with pytest.raises(InvalidValue, match="at least 0"):
        extraction("rubidium").uptake_rate_mL_min_g([-0.1])
