"""Two positions of one state: their combined deficit, and which image is the other position's."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from myoscope.across_images import combined_positions, partner_in_another_position
from myoscope.core import NormalLimits, PolarMap, Stated, StudyKind
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL

MEAN, AREA = np.full((40, 72), 80.0), 12_000 * SHARE_OF_WALL


def polar_map(value: np.ndarray) -> PolarMap:
    return PolarMap(value, "counts", SEGMENT_OF_PLACE, SEGMENT_OF_PLACE, AREA, "surface")


def state(position: str, *, dark: slice | None, corrected: str = "no", name: str = "stress") -> Any:
    """What is asked of a measured state: series, polar map, limits and noise."""
    value = 5 * MEAN
    if dark is not None:
        value[8:30, dark] *= 0.4
    kind = StudyKind(sex="F", tracer="any", camera="any", position=position, state=name, corrected=corrected == "yes")
    limits = NormalLimits(
        mean=MEAN,
        deviation=np.full_like(MEAN, 8.0),
        area_mm2=AREA,
        multiple=2.5,
        n=40,
        kind=kind,
        unit="%",
        method="surface",
        provenance="made up",
        smoothing_fwhm_mm=20.0,
    )
    return SimpleNamespace(
        series=SimpleNamespace(
            state=Stated(name, "code"),
            position=Stated(position, "code"),
            corrected=Stated(corrected, "code"),
            gated=False,
        ),
        heart=SimpleNamespace(polar_map=polar_map(value)),
        perfusion=SimpleNamespace(normal=limits, noise=None),
    )


def tpd(one: Any, other: Any) -> dict[str, float]:
    found = combined_positions(one, other, rng=np.random.default_rng(1))
    for quantity in found:
        assert quantity.value is not None
        assert quantity.low is not None
        assert quantity.high is not None
        assert quantity.low <= quantity.value <= quantity.high + 1e-9
    return {
        quantity.name.removeprefix("TPD, supine and upright combined"): float(quantity.value or 0) for quantity in found
    }


def test_a_defect_of_one_position_alone_is_none() -> None:
    real = slice(0, 18)
    both = tpd(state("supine", dark=real), state("upright", dark=real))
    one = tpd(state("supine", dark=real), state("upright", dark=None))
    elsewhere = tpd(state("supine", dark=real), state("upright", dark=slice(36, 54)))
    assert both[""] > 5
    assert one[""] == 0
    assert elsewhere[""] == 0
    assert np.isclose(sum(value for name, value in both.items() if name), both[""], rtol=1e-6)


def test_only_the_same_state_and_correction_in_another_position_is_a_partner() -> None:
    supine, upright = state("supine", dark=None), state("upright", dark=None)
    others = [supine, state("upright", dark=None, corrected="yes"), state("upright", dark=None, name="rest"), upright]
    assert partner_in_another_position(supine, others) is upright
    assert partner_in_another_position(supine, others[:3]) is None
