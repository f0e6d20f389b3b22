"""The systems on the reference registry: taught, judged on the external site, explained, and what it cost.

    python docs/make/validate_systems.py --registry DIR [--spectf DIR] [--only PART ...]

``DIR`` holds the tiers of ``myoscope simulate reference`` (``maps``, ``full``, ``low-likelihood``, ``flow``);
``--spectf`` is the folder with SPECTF.train and SPECTF.test (UCI). Writes ``docs/validation/systems.md``. Every part
keeps what it made in ``DIR.validation``: after a kill the same call goes on, and the page is put together of the parts
that are there. A part whose cohort has changed is made anew. Two cores need some hours, most of them for teaching;
``--only spectf`` takes a minute and needs no registry.

``--set`` shortens the teaching to try the script; the page then has to go elsewhere (``--page``), as it has for any
registry that is not the reference one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import io
from myoscope.core import VESSELS, InvalidValue, MyoscopeError
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import (
    Calibration,
    Estimate,
    aucs,
    audit_shortcut,
    calibration,
    fit_recalibration,
    recalibrated,
    shortcut_lines,
    wilson_interval,
)
from myoscope.learn import Examples, TrainedModel, load_model
from myoscope.learn.wrong_turns import wrong_turns
from myoscope.systems import betancur2018, spectf
from myoscope.systems.contract import load_system, settings_of, settings_with
from myoscope.systems.diagnosis import Prognosis, inside, outside, patient_label
from myoscope.systems.explanation import METHODS, Explainer
from myoscope.systems.explanation_trial import (
    Case,
    MethodTrial,
    paired_difference,
    share_of,
    trial_lines,
    truth_of,
    try_method,
    try_rules,
)
from myoscope.systems.perfusion_inputs import limits_of, perfusion_of_cohort
from myoscope.systems.run import prepare_examples, train_system
from myoscope.systems.yeung2022 import IMPAIRED_BELOW

PAGE = Path(__file__).parents[1] / "validation" / "systems.md"
TEACHING = ("maps", "full")
TIERS = (*TEACHING, "low-likelihood")
_EXTERNAL_AT_LEAST = 2500
_POSITIVE_FROM = 0.5
_RESAMPLES, _RESAMPLES_OF_A_TRIAL = 1000, 100


@dataclass(frozen=True)
class Network:
    """One network of this page: its system, the tier that teaches it, and the settings that set it apart."""

    label: str
    system: str
    tier: str
    changes: tuple[str, ...] = ()


NETWORKS = {
    one.label: one
    for one in (
        Network("betancur2018", "betancur2018", "maps"),
        Network("betancur2019", "betancur2019", "maps"),
        Network("betancur2019, upright alone", "betancur2019", "maps", ("images=stress_upright",)),
        Network("otaki2022", "otaki2022", "full"),
        Network("otaki2022, perfusion alone", "otaki2022", "full", ("function=false",)),
        Network("yeung2022", "yeung2022", "flow"),
        Network(
            "betancur2018, well patients more often",
            "betancur2018",
            "maps",
            ("strategy=without disease or defect", "times=4"),
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Judged:
    """A taught network and what it says of the external site."""

    network: Network
    folder: Path
    examples: Examples
    prognosis: Prognosis
    model: TrainedModel

    @property
    def outcome(self) -> NDArray[np.bool_]:
        """Whether the patient has obstructive disease, of flow systems whether reserve is impaired (study,)."""
        if self.network.tier == "flow":
            return np.asarray(self.examples.targets[:, 0] > 0)
        return np.asarray(patient_label(self.examples.targets.astype(np.float64)) > 0)


@dataclass(eq=False)
class Bench:
    """Where things lie, what was asked for, and what has been made in this run."""

    registry: Path | None
    work: Path
    spectf: Path | None
    changes: tuple[str, ...]
    cases: int
    made: dict[str, Judged] = field(default_factory=dict)

    @property
    def resamples(self) -> int:
        """Of the bootstrap."""
        return _RESAMPLES_OF_A_TRIAL if self.changes else _RESAMPLES

    def cohort(self, tier: str) -> Path:
        if self.registry is None or not (self.registry / tier / io.COHORT_MANIFEST).exists():
            where = self.registry or Path("DIR")
            raise InvalidValue(
                f"there is no {tier} in the registry {where}; "
                f"myoscope simulate reference --tier {tier} --out {where / tier} makes it"
            )
        return self.registry / tier

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of each tier that is there."""
        found = {}
        for tier in (*TIERS, "flow"):
            if self.registry is not None and (self.registry / tier / io.COHORT_MANIFEST).exists():
                found[tier] = io.read_cohort(self.registry / tier).sha256
        return found

    def examples(self, network: Network) -> Examples:
        """Everything that a network may be shown, external site and all."""
        system = load_system(network.system)
        settings = settings_with(system.Settings(), [*network.changes, *self.changes])
        return prepare_examples(system, settings, [self.cohort(network.tier)], self.normals(network))

    def normals(self, network: Network) -> list[Path]:
        return [] if network.tier == "flow" else [self.cohort("low-likelihood")]

    def judged(self, label: str) -> Judged:
        """The network, taught if it is not yet, and its answers for the external site."""
        if label not in self.made:
            network = NETWORKS[label]
            folder = self.work / "models" / _file_name(label)
            if not (folder / f"{network.system}.json").exists():
                _say(f"teaching {label}")
                train_system(
                    network.system,
                    [self.cohort(network.tier)],
                    folder,
                    normals=self.normals(network),
                    changes=[*network.changes, *self.changes],
                )
            model = load_model(folder, network.system)
            system = load_system(network.system)
            examples = self.examples(network)
            external = outside(examples, model.card.settings["external"])
            if len(external) == len(examples):
                raise InvalidValue(f"nobody in {network.tier} is from {', '.join(model.card.settings['external'])}")
            self.made[label] = Judged(network, folder, external, system.predict(external, model), model)
        return self.made[label]


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
        return " | ".join(f"{f.value:.3f} ({f.low:.3f} to {f.high:.3f})" for f in figures)

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


_OF_EARLIER = "*Made on an earlier state of the registry, by models that have been taught anew since.*"
_KEY_LENGTH = 10
_AREAS = (
    "DeLong per patient, Obuchowski per vessel. *Found from*: the smallest true difference that this many patients "
    "show with 80 % power."
)


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
        ),
        f"Taught on {plain.model.card.n_training} patients, the two positions on {both.model.card.n_training} (what "
        f"was not imaged is missing to them), upright alone on the {upright.model.card.n_training} imaged upright.",
        "",
    ]


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


def explanations(bench: Bench) -> list[str]:
    """Which method finds the true territory, beside rules without a network, random weights and random labels."""
    one = bench.judged("betancur2018")
    explainer = Explainer(one.folder, "betancur2018", betancur2018.build_from_card)
    random = explainer.with_random_weights(1)
    single, several = (_cases(bench, one, n) for n in ("one", "several"))
    shown = single[: bench.cases]
    rng = np.random.default_rng(5)
    rules = try_rules(shown)
    trials = [_kept_trial(bench, explainer, random, method, shown) for method in METHODS]
    half = np.arange(len(shown)) % 2 == 0
    best = max(trials, key=lambda trial: float(trial.hit[half].mean()))
    judged = share_of(best.hit[~half])
    lines = [
        "## Explanations",
        "",
        "`betancur2018`, external site, true positives (truly obstructed, probability at least "
        f"{_POSITIVE_FROM:g}) with "
        f"one diseased artery: {len(single)} patients, of whom {len(shown)} are explained. Explained is the likeliest "
        "artery; a network that names the wrong one cannot hit. 95 % intervals, paired where two are compared.",
        "",
        *trial_lines(trials, rules, rng=rng),
        "",
        f"**{best.method}** hits most often in every other patient and is judged on the others: "
        f"{_percent(judged)} of {judged.n} (90 % were wanted).",
        "",
        "Differences in percentage points on those patients: "
        + "; ".join(
            f"less the {name} {_points(paired_difference(best.hit[~half], hits[~half], rng=rng))}"
            for name, hits in rules.items()
        )
        + ".",
        "",
    ]
    if several:
        kept = several[: bench.cases]
        found = _kept_trial(bench, explainer, random, best.method, kept, suffix="several")
        beside = try_rules(kept)
        lines += [
            f"With two or three diseased arteries ({len(kept)} of {len(several)} patients) any of their "
            "territories counts: "
            f"{best.method} {_percent(share_of(found.hit))}, "
            + ", ".join(f"{name} {_percent(share_of(hits))}" for name, hits in beside.items())
            + ".",
            "",
        ]
    return [*lines, *_random_labels(bench, one, best.method, shown)]


def _cases(bench: Bench, one: Judged, which: str) -> list[Case]:
    """True positives of the external site with one, or with several truly obstructed arteries."""
    folder = io.read_cohort(bench.cohort(one.network.tier))
    table = folder.cohort
    row_of = {name: row for row, name in enumerate(table.study.tolist())}
    rows = np.array([row_of[name] for name in one.examples.study.tolist()])
    number = np.stack([table[f"truth_obstructive_{v.lower()}"] for v in VESSELS], axis=1)[rows].astype(int).sum(axis=1)
    wanted = (number == 1) if which == "one" else (number > 1)
    usual = ~one.prognosis.answers.unusual
    chosen = np.flatnonzero(wanted & usual & (one.prognosis.patient >= _POSITIVE_FROM))
    if not chosen.size:
        return []
    territory, defect = truth_of(folder, one.examples.study[chosen].tolist())
    settings = settings_of(betancur2018.Settings, one.model.card.settings)
    normals = [io.read_cohort(path) for path in bench.normals(one.network)]
    limits = limits_of([*normals, folder], [settings.image])
    maps = perfusion_of_cohort(folder, settings.image, limits)
    return [
        Case(
            str(one.examples.study[row]),
            np.array(one.examples.maps[row]),
            np.array(one.examples.covariates[row]),
            int(np.argmax(one.prognosis.answers.logit[row])),
            territory[place],
            defect[place],
            maps.raw[rows[row]],
            maps.severity[rows[row]],
        )
        for place, row in enumerate(chosen.tolist())
        if territory[place].any() and not territory[place].all()
    ]


def _kept_trial(
    bench: Bench, explainer: Explainer, random: Explainer, method: str, cases: Sequence[Case], *, suffix: str = ""
) -> MethodTrial:
    """One method's trial, kept on disk because some take long."""
    kept = bench.work / "trials" / f"{_file_name(f'{method} {suffix}')}-{_key([c.study for c in cases])}.npz"
    names = [name for name in MethodTrial.__dataclass_fields__ if name != "method"]
    if kept.exists():
        with np.load(kept) as arrays:
            return MethodTrial(method, **{name: arrays[name] for name in names})
    _say(f"explaining {len(cases)} patients by {method}")
    trial = try_method(explainer, random, method, cases, rng=np.random.default_rng(9))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with io.atomic_write(kept, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{name: getattr(trial, name) for name in names})
    return trial


def _random_labels(bench: Bench, one: Judged, method: str, cases: Sequence[Case]) -> list[str]:
    """The same network taught on labels that were dealt out anew: what it shows must not be the disease."""
    folder = bench.work / "models" / "random-labels"
    settings = settings_of(betancur2018.Settings, one.model.card.settings)
    if not (folder / "betancur2018.json").exists():
        _say("teaching betancur2018 on random labels")
        examples = inside(bench.examples(one.network), settings.external)
        order = np.random.default_rng(3).permutation(len(examples))
        parts = {name: getattr(examples, name) for name in examples.__slots__}
        betancur2018.train(Examples(**{**parts, "targets": examples.targets[order]}), settings, out=folder)
    other = Explainer(folder, "betancur2018", betancur2018.build_from_card)
    trial = _kept_trial(bench, other, other.with_random_weights(1), method, cases, suffix="random labels")
    return [
        f"Taught on random labels, {method} hits in {_percent(share_of(trial.hit))} of the same {len(cases)} "
        "patients; a "
        f"random segment in {_percent(share_of(try_rules(cases)['random segment']))}.",
        "",
    ]


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
        lines.append(f"| {name} | {_percent(wilson_interval(int(unusual.sum()), unusual.size))} |")
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


def real_data(bench: Bench) -> list[str]:
    """A small network and simple baselines on SPECTF, real patients, through the same evaluation."""
    import torch

    if bench.spectf is None:
        raise InvalidValue("SPECTF needs the folder with SPECTF.train and SPECTF.test (--spectf DIR)")
    torch.set_num_threads(1)
    settings = spectf.Settings()
    training, test = spectf.prepare(bench.spectf)
    began = time.process_time()
    networks = spectf.train(training, settings, checkpoints=bench.work / "spectf")
    seconds = time.process_time() - began
    found = spectf.evaluate(training, test, spectf.predict(test, networks), rng=np.random.default_rng(0))
    return [
        "## Real data: SPECTF",
        "",
        "Normal or abnormal perfusion as read by cardiologists, from counts of 22 regions at stress and rest "
        "(Kurgan et al. "
        f"2001, UCI Machine Learning Repository, CC BY 4.0), published split: {len(training.abnormal)} patients teach, "
        f"{len(test.abnormal)} are judged, {int((~test.abnormal).sum())} of them normal, which bounds what can be "
        "said. The "
        f"network, its {len(networks)} members and all settings were fixed before the test part was looked at "
        f"(`myoscope.systems.spectf`); seed {settings.seed}, {seconds:.0f} s of one core. The published CLIP3 reads "
        "77 % of the test part right.",
        "",
        found.markdown(),
    ]


PARTS: dict[str, tuple[Callable[[Bench], list[str]], tuple[str, ...]]] = {
    "ordering": (ordering, ("maps", "low-likelihood")),
    "function": (ordering_with_function, ("full", "low-likelihood")),
    "betancur2018": (lambda bench: tables(bench, "betancur2018"), ("maps", "low-likelihood")),
    "betancur2019": (lambda bench: tables(bench, "betancur2019"), ("maps", "low-likelihood")),
    "otaki2022": (lambda bench: tables(bench, "otaki2022"), ("full", "low-likelihood")),
    "yeung2022": (flow_tables, ("flow",)),
    "explanations": (explanations, ("maps", "low-likelihood")),
    "audits": (audits, ("maps", "low-likelihood")),
    "spectf": (real_data, ()),
}
"""What makes each part of the page, and the tiers that it rests on."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", type=Path)
    parser.add_argument("--spectf", type=Path)
    parser.add_argument("--work", type=Path, help="what was made, to go on from [<registry>.validation]")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts to make now")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="a setting, NAME=VALUE; a trial run")
    parser.add_argument("--cases", type=int, default=200, help="patients who are explained")
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        return _run(asked)
    except MyoscopeError as error:
        print(error, file=sys.stderr)
        return 2


def _run(asked: argparse.Namespace) -> int:
    registry: Path | None = asked.registry
    if registry is None and asked.work is None and tuple(asked.only) != ("spectf",):
        raise InvalidValue(
            "there is no registry; give --registry DIR with the tiers of `myoscope simulate reference`, or "
            "--only spectf"
        )
    beside = Path("systems.validation") if registry is None else registry.with_name(f"{registry.name}.validation")
    work = asked.work or beside
    bench = Bench(registry, work, asked.spectf, tuple(asked.changes), asked.cases)
    if registry is not None and not bench.hashes:
        raise InvalidValue(f"{registry} holds no registry: no {', '.join(TIERS)} of `myoscope simulate reference`")
    if asked.page.resolve() == PAGE.resolve():
        _require_reference(bench)
    failed = []
    for name in asked.only:
        make, tiers = PARTS[name]
        try:
            for tier in tiers:
                bench.cohort(tier)
            kept = _fragment(bench, name)
            if not kept.exists():
                _say(f"part {name}")
                kept.parent.mkdir(parents=True, exist_ok=True)
                lines = make(bench)
                with io.atomic_write(kept, "w") as file:
                    file.write("\n".join(lines).rstrip("\n") + "\n")
        except MyoscopeError as error:
            failed.append(f"{name}: {error}")
    parts = {name: _fragment(bench, name) for name in PARTS}
    found = {name: path if path.exists() else _earlier(bench, name) for name, path in parts.items()}
    there = {name: path for name, path in found.items() if path is not None}
    if there:
        asked.page.parent.mkdir(parents=True, exist_ok=True)
        asked.page.write_text(_page(bench, there), encoding="utf-8", newline="\n")
        print(f"{len(there)} of {len(PARTS)} parts: {asked.page}")
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return 2 if failed else 0


def _require_reference(bench: Bench) -> None:
    """Only what teaches in the reference registry, as far as it is made, makes the page of the documentation."""
    if bench.changes:
        raise InvalidValue("figures of changed settings are no part of the documentation; give another --page")
    for tier in bench.hashes:
        made_by = " ".join(io.read_cohort(bench.cohort(tier)).cohort.made_by)
        if tier in TEACHING and f"simulate reference --tier {tier}" not in made_by:
            raise InvalidValue(f"{tier} is not a tier of the reference registry ({made_by}); give another --page")


def _fragment(bench: Bench, name: str) -> Path:
    """Where a part is kept; another cohort, or other settings, make another file."""
    rests_on = [bench.hashes.get(tier, "") for tier in PARTS[name][1]]
    return bench.work / "parts" / f"{_file_name(name)}-{_key([*rests_on, *bench.changes, str(bench.cases)])}.md"


def _earlier(bench: Bench, name: str) -> Path | None:
    """The last part of this name that was made on an earlier state of the registry, None in a trial."""
    if bench.changes:
        return None
    made = (bench.work / "parts").glob(f"{_file_name(name)}-{'?' * _KEY_LENGTH}.md")
    return max(made, key=lambda path: path.stat().st_mtime, default=None)


def _page(bench: Bench, there: Mapping[str, Path]) -> str:
    missing = [name for name in PARTS if name not in there]
    lines = [
        "# Systems",
        "",
        "<!-- Written by docs/make/validate_systems.py; do not edit. -->",
        "",
        "`python docs/make/validate_systems.py --registry DIR --spectf DIR` makes this page. All figures but "
        "those of SPECTF "
        "are of **virtual patients, not people**: they say whether methods do what they claim where the truth is "
        "known, and "
        "nothing of diagnostic accuracy in patients. Published figures are of closed registries and stand beside "
        "as context.",
        "",
    ]
    if bench.hashes:
        lines += [
            *(
                f"* {tier}: `{io.read_cohort(bench.cohort(tier)).cohort.made_by[0]}` (SHA-256 {sha256[:12]})"
                for tier, sha256 in bench.hashes.items()
            ),
            "",
            "The external site took no part in teaching or in setting anything, but for one thing: that a map's level "
            "is looked for among all levels (`quantify.scaling`) was decided with TPD of all five sites in view.",
            "",
        ]
    if missing:
        lines += [f"Not here yet: {', '.join(missing)}.", ""]
    for name, path in there.items():
        heading, *part = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        lines += [heading, *(["", _OF_EARLIER] if path != _fragment(bench, name) else []), *part, ""]
    return "\n".join(lines).rstrip("\n") + "\n"


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
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _percent(found: Estimate) -> str:
    if np.isnan(found.low):
        return f"{100 * found.value:.0f} %"
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.0f} ({100 * found.low:+.0f} to {100 * found.high:+.0f})"


def _file_name(words: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in words.lower()).split())


def _key(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:_KEY_LENGTH]


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
