"""How good a system is in everybody who was imaged, where only some of them were sent to angiography.

Doctors send patients with an abnormal scan, so the verified alone flatter sensitivity and slander specificity. The
correction assumes that, given the scores and what else the decision went by, whether somebody was sent does not depend
on disease: what was not recorded and decided all the same is not corrected for (`myoscope.evaluate.verification`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from myoscope import io, quantify
from myoscope.core import VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import Estimate, VerifiedAuc, VerifiedOperating, begg_greenes, verified_accuracy, verified_auc
from myoscope.learn import Examples
from myoscope.systems.diagnosis import Prognosis, patient_label

USUAL_REASONS = ("age_y", "male", "bmi_kg_m2", "diabetes")
"""What besides the scores a decision goes by unless it is said otherwise, as far as the cohort says it of everybody."""
_CUT = 1e-6


@dataclass(frozen=True, slots=True)
class VerifiedRow:
    """One score among the verified alone and corrected; ``by_test_alone`` is Begg and Greenes, or why there is none.

    ``positive_from`` says in words from where the score counts as positive, which a share ``positive`` of all rows is.
    """

    unit: str
    name: str
    positive_from: str
    positive: float
    auc: VerifiedAuc
    accuracy: VerifiedOperating
    by_test_alone: tuple[Estimate, Estimate] | str


@dataclass(frozen=True, slots=True)
class VerifiedTable:
    """Every score corrected for who was verified (``column``), given the scores and ``reasons``."""

    column: str
    reasons: tuple[str, ...]
    rows: tuple[VerifiedRow, ...]
    n: int
    n_verified: int
    left_out: int = 0

    def lines(self) -> list[str]:
        """As a table in Markdown, corrected beside uncorrected, and what it assumes."""
        lines = [
            f"{self.n_verified} of {self.n} studies were verified (column `{self.column}`); 95 % intervals by a "
            "bootstrap of patients.",
            "",
            "| | | verified alone | corrected | corrected for the test alone |",
            "|---|---|---|---|---|",
        ]
        for row in self.rows:
            who = f"{row.name}, {row.unit}"
            sensitivity, specificity = ("", "")
            if not isinstance(row.by_test_alone, str):
                sensitivity, specificity = (_percent(one) for one in row.by_test_alone)
            a = row.accuracy
            lines += [
                f"| {who} | AUC | {_figure(row.auc.naive)} | {_figure(row.auc.corrected)} | |",
                f"| | sensitivity, % | {_percent(a.naive_sensitivity)} | {_percent(a.sensitivity)} | {sensitivity} |",
                f"| | specificity, % | {_percent(a.naive_specificity)} | {_percent(a.specificity)} | {specificity} |",
                f"| | with the outcome, % | | {_percent(a.prevalence)} | |",
            ]
        lines.append("")
        lines += [
            f"* {row.name}, {row.unit}: positive from {row.positive_from}; {100 * row.positive:.0f} % of all"
            for row in self.rows
        ]
        lines += [
            f"* {row.name}, {row.unit}: not corrected for the test alone, because {row.by_test_alone}"
            for row in self.rows
            if isinstance(row.by_test_alone, str)
        ]
        if self.left_out:
            lines.append(f"* {self.left_out} studies of which a reason is not known are left out here")
        lines.append(
            f"* corrected: doubly robust, given the scores{''.join(f', {name}' for name in self.reasons)}; for the "
            "test alone: Begg and Greenes; both assume that nothing else decided who was verified"
        )
        return lines


def of_verified(examples: Examples, cohorts: Sequence[io.CohortFolder], column: str) -> tuple[Examples, list[str]]:
    """Examples whose outcome counts only where a column of the cohorts says it was verified, and what to note of it.

    Whoever counts as verified but has no label (angiography that could not be read) counts as not verified.

    Raises
    ------
    InvalidValue
        No such column, one that is not 0 and 1, nobody or everybody verified.
    """
    said = _column(examples, cohorts, column)
    known = said[np.isfinite(said)]
    if not np.isin(known, (0, 1)).all():
        raise InvalidValue(f"column {column} says who was verified by 0 and 1, got {float(known.max()):g}")
    labelled = np.isfinite(examples.targets).all(axis=1)
    verified = (said == 1) & labelled
    if not verified.any() or verified.all():
        who = "nobody" if not verified.any() else "everybody"
        raise InvalidValue(
            f"by column {column} {who} of {len(examples)} studies was verified, so there is nothing to correct"
        )
    notes = []
    without = int(((said == 1) & ~labelled).sum())
    if without:
        notes.append(f"{without} studies count as verified by {column} but have no label; they count as not verified")
    hidden = int((labelled & ~verified).sum())
    if hidden:
        notes.append(f"{hidden} studies have a label but count as not verified by {column}; their label is not used")
    parts = {name: getattr(examples, name) for name in examples.__slots__}
    targets = np.where(verified[:, None], examples.targets, np.nan).astype(np.float32)
    return Examples(**{**parts, "targets": targets}), notes


def evaluate_verified(
    examples: Examples,
    prognosis: Prognosis,
    cohorts: Sequence[io.CohortFolder],
    *,
    column: str,
    reasons: Sequence[str],
    system: str,
    tpd_name: str,
    abnormal_from: float,
    rng: np.random.Generator,
    resamples: int = 500,
) -> VerifiedTable:
    """AUC, sensitivity and specificity of TPD and of the system, per patient and per vessel, corrected.

    ``examples`` are those of `of_verified`. ``reasons`` are columns of the cohorts that the decision to verify went by;
    the usual ones if none are given. TPD is positive from its usual cut, the system from where it calls as many of all
    patients positive as TPD does: that needs nobody's outcome.

    Raises
    ------
    InvalidValue
        No such column, or too few verified patients.
    """
    of_cohort = {name: _column(examples, cohorts, name) for name in reasons} if reasons else _usual(examples)
    covariates = np.stack([*of_cohort.values()], axis=1) if of_cohort else np.empty((len(examples), 0))
    used = np.isfinite(covariates).all(axis=1)
    patient = examples.patient[used]
    y = patient_label(examples.targets.astype(np.float64))[used]
    # Odds of disease go with the logarithm of a deficit; the order of patients is the same.
    tpd = np.log1p(np.asarray(examples.about["tpd_percent"], np.float64)[used])
    ours = logit(np.clip(prognosis.patient, _CUT, 1 - _CUT))[used]
    units = [("patients", y, tpd, ours, covariates[used], patient)]
    if prognosis.vessels is not None:
        n = len(VESSELS)
        parts = np.stack([examples.about[f"tpd_{v.lower()}_percent"] for v in VESSELS], axis=1)[used]
        whole = np.column_stack([covariates[used], tpd])  # doctors saw the whole scan, not a vessel's part
        units.append(
            (
                "vessels",
                examples.targets[used].astype(np.float64).ravel(),
                np.log1p(parts.astype(np.float64)).ravel(),
                prognosis.answers.logit[used].ravel(),
                np.repeat(whole, n, axis=0),
                np.repeat(patient, n),
            )
        )
    rows = []
    for unit, outcome, score, answer, more, who in units:
        cut_percent = abnormal_from if unit == "patients" else quantify.ABNORMAL_VESSEL_TPD_PERCENT
        cut = math.log1p(cut_percent)
        share = float(np.mean(score >= cut))
        at = float(np.quantile(answer, 1 - share)) if 0 < share < 1 else float(np.median(answer))
        how = f"{float(expit(at)):.3f} of probability, " + (
            f"as many positive as by {tpd_name}" if 0 < share < 1 else f"the median, because {tpd_name} calls all alike"
        )
        competitors = (
            (tpd_name, score, answer, cut, f"{cut_percent:g} %, its usual cut"),
            (system, answer, score, at, how),
        )
        for name, one, other, threshold, said in competitors:
            decided = np.column_stack([more, other])
            about: dict[str, Any] = {"covariates": decided, "cluster": who, "rng": rng, "resamples": resamples}
            rows.append(
                VerifiedRow(
                    unit,
                    name,
                    said,
                    float(np.mean(one >= threshold)),
                    verified_auc(one, outcome, **about),
                    verified_accuracy(one, outcome, threshold=threshold, **about),
                    _by_test_alone(one >= threshold, outcome),
                )
            )
    return VerifiedTable(
        column,
        tuple(of_cohort),
        tuple(rows),
        int(used.sum()),
        int(np.isfinite(y).sum()),
        int((~used).sum()),
    )


def _by_test_alone(positive: NDArray[np.bool_], outcome: FloatArray) -> tuple[Estimate, Estimate] | str:
    try:
        found = begg_greenes(positive, outcome)
    except InvalidValue as error:
        return str(error)
    return found.sensitivity, found.specificity


def _usual(examples: Examples) -> Mapping[str, FloatArray]:
    """The usual reasons that the cohort says of everybody and in which patients differ."""
    about = examples.about
    known = {name: np.asarray(about[name], np.float64) for name in USUAL_REASONS if name in about}
    if "sex" in about:
        known["male"] = (np.asarray(about["sex"]) == "M").astype(np.float64)
    return {
        name: known[name]
        for name in USUAL_REASONS
        if name in known and np.isfinite(known[name]).all() and np.ptp(known[name]) > 0
    }


def _column(examples: Examples, cohorts: Sequence[io.CohortFolder], name: str) -> FloatArray:
    """A column of numbers of the cohorts for each study of the examples (study,)."""
    values: dict[tuple[str, str], float] = {}
    for folder in cohorts:
        if name not in folder.cohort.values:
            raise InvalidValue(
                f"{folder.folder.name} has no column {name!r}; it has {', '.join(sorted(folder.cohort.values))}"
            )
        column = np.asarray(folder.cohort[name])
        if column.dtype.kind not in "bifu":
            raise InvalidValue(f"column {name} of {folder.folder.name} holds words; numbers or 0 and 1 are needed")
        keys = zip(folder.cohort.patient.tolist(), folder.cohort.study.tolist(), strict=True)
        values.update(zip(keys, column.astype(np.float64).tolist(), strict=True))
    keys = zip(examples.patient.tolist(), examples.study.tolist(), strict=True)
    found: FloatArray = np.array([values[key] for key in keys])
    return found


def _figure(e: Estimate) -> str:
    if math.isnan(e.value):
        return "none"
    return f"{e.value:.3f} (no interval)" if math.isnan(e.low) else f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"


def _percent(e: Estimate) -> str:
    if math.isnan(e.value):
        return "none"
    if math.isnan(e.low):
        return f"{100 * e.value:.1f} (no interval)"
    return f"{100 * e.value:.1f} ({100 * e.low:.1f} to {100 * e.high:.1f})"
