"""A registry of virtual patients: many studies from one seed to a cohort folder. Read top to bottom.

patient by patient, in processes: draw -> photograph -> reconstruct -> find the heart -> polar maps; every 25 patients
become a part on disk, whole or not at all; parts become one cohort, in the order of the patients.

A patient depends on the seed, the site and its own number, never on how many others there are or how many processes
work. What is stored is therefore the same, byte for byte, whatever ``workers`` is, on one kind of processor. A run
that was killed goes on after the parts that it left.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import myoscope
from myoscope import io
from myoscope.core import Cohort, InvalidValue, MyoscopeError, OutputError
from myoscope.processes import in_processes
from myoscope.simulate.person import Sex
from myoscope.simulate.pet_tracers import PetTracerName, pet_tracer
from myoscope.simulate.referral import POPULATIONS, Population
from myoscope.simulate.sites import SITES, State, site_named
from myoscope.virtual import Processing
from myoscope.virtual_pet import image_pet_study, pet_study_columns, pet_study_maps
from myoscope.virtual_rows import StudyRow, image_study, study_columns, study_maps

PATIENTS_PER_PART = 25
_SETTINGS_FILE = "registry.json"
# What a registry's content hangs on.
_MAKERS = (
    *("core", "physics", "simulate", "reconstruct", "correct", "heart", "quantify"),
    *(
        "flow_choices.py",
        "flow_figures.py",
        "flow_pair.py",
        "flow_protocols.py",
        "flow_study.py",
        "made_images.py",
        "measure.py",
        "virtual.py",
        "virtual_pet.py",
        "virtual_rows.py",
    ),
)
_PROVENANCE = f"virtual patients, not people; myoscope {myoscope.__version__}"
_BROKEN = (
    "A worker process ended unexpectedly, probably for want of memory; run the same command again with fewer "
    "--workers, and it goes on from where it was."
)

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is behind us, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Which virtual patients, and what is made of each.

    Patients are dealt out to the ``sites`` in turn. ``states`` are what is imaged; ``gated`` adds function by 8 or 16
    gates, as the site does it; ``all_positions`` images stress in every position of the site instead of the first;
    ``even_sexes`` makes every other patient a woman. Patients are numbered from ``first_patient``. With ``pet`` they
    get dynamic PET with that tracer instead: rest and stress flow and reserve. With ``processing`` "analyze" images are
    made as `analyze` makes them of projections, and corrected everywhere.
    """

    seed: int
    patients: int
    sites: tuple[str, ...]
    population: Population = "all"
    states: tuple[State, ...] = ("stress", "rest")
    gated: bool = True
    all_positions: bool = False
    even_sexes: bool = False
    first_patient: int = 0
    pet: PetTracerName | None = None
    processing: Processing = "site"

    def __post_init__(self) -> None:
        if self.patients < 1:
            raise InvalidValue(f"a registry has at least one patient, got {self.patients}")
        if self.seed < 0 or self.first_patient < 0:
            raise InvalidValue("seeds and numbers of patients are not negative")
        if not self.sites or len(set(self.sites)) != len(self.sites):
            raise InvalidValue(f"a registry needs sites, each once, got {', '.join(self.sites) or 'none'}")
        for name in self.sites:
            site_named(name)
        if self.population not in POPULATIONS:
            raise InvalidValue(f"a population is {', '.join(POPULATIONS)}, not {self.population!r}")
        if self.pet is not None:
            pet_tracer(self.pet)
            if self.all_positions or set(self.states) != {"stress", "rest"}:
                raise InvalidValue("a PET registry images rest and stress of whoever comes, lying on the back")
        if not self.states or not set(self.states) <= {"stress", "rest"}:
            raise InvalidValue(f"states are stress and rest, got {', '.join(self.states) or 'none'}")

    def site_of(self, index: int) -> str:
        """The site of a patient by its number from 0."""
        return self.sites[index % len(self.sites)]


def simulate_registry(
    settings: RegistrySettings,
    out: Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> str:
    """Simulate the registry into the cohort folder ``out``; returns its hash.

    While it runs, parts lie in ``<out>.parts``; called again with the same settings after a kill, it goes on from
    there. The parts are removed when the cohort stands.

    Raises
    ------
    InvalidValue
        Fewer than one worker.
    OutputError
        ``out`` exists (and may not be replaced), ``<out>.parts`` belongs to another registry, or nothing can be
        written there.
    MyoscopeError
        A worker process was killed; the sentence says how to go on.
    """
    tell = progress or (lambda step, fraction: None)
    io.refuse_existing(out, replace=overwrite, sign=io.COHORT_MANIFEST)
    parts = out.with_name(f"{out.name}.parts")
    _simulate_parts(settings, parts, workers=workers, tell=tell)
    tell("putting the parts together", 1.0)
    paths = _part_paths(settings, parts)
    sha256 = io.merge_parts(paths, out, made_by=_made_by(settings), replace=overwrite)
    shutil.rmtree(parts, ignore_errors=True)
    return sha256


def _part_paths(settings: RegistrySettings, parts: Path) -> list[Path]:
    return [
        parts / f"part-{number:05d}{io.PART_SUFFIX}" for number in range(-(-settings.patients // PATIENTS_PER_PART))
    ]


def _simulate_parts(settings: RegistrySettings, parts: Path, *, workers: int, tell: Progress) -> None:
    """Make the parts that are not there yet."""
    if workers < 1:
        raise InvalidValue(f"a registry needs at least one worker, got {workers}")
    _claim(parts, settings)
    paths = _part_paths(settings, parts)
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    for number, rows in _rows_of_parts(settings, missing, workers, tell):
        io.write_part(paths[number], _part(settings, rows))


@dataclass(frozen=True, slots=True)
class Shard:
    """One run of under 45 minutes on two cores: some patients of one site and population."""

    settings: RegistrySettings

    @property
    def name(self) -> str:
        """A file-safe name, the same for the same patients."""
        s = self.settings
        return f"{s.sites[0]}-{s.population}-{s.first_patient:05d}"


REFERENCE_SEED = 20240
_OF_THE_REFERENCE = f"seed {REFERENCE_SEED}, {_PROVENANCE}"
_FULL_PER_SITE, _FULL_PER_SHARD = 400, 200
_MAPS_PER_SHARD = 450
_MAPS_EXTERNAL, _MAPS_PER_SITE = 2700, 825
_EXTERNAL_FIRST = sorted(SITES, key=lambda name: not SITES[name].external)
_MAPS_PATIENTS = {name: _MAPS_EXTERNAL if SITES[name].external else _MAPS_PER_SITE for name in _EXTERNAL_FIRST}
_LOW_LIKELIHOOD_PER_SITE_AND_SEX = 80
_FLOW_EXTERNAL, _FLOW_PER_SITE, _FLOW_PER_SHARD = 500, 250, 250
# Patients of the tiers are numbered apart, so that none is in two of them.
_FIRST = {"full": 0, "maps": 100_000, "low-likelihood": 200_000, "flow": 300_000}


def reference_shards(tier: str) -> tuple[Shard, ...]:
    """The shards of one tier of the reference registry, in the order in which they are put together.

    ``full``: 2,000 patients of everybody who comes, over the five sites, gated stress and rest. ``maps``: 6,000 sent to
    angiography, ungated stress, upright and supine where the camera images both, 2,700 of them at the external site.
    ``low-likelihood``: at least 80 women and 80 men per site, ungated stress and rest in all positions, for normal
    limits per camera, position and correction. ``flow``: dynamic PET with N-13 ammonia, rest and stress, of 1,500 of
    everybody who comes, 500 of them at the external site.

    Raises
    ------
    InvalidValue
        No such tier.
    """
    if tier == "full":
        about: dict[str, Any] = {"population": "all"}
        numbers, per_shard = dict.fromkeys(SITES, _FULL_PER_SITE), _FULL_PER_SHARD
    elif tier == "maps":
        about = {"population": "referred", "states": ("stress",), "gated": False}
        numbers, per_shard = _MAPS_PATIENTS, _MAPS_PER_SHARD
    elif tier == "low-likelihood":
        about = {"population": "low-likelihood", "gated": False, "all_positions": True, "even_sexes": True}
        numbers, per_shard = dict.fromkeys(SITES, 2 * _LOW_LIKELIHOOD_PER_SITE_AND_SEX), 400
    elif tier == "flow":
        about = {"population": "all", "pet": "ammonia"}
        numbers = {name: _FLOW_EXTERNAL if SITES[name].external else _FLOW_PER_SITE for name in _EXTERNAL_FIRST}
        per_shard = _FLOW_PER_SHARD
    else:
        raise InvalidValue(f"the reference registry has the tiers {', '.join(_FIRST)}, not {tier!r}")
    shards = []
    for site, n in numbers.items():
        if tier == "maps":
            about["all_positions"] = "upright" in SITES[site].positions
        for first in range(0, n, per_shard):
            settings = RegistrySettings(
                seed=REFERENCE_SEED,
                patients=min(per_shard, n - first),
                sites=(site,),
                first_patient=_FIRST[tier] + first,
                **about,
            )
            shards.append(Shard(settings))
    return tuple(shards)


def simulate_reference(
    tier: str,
    out: Path,
    *,
    shard: int | None = None,
    workers: int = 1,
    as_far_as_made: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> str:
    """Simulate a tier of the reference registry into ``out``, or one shard of it; says in a sentence what is done.

    Parts lie in ``<out>.parts``, as for any registry; shards that are there already are not made again. With
    ``as_far_as_made`` nothing is simulated: the parts that are there become the cohort, whose provenance says how many
    patients are missing, and stay where they are.

    Raises
    ------
    InvalidValue
        No such tier or shard; ``as_far_as_made`` of one shard, or where nothing has been made yet.
    OutputError, MyoscopeError
        As `simulate_registry`.
    """
    shards = reference_shards(tier)
    if shard is not None and not 0 <= shard < len(shards):
        raise InvalidValue(f"the tier {tier} has shards 0 to {len(shards) - 1}, not {shard}")
    if as_far_as_made and shard is not None:
        raise InvalidValue("a shard is made, and what is made so far is put together; ask for one of the two")
    tell = progress or (lambda step, fraction: None)
    io.refuse_existing(out, replace=overwrite, sign=io.COHORT_MANIFEST)
    parts = out.with_name(f"{out.name}.parts")
    paths = []
    for number, one in enumerate(shards):
        place = parts / one.name
        paths += _part_paths(one.settings, place)
        if shard in (None, number) and not as_far_as_made:

            def within(step: str, fraction: float, *, n: int = number) -> None:
                done = fraction if shard is not None else (n + fraction) / len(shards)
                tell(f"shard {n} of {len(shards)}, {step}", done)

            _simulate_parts(one.settings, place, workers=workers, tell=within)
    if shard is not None and not all(path.exists() for path in paths):
        return f"Shard {shard} of {len(shards)} is done: {parts / shards[shard].name}"
    tell("putting the parts together", 1.0)
    call = f"myoscope simulate reference --tier {tier}"
    if as_far_as_made:
        return _as_far_as_made(call, paths, shards, out, overwrite=overwrite)
    sha256 = io.merge_parts(paths, out, made_by=(call, _OF_THE_REFERENCE), replace=overwrite)
    shutil.rmtree(parts, ignore_errors=True)
    return f"Reference registry, tier {tier}: {out} (sha256 {sha256[:12]})"


def _as_far_as_made(call: str, paths: Sequence[Path], shards: Sequence[Shard], out: Path, *, overwrite: bool) -> str:
    """The parts that are there as a cohort that says of how many patients it is a part."""
    made = [path for path in paths if path.exists()]
    if not made:
        raise InvalidValue(f"{out.name}.parts holds no part of the reference registry yet; leave --as-far-as-made out")
    wanted = sum(shard.settings.patients for shard in shards)
    n = sum(len(io.read_part(path).cohort.patient) for path in made)
    words = f"{call} --as-far-as-made: {n:,} of {wanted:,} patients"
    sha256 = io.merge_parts(made, out, made_by=(words, _OF_THE_REFERENCE), replace=overwrite)
    return f"{n:,} of {wanted:,} patients so far: {out} (sha256 {sha256[:12]})"


def _claim(parts: Path, settings: RegistrySettings) -> None:
    """The folder of parts for these settings: made, or left by an earlier run of the same."""
    mine = json.dumps({"sources": _sources_sha256(), **asdict(settings)}, sort_keys=True)
    try:
        parts.mkdir(parents=True, exist_ok=True)
        file = parts / _SETTINGS_FILE
        if not file.exists():
            # A kill may have left a hidden half of a file, which is nobody's.
            if any(not path.name.endswith(".part") for path in parts.iterdir()):
                raise OutputError(f"{parts} is not empty and holds no parts of a registry; choose another --out")
            with io.atomic_write(file, "w") as writing:
                writing.write(mine)
        elif file.read_text(encoding="utf-8") != mine:
            raise OutputError(
                f"{parts} holds parts of a registry with other settings, or of another version of the program; remove "
                "it to start anew, or choose another --out"
            )
    except OSError as error:
        raise io.output_error(parts, error) from error


@lru_cache(maxsize=1)
def _sources_sha256() -> str:
    """Hash of everything that makes patients and images: parts of another version do not fit."""
    root = Path(myoscope.__file__).parent
    digest = hashlib.sha256()
    for package in _MAKERS:
        place = root / package
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    for limits in io.shipped_limits():
        digest.update(limits.sha256.encode())
    return digest.hexdigest()


def _members(settings: RegistrySettings, part: int) -> range:
    first = part * PATIENTS_PER_PART
    return range(first, min(first + PATIENTS_PER_PART, settings.patients))


def _part(settings: RegistrySettings, rows: Sequence[StudyRow]) -> io.CohortPart:
    columns = study_columns() if settings.pet is None else pet_study_columns()
    cohort = Cohort(
        np.array([row.patient for row in rows]),
        np.array([row.study for row in rows]),
        columns,
        {column.name: _column([row.values[column.name] for row in rows]) for column in columns},
        _made_by(settings),
    )
    kinds = (
        study_maps(settings.states, gated=settings.gated, processing=settings.processing)
        if settings.pet is None
        else pet_study_maps()
    )
    empty = {kind.name: np.full(kind.shape, np.nan, np.float32) for kind in kinds}
    values = {kind.name: np.stack([row.maps.get(kind.name, empty[kind.name]) for row in rows]) for kind in kinds}
    return io.CohortPart.of(cohort, kinds, values)


def _column(values: Sequence[float | int | bool | str]) -> np.ndarray[Any, Any]:
    """One type per column, whatever the rows of one part happen to hold."""
    if isinstance(values[0], str):
        return np.array(values, np.str_)
    if isinstance(values[0], bool | np.bool_):
        return np.array(values, np.bool_)
    # Seven digits are more than any of them has; half of the bytes.
    return np.array(values, np.float32).astype(np.float64)


def _made_by(settings: RegistrySettings) -> tuple[str, ...]:
    options = [
        *([] if len(settings.states) > 1 else [f"--state {settings.states[0]}"]),
        *([] if settings.gated or settings.pet else ["--ungated-only"]),
        *(["--all-positions"] if settings.all_positions else []),
        *(["--even-sexes"] if settings.even_sexes else []),
        *(["--processing analyze"] if settings.processing == "analyze" else []),
    ]
    verb = "registry" if settings.pet is None else f"pet-registry --tracer {settings.pet}"
    call = (
        f"myoscope simulate {verb} --seed {settings.seed} --patients {settings.patients} "
        f"--site {','.join(settings.sites)} --population {settings.population} {' '.join(options)}"
    )
    return (call.strip(), _PROVENANCE)


def _rows_of_parts(
    settings: RegistrySettings, parts: Sequence[int], workers: int, tell: Progress
) -> Iterator[tuple[int, list[StudyRow]]]:
    """Each part with its rows as soon as all of them are there."""
    todo = [(part, index) for part in parts for index in _members(settings, part)]
    before = settings.patients - len(todo)
    rows: dict[int, dict[int, StudyRow]] = {}
    start, work = time.monotonic(), partial(_study, settings)
    for done, ((part, index), row) in enumerate(in_processes(work, todo, workers, broken=_BROKEN), start=1):
        rows.setdefault(part, {})[index] = row
        pace = done / max(time.monotonic() - start, 1e-9)
        left_min = (len(todo) - done) / pace / 60
        tell(
            f"patient {before + done} of {settings.patients}, {3600 * pace:.0f} an hour, {left_min:.0f} min left",
            (before + done) / settings.patients,
        )
        members = _members(settings, part)
        if len(rows[part]) == len(members):
            finished = rows.pop(part)
            yield part, [finished[index] for index in members]


def _study(settings: RegistrySettings, index: int) -> StudyRow:
    number, site = settings.first_patient + index, settings.site_of(index)
    try:
        sex: Sex | None = None
        if settings.even_sexes:
            sex = "M" if index // len(settings.sites) % 2 else "F"
        about = settings.seed, site_named(site), settings.population, number
        if settings.pet is not None:
            return image_pet_study(*about, tracer=settings.pet, sex=sex)
        return image_study(
            *about,
            states=settings.states,
            gated=settings.gated,
            all_positions=settings.all_positions,
            limits=io.shipped_limits(),
            sex=sex,
            processing=settings.processing,
        )
    except (MyoscopeError, ArithmeticError, ValueError, RuntimeError, LookupError) as error:
        raise MyoscopeError(f"Patient {number} of site {site} could not be drawn: {error}") from error
