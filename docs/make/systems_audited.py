"""Audits on the page on systems: abstention, shortcuts, and showing well patients more often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from systems_bench import Bench, Judged, percent

from myoscope.core.geometry import FloatArray
from myoscope.evaluate import (
    audit_shortcut,
    shortcut_lines,
    wilson_interval,
)
from myoscope.learn.wrong_turns import wrong_turns
from myoscope.systems import betancur2018
from myoscope.systems.contract import load_system, settings_of
from myoscope.systems.diagnosis import patient_label
from myoscope.systems.explanation import Explainer
from myoscope.systems.explanation_trial import (
    paired_difference,
)
from myoscope.systems.run import prepare_examples


def audits(bench: Bench) -> list[str]:
    """Abstention from what is no usual map, shortcuts, and showing well patients more often."""
    one = bench.judged("betancur2018")
    return [
        "## Audits",
        "",
        *_abstention(one),
        *_shortcuts(one),
        *_reweighted(bench, one),
    ]


def _abstention(one: Judged) -> list[str]:
    maps, covariates = np.array(one.examples.maps), np.array(one.examples.covariates)
    rng = np.random.default_rng(2)
    strange = {
        "as they come": maps,
        **{name: maps[..., turned] for name, turned in wrong_turns(maps.shape[-1]).items()},
        "contour too short (base not reached)": np.roll(maps, 8, axis=2),
        "half of the wall missed": np.where(np.arange(maps.shape[-1]) < maps.shape[-1] // 2, 0, maps),
        "noise in the place of a heart": rng.uniform(0, 100, maps.shape),
    }
    lines = [
        f"How often `betancur2018` abstains on the external site ({len(maps)} studies); its limit leaves 1 % of "
        "held-out "
        "training studies out.",
        "",
        "| maps | abstains |",
        "|---|---|",
    ]
    for name, shown in strange.items():
        unusual = one.model.answers_to(shown.astype(np.float32), covariates).unusual
        lines.append(f"| {name} | {percent(wilson_interval(int(unusual.sum()), unusual.size))} |")
    return [*lines, ""]


def _shortcuts(one: Judged) -> list[str]:
    import torch

    explainer = Explainer(one.folder, "betancur2018", betancur2018.build_from_card)
    ensemble: Any = explainer.ensemble
    with torch.no_grad():
        given = torch.from_numpy(np.array(one.examples.maps)), torch.from_numpy(np.array(one.examples.covariates))
        features = ensemble.members[0].embedding(*given).numpy().astype(np.float64)
    about = one.examples.about
    tpd = np.asarray(about["tpd_percent"], np.float64)
    truth = np.stack([one.outcome.astype(np.float64), np.log1p(tpd)], axis=1)
    attributes = {
        "man": about["sex"] == "M",
        "65 years or older": np.asarray(about["age_y"], np.float64) >= 65,
        "BMI of 30 or more": np.asarray(about["bmi_kg_m2"], np.float64) >= 30,
        "diabetes": np.asarray(about["diabetes"], np.float64) > 0,
    }
    log_odds = one.prognosis.answers.logit.max(axis=1)
    rng = np.random.default_rng(4)
    found = [
        audit_shortcut(name, has, features, log_odds, truth, rng=rng, patient=one.examples.patient)
        for name, has in attributes.items()
        if 0 < np.mean(has) < 1
    ]
    return [
        "What can be read from the features of `betancur2018` on the external site, and whether the answer leans "
        "on it at "
        "equal angiogram and TPD. Sex is an input, because women's and men's hearts look different.",
        "",
        *shortcut_lines(found),
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
