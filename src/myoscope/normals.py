"""Normal limits from the low-likelihood patients of cohorts, one signed file per kind of study.

Patients of one sex, camera and tracer and one image of theirs (state, position, correction; of dynamic PET the late
frames) make one file. A cohort
keeps polar maps and no walls, so cells weigh as on a wall of average shape. For the virtual centres the words for
camera and tracer are those that their DICOM files carry, so that a study simulated there finds its limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from myoscope import io, quantify
from myoscope.core import AS_STORED, InvalidValue, NormalLimits, StudyKind
from myoscope.core.geometry import FloatArray
from myoscope.simulate.deficit import SHARE_OF_WALL
from myoscope.simulate.sites import SITES, Position, State
from myoscope.systems.perfusion_inputs import SAMPLED_BY
from myoscope.virtual import kind_of
from myoscope.virtual_pet import LATE_IMAGES, TRACER_WORDS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LEAST_NORMALS = 20
_LOW_LIKELIHOOD = "low-likelihood"
_AVERAGE_WALL_MM2 = 12_000.0
_STATES, _POSITIONS = ("stress", "rest"), ("supine", "prone", "upright")
_SEED = 1
_UNSAID = ("", "None", "nan")  # how a table holds what nobody wrote

Progress = Callable[[str, float], None]


def limits_of_cohorts(
    folders: Sequence[io.CohortFolder], *, least: int = LEAST_NORMALS, progress: Progress | None = None
) -> tuple[NormalLimits, ...]:
    """Limits of every kind of study that at least ``least`` low-likelihood patients of the cohorts had.

    Raises
    ------
    InvalidValue
        A cohort without the columns sex, camera, tracer and population, no kind with enough patients, or maps with a
        part of the wall that was seldom seen.
    """
    tell = progress or (lambda step, fraction: None)
    maps: dict[StudyKind, list[FloatArray]] = {}
    for folder in folders:
        kinds = {kind.name for kind in folder.kinds if kind.unit == "counts" or kind.name in LATE_IMAGES}
        low = np.flatnonzero(folder.cohort["population"] == _LOW_LIKELIHOOD)
        for image in _images():
            if image in kinds:
                values = folder.map(image)
                for row in low:
                    if np.isfinite(values[row]).any():
                        maps.setdefault(_kind(folder, int(row), image), []).append(values[row].astype(np.float64))
    enough = {kind: found for kind, found in maps.items() if len(found) >= least}
    if not enough:
        most = max((len(found) for found in maps.values()), default=0)
        raise InvalidValue(
            f"normal limits need at least {least} low-likelihood patients of one sex, camera, tracer and image; these "
            f"cohorts have {most} at most"
        )
    provenance = f"{_what(folders)}, cohort {' and '.join(folder.sha256[:12] for folder in folders)}"
    made = []
    for number, kind in enumerate(sorted(enough, key=str)):
        tell(str(kind), number / len(enough))
        made.append(
            quantify.build_limits(
                np.stack(enough[kind]),
                area_mm2=_AVERAGE_WALL_MM2 * SHARE_OF_WALL,
                kind=kind,
                method=SAMPLED_BY,
                provenance=provenance,
                rng=np.random.default_rng(_SEED),
            )
        )
    return tuple(made)


def write_limits_folder(
    limits: Sequence[NormalLimits],
    out: Path,
    *,
    key: Ed25519PrivateKey | None = None,
    signer_name: str = "",
    overwrite: bool = False,
) -> None:
    """Store limits in the folder ``out``, a file for each, whole or not at all; with a key, its public half beside.

    Raises
    ------
    OutputError
        ``out`` exists (and may not be replaced) or cannot be written.
    InvalidValue
        A key without the name of its owner.
    """
    sign = io.limits_file_name(limits[0].kind)
    with io.atomic_folder(out, replace=overwrite, sign=sign) as folder:
        for one in limits:
            io.write_limits(one, folder / io.limits_file_name(one.kind), key=key, signer_name=signer_name)
        if key is not None:
            about = json.dumps(asdict(io.signer_of(key, signer_name)), ensure_ascii=False) + "\n"
            (folder / io.KEY_FILE).write_text(about, encoding="utf-8", newline="\n")


def _images() -> tuple[str, ...]:
    return (*(f"{s}_{p}{c}" for s in _STATES for p in _POSITIONS for c in ("", "_ac")), *LATE_IMAGES)


def _kind(folder: io.CohortFolder, row: int, image: str) -> StudyKind:
    sex, camera, tracer = (str(folder.cohort[name][row]) for name in ("sex", "camera", "tracer"))
    if image in LATE_IMAGES:
        return StudyKind(
            sex=sex,
            tracer=TRACER_WORDS.get(tracer, tracer),
            camera=camera,
            position="supine",
            state=LATE_IMAGES[image],
            corrected=True,
            processing=AS_STORED,
        )
    state, position, *correction = image.split("_")
    site = SITES.get(str(folder.cohort["site"][row])) if "site" in folder.cohort.values else None
    corrected = correction == ["ac"]
    column = "processing_ac" if corrected else "processing"
    said = str(folder.cohort[column][row]) if column in folder.cohort.values else ""
    processing = AS_STORED if said in _UNSAID else said
    if site is not None and (site.camera, site.tracer) == (camera, tracer):
        kind = kind_of(site, sex, cast(State, state), cast(Position, position), corrected=corrected)
        return replace(kind, processing=processing)
    return StudyKind(
        sex=sex,
        tracer=tracer,
        camera=camera,
        position=position,
        state=state,
        corrected=corrected,
        processing=processing,
    )


def _what(folders: Sequence[io.CohortFolder]) -> str:
    virtual = all("virtual patients" in " ".join(folder.cohort.made_by) for folder in folders)
    return "low-likelihood virtual patients, not people" if virtual else "low-likelihood patients"
