"""A virtual patient put together: person, disease, body, heart, tracer and motion, from one seed.

Every part is drawn from a random stream of its own, so that a further draw in one part moves none of the others. A
patient depends on seed, site and number; the same three give the same patient, whoever else is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS, CardiacFrame, Grid, InvalidValue, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.beats import Rhythm
from myoscope.simulate.beat import BeatingHeart
from myoscope.simulate.cameras import EMISSIONS, Emission
from myoscope.simulate.contraction import Contraction, contract
from myoscope.simulate.deficit import SHARE_OF_WALL
from myoscope.simulate.heart import MUSCLE_G_PER_ML, Heart, draw_heart
from myoscope.simulate.motion import Motion, draw_motion
from myoscope.simulate.organ_uptake import lung_factor, organ_concentrations
from myoscope.simulate.outcome import FollowUp, HeartSummary, follow_up
from myoscope.simulate.person import Sex
from myoscope.simulate.population_columns import Value, facts_row, outcome_row
from myoscope.simulate.referral import PatientFacts, Population, draw_patient_facts
from myoscope.simulate.scene import Scene
from myoscope.simulate.sites import HOURS_BETWEEN_DOSES, Position, Site, State, site_named
from myoscope.simulate.tissues import ORGANS, Tissues
from myoscope.simulate.torso import Torso, draw_torso

Disease = Literal[
    "any",
    "none",
    "LAD",
    "LCx",
    "RCA",
    "three-vessel",
    "left-main",
    "infarct",
    "microvascular",
    "lbbb",
    "cardiomyopathy",
]
"""What a patient may be asked to have; ``any`` leaves it to chance, ``none`` means no obstructed artery and no scar."""
STATES: tuple[State, ...] = ("stress", "rest")

BODY_GRID = Grid.axis_aligned((64, 48, 44), spacing_mm=9.6)
"""Where everything but the heart lies: 61 x 46 x 42 cm about the camera's centre."""
PHASES = 8
"""How many phases of the beat are told apart unless gates ask for more."""
_HEART_VOXEL_MM = 3.2

# The dedicated cameras see a small field: the technologist puts the heart into its middle, to within this (SD).
_CENTRED_TO_MM = 5.0
_TURNING_OVER_MIN = 4.0  # from the end of one position to the start of the next
_SICK_VESSELS_BELOW = 0.7  # hyperaemic flow that is left where small vessels are diseased
_MOST_TRIES, _MOST_TRIES_RESTRICTED = 5_000, 200
# Bodies and hearts are drawn for people of these builds; beyond, the nearest is taken.
_HEIGHT_CM, _BMI = (140.0, 210.0), (15.5, 49.5)
_CAVITY_FACTOR = (0.75, 1.55)
# Muscle over that of healthy volunteers by cardiac MRI: patients are older and heavier, and most have worked against a
# high pressure. Assumed; the walls are then 7 mm (women) and 9 mm (men) thick, the lower end of what echocardiography
# reports of such patients.
_PATIENT_MASS, _HYPERTENSIVE_MASS = (1.1, 1.35), (1.2, 1.7)
_ROOM_MM = 60.0  # how far a heart may reach beyond an image


@dataclass(frozen=True, slots=True)
class Look:
    """One acquisition of a patient's study: state, position, and when it begins after the injection."""

    state: State
    position: Position
    minutes_after_injection: float
    duration_s: float

    @property
    def name(self) -> str:
        return f"{self.state}-{self.position}"


@dataclass(frozen=True, eq=False)
class VirtualPatient:
    """One person with a heart, its disease and what happens to them in one study. Made by `draw_patient`.

    ``facts`` holds person, disease, perfusion, findings and decisions, ``outcome`` the years after; ``torso`` lies as
    drawn, ``heart`` in its supine place; ``contraction`` is how the wall moves in each state. ``wish`` says from which
    population, with what disease and of which sex the patient was wanted: another wish, another person.
    """

    seed: int
    index: int
    site: Site
    facts: PatientFacts
    torso: Torso
    heart: Heart
    contraction: Mapping[State, Contraction]
    outcome: FollowUp
    wish: str = ""
    _beats: dict[tuple[State, Position, int], BeatingHeart] = field(default_factory=dict, repr=False)

    @property
    def identifier(self) -> str:
        """A made-up name that tells patients of all seeds, sites and wishes apart."""
        return "-".join(part for part in (self.site.name, str(self.seed), self.wish, f"{self.index:06d}") if part)

    @property
    def emission(self) -> Emission:
        """Photons of the site's tracer."""
        return EMISSIONS[self.site.nuclide]

    @property
    def summary(self) -> str:
        """One line on who this is and what is the matter, and what it takes from uptake under this stress."""
        deficit = self.facts.deficit
        return (
            f"{self.who}; true deficit of the left ventricle {deficit.stress_percent:.0f} % under stress, "
            f"{deficit.rest_percent:.0f} % at rest"
        )

    @property
    def who(self) -> str:
        """One line on who this is and what is the matter, whatever stress comes."""
        person, disease = self.facts.person, self.facts.disease
        narrow = [f"{v} {worst:.0f} %" for v, worst in disease.worst_stenosis_percent.items() if worst > 0]
        also = [
            *(["infarct"] if disease.infarcts else []),
            *(["left bundle branch block"] if disease.lbbb else []),
            *([f"{disease.cardiomyopathy} cardiomyopathy"] if disease.cardiomyopathy else []),
        ]
        who = f"{'woman' if person.sex == 'F' else 'man'} of {person.age_y:.0f} years, {person.weight_kg:.0f} kg"
        what = ", ".join([f"stenosis {' and '.join(narrow)}" if narrow else "no stenosis", *also])
        return f"Virtual patient {self.identifier}: {who}; {what}"

    def looks(self, states: tuple[State, ...] = STATES, *, all_positions: bool = True) -> tuple[Look, ...]:
        """The acquisitions of this patient's study: the site's first position in every state, the others in stress.

        ``all_positions`` False leaves the others out.
        """
        found = []
        for state in states:
            scan = self.site.scan(state)
            minutes = scan.minutes_after_injection
            for position in self.site.positions if state == "stress" and all_positions else self.site.positions[:1]:
                found.append(Look(state, position, minutes, scan.duration_s))
                minutes += scan.duration_s / 60 + _TURNING_OVER_MIN
        return tuple(found)

    def rng(self, purpose: str) -> np.random.Generator:
        """The random stream of this patient for one purpose; the same name gives the same stream from its start."""
        return _stream(self.seed, self.site, self.wish, self.index, purpose)

    def placed(self, position: Position) -> Torso:
        """The body as it lies in the camera in a position."""
        if self.site.camera == "conventional":
            return self.torso
        centre = self.torso.seat(position).centre_mm
        return self.torso.moved(self.rng(f"table {position}").normal(0, _CENTRED_TO_MM, 3) - centre)

    def frame(self, position: Position) -> CardiacFrame:
        """Where the wall's centre lies and the long axis points, LPS mm in the camera, on average over breathing."""
        return self.placed(position).seat(position)

    def beating(self, state: State, position: Position, n_phases: int = PHASES) -> BeatingHeart:
        """The heart over one beat in the camera."""
        key = (state, position, n_phases)
        if key not in self._beats:
            beating = self.heart.beat(_asked(self.contraction[state]), n_phases, seat=self.frame(position))
            self._beats[key] = beating
        return self._beats[key]

    def tissues(self, state: State, position: Position, grid: Grid = BODY_GRID, *, n_phases: int = PHASES) -> Tissues:
        """The body with its heart, averaged over the beat, on a grid in the camera."""
        wide, inside = _with_room(grid)
        heart = self.beating(state, position, n_phases).fractions(wide)
        shares = {name: share[inside] for name, share in heart.items()}
        return self.placed(position).tissues(grid, position=position, heart=shares)

    def activity(self, look: Look, grid: Grid, *, n_phases: int = PHASES) -> Volume:
        """True activity of body and heart in the middle of an acquisition on a grid, kBq/mL, averaged over the beat."""
        wide, inside = _with_room(grid)
        organs, wall = self.concentrations(look)
        heart = self._heart_activity(look, wide, n_phases, organs, wall)
        tissues = self.tissues(look.state, look.position, grid, n_phases=n_phases)
        around = tissues.activity({name: value for name, value in organs.items() if name in ORGANS})
        array = np.asarray(around.array) + np.asarray(heart.array).mean(axis=0)[inside]
        return Volume(array.astype(np.float32), grid, "kBq/mL", (f"true activity of {self.identifier}, synthetic",))

    def wall_share(self, look: Look, grid: Grid, *, n_phases: int = PHASES) -> Volume:
        """True share of each voxel that is wall of the left ventricle (0 to 1), averaged over the beat."""
        wide, inside = _with_room(grid)
        share = self.beating(look.state, look.position, n_phases).fractions(wide)["lv_wall"][inside]
        return Volume(share, grid, "1", (f"true left ventricular wall of {self.identifier}, synthetic",))

    def _heart_activity(
        self, look: Look, grid: Grid, n_phases: int, organs: Mapping[str, float], wall: FloatArray
    ) -> Volume:
        return self.beating(look.state, look.position, n_phases).activity(
            grid,
            wall_kBq_mL=wall,
            rv_wall_kBq_mL=organs["rv_wall"],
            blood_kBq_mL=organs["blood"],
            atrial_wall_kBq_mL=organs["atrial_wall"],
        )

    def concentrations(self, look: Look) -> tuple[dict[str, float], FloatArray]:
        """Tracer in organs (kBq/mL) and in the wall of the left ventricle (40, 72) in the middle of an acquisition.

        In a one-day protocol, what the first dose left is still there.
        """
        wall = np.zeros((40, 72))
        organs: dict[str, float] = {}
        for state, dose_MBq, minutes in self._doses(look):
            uptake = self.facts.stress_uptake if state == "stress" else self.facts.rest_uptake
            person = self.facts.person
            # What redistributes was injected under stress, whenever it is imaged.
            injected: State = "stress" if self.site.redistributes else state
            given = organ_concentrations(
                tracer=self.site.tracer,
                state=injected,
                stress_type=person.stress_type,
                minutes_after_injection=minutes,
                injected_MBq=dose_MBq,
                weight_kg=person.weight_kg,
                sex=person.sex,
                rng=self.rng(f"organs {injected}"),
                lv_wall_mL=self.heart.mass_g / MUSCLE_G_PER_ML + self.heart.inner.volume_mL,
                lung_factor=lung_factor(self.facts.perfusion, state=injected),
            )
            wall = wall + given["lv_wall"] * uptake
            for name, value in given.items():
                organs[name] = organs.get(name, 0.0) + value
        return organs, wall

    def _doses(self, look: Look) -> list[tuple[State, float, float]]:
        """State, activity and minutes before the middle of the acquisition of every dose that is in the body."""
        middle = look.minutes_after_injection + look.duration_s / 120
        doses = [(look.state, self.site.scan(look.state).dose_MBq, middle)]
        other: State = "rest" if look.state == "stress" else "stress"
        if self.site.residual_MBq(look.state) > 0:
            doses.append((other, self.site.scan(other).dose_MBq, middle + 60 * HOURS_BETWEEN_DOSES))
        return doses

    def scene(
        self, look: Look, *, n_phases: int = PHASES, heart_grid: Grid | None = None, body_grid: Grid = BODY_GRID
    ) -> Scene:
        """What the camera sees in one acquisition: activity in kBq/mL and attenuation at the photopeak.

        ``n_phases`` is how many phases of the beat are told apart (1: their average). ``heart_grid`` is the box round
        the heart; by default the smallest one of voxels of 3.2 mm.
        """
        # A heart that is not gated is the average of a beating one, not a still one.
        told_apart = n_phases if n_phases > 1 else PHASES
        beating = self.beating(look.state, look.position, told_apart)
        organs, wall = self.concentrations(look)
        box = heart_grid or beating.box_grid(_HEART_VOXEL_MM)
        heart = self._heart_activity(look, box, told_apart, organs, wall)
        if n_phases == 1:
            mean = np.asarray(heart.array).mean(axis=0, keepdims=True)
            heart = Volume(mean, heart.grid, heart.unit, (*heart.made_by, "average of the beat"), "gate")
        tissues = self.tissues(look.state, look.position, body_grid, n_phases=told_apart)
        background = tissues.activity({name: value for name, value in organs.items() if name in ORGANS})
        return Scene(heart, background, tissues.attenuation_per_cm(self.emission.energy_keV))

    def motion(self, look: Look) -> Motion:
        """How the patient breathes and moves during an acquisition."""
        person = self.facts.person
        return draw_motion(
            sex=person.sex,
            state=look.state,
            stress_type=person.stress_type,
            rng=self.rng(f"motion {look.name}"),
            duration_s=look.duration_s,
        )

    def rhythm(self, look: Look) -> Rhythm:
        """The heart's rhythm during an acquisition: near the resting rate, a little above it after stress."""
        rng = self.rng(f"rhythm {look.name}")
        rate = self.facts.person.rest_heart_rate_bpm + (4.0 if look.state == "stress" else 0.0) + rng.normal(0, 3.0)
        # Most hearts skip now and then; a few do so all the time.
        ectopy = float(min(rng.gamma(0.5, 0.02), 0.2))
        return Rhythm(
            rr_ms=float(np.clip(60_000 / rate, 450, 1500)), variability=float(rng.uniform(0.02, 0.07)), ectopy=ectopy
        )

    def row(self) -> dict[str, Value]:
        """The patient's line in a table: values of ``population_columns.POPULATION_COLUMNS``."""
        return {**facts_row(self.facts), **outcome_row(self.outcome)}

    def truth(self) -> dict[str, Any]:
        """Everything that is true of this patient, as plain numbers and words (JSON), without the maps."""
        function = {}
        for state in STATES:
            beating = self.beating(state, self.site.positions[0])
            function[state] = {
                "edv_mL": beating.edv_mL,
                "esv_mL": beating.esv_mL,
                "ef_percent": beating.ef_percent,
                "end_systole_share_of_beat": beating.end_systole,
                "cavity_dilation_diameter": self.contraction[state].dilation,
            }
        looks = {}
        for look in self.looks():
            frame = self.frame(look.position)
            organs, _ = self.concentrations(look)
            motion, rhythm = self.motion(look), self.rhythm(look)
            looks[look.name] = {
                "minutes_after_injection": look.minutes_after_injection,
                "duration_s": look.duration_s,
                "dose_MBq": self.site.scan(look.state).dose_MBq,
                "residual_dose_MBq": self.site.residual_MBq(look.state),
                "heart_centre_mm": [float(x) for x in frame.centre_mm],
                "heart_long_axis": [float(x) for x in frame.long_axis],
                "concentration_kBq_mL": organs,
                "breathing_head_feet_mm": motion.breathing_si_mm,
                "breathing_anterior_mm": motion.breathing_ap_mm,
                "breathing_period_s": motion.breathing_period_s,
                "upward_creep_mm": motion.creep_mm,
                "drift_mm_per_min": list(motion.drift_mm_per_min),
                "shifts": [{"time_s": shift.time_s, "by_mm": list(shift.by_mm)} for shift in motion.shifts],
                "rr_ms": rhythm.rr_ms,
                "ectopic_share": rhythm.ectopy,
            }
        return {
            "synthetic": "simulated; not a patient",
            "seed": self.seed,
            "index": self.index,
            "site": self.site.name,
            "camera": self.site.camera,
            "tracer": self.site.tracer,
            "protocol": self.site.protocol,
            "row": {name: _plain(value) for name, value in self.row().items()},
            "coronaries": self.facts.disease.as_dict(),
            "left_ventricle": {
                "mass_g": self.heart.mass_g,
                "papillary_muscles_g": self.heart.inner.papillary_mL * MUSCLE_G_PER_ML,
                "trabeculae_g": float(self.heart.inner.trabeculae_mL.sum()) * MUSCLE_G_PER_ML,
                "convention": "papillary muscles and trabeculae count to the cavity, not to the mass of the wall",
                **function,
            },
            "body": {"breast_mL": self.torso.breast_mL, "lung_density_g_mL": self.torso.lung_density},
            "looks": looks,
        }

    def truth_maps(self) -> dict[str, NDArray[np.float64]]:
        """True polar maps (40, 72) by name; described in `TRUTH_MAPS`."""
        facts = self.facts
        maps = {
            "truth_stress_uptake": facts.stress_uptake,
            "truth_rest_uptake": facts.rest_uptake,
            "truth_stress_flow": facts.perfusion.stress_flow_mL_min_g,
            "truth_rest_flow": facts.perfusion.rest_flow_mL_min_g,
            "truth_scar": facts.perfusion.scar_fraction,
            "truth_territory": facts.disease.territory.astype(float),
            "truth_diseased": facts.disease.diseased,
        }
        for state in STATES:
            beating = self.beating(state, self.site.positions[0])
            maps[f"truth_{state}_thickness"] = beating.thickness_mm
            maps[f"truth_{state}_thickening"] = beating.thickening_percent
            maps[f"truth_{state}_displacement"] = beating.displacement_mm
            maps[f"truth_{state}_phase"] = beating.phase_deg
        return {name: np.asarray(value, np.float64) for name, value in maps.items()}


_OF_THE_BEAT = ("thickness", "thickening", "displacement", "phase")


def truth_map_names(states: Sequence[State], *, gated: bool) -> tuple[str, ...]:
    """Names of the true maps that belong beside images of these states: of the beat where they are gated."""
    left_out = {f"truth_{state}_{what}" for state in STATES if not (gated and state in states) for what in _OF_THE_BEAT}
    return tuple(name for name in TRUTH_MAPS if name not in left_out)


TRUTH_MAPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "truth_stress_uptake": ("tracer per mL of wall under stress relative to healthy wall", "1"),
        "truth_rest_uptake": ("tracer per mL of wall at rest relative to healthy wall", "1"),
        "truth_stress_flow": ("blood flow of living muscle under stress", "mL/min/g"),
        "truth_rest_flow": ("blood flow of living muscle at rest", "mL/min/g"),
        "truth_scar": ("dead share of the wall's thickness", "1"),
        "truth_territory": ("artery that gives most: 0 LAD, 1 LCx, 2 RCA", "1"),
        "truth_diseased": ("share of the blood that must pass an obstructive narrowing", "1"),
        **{
            f"truth_{state}_{what}": (meaning.format(when), unit)
            for state, when in (("stress", "after stress"), ("rest", "at rest"))
            for what, (meaning, unit) in {
                "thickness": ("thickness of the wall at end diastole {}, papillary muscles left out", "mm"),
                "thickening": ("gain of wall thickness from end diastole to end systole {}", "%"),
                "displacement": ("inward motion of the endocardium from end diastole to end systole {}", "mm"),
                "phase": ("time of greatest thickness in the cycle by its first harmonic {}", "deg"),
            }.items()
        },
    }
)
"""Meaning and unit of each true map."""


def draw_patient(
    seed: int,
    *,
    site: Site | str,
    population: Population = "all",
    index: int = 0,
    disease: Disease = "any",
    sex: Sex | None = None,
) -> VirtualPatient:
    """One virtual patient of a site and population; the same arguments give the same patient.

    ``disease`` asks for one; patients are then drawn until one has it, and nothing else is changed. Arteries asked for
    are the only obstructed ones. ``sex`` restricts further.

    Raises
    ------
    InvalidValue
        A seed or number below 0, or no such site, population or disease; or nobody found who fits.
    """
    if seed < 0 or index < 0:
        raise InvalidValue(f"seed and number of a patient are not negative, got {seed} and {index}")
    if disease not in get_args(Disease):
        raise InvalidValue(f"a disease is {', '.join(get_args(Disease))}, not {disease!r}")
    place = site_named(site) if isinstance(site, str) else site

    wish = "-".join(word for word, usual in ((population, "all"), (disease, "any"), (sex or "", "")) if word != usual)

    def stream(purpose: str) -> np.random.Generator:
        return _stream(seed, place, wish, index, purpose)

    facts = _facts(place, population, disease, sex, stream("facts"))
    person, found = facts.person, facts.disease
    height_cm = float(np.clip(person.height_cm, *_HEIGHT_CM))
    low_kg, high_kg = (bmi * (height_cm / 100) ** 2 for bmi in _BMI)
    weight_kg = float(np.clip(person.weight_kg, low_kg, high_kg))
    torso = draw_torso(sex=person.sex, height_cm=height_cm, weight_kg=weight_kg, rng=stream("torso"))
    heart = draw_heart(
        sex=person.sex,
        height_cm=height_cm,
        weight_kg=weight_kg,
        seat=torso.heart_seat,
        rng=stream("heart"),
        # A factor on diameters here, on volume there.
        dilation=float(np.clip(found.dilation**3, 0.2, 3)),
        hypertrophy=float(np.clip(found.hypertrophy * _pressure_load(person.hypertension, stream("load")), 0.5, 3)),
    )
    # The same stream for both states: they differ by what stress did.
    contraction = {state: contract(found, facts.perfusion, state=state, rng=stream("contraction")) for state in STATES}
    patient = VirtualPatient(seed, index, place, facts, torso, heart, contraction, _NOT_FOLLOWED, wish)
    summary = HeartSummary(
        deficit_percent=facts.deficit.stress_percent,
        ischaemic_percent=facts.deficit.ischaemic_percent,
        scar_percent=100 * float((SHARE_OF_WALL * facts.perfusion.scar_fraction).sum()),
        ef_percent=float(np.clip(patient.beating("rest", place.positions[0]).ef_percent, 0, 100)),
    )
    outcome = follow_up(
        person,
        summary,
        stream("outcome"),
        referred=facts.referred,
        obstructive_vessels=facts.obstructive_vessels,
    )
    return replace(patient, outcome=outcome)


def _pressure_load(hypertension: bool, rng: np.random.Generator) -> float:
    """How much more muscle a patient's heart has than a healthy volunteer's."""
    return float(rng.uniform(*(_HYPERTENSIVE_MASS if hypertension else _PATIENT_MASS)))


_NOT_FOLLOWED = FollowUp(math.nan, math.nan, math.nan, math.nan, False)


@dataclass(frozen=True, eq=False, slots=True)
class _Asked:
    """A contraction as the heart is asked for it: the cavity's volume is dilated, not its diameter."""

    thickening: FloatArray
    delay_deg: FloatArray
    dilation: float


def _asked(contraction: Contraction) -> _Asked:
    cavity = float(np.clip(contraction.dilation**3, *_CAVITY_FACTOR))
    return _Asked(contraction.thickening, contraction.delay_deg, cavity)


def _with_room(grid: Grid) -> tuple[Grid, tuple[slice, slice, slice]]:
    """The grid with room for a heart that reaches beyond it, and where the grid itself lies in that."""
    margin = np.ceil(_ROOM_MM / grid.spacing_mm).astype(int)
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm(-margin)
    shape = tuple(int(n + 2 * m) for n, m in zip(grid.shape, margin, strict=True))
    i, j, k = (slice(int(m), int(m + n)) for n, m in zip(grid.shape, margin, strict=True))
    return Grid((shape[0], shape[1], shape[2]), affine), (i, j, k)


def _facts(
    site: Site, population: Population, disease: Disease, sex: Sex | None, rng: np.random.Generator
) -> PatientFacts:
    fits = _WANTED[disease]
    # Members of a restricted population are long to find each.
    tries = _MOST_TRIES if population == "all" else _MOST_TRIES_RESTRICTED
    for _ in range(tries):
        facts = draw_patient_facts(site, population, rng, sex=sex)
        if fits(facts):
            return facts
    raise InvalidValue(
        f"{tries} patients of site {site.name}, population {population}, held nobody with {disease}; such patients are "
        "too rare to be found by chance"
    )


def _only(*vessels: str) -> Callable[[PatientFacts], bool]:
    def fits(facts: PatientFacts) -> bool:
        obstructed = {v for v in VESSELS if facts.disease.obstructive[v]}
        return obstructed == set(vessels) and not facts.disease.left_main_obstructive

    return fits


_WANTED: Mapping[Disease, Callable[[PatientFacts], bool]] = {
    "any": lambda facts: True,
    "none": lambda facts: _only()(facts) and not facts.disease.infarcts,
    "LAD": _only("LAD"),
    "LCx": _only("LCx"),
    "RCA": _only("RCA"),
    "three-vessel": _only(*VESSELS),
    "left-main": lambda facts: facts.disease.left_main_obstructive,
    "infarct": lambda facts: bool(facts.disease.infarcts),
    "microvascular": lambda facts: _only()(facts) and facts.disease.microvascular_factor < _SICK_VESSELS_BELOW,
    "lbbb": lambda facts: facts.disease.lbbb,
    "cardiomyopathy": lambda facts: facts.disease.cardiomyopathy is not None,
}


def _stream(seed: int, site: Site, wish: str, index: int, purpose: str) -> np.random.Generator:
    # Names and not numbers: a purpose that is added later does not shift the others.
    entropy = [seed, crc32(f"{site.name} {wish}".encode()), index, crc32(purpose.encode())]
    return np.random.default_rng(np.random.SeedSequence(entropy))


def _plain(value: Value) -> Value | None:
    """JSON has no NaN: a missing number is null."""
    return None if isinstance(value, float) and math.isnan(value) else value
