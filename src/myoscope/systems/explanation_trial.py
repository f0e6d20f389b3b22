"""Whether explanations of a system find the disease that is truly there: a trial on virtual patients.

Each patient of a cohort that keeps the truth has a true region: the territory of his diseased arteries, and the part of
the wall that takes up too little. Every method is asked why the model answered as it did, and is held against that
truth, against rules that need no network, and against the same network with random weights. What a method should show
is the model; that this one learned from disease is what makes the truth a fair judge of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import explain, io
from myoscope.core import VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import Estimate, ExplainedCurves, bootstrap, draw_explained, weighted_mean, wilson_interval
from myoscope.simulate.deficit import ABNORMAL_BELOW
from myoscope.systems.explanation import SEGMENTS, Explainer

Progress = Callable[[str, float], None]

RULES = ("random segment", "darkest segment", "most abnormal segment")
"""What needs no network; the last goes by deviations below the normal mean."""
RANDOM_ORDER = "random order of segments"
_HEALTHY_PERCENTILE = 90.0
_LEAST_REGION = 0.01
_DRAWS = 3


@dataclass(frozen=True, eq=False)
class Case:
    """One true positive: what the model was shown, and what is true.

    ``maps`` (channel, 40, 72) and ``covariates`` as the model takes them, ``target`` the answer that is explained.
    ``territory`` (40, 72) belongs to truly obstructed arteries, ``defect`` (40, 72) takes up too little. ``counts`` and
    ``severity`` (40, 72) are what the rules go by.
    """

    study: str
    maps: NDArray[np.float32]
    covariates: NDArray[np.float32]
    target: int
    territory: NDArray[np.bool_]
    defect: NDArray[np.bool_]
    counts: NDArray[np.float32]
    severity: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MethodTrial:
    """How one method fared, a number per case (case,); NaN where it does not apply.

    ``hit``: the segment of greatest attention lies in the true territory. ``overlap``: share of the attention on the
    true defect, ``overlap_by_chance`` the defect's share of the wall. ``deletion`` and ``insertion``: areas, small and
    large are good. ``gap``: what attributions leave unexplained, in log-odds. ``random_hit`` and ``random_likeness``:
    with random weights. ``stability``: likeness under noise that leaves the disease alone, for the first cases.
    ``deletion_curve`` and ``insertion_curve`` (case, k) over the ``share`` of the wall (k,) are what the areas are of.
    """

    method: str
    hit: FloatArray
    overlap: FloatArray
    overlap_by_chance: FloatArray
    deletion: FloatArray
    insertion: FloatArray
    gap: FloatArray
    random_hit: FloatArray
    random_likeness: FloatArray
    stability: FloatArray
    share: FloatArray
    deletion_curve: FloatArray
    insertion_curve: FloatArray

    def curves(self) -> ExplainedCurves:
        """Deletion and insertion curves of the cases that have them.

        Raises
        ------
        InvalidValue
            No case was answered otherwise than a normal heart.
        """
        told = np.isfinite(self.deletion_curve).all(axis=1) & np.isfinite(self.insertion_curve).all(axis=1)
        return ExplainedCurves(self.method, self.share, self.deletion_curve[told], self.insertion_curve[told])


def truth_of(folder: io.CohortFolder, studies: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """True territory of the obstructed arteries, and true defect, of studies by name: each (study, 40, 72).

    Raises
    ------
    InvalidValue
        The cohort does not keep the truth, or has no such study.
    """
    names = {kind.name for kind in folder.kinds}
    if not {"truth_territory", "truth_stress_uptake"} <= names:
        raise InvalidValue(f"{folder.folder.name} does not keep the truth, so explanations cannot be held against it")
    row_of = {name: row for row, name in enumerate(folder.cohort.study.tolist())}
    missing = [name for name in studies if name not in row_of]
    if missing:
        raise InvalidValue(f"{folder.folder.name} has no study {missing[0]}")
    rows = [row_of[name] for name in studies]
    vessel = np.rint(folder.map("truth_territory")[rows])
    uptake = folder.map("truth_stress_uptake")[rows].astype(np.float64)
    obstructed = np.stack([folder.cohort[f"truth_obstructive_{v.lower()}"] for v in VESSELS], axis=1)[rows] > 0
    territory = np.zeros(vessel.shape, bool)
    for number in range(len(VESSELS)):
        territory |= (vessel == number) & obstructed[:, number, None, None]
    healthy = np.percentile(uptake, _HEALTHY_PERCENTILE, axis=(1, 2), keepdims=True)
    return territory, np.asarray(uptake < ABNORMAL_BELOW * healthy)


def try_rules(cases: Sequence[Case]) -> dict[str, FloatArray]:
    """Hits of the rules without a network (case,) by name; the random segment's is its chance."""
    found = {
        RULES[0]: [explain.chance_of_hit(one.territory, SEGMENTS) for one in cases],
        RULES[1]: [explain.lowest_segment_hits(one.counts, one.territory, SEGMENTS) for one in cases],
        RULES[2]: [explain.lowest_segment_hits(-one.severity, one.territory, SEGMENTS) for one in cases],
    }
    return {name: np.asarray(hits, np.float64) for name, hits in found.items()}


def try_method(
    explainer: Explainer,
    random: Explainer,
    method: str,
    cases: Sequence[Case],
    *,
    rng: np.random.Generator,
    n_noisy: int = 20,
    noise_percent: float = 2.0,
    progress: Progress | None = None,
) -> MethodTrial:
    """One method on all cases; ``random`` is the explainer with random weights (`Explainer.with_random_weights`).

    Noise of ``noise_percent`` of each map's own mean is added for the stability of the first ``n_noisy`` cases.

    Raises
    ------
    InvalidValue
        No cases, or no such method.
    """
    if not cases:
        raise InvalidValue("a trial of explanations needs patients: nobody is truly ill and was found to be so")
    rows: list[list[float]] = []
    curves = []
    for number, one in enumerate(cases):
        if progress is not None:
            progress(f"{method}: patient {number + 1} of {len(cases)}", number / len(cases))

        def attribute(maps: NDArray[Any], *, case: Case = one) -> FloatArray:
            return explain.plane(explainer.by(method, maps.astype(np.float32), case.covariates, case.target))

        explanation = explainer.by(method, one.maps, one.covariates, one.target)
        attention = explain.plane(explanation)
        pointing = explain.point_at(attention, one.territory, SEGMENTS)
        overlap = chance = float("nan")
        if _LEAST_REGION <= one.defect.mean() < 1:
            on_defect = explain.point_at(attention, one.defect, SEGMENTS)
            overlap, chance = on_defect.overlap, on_defect.share
        faithful = explain.faithfulness(
            explainer.asked(one.covariates, one.target), one.maps, explainer.baseline(one.maps), attention
        )
        curves.append((faithful.share, *faithful.on_scale))
        without = explain.plane(random.by(method, one.maps, one.covariates, one.target))
        steady = float("nan")
        if number < n_noisy:
            spread = noise_percent / 100 * np.nanmean(np.abs(one.maps), axis=(1, 2))
            steady = explain.stability(attribute, one.maps, noise=spread, rng=rng, draws=_DRAWS).mean
        gap = float("nan") if explanation.completeness_gap is None else abs(explanation.completeness_gap)
        rows.append(
            [
                float(pointing.hit),
                overlap,
                chance,
                faithful.deletion_area,
                faithful.insertion_area,
                gap,
                float(explain.point_at(without, one.territory, SEGMENTS).hit),
                explain.likeness(attention, without),
                steady,
            ]
        )
    share, deletion, insertion = (np.stack(one) for one in zip(*curves, strict=True))
    per_case = [one.name for one in fields(MethodTrial)][1:-3]
    numbers = dict(zip(per_case, np.asarray(rows, np.float64).T, strict=True))
    return MethodTrial(method, **numbers, share=share[0], deletion_curve=deletion, insertion_curve=insertion)


def try_random_order(explainer: Explainer, cases: Sequence[Case], *, rng: np.random.Generator) -> ExplainedCurves:
    """What deletion and insertion give without an explanation: segments of each patient's wall in random order.

    Raises
    ------
    InvalidValue
        No case was answered otherwise than a normal heart.
    """
    curves = []
    for one in cases:
        order = rng.random(int(SEGMENTS.max()) + 1)[SEGMENTS]
        asked = explainer.asked(one.covariates, one.target)
        found = explain.faithfulness(asked, one.maps, explainer.baseline(one.maps), order)
        curves.append((found.share, *found.on_scale))
    return curves_of(RANDOM_ORDER, curves)


def curves_of(method: str, curves: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> ExplainedCurves:
    """Share of the wall, deletion and insertion of each patient put together; those without a difference left out.

    Raises
    ------
    InvalidValue
        Nobody was answered otherwise than a normal heart.
    """
    told = [one for one in curves if np.isfinite(one[1]).all()]
    if not told:
        raise InvalidValue("nobody was answered otherwise than a normal heart, so there is nothing to explain")
    return ExplainedCurves(method, told[0][0], np.stack([one[1] for one in told]), np.stack([one[2] for one in told]))


def draw_trials(
    trials: Sequence[MethodTrial],
    path: Path,
    *,
    rng: np.random.Generator,
    without: ExplainedCurves | None = None,
    title: str = "",
    resamples: int = 300,
) -> None:
    """Draw deletion and insertion of every method side by side, beside what no explanation gives (PNG or SVG).

    Raises
    ------
    InvalidValue
        A method of which no case was answered otherwise than a normal heart.
    """
    curves = [trial.curves() for trial in trials]
    draw_explained(
        [*curves, *([without] if without is not None else [])], path, rng=rng, title=title, resamples=resamples
    )


def share_of(hits: FloatArray) -> Estimate:
    """A share of cases with its interval; chances between 0 and 1 are averaged."""
    if np.isin(hits, (0.0, 1.0)).all():
        return wilson_interval(int(hits.sum()), hits.size)
    return Estimate(float(hits.mean()), float("nan"), float("nan"), hits.size, "mean of chances")


def paired_difference(first: FloatArray, second: FloatArray, *, rng: np.random.Generator) -> Estimate:
    """Mean difference of two numbers per case, by a bootstrap of the cases."""
    (found,) = bootstrap(weighted_mean(first - second), first.size, rng=rng)
    return found


def mean_of(values: FloatArray, *, rng: np.random.Generator) -> Estimate | None:
    """Mean over the cases that have a number, by a bootstrap; None if fewer than two have one."""
    known = values[np.isfinite(values)]
    if known.size < 2:
        return None
    (found,) = bootstrap(weighted_mean(known), known.size, rng=rng)
    return found


def trial_lines(trials: Sequence[MethodTrial], rules: dict[str, FloatArray], *, rng: np.random.Generator) -> list[str]:
    """The trial as tables in Markdown: hits beside the rules, then what each method is worth besides."""
    lines = ["| | hits the true territory | " + " | ".join(f"less the {name}" for name in rules) + " |"]
    lines.append("|---" * (2 + len(rules)) + "|")
    for name, hits in rules.items():
        lines.append(f"| {name} | {_percent(share_of(hits))} |" + " |" * len(rules))
    for one in trials:
        cells = [_points(paired_difference(one.hit, hits, rng=rng)) for hits in rules.values()]
        lines.append(f"| {one.method} | {_percent(share_of(one.hit))} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| | attention on the true defect | deletion area | insertion area | left unexplained, log-odds | "
        "random weights: hits | random weights: likeness | stability |",
        "|---" * 8 + "|",
    ]
    for one in trials:
        random = _percent(share_of(one.random_hit))
        cells = [
            _percent(mean_of(one.overlap, rng=rng)),
            *(_number(mean_of(values, rng=rng)) for values in (one.deletion, one.insertion, one.gap)),
            random,
            _number(mean_of(one.random_likeness, rng=rng)),
            _number(mean_of(one.stability, rng=rng)),
        ]
        lines.append(f"| {one.method} | " + " | ".join(cells) + " |")
    by_chance = mean_of(trials[0].overlap_by_chance, rng=rng) if trials else None
    if by_chance is not None:
        lines += [
            "",
            f"The true defects cover {_percent(by_chance)} of the wall, which is what chance gives for the overlap.",
        ]
    return lines


def _percent(found: Estimate | None) -> str:
    if found is None:
        return "–"
    if np.isnan(found.low):
        return f"{100 * found.value:.0f} %"
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.0f} ({100 * found.low:+.0f} to {100 * found.high:+.0f})"


def _number(found: Estimate | None) -> str:
    return "–" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
