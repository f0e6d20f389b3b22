"""Audits on the page on systems: abstention, shortcuts, and showing well patients more often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from systems_bench import WITHOUT_A_CAMERA, Bench, Judged

from myoscope.core.geometry import FloatArray
from myoscope.systems import betancur2018
from myoscope.systems.abstention import abstention, abstention_lines, of_foreign_cameras, taught_cameras
from myoscope.systems.contract import load_system, settings_of
from myoscope.systems.diagnosis import patient_label
from myoscope.systems.explanation import Explainer
from myoscope.systems.explanation_trial import paired_difference
from myoscope.systems.run import prepare_examples
from myoscope.systems.shortcut_audit import audit_system, not_learned_from


def audits(bench: Bench) -> list[str]:
    """Abstention from what is no usual map, shortcuts, and showing well patients more often."""
    one = bench.judged("betancur2018")
    return [
        "## Audits",
        "",
        *_abstention(bench, one),
        *_shortcuts(bench, one),
        *_reweighted(bench, one),
    ]


def _abstention(bench: Bench, one: Judged) -> list[str]:
    """From maps that were spoilt, and from those of a camera that did not teach."""
    other = bench.judged(WITHOUT_A_CAMERA)
    foreign = of_foreign_cameras(other.examples, taught_cameras(other.model))
    spoilt = abstention(one.model, one.examples, rng=np.random.default_rng(2))
    strange = abstention(other.model, other.examples, rng=np.random.default_rng(2), foreign=foreign)
    return [
        f"How often `betancur2018` abstains on the external site ({len(one.examples)} studies); its limit leaves 1 % "
        "of held-out training studies out. The last lines are of the same network taught without any site of the "
        f"external site's camera (on {', '.join(taught_cameras(other.model))}), shown the maps of that camera.",
        "",
        *abstention_lines([*spoilt, *(row for row in strange if row.foreign)]),
        "",
    ]


def _shortcuts(bench: Bench, one: Judged) -> list[str]:
    """Sex, age, site and camera: read from the features, and leant on, in studies that a network did not learn from."""
    explainer = Explainer(one.folder, "betancur2018", betancur2018.build_from_card)
    every = bench.examples(one.network)
    examples = every.rows(np.flatnonzero(not_learned_from(every, one.folder)))
    found = audit_system(explainer, examples, rng=np.random.default_rng(4))
    return [
        "What can be read from the features of `betancur2018` (its first network), and whether the answer leans on it "
        "at equal angiogram and TPD: on the external site and in the training patients left to judge that network. "
        "Sex is an input, because women's and men's hearts look different; site, camera and tracer are not.",
        "",
        *found.lines(),
        "",
    ]


def _reweighted(bench: Bench, one: Judged) -> list[str]:
    """Brier score by sex where well patients were shown more often, on the referred and those not likely to be ill."""
    other = bench.judged("betancur2018, well patients more often")
    rng = np.random.default_rng(6)
    lines = [
        "Showing patients without disease and defect four times as often (Miller et al. 2023) instead of all "
        "alike. Brier "
        "scores on the external site, paired differences:",
        "",
        "| | n | all alike | well ones more often | difference |",
        "|---|---|---|---|---|",
    ]
    unlikely = _unlikely(bench, one, other)
    for who, y, p, q, women in (
        ("referred", one.outcome, one.prognosis.patient, other.prognosis.patient, one.examples.about["sex"] == "F"),
        *([("low likelihood", *unlikely)] if unlikely is not None else []),
    ):
        for sex, rows in (("women", women), ("men", ~women)):
            first, second = ((said[rows] - y[rows]) ** 2 for said in (p, q))
            change = paired_difference(second, first, rng=rng)
            lines.append(
                f"| {who}, {sex} | {int(rows.sum())} | {first.mean():.3f} | {second.mean():.3f} | "
                f"{change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f}) |"
            )
    return [*lines, ""]


def _unlikely(
    bench: Bench, one: Judged, other: Judged
) -> tuple[NDArray[np.bool_], FloatArray, FloatArray, NDArray[np.bool_]] | None:
    """Low-likelihood patients of the external site, whose label is the truth, and what both networks say of them."""
    settings = replace(settings_of(betancur2018.Settings, one.model.card.settings), label="truth")
    system = load_system("betancur2018")
    normals = bench.normals(one.network)
    examples = prepare_examples(system, settings, normals, normals)
    rows = np.isin(examples.about["site"], settings.external)
    if not rows.any():
        return None
    examples = examples.rows(rows)
    y = np.asarray(patient_label(examples.targets.astype(np.float64)) > 0)
    p, q = (system.predict(examples, side.model).patient for side in (one, other))
    return y, p, q, examples.about["sex"] == "F"
