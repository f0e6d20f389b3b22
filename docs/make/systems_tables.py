"""Tables of the page on systems: figures beside the papers', calibration, cost, and who tells illness better."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from systems_bench import Bench, Judged

from myoscope.core import VESSELS
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import (
    Calibration,
    Estimate,
    aucs,
    calibration,
    fit_recalibration,
    recalibrated,
)
from myoscope.systems.contract import load_system
from myoscope.systems.explanation import Explainer
from myoscope.systems.yeung2022 import IMPAIRED_BELOW

_EXTERNAL_AT_LEAST = 2500
_AREAS = (
    "DeLong per patient, Obuchowski per vessel. *Found from*: the smallest true difference that this many patients "
    "show with 80 % power."
)


def tables(bench: Bench, label: str) -> list[str]:
    """The tables of a system beside its paper, and its calibration as it comes and recalibrated."""
    one = bench.judged(label)
    system = load_system(one.network.system)
    rng = np.random.default_rng(0)
    found = system.evaluate(one.examples, one.prognosis, one.model, rng=rng, resamples=bench.resamples)
    lines = found.markdown(system.PUBLISHED).rstrip("\n").split("\n")
    if label != one.network.system:
        lines[0] = f"## {label}"
    return [*lines, "", *calibrated(one, rng, bench.resamples), "", *cost(one)]


def calibrated(one: Judged, rng: np.random.Generator, resamples: int) -> list[str]:
    """Calibration on the external site as it comes and recalibrated on a third, both on the other two thirds."""
    names, row = np.unique(one.examples.patient, return_inverse=True)
    third = (rng.permutation(names.size) % 3 == 0)[row]
    y, p = one.outcome, one.prognosis.patient
    line = fit_recalibration(y[third], p[third])
    rest = ~third
    plain, right = (
        calibration(y[rest], said, rng=rng, resamples=resamples, cluster=one.examples.patient[rest])
        for said in (p[rest], recalibrated(p[rest], line))
    )

    def said(found: Calibration) -> str:
        figures = (found.slope, found.in_the_large, found.ici, found.brier)
        return " | ".join(_figure(f) for f in figures)

    good = 0.9 <= plain.slope.value <= 1.1 and plain.ici.value <= 0.03
    return [
        f"Calibration on the external site, {int(rest.sum())} patients (two thirds, at random); the other "
        f"{int(third.sum())} recalibrate (intercept {line[0]:+.2f}, slope {line[1]:.2f}). As it comes it "
        f"{'meets' if good else 'does not meet'} a slope of 0.9 to 1.1 and an ICI of at most 0.03.",
        "",
        "| | slope | in the large, log-odds | ICI | Brier |",
        "|---|---|---|---|---|",
        f"| as it comes | {said(plain)} |",
        f"| recalibrated on a third | {said(right)} |",
    ]


def cost(one: Judged) -> list[str]:
    """Minutes of teaching, and milliseconds of one study in torch and onnxruntime."""
    import torch

    maps, covariates = np.array(one.examples.maps[:1]), np.array(one.examples.covariates[:1])
    explainer = Explainer(one.folder, one.network.system, _builder(one.network.system))
    tensors = torch.from_numpy(maps), torch.from_numpy(covariates)

    def in_torch() -> None:
        with torch.no_grad():
            explainer.ensemble(*tensors)

    torch.set_num_threads(1)
    with_torch = _milliseconds(in_torch)
    with_onnx = _milliseconds(lambda: one.model.logits(maps, covariates))
    with torch.no_grad():
        gap = float(np.abs(explainer.ensemble(*tensors).numpy() - one.model.logits(maps, covariates)).max())
    size = sum(path.stat().st_size for path in one.folder.glob("*.onnx")) / 1e6
    return [
        f"Teaching took {one.model.card.minutes:.1f} minutes on one core ({one.model.card.n_training} patients). One "
        f"study, one core: {with_torch:.1f} ms in torch, {with_onnx:.1f} ms in onnxruntime, {size:.1f} MB; their "
        "answers "
        f"differ by {gap:.0e} in log-odds.",
        "",
    ]


def ordering(bench: Bench) -> list[str]:
    """Who tells illness better than whom: paired differences of areas, with what could have been found."""
    plain, both = bench.judged("betancur2018"), bench.judged("betancur2019")
    upright = bench.judged("betancur2019, upright alone")
    n = len(plain.examples)
    enough = "" if n >= _EXTERNAL_AT_LEAST else f" (fewer than the {_EXTERNAL_AT_LEAST} that were wanted)"
    return [
        "## Ordering",
        "",
        f"Areas under the ROC curve on the external site, paired; {n} referred virtual patients{enough}. {_AREAS}",
        "",
        *_table_of_pairs(
            _against_tpd("betancur2018", plain, "TPD"),
            _against_tpd("betancur2018", plain, "TPD", vessels=True),
            _against_tpd("betancur2019", both, "combined TPD"),
            _against_tpd("betancur2019", both, "combined TPD", vessels=True),
            _against_network("betancur2019, upright and supine", both, "upright alone", upright),
            _against_network("betancur2019, upright and supine", both, "upright alone", upright, vessels=True),
            *(
                _against_network(
                    "betancur2019, both positions",
                    both,
                    f"the same network, {shown} alone",
                    _withheld(both, hidden),
                    vessels=vessels,
                )
                for shown, hidden in (("upright", "stress_supine"), ("supine", "stress_upright"))
                for vessels in (False, True)
            ),
            _against_network("betancur2019, both positions", both, "betancur2018", plain),
            _against_network("betancur2019, both positions", both, "betancur2018", plain, vessels=True),
        ),
        f"Taught on {plain.model.card.n_training} patients, the two positions on {both.model.card.n_training} (what "
        f"was not imaged is missing to them), upright alone on the {upright.model.card.n_training} imaged upright: a "
        "network that learned from fewer tells less for that reason too. What a second position itself adds stands in "
        "the rows of the same network, from which the other position was withheld.",
        "",
    ]


def _withheld(one: Judged, image: str) -> Judged:
    """The same network's answers where one image is kept from it."""
    maps = np.array(one.examples.maps)
    maps[:, [n for n, name in enumerate(one.examples.channels) if name.startswith(image)]] = np.nan
    examples = replace(one.examples, maps=maps)
    system = load_system(one.network.system)
    return replace(one, examples=examples, prognosis=system.predict(examples, one.model))


def ordering_with_function(bench: Bench) -> list[str]:
    """The same for what motion and thickening add to perfusion."""
    full, perfusion = bench.judged("otaki2022"), bench.judged("otaki2022, perfusion alone")
    return [
        "## Ordering: function beside perfusion",
        "",
        f"Areas under the ROC curve on the external site, paired; {len(full.examples)} virtual patients of all comers, "
        f"whose label is the true one. {_AREAS}",
        "",
        *_table_of_pairs(
            _against_tpd("otaki2022", full, "TPD"),
            _against_network("otaki2022, perfusion and function", full, "perfusion alone", perfusion),
        ),
    ]


def flow_tables(bench: Bench) -> list[str]:
    """The tables of the flow system, and which map tells impaired reserve best."""
    one = bench.judged("yeung2022")
    y, answers, patient = one.outcome, one.prognosis.answers, one.examples.patient
    ours = answers.of("impaired reserve from reserve")
    others = {f"{name} map": answers.of(f"impaired reserve from {name}") for name in ("stress", "rest")}
    others["mean of the reserve map"] = -np.asarray(one.examples.about["mean_reserve"], np.float64)
    return [
        *tables(bench, "yeung2022"),
        "### Which map tells impaired reserve",
        "",
        f"Impaired is a true reserve below {IMPAIRED_BELOW:g}: {int(y.sum())} of {y.size} patients of the external "
        f"site. {_AREAS}",
        "",
        *_table_of_pairs(*(_pair("reserve map", y, ours, name, said, patient) for name, said in others.items())),
    ]


def _table_of_pairs(*rows: str) -> list[str]:
    return [
        "| | n | AUC | beside | AUC | difference | p | found from |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _against_tpd(name: str, one: Judged, tpd: str, *, vessels: bool = False) -> str:
    if vessels:
        assert one.prognosis.vessels is not None
        known = np.isfinite(one.examples.targets).all(axis=1)
        y = one.examples.targets[known].ravel() > 0
        ours = one.prognosis.vessels[known].ravel()
        theirs = np.stack([one.examples.about[f"tpd_{v.lower()}_percent"] for v in VESSELS], axis=1)[known].ravel()
        patient = np.repeat(one.examples.patient[known], len(VESSELS))
        return _pair(f"{name}, vessels", y, ours, tpd, theirs, patient)
    return _pair(name, one.outcome, one.prognosis.patient, tpd, one.examples.about["tpd_percent"], one.examples.patient)


def _against_network(name: str, one: Judged, other_name: str, other: Judged, *, vessels: bool = False) -> str:
    common = sorted(set(one.examples.study.tolist()) & set(other.examples.study.tolist()))
    rows, others = (
        np.searchsorted(side.examples.study, common, sorter=np.argsort(side.examples.study)) for side in (one, other)
    )
    rows, others = np.argsort(one.examples.study)[rows], np.argsort(other.examples.study)[others]
    if vessels:
        assert one.prognosis.vessels is not None
        assert other.prognosis.vessels is not None
        y = one.examples.targets[rows].ravel() > 0
        patient = np.repeat(one.examples.patient[rows], len(VESSELS))
        ours, theirs = one.prognosis.vessels[rows].ravel(), other.prognosis.vessels[others].ravel()
        return _pair(f"{name}, vessels", y, ours, other_name, theirs, patient)
    ours, theirs = one.prognosis.patient[rows], other.prognosis.patient[others]
    return _pair(name, one.outcome[rows], ours, other_name, theirs, one.examples.patient[rows])


def _pair(name: str, y: NDArray[np.bool_], ours: FloatArray, other: str, theirs: Any, patient: NDArray[np.str_]) -> str:
    both = aucs(y, ours, np.asarray(theirs, np.float64), cluster=patient)
    a, b, d = both.interval(0), both.interval(1), both.difference(0, 1)
    p = "< 0.001" if d.p < 0.001 else f"{d.p:.3f}"
    return (
        f"| {name} | {y.size} | {_figure(a)} | {other} | {_figure(b)} | {d.value:+.3f} ({d.low:+.3f} to "
        f"{d.high:+.3f}) | "
        f"{p} | {d.detectable:.3f} |"
    )


def _builder(system: str) -> Callable[[Mapping[str, Any], int], Any]:
    module: Any = load_system(system)
    found: Callable[[Mapping[str, Any], int], Any] = module.build_from_card
    return found


def _milliseconds(work: Callable[[], object], *, times: int = 30) -> float:
    """Median time of one call."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.median(taken))


def _figure(found: Estimate) -> str:
    if np.isnan(found.value):
        return "none"
    if np.isnan(found.low):
        return f"{found.value:.3f} (no interval)"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
