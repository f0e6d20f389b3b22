"""Explanations on the page on systems: which method finds the true territory, beside rules without a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from systems_bench import Bench, Judged, file_name, key, percent, say

from myoscope import io
from myoscope.core import VESSELS
from myoscope.evaluate import (
    Estimate,
)
from myoscope.learn import Examples
from myoscope.systems import betancur2018
from myoscope.systems.contract import settings_of
from myoscope.systems.diagnosis import inside
from myoscope.systems.explanation import METHODS, Explainer
from myoscope.systems.explanation_trial import (
    Case,
    MethodTrial,
    draw_trials,
    paired_difference,
    share_of,
    trial_lines,
    truth_of,
    try_method,
    try_random_order,
    try_rules,
)
from myoscope.systems.perfusion_inputs import limits_of, perfusion_of_cohort

_POSITIVE_FROM = 0.5


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
        *_drawn(bench, explainer, trials, shown),
        f"**{best.method}** hits most often in every other patient and is judged on the others: "
        f"{percent(judged)} of {judged.n} (90 % were wanted).",
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
            f"{best.method} {percent(share_of(found.hit))}, "
            + ", ".join(f"{name} {percent(share_of(hits))}" for name, hits in beside.items())
            + ".",
            "",
        ]
    return [*lines, *_random_labels(bench, one, best.method, shown)]


def _drawn(bench: Bench, explainer: Explainer, trials: Sequence[MethodTrial], cases: Sequence[Case]) -> list[str]:
    """Deletion and insertion curves of all methods as a figure beside the page."""
    picture = bench.figures / "systems_explanations.png"
    draw_trials(
        trials,
        picture,
        rng=np.random.default_rng(7),
        without=try_random_order(explainer, cases, rng=np.random.default_rng(8)),
        title=f"betancur2018 on {len(cases)} virtual patients with one diseased artery",
    )
    return [
        f"![Deletion and insertion curves of all methods](figures/{picture.name})",
        "",
        "Answers as the wall is made normal (left) or shown (right), the most important cells first; bands are 95 % "
        "intervals of the mean over patients.",
        "",
    ]


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
    about = [*sorted(explainer.model.card.files.values()), *(case.study for case in cases)]
    kept = bench.work / "trials" / f"{file_name(f'{method} {suffix}')}-{key(about)}.npz"
    names = [name for name in MethodTrial.__dataclass_fields__ if name != "method"]
    if kept.exists():
        with np.load(kept) as arrays:
            if set(names) <= set(arrays.files):  # an earlier trial kept areas without their curves
                return MethodTrial(method, **{name: arrays[name] for name in names})
    say(f"explaining {len(cases)} patients by {method}")
    trial = try_method(explainer, random, method, cases, rng=np.random.default_rng(9))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with io.atomic_write(kept, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{name: getattr(trial, name) for name in names})
    return trial


def _random_labels(bench: Bench, one: Judged, method: str, cases: Sequence[Case]) -> list[str]:
    """The same network taught on labels that were dealt out anew: what it shows must not be the disease."""
    folder = bench.work / "models" / f"random-labels-{key([bench.hashes[one.network.tier]])}"
    settings = settings_of(betancur2018.Settings, one.model.card.settings)
    if not (folder / "betancur2018.json").exists():
        say("teaching betancur2018 on random labels")
        examples = inside(bench.examples(one.network), settings.external)
        order = np.random.default_rng(3).permutation(len(examples))
        parts = {name: getattr(examples, name) for name in examples.__slots__}
        betancur2018.train(Examples(**{**parts, "targets": examples.targets[order]}), settings, out=folder)
    other = Explainer(folder, "betancur2018", betancur2018.build_from_card)
    trial = _kept_trial(bench, other, other.with_random_weights(1), method, cases, suffix="random labels")
    return [
        f"Taught on random labels, {method} hits in {percent(share_of(trial.hit))} of the same {len(cases)} "
        "patients; a "
        f"random segment in {percent(share_of(try_rules(cases)['random segment']))}.",
        "",
    ]


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.0f} ({100 * found.low:+.0f} to {100 * found.high:+.0f})"
