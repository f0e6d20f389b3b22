"""A system taught and judged by cross-validation, from cohort folders to a folder: what `reproduce --folds` does.

Each fold teaches a whole ensemble on the patients it does not judge, with its own temperature, thresholds and curves.
While it goes on, finished folds lie in ``<out>.parts``: after a kill the same call teaches what is missing, and a call
for another scheme refuses to go on from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoscope import io
from myoscope.core import InvalidValue
from myoscope.learn import load_model
from myoscope.learn.examples import Examples
from myoscope.systems.contract import CohortSystem, Progress, load_system, settings_with
from myoscope.systems.diagnosis import inside
from myoscope.systems.out_of_fold import CrossValidation, JudgedFold, folder_name, judge_folds
from myoscope.systems.run import MODEL_FOLDER, Machine, claim, parts_of, prepare_examples, train_in_parts
from myoscope.systems.scheme import Scheme, candidate_settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from myoscope.learn import Split

FOLDS = "folds"
_LOW_LIKELIHOOD = "low-likelihood"
_CUT = 1e-6


def cross_validate_system(
    name: str,
    cohorts: Sequence[Path],
    out: Path,
    scheme: Scheme,
    *,
    normals: Sequence[Path] = (),
    changes: Sequence[str] = (),
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CrossValidation | None:
    """Teach and judge a system fold by fold: out-of-fold predictions, tables per fold and together, all models.

    All sites take part, unless ``changes`` set some as ``external``: these then neither teach nor are judged here.
    Patients whose images make the normal limits take no part either: a map would be judged by limits that know it.
    Of several processes the first one judges; the others return None.

    Raises
    ------
    InvalidValue
        As `train_system`; too few patients or sites for the scheme; candidates that leave out different studies.
    UnreadableFile, OutputError
        A folder that is no cohort, or one that exists and may not be replaced.
    """
    system = load_system(name)
    settings = settings_with(system.Settings(), changes)
    io.refuse_existing(out, replace=overwrite, sign=f"{name}.md")
    tell = progress or (lambda step, fraction: None)
    tell("reading the cohort", 0.0)
    kept_out = any(change.partition("=")[0].strip() == "external" for change in changes)
    external = settings.external if kept_out else ()
    settings = replace(settings, external=external)
    choices = candidate_settings(settings, scheme.candidates)
    notes: list[str] = []
    every = [_taking_part(prepare_examples(system, one, cohorts, normals), external, notes) for one in choices]
    examples = every[0]
    every = [examples, *(_on_same_studies(examples, one) for one in every[1:])]
    splits = scheme.splits(examples, seed=settings.seed)
    machine = machine or Machine()
    fabric = machine.fabric()
    claim(out, name, settings, examples, normals, fabric, besides={"scheme": asdict(scheme)})
    work = parts_of(out) / FOLDS
    finished = [(work / _folder_of(split) / MODEL_FOLDER / f"{name}.json").exists() for split in splits]
    chosen: list[tuple[int, list[float]]] = []
    for number, split in enumerate(splits):

        def within(step: str, fraction: float, *, at: int = number, of: str = _name_of(split)) -> None:
            tell(f"{of} ({at + 1} of {len(splits)}): {step}", 0.9 * (at + fraction) / len(splits))

        teacher = _Teacher(system, name, machine, fabric, work / _folder_of(split))
        within("going on", 0.0)
        try:
            which, losses = _choose(teacher, split, every, choices, scheme, within)
            chosen.append((which, losses))
            if not finished[number]:
                teacher.teach(
                    every[which].rows(np.sort(np.concatenate([split.training, split.validation]))),
                    _settings_for(choices[which], split, scheme, external),
                    teacher.folder / MODEL_FOLDER,
                    _after_choosing(within, scheme),
                )
        except InvalidValue as error:
            raise InvalidValue(f"{_name_of(split)}: {error}") from error
    if not fabric.is_global_zero:
        return None
    folds = []
    for split, (which, losses) in zip(splits, chosen, strict=True):
        model = load_model(work / _folder_of(split) / MODEL_FOLDER, name)
        judged = every[which].rows(split.test)
        words = [", ".join(candidate) for candidate in scheme.candidates]
        folds.append(
            JudgedFold(
                split,
                judged,
                system.predict(judged, model),
                model,
                scheme.candidates[which] if losses else (),
                dict(zip(words, losses, strict=True)) if losses else None,
            )
        )
    found = judge_folds(
        system,
        name,
        folds,
        scheme=scheme.in_words(),
        rounds=scheme.rounds,
        seed=settings.seed,
        notes=notes,
        progress=lambda step, fraction: tell(step, 0.9 + 0.08 * fraction),
    )
    tell("drawing", 0.98)
    with io.atomic_folder(out, replace=overwrite, sign=f"{name}.md") as folder:
        for split in splits:
            shutil.copytree(work / _folder_of(split) / MODEL_FOLDER, folder / FOLDS / _folder_of(split) / MODEL_FOLDER)
        found.write(folder, rng=np.random.default_rng(settings.seed), published=system.PUBLISHED)
    shutil.rmtree(parts_of(out), ignore_errors=True)
    return found


class _Teacher:
    """Teaches a system on some examples in a folder; what was begun there is gone on with."""

    def __init__(self, system: CohortSystem, name: str, machine: Machine, fabric: Fabric, folder: Path) -> None:
        self.system, self.name, self.folder = system, name, folder
        self._machine, self._fabric = machine, fabric

    def teach(self, examples: Examples, settings: Any, out: Path, tell: Progress) -> None:
        """The model appears in ``out`` whole or not at all."""
        out.parent.mkdir(parents=True, exist_ok=True)
        train_in_parts(self.system, self.name, examples, settings, out, self._machine, self._fabric, tell)

    def loss(self, examples: Examples, folder: Path) -> float:
        """Mean cross-entropy of the known answers of examples that the model in a folder did not learn from."""
        answers = self.system.predict(examples, load_model(folder, self.name)).answers
        p = np.clip(answers.probability, _CUT, 1 - _CUT)
        y = examples.targets.astype(np.float64)
        return float(np.nanmean(-(y * np.log(p) + (1 - y) * np.log(1 - p))))

    def has_kept(self, path: Path) -> bool:
        """Whether a file is there, the same for all processes."""
        there = path.exists()
        self._fabric.barrier()
        return there

    def keep(self, found: dict[str, float], path: Path) -> None:
        """Write what was found, once for all processes."""
        if self._fabric.is_global_zero:
            with io.atomic_write(path, "w") as file:
                json.dump(found, file)
        self._fabric.barrier()

    def forget(self, folder: Path) -> None:
        """Remove a model that has said what it was asked, once for all processes."""
        if self._fabric.is_global_zero:
            shutil.rmtree(folder, ignore_errors=True)
        self._fabric.barrier()


def _choose(
    teacher: _Teacher, split: Split, every: Sequence[Examples], choices: Sequence[Any], scheme: Scheme, tell: Progress
) -> tuple[int, list[float]]:
    """Which candidate has the lowest loss in the nested folds, and the losses; the first and none without nested ones.

    A nested fold counts by its studies. Of equal candidates the one named first is taken.
    """
    if not split.inner:
        return 0, []
    losses = []
    total, done = len(choices) * len(split.inner), 0
    for candidate, (examples, settings) in enumerate(zip(every, choices, strict=True)):
        sums = n = 0.0
        for number, inner in enumerate(split.inner):
            kept = teacher.folder / "choice" / f"candidate-{candidate}-fold-{number}.json"

            def within(step: str, fraction: float, *, c: int = candidate, k: int = number, at: int = done) -> None:
                share = _share_of_choosing(scheme) * (at + fraction) / total
                tell(f"candidate {c + 1} of {len(choices)}, nested fold {k + 1} of {len(split.inner)}: {step}", share)

            if not teacher.has_kept(kept):
                rows = np.sort(np.concatenate([inner.training, inner.validation]))
                model = kept.with_suffix("")
                if not (model / f"{teacher.name}.json").exists():
                    teacher.teach(examples.rows(rows), settings, model, within)
                tested = examples.rows(inner.test)
                teacher.keep({"loss": teacher.loss(tested, model), "n": float(len(tested))}, kept)
                teacher.forget(model)
            found = json.loads(kept.read_text(encoding="utf-8"))
            sums, n, done = sums + found["loss"] * found["n"], n + found["n"], done + 1
        losses.append(sums / n)
    return int(np.argmin(losses)), losses


def _after_choosing(tell: Progress, scheme: Scheme) -> Progress:
    """Progress of a fold's own teaching, which begins where choosing ended."""
    begins = _share_of_choosing(scheme)
    return lambda step, fraction: tell(step, begins + (1 - begins) * fraction)


def _share_of_choosing(scheme: Scheme) -> float:
    """What part of a fold's teaching goes into choosing."""
    choosing = len(scheme.candidates) * scheme.inner_folds
    return choosing / (choosing + 1)


def _settings_for(settings: Any, split: Split, scheme: Scheme, external: tuple[str, ...]) -> Any:
    """The settings of a fold's model: its card says which site took no part."""
    return replace(settings, external=(*external, _name_of(split))) if scheme.by_site else settings


def _taking_part(examples: Examples, external: tuple[str, ...], notes: list[str]) -> Examples:
    """The examples that teach and are judged: not of external sites, nor those that make the normal limits."""
    if external:
        examples = inside(examples, external)
    about = examples.about
    if "population" not in about or "tpd_percent" not in about:
        return examples
    makes_limits = np.asarray(about["population"]) == _LOW_LIKELIHOOD
    if not makes_limits.any():
        return examples
    if makes_limits.all():
        raise InvalidValue(
            "everybody in the cohort is of low likelihood and makes the normal limits, so nobody is left to teach"
        )
    said = f"{int(makes_limits.sum())} low-likelihood studies make the normal limits and take no part in the folds"
    if said not in notes:
        notes.append(said)
    return examples.rows(np.flatnonzero(~makes_limits))


def _on_same_studies(one: Examples, other: Examples) -> Examples:
    """The other candidate's examples, or the first one's where they are the same, so that they are kept once."""
    same = np.array_equal(one.study, other.study) and np.array_equal(one.patient, other.patient)
    if not (same and np.array_equal(one.targets, other.targets, equal_nan=True)):
        raise InvalidValue(
            f"candidates are compared on the same studies; one can use {len(one)} and another {len(other)} of them"
        )
    inputs = ((one.maps, other.maps), (one.covariates, other.covariates))
    alike = one.channels == other.channels and all(np.array_equal(a, b, equal_nan=True) for a, b in inputs)
    return one if alike else other


def _name_of(split: Split) -> str:
    return split.name.removeprefix("external ")


def _folder_of(split: Split) -> str:
    return folder_name(_name_of(split))
