"""One virtual patient from seed to files, and from seed to a row of a registry. Read top to bottom.

draw -> photograph every state and position -> reconstruct as the patient's site does -> write a DICOM study with the
truth beside it (`simulate_patient`), or find the heart in the images and keep its polar maps (`image_study`). What
finds and measures the heart here knows the images only, never the truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from myoscope import io, made_images
from myoscope.core import (
    AS_STORED,
    Grid,
    InvalidValue,
    Projections,
    Series,
    StudyKind,
    Volume,
)
from myoscope.correct import broad_beam, ct_to_mu, estimate_scatter, mu_on_grid
from myoscope.reconstruct import Butterworth, Gaussian, ReconstructionSettings, photopeak, reconstruct
from myoscope.simulate.acquire import acquire, acquire_gated_and_ungated
from myoscope.simulate.cameras import CAMERAS, Camera
from myoscope.simulate.patient import Disease, Look, VirtualPatient, draw_patient
from myoscope.simulate.referral import Population
from myoscope.simulate.sites import Position, Site, SiteReconstruction, State, Tracer, site_named

COMMENT = "synthetic (simulated), not a patient"
MANUFACTURER = "Myoscope"
CT_KVP = 120.0
_CT_NOISE_HU = 12.0
_CT_GRID = Grid.axis_aligned((128, 96, 84), spacing_mm=4.8)
_MU_GRID = Grid.axis_aligned((64, 64, 48), spacing_mm=6.4)

Processing = Literal["site", "analyze"]
"""By whose habit projections are reconstructed: the site's, or the program's where it gets projections alone."""
Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is behind us, 0 to 1."""


@dataclass(frozen=True, eq=False, slots=True)
class Images:
    """What one look gives: projections as stored, and the site's reconstructions of them (counts).

    ``gated_projections`` and ``gated`` are None where nothing was gated, ``corrected`` where no CT corrects.
    ``processing`` says how the others were made, for normal limits.
    """

    look: Look
    projections: Projections
    gated_projections: Projections | None
    uncorrected: Volume
    corrected: Volume | None
    gated: Volume | None
    processing: str = AS_STORED
    processing_corrected: str = AS_STORED


@dataclass(frozen=True, slots=True)
class PatientSettings:
    """One virtual study: whose, what is the matter, and how CT and emission lie to each other.

    ``tracer`` None takes the site's; thallium comes with its own protocol (`Site.with_tracer`). ``with_ct`` None gives
    a CT where the site has one. ``misregistration_mm`` (LPS) moves the CT, and with it the mu map and what it corrects,
    against the emission.
    """

    seed: int
    site: Site | str = "harbour"
    index: int = 0
    population: Population = "all"
    disease: Disease = "any"
    tracer: Tracer | None = None
    with_ct: bool | None = None
    misregistration_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.tracer not in (None, *get_args(Tracer)):
            raise InvalidValue(f"a tracer is {', '.join(get_args(Tracer))}, not {self.tracer!r}")
        if not np.isfinite(self.misregistration_mm).all() or np.abs(self.misregistration_mm).max() > 100:
            raise InvalidValue(f"a CT is misplaced by up to 100 mm, got {self.misregistration_mm}")


def simulate_patient(settings: PatientSettings, out: Path, *, progress: Progress | None = None) -> VirtualPatient:
    """Simulate one patient's study into the folder ``out``: DICOM in ``dicom``, the truth in ``truth.json``, ``truth``.

    The folder appears whole or not at all.

    Raises
    ------
    OutputError
        ``out`` exists (and may not be replaced) or cannot be written.
    InvalidValue
        No such site, population or disease; a misplaced CT where there is none.
    """
    tell = progress or (lambda step, fraction: None)
    io.refuse_existing(out, replace=settings.overwrite, sign=io.TRUTH_FILE)
    tell("drawing the patient", 0.0)
    patient = draw_patient(
        settings.seed,
        site=_site(settings),
        population=settings.population,
        index=settings.index,
        disease=settings.disease,
    )
    with_ct = patient.site.has_ct if settings.with_ct is None else settings.with_ct
    if any(settings.misregistration_mm) and not with_ct:
        raise InvalidValue(f"site {patient.site.name} has no CT that could be misplaced; ask for one (--ct)")
    with io.atomic_folder(out, replace=settings.overwrite, sign=io.TRUTH_FILE) as folder, _one_thread():
        (folder / "dicom").mkdir()
        (folder / io.TRUTH_FOLDER).mkdir()
        looks = patient.looks()
        mu_maps: dict[Position, Volume] = {}
        for number, look in enumerate(looks):
            start, width = 0.05 + 0.9 * number / len(looks), 0.9 / len(looks)
            tell(f"{look.state}, {look.position}: acquiring", start)
            if with_ct and look.position not in mu_maps:
                ct = _ct(patient, look, settings.misregistration_mm, _CT_GRID)
                mu_maps[look.position] = _mu_of(patient, ct)
                _write_ct(patient, look, ct, mu_maps[look.position], folder / "dicom", settings)
            images = photograph(patient, look, gated=True, mu_map=mu_maps.get(look.position))
            tell(f"{look.state}, {look.position}: writing", start + 0.8 * width)
            _write_images(patient, images, folder / "dicom", 10 * (number + 1), settings)
            _write_truth_images(patient, images, folder / io.TRUTH_FOLDER)
        tell("writing the truth", 0.97)
        truth = patient.truth() | {"ct_misregistration_mm": list(settings.misregistration_mm) if with_ct else None}
        text = json.dumps(truth, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / io.TRUTH_FILE).write_text(text, encoding="utf-8", newline="\n")
        with (folder / io.TRUTH_FOLDER / "polar_maps.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **patient.truth_maps())
    tell("done", 1.0)
    return patient


def _site(settings: PatientSettings) -> Site:
    """The patient's site, with the tracer that was asked for."""
    site = site_named(settings.site) if isinstance(settings.site, str) else settings.site
    return site if settings.tracer is None else site.with_tracer(settings.tracer)


def photograph(
    patient: VirtualPatient,
    look: Look,
    *,
    gated: bool,
    mu_map: Volume | None = None,
    processing: Processing = "site",
) -> Images:
    """Acquire one look and reconstruct it as the patient's site does, or as `analyze` does it of projections.

    ``mu_map`` (1/cm, narrow beam) adds a corrected image; scatter is corrected with it where the site does so, and
    otherwise allowed for by the map's lower, broad-beam values. A site that does not iterate does so for that image.
    """
    site, camera = patient.site, CAMERAS[patient.site.camera]
    about: dict[str, Any] = {
        "view_duration_s": _view_duration_s(camera, look.duration_s),
        "motion": patient.motion(look),
        "emission": patient.emission,
        "rng": patient.rng(f"counts {look.name}"),
    }
    gated_projections = None
    if gated:
        scene = patient.scene(look, n_phases=site.gates)
        gated_projections, projections = acquire_gated_and_ungated(scene, camera, beats=patient.rhythm(look), **about)
    else:
        projections = acquire(patient.scene(look, n_phases=1), camera, beats=None, **about)
    if processing == "analyze":
        return _as_analyzed(look, projections, gated_projections, mu_map)
    plain = reconstruction_settings(replace(site.reconstruction, attenuation=False))
    corrected = None
    if mu_map is not None:
        scatter = None
        if site.reconstruction.scatter:
            scatter = estimate_scatter(projections, photopeak=photopeak(projections))
        corrected = reconstruct(
            projections,
            settings=_iterative(reconstruction_settings(site.reconstruction)),
            attenuation=broad_beam(mu_map) if scatter is None else mu_map,
            scatter=None if scatter is None else scatter.counts,
        )
    return Images(
        look,
        projections,
        gated_projections,
        reconstruct(projections, settings=plain),
        corrected,
        None
        if gated_projections is None
        else reconstruct(gated_projections, settings=reconstruction_settings(site.gated_reconstruction)),
    )


def _as_analyzed(
    look: Look, projections: Projections, gated_projections: Projections | None, mu_map: Volume | None
) -> Images:
    """The images that `analyze` makes of projections that come without any."""
    settings, tell = ReconstructionSettings(), (lambda step, fraction: None)
    corrected = None
    if mu_map is not None:
        own_map = Series("mu-map", "MU MAP", mu_map)
        corrected, _, _ = made_images.corrected_image(projections, None, own_map, None, settings, tell)
    gates = None if gated_projections is None else reconstruct(gated_projections, settings=settings)
    uncorrected = reconstruct(projections, settings=settings)
    said = made_images.processing_of(uncorrected, projections)
    said_corrected = "" if corrected is None else made_images.processing_of(corrected, projections)
    return Images(look, projections, gated_projections, uncorrected, corrected, gates, said, said_corrected)


def _iterative(settings: ReconstructionSettings) -> ReconstructionSettings:
    """The same settings, or the usual ones of OSEM in the place of filtered back-projection, which corrects nothing."""
    if settings.method != "fbp":
        return settings
    return ReconstructionSettings("osem", 4, 8, post_filter=settings.post_filter)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of many threads differ in their last digits, and with them counts that are drawn from a sum."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reconstruction_settings(chosen: SiteReconstruction) -> ReconstructionSettings:
    """A site's words about reconstruction as settings of it."""
    if chosen.filter_kind == "gaussian":
        smoothing: Butterworth | Gaussian | Literal["none"] = Gaussian(chosen.filter_fwhm_mm)
    elif chosen.filter_kind == "none":
        smoothing = "none"
    else:
        smoothing = Butterworth(chosen.filter_order, chosen.filter_cutoff_per_cm, "cycles/cm", "amplitude")
    return ReconstructionSettings(
        method=chosen.method,
        iterations=chosen.iterations,
        subsets=chosen.subsets,
        response="auto" if chosen.response else "off",
        post_filter=smoothing,
        median_prior=chosen.median_prior,
    )


def _view_duration_s(camera: Camera, scan_s: float) -> float:
    """How long each stop lasts so that the whole scan takes its time."""
    return (scan_s - (camera.n_stops - 1) * camera.step_s) / camera.n_stops


def _ct(patient: VirtualPatient, look: Look, shift_mm: ArrayLike, grid: Grid) -> Volume:
    """A low-dose CT of the patient in this position, misplaced by a shift (LPS mm)."""
    tissues = patient.tissues(look.state, look.position, grid)
    rng = patient.rng(f"ct noise {look.position}")
    return tissues.ct(CT_KVP, noise_hu=_CT_NOISE_HU, shift_mm=shift_mm, rng=rng)


def _mu_of(patient: VirtualPatient, ct: Volume) -> Volume:
    """The attenuation map that a site makes of its CT."""
    mu = ct_to_mu(ct, kvp=CT_KVP, energy_keV=patient.emission.energy_keV)
    return mu_on_grid(mu, _MU_GRID)[0]


def aligned_mu_map(patient: VirtualPatient, look: Look) -> Volume:
    """The attenuation map (1/cm, narrow beam) of a CT that lies exactly on the emission images."""
    return _mu_of(patient, _ct(patient, look, (0.0, 0.0, 0.0), _MU_GRID))


def _describe(
    patient: VirtualPatient, look: Look, words: str, number: int, settings: PatientSettings, **more: Any
) -> io.NmDescription:
    person, camera = patient.facts.person, CAMERAS[patient.site.camera]
    return io.NmDescription(
        patient_name=f"Synthetic^{patient.identifier}",
        patient_id=f"SYNTHETIC-{patient.identifier}",
        sex=person.sex,
        age_y=person.age_y,
        state=look.state,
        position=look.position,
        gantry=None if look.position == "upright" else "head-first",
        tracer=tracer_words(patient.site),
        dose_MBq=patient.site.scan(look.state).dose_MBq,
        camera=f"virtual {camera.name}",
        collimator=camera.collimator if camera.turns else "generic",
        geometry=None if camera.turns else camera.collimator,
        energy_windows=patient.emission.windows[:1],
        study_description="Virtual myocardial perfusion study",
        series_description=f"{look.state} {look.position} {words}, synthetic",
        series_label=f"{look.name} {words}",
        place_label=look.position,
        series_number=number,
        # Another CT, or one misplaced otherwise, makes other images: they are not to be taken for these.
        uid_seed=f"myoscope virtual {patient.identifier} {patient.site.tracer} "
        f"{settings.with_ct} {settings.misregistration_mm}",
        comments=COMMENT,
        **more,
    )


def tracer_words(site: Site) -> str:
    """The site's tracer as DICOM says it."""
    return site.nuclide if site.tracer == "thallium" else f"{site.nuclide} {site.tracer}"


def kind_of(site: Site, sex: str, state: State, position: Position, *, corrected: bool) -> StudyKind:
    """What kind of study an image of this site is, as its DICOM files would say."""
    return StudyKind(
        sex=sex,
        tracer=tracer_words(site),
        camera=f"{MANUFACTURER} virtual {CAMERAS[site.camera].name}",
        position=position,
        state=state,
        corrected=corrected,
    )


def _write_images(
    patient: VirtualPatient, images: Images, folder: Path, number: int, settings: PatientSettings
) -> None:
    look = images.look

    def about(words: str, step: int, **more: Any) -> io.NmDescription:
        return _describe(patient, look, words, number + step, settings, **more)

    name = look.name
    io.write_nm_projections(images.projections, folder / f"{name}-projections.dcm", description=about("projections", 0))
    if images.gated_projections is not None:
        io.write_nm_projections(
            images.gated_projections,
            folder / f"{name}-gated-projections.dcm",
            description=about("gated projections", 1),
        )
    io.write_nm(images.uncorrected, folder / f"{name}.dcm", description=about("NAC", 2, corrected=False))
    if images.corrected is not None:
        io.write_nm(images.corrected, folder / f"{name}-ac.dcm", description=about("AC", 3, corrected=True))
    if images.gated is not None:
        io.write_nm(images.gated, folder / f"{name}-gated.dcm", description=about("gated", 4, corrected=False))


def _write_ct(
    patient: VirtualPatient, look: Look, ct: Volume, mu_map: Volume, folder: Path, settings: PatientSettings
) -> None:
    """CT and mu map, in the place of all images of this position."""
    first = look.position == patient.site.positions[0]
    names = ("ct", "mu-map.dcm") if first else (f"ct-{look.position}", f"mu-map-{look.position}.dcm")
    about = _describe(patient, look, f"CT {look.position}", 2 if first else 4, settings)
    about = replace(about, state=None, tracer=None, dose_MBq=None, series_description="CT, synthetic", geometry=None)
    io.write_ct(ct, folder / names[0], about, kvp=CT_KVP)
    io.write_nm(
        mu_map,
        folder / names[1],
        description=replace(
            about,
            series_label=f"mu map {look.position}",
            series_number=about.series_number + 1,
            series_description="mu map, synthetic",
        ),
    )


def _write_truth_images(patient: VirtualPatient, images: Images, folder: Path) -> None:
    """True activity, attenuation and share of wall on the image's own grid, averaged over the beat; walls by gate."""
    look, grid = images.look, images.uncorrected.grid
    n_phases = patient.site.gates
    tissues = patient.tissues(look.state, look.position, grid, n_phases=n_phases)
    io.write_nifti(tissues.attenuation_per_cm(patient.emission.energy_keV), folder / f"{look.name}-mu.nii.gz")
    io.save(patient.beating(look.state, look.position, n_phases).surfaces, folder / f"{look.name}-surfaces.npz")
    io.write_nifti(patient.activity(look, grid, n_phases=n_phases), folder / f"{look.name}-activity.nii.gz")
    io.write_nifti(patient.wall_share(look, grid, n_phases=n_phases), folder / f"{look.name}-lv-wall.nii.gz")
