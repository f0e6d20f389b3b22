"""Normal limits from studies that `myoscope analyze` has analysed: a clinic's own patients of low likelihood.

Each result folder holds ``result.json``, which says what kind of study each image is, and its polar maps. Images of one
kind (sex, tracer, camera, position, state, correction, processing) make limits together and with no others, so that a
study finds the limits of its own kind. Who is of low likelihood is decided by whoever chooses the folders.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myoscope import io, quantify
from myoscope.core import AS_STORED, InvalidValue, MyoscopeError, NormalLimits, PolarMap, StudyKind, UnreadableFile
from myoscope.stored_result import RESULT_FILE, read_result
from myoscope.virtual import MANUFACTURER

LEAST_NORMALS = 20
_SEED = 1
_MOST_NAMED = 8  # kinds in the sentence that refuses
_STATED = ("sex", "tracer", "camera", "state")

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False, slots=True)
class NormalStudies:
    """Polar maps of analysed studies by kind, one of a kind for each study.

    ``skipped`` has one sentence for each folder or image that was left out, naming it, for the terminal. ``n_results``
    results were read; ``sha256`` stands for those that gave a map, ``software`` for the versions that analysed them.
    """

    maps: Mapping[StudyKind, tuple[PolarMap, ...]]
    skipped: tuple[str, ...]
    n_results: int
    sha256: str
    software: tuple[str, ...]


def result_folders(path: Path) -> tuple[Path, ...]:
    """Folders of results: ``path`` itself, or all that lie in it or deeper, in the order of their names."""
    if (path / RESULT_FILE).is_file():
        return (path,)
    found = []
    for place, below, files in os.walk(path):
        if RESULT_FILE in files:
            found.append(Path(place))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    return tuple(found)


def read_normal_studies(folders: Sequence[Path], *, progress: Progress | None = None) -> NormalStudies:
    """The polar maps of result folders by the kind of their study; what is damaged or unknown is left out and said.

    Raises
    ------
    UnreadableFile
        None of the folders gave a map.
    """
    tell = progress or (lambda step, fraction: None)
    maps: dict[StudyKind, list[PolarMap]] = {}
    seen: dict[tuple[StudyKind, str], str] = {}
    skipped: list[str] = []
    used = hashlib.sha256()
    software: set[str] = set()
    n_results = 0
    for number, folder in enumerate(dict.fromkeys(folders)):
        tell("reading results", number / len(folders))
        try:
            result = read_result(folder)
            images, left_out = _images_of(folder, result)
        except MyoscopeError as error:
            skipped.append(f"{folder.name} was left out: {_ending(error)}.")
            continue
        except (KeyError, TypeError, AttributeError):
            skipped.append(f"{folder.name} was left out: it holds no sound result of an analysis.")
            continue
        n_results += 1
        skipped += [f"{folder.name}, {sentence}" for sentence in left_out]
        gave = False
        for kind, (name, digest, polar_map) in images.items():
            if (kind, digest) in seen:
                skipped.append(f"{folder.name}, {name} was left out: it is the image that {seen[kind, digest]} gave.")
                continue
            seen[kind, digest] = folder.name
            maps.setdefault(kind, []).append(polar_map)
            gave = True
        if gave:
            used.update((folder / RESULT_FILE).read_bytes())
            software.add(_software(result))
    if not maps:
        why = f", such as: {skipped[0]}" if skipped else ""
        raise UnreadableFile(
            f"none of {len(folders)} folders gave a polar map of a known kind of study{why.rstrip('.')}"
        )
    kinds = {kind: tuple(found) for kind, found in maps.items()}
    return NormalStudies(kinds, tuple(skipped), n_results, used.hexdigest(), tuple(sorted(software)))


def limits_of_results(
    studies: NormalStudies, *, least: int = LEAST_NORMALS, progress: Progress | None = None
) -> tuple[NormalLimits, ...]:
    """Limits of every kind of which at least ``least`` studies were read; no kind is mixed with another.

    Raises
    ------
    InvalidValue
        No kind with enough studies, maps of one kind that were sampled in different ways or have different cells, or a
        part of the wall that was seldom seen.
    """
    tell = progress or (lambda step, fraction: None)
    enough = {kind: found for kind, found in studies.maps.items() if len(found) >= least}
    if not enough:
        raise InvalidValue(
            f"normal limits need at least {least} studies of one kind, and kinds are not mixed; these results hold "
            f"{counted(studies)}"
        )
    made = []
    for number, kind in enumerate(sorted(enough, key=str)):
        tell(str(kind), number / len(enough))
        found = enough[kind]
        method = _one_method(kind, found)
        made.append(
            quantify.build_limits(
                np.stack([one.value for one in found]),
                area_mm2=np.stack([one.area_mm2 for one in found]),
                kind=kind,
                method=method,
                provenance=_provenance(studies, kind),
                rng=np.random.default_rng(_SEED),
            )
        )
    return tuple(made)


def counted(studies: NormalStudies) -> str:
    """How many studies of each kind were read, the commonest first; of many kinds only those are named."""
    order = sorted(studies.maps.items(), key=lambda item: (-len(item[1]), str(item[0])))
    named = [f"{len(found)} of {kind}" for kind, found in order[:_MOST_NAMED]]
    others = len(order) - len(named)
    if others:
        named.append(f"and {others} other kinds with no more than {len(order[_MOST_NAMED][1])} each")
    return "; ".join(named)


def _images_of(folder: Path, result: Mapping[str, Any]) -> tuple[dict[StudyKind, tuple[str, str, PolarMap]], list[str]]:
    """The first image of each kind: name, hash of its inputs, polar map; and a sentence for each that is left out."""
    images: dict[StudyKind, tuple[str, str, PolarMap]] = {}
    left_out = []
    for series in result["series"]:
        if series["heart"] is None:
            continue
        name = str(series["name"])
        missing = [fact for fact in _STATED if not series[fact]["value"]]
        bad = [flag["message"] for flag in series["flags"] if flag["severity"] == "error"]
        if missing:
            left_out.append(f"{name} was left out: the files do not state the {' and the '.join(missing)}.")
            continue
        if bad:
            left_out.append(f"{name} was left out, since it is flagged as an error: {bad[0]}")
            continue
        if Path(name).name != name:
            left_out.append("an image was left out: its name is not the name of a folder.")
            continue
        kind = _kind(series)
        if kind in images:
            left_out.append(f"{name} was left out: {images[kind][0]} is an image of the same kind.")
            continue
        try:
            polar_map = io.load(folder / name / "polar_map.npz", PolarMap)
        except MyoscopeError as error:
            left_out.append(f"{name} was left out: {_ending(error)}.")
            continue
        if not np.isfinite(polar_map.value).any():
            left_out.append(f"{name} was left out: nothing of its wall was seen.")
            continue
        inputs = "".join(sorted(str(one["sha256"]) for one in series["inputs"]))
        images[kind] = (name, inputs or hashlib.sha256(polar_map.value.tobytes()).hexdigest(), polar_map)
    if not images and not left_out:
        left_out.append("which has no image with a heart, gave nothing.")
    return images, left_out


def _kind(series: Mapping[str, Any]) -> StudyKind:
    """The kind of study that an analysis looks for limits of."""
    processing = str(series["acquisition"].get("processing", AS_STORED))
    return StudyKind(
        sex=series["sex"]["value"],
        tracer=series["tracer"]["value"],
        camera=series["camera"]["value"],
        position=series["position"]["value"] or "supine",
        state=series["state"]["value"],
        corrected=series["corrected"]["value"] == "yes",
        processing=f"{processing}, gates summed" if series["gated"] else processing,
    )


def _one_method(kind: StudyKind, found: Sequence[PolarMap]) -> str:
    methods = [one.method for one in found]
    if len(set(methods)) > 1:
        told = " and ".join(f"{methods.count(one)} by {one}" for one in sorted(set(methods)))
        raise InvalidValue(
            f"polar maps of {kind} were sampled in different ways ({told}); analyse all studies with one --sampling"
        )
    if len({one.value.shape for one in found}) > 1:
        raise InvalidValue(
            f"polar maps of {kind} have different numbers of rings and angles and make no limits together"
        )
    return methods[0]


def _provenance(studies: NormalStudies, kind: StudyKind) -> str:
    who = "low-likelihood patients, as chosen by who made these limits"
    if kind.camera.startswith(f"{MANUFACTURER} "):
        who = "low-likelihood virtual patients, not people"
    return f"{who}; results of {' and '.join(studies.software)}, {studies.sha256[:12]}"


def _software(result: Mapping[str, Any]) -> str:
    about = result.get("software") or {}
    return f"{about.get('name', 'myoscope')} {about.get('version', '')}".strip()


def _ending(error: MyoscopeError) -> str:
    return str(error).rstrip(".")
