"""Known artefacts of myocardial perfusion SPECT, looked for in virtual patients with normal hearts.

    python docs/make/validate_artefacts.py [--seed 1] [--quick]

writes ``docs/validation/artefacts.md`` and its figures. Nothing in the simulation puts an artefact into an image;
what is measured here follows from anatomy, physiology and photons. Expected counts without Poisson noise are used, so
that a small number of patients shows what is systematic. One core, about ten minutes (``--quick``: about one).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Gating, Grid, MyoscopeError, Projections, Surfaces, Volume
from myoscope.heart import find_left_ventricle, sample_wall
from myoscope.measure import measure_wall
from myoscope.quantify import ventricular_function
from myoscope.reconstruct import ReconstructionSettings, reconstruct
from myoscope.simulate.acquire import expected_counts
from myoscope.simulate.beat import BeatingHeart
from myoscope.simulate.build import Sex
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.contraction import Contraction, healthy_thickening
from myoscope.simulate.heart import Heart, draw_heart
from myoscope.simulate.motion import AT_REST, Motion
from myoscope.simulate.organ_uptake import organ_concentrations
from myoscope.simulate.scene import Scene
from myoscope.simulate.torso import Position, Torso, draw_torso

Array = NDArray[np.float64]
Volumes = tuple[float, float, float]
PAGE = Path(__file__).parents[1] / "validation" / "artefacts.md"
FIGURES = PAGE.parent / "figures"
BODY = Grid.axis_aligned((64, 48, 44), spacing_mm=9.6)
MU_GRID = Grid.axis_aligned((64, 64, 64), spacing_mm=6.4)
CAMERA = CAMERAS["conventional"]
VIEW_S = 25.0
# Rings of the polar map between the apical cap and the base, and the middles of four walls (degrees).
RINGS = slice(12, 34)
WALLS = {"lateral": 0, "anterior": 90, "septal": 180, "inferior": 270}
ORDER = ("anterior", "lateral", "inferior", "septal")
SEXES: tuple[Sex, ...] = ("F", "M")
POSITIONS: tuple[Position, ...] = ("supine", "prone")
ITERATED = ReconstructionSettings(method="osem", response="off")
INTRODUCTION = """\
Artefacts that every reader of perfusion SPECT knows, looked for in virtual patients whose uptake is even and whose
contraction is normal. The simulation has no switch for any of them. The height of the domes and the place of the
breasts were settled while watching the first of them: its direction is physics, its size was steered. All patients
are virtual; expected counts without noise; seed {seed}. Polar maps are sampled on the true wall, so that errors of
finding it do not enter, except for
volumes, where the whole chain is at work.

Most of them appear. Women lose the anterior wall to the inferior one and men the inferior wall, less so when they lie
prone; correction brings the sexes together. The loss in men is mild on average and grows with a high diaphragm. Creep
takes from the inferior wall and makes patches elsewhere. A hot liver adds counts to the inferior wall where attenuation
is corrected, and only takes counts away where it is not. Averaging over fewer gates lowers the true ejection fraction,
which the analysis undoes by itself. Small hearts come out the other way round than in published programs, which find
too little of a cavity that all but closes in systole: here it is measured too large.
"""
CREEP_MM = (4.0, 8.0, 13.0)
LIVER = (0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Normal:
    """One virtual patient with even uptake and normal contraction."""

    sex: Sex
    bmi: float
    torso: Torso
    heart: Heart
    contraction: Contraction
    kBq_mL: Mapping[str, float]

    def beating(self, n_phases: int, position: Position = "supine") -> BeatingHeart:
        return self.heart.beat(self.contraction, n_phases, seat=self.torso.seat(position))

    def scene(
        self,
        beating: BeatingHeart,
        *,
        position: Position = "supine",
        organs: Mapping[str, float] | None = None,
    ) -> Scene:
        """The patient in the camera; ``organs`` replaces concentrations (kBq/mL)."""
        c = {**self.kBq_mL, **(organs or {})}
        heart = beating.activity(
            beating.box_grid(3.2),
            wall_kBq_mL=np.full((40, 72), c["lv_wall"]),
            rv_wall_kBq_mL=c["rv_wall"],
            blood_kBq_mL=c["blood"],
            atrial_wall_kBq_mL=c["atrial_wall"],
        )
        tissues = self.torso.tissues(BODY, position=position, heart=beating.fractions(BODY))
        return Scene(heart, tissues.activity(c), tissues.attenuation_per_cm(140.5))

    def spared(self) -> Normal:
        """The same person without breasts, or with both domes of the diaphragm 20 mm lower."""
        if self.sex == "F":
            return replace(self, torso=replace(self.torso, breast_mL=1.0))
        right, left = self.torso.organs.dome_mm
        return replace(
            self, torso=replace(self.torso, organs=replace(self.torso.organs, dome_mm=(right - 20, left - 20)))
        )

    def mu_map(self, beating: BeatingHeart, position: Position = "supine") -> Volume:
        tissues = self.torso.tissues(MU_GRID, position=position, heart=beating.fractions(MU_GRID))
        return tissues.attenuation_per_cm(140.5)


def draw_normal(sex: Sex, seed: Sequence[int], *, size: float = 1.0, vigour: float = 1.0) -> Normal:
    """A person of usual build; ``size`` multiplies the volume of the ventricle, ``vigour`` its thickening."""
    rng = np.random.default_rng(seed)
    height = float(rng.normal(*((176, 7) if sex == "M" else (162, 6.5))))
    bmi = float(np.clip(rng.normal(28, 4.5), 19, 42))
    weight = bmi * (height / 100) ** 2
    torso = draw_torso(sex=sex, height_cm=height, weight_kg=weight, rng=rng)
    heart = draw_heart(sex=sex, height_cm=height, weight_kg=weight, seat=torso.heart_seat, rng=rng, dilation=size)
    kBq_mL = organ_concentrations(
        tracer="tetrofosmin",
        state="stress",
        stress_type="exercise",
        minutes_after_injection=45,
        injected_MBq=740,
        weight_kg=weight,
        sex=sex,
        rng=rng,
    )
    contraction = Contraction(vigour * healthy_thickening(), np.zeros((40, 72)), 1.0)
    return Normal(sex, bmi, torso, heart, contraction, kBq_mL)


def still(beating: BeatingHeart) -> Surfaces:
    """The wall of a heart averaged over its beat."""
    return beating.surfaces if beating.surfaces.endo_mm.ndim == 3 else beating.surfaces.gate(0)


def counts_of(scene: Scene, *, scatter: bool = False, motion: Motion = AT_REST) -> Projections:
    """Expected counts in the photopeak."""
    both = expected_counts(scene, CAMERA, view_duration_s=VIEW_S, motion=motion, scatter=scatter)
    return replace(both, counts=both.counts[:1], windows=both.windows[:1])


def polar(image: Volume, wall: Surfaces) -> Array:
    """The polar map in % of its own mean between apical cap and base."""
    value = np.asarray(sample_wall(image, wall, method="surface").value, float)
    shares: Array = 100 * value / np.nanmean(value[RINGS])
    return shares


def by_wall(polar_map: Array) -> dict[str, float]:
    """Mean of each wall, a sector of 90 degrees."""
    found = {}
    for name, middle in WALLS.items():
        columns = (middle // 5 + np.arange(-9, 9)) % 72
        found[name] = float(np.nanmean(polar_map[RINGS][:, columns]))
    return found


def interval(values: Sequence[float] | Array, seed: int, *, digits: int = 2) -> str:
    """Mean and 95 % bootstrap interval over patients."""
    sample = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, (4000, sample.size)).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    # Adding zero turns -0.0 into 0.0.
    mean, low, high = (round(float(v), digits) + 0.0 for v in (sample.mean(), low, high))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def difference(first: Array, second: Array, seed: int) -> str:
    """Difference of the means of two groups and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(group, (4000, group.size)).mean(axis=1) for group in (first, second)]
    low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
    return f"{first.mean() - second.mean():+.2f} ({low:+.2f} to {high:+.2f})"


# --- attenuation ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Attenuated:
    """Polar maps of one patient: as a camera would see without attenuation and scatter, as it sees, corrected."""

    sex: Sex
    free: Array
    uncorrected: Array
    prone: Array
    corrected: Array
    # Counts of each wall over those of the same patient without breasts (women) or with domes 20 mm lower (men).
    taken: Mapping[str, float]


def attenuation(n: int, seed: int, tell: Callable[[str], None]) -> list[Attenuated]:
    found = []
    for number in range(2 * n):
        person = draw_normal(SEXES[number % 2], [seed, 1, number // 2])
        maps: dict[str, Array] = {}
        for position in POSITIONS:
            beating = person.beating(1, position)
            wall = still(beating)
            scene = person.scene(beating, position=position)
            counts = counts_of(scene, scatter=True)
            maps[position] = polar(reconstruct(counts, settings=ITERATED), wall)
            if position == "supine":
                scattered = np.maximum(counts.counts[0] - counts_of(scene).counts[0], 0)
                image = reconstruct(counts, settings=ITERATED, attenuation=person.mu_map(beating), scatter=scattered)
                maps["corrected"] = polar(image, wall)
                air = scene.attenuation.like(np.zeros(BODY.shape, np.float32), "nothing attenuates")
                free = reconstruct(counts_of(replace(scene, attenuation=air)), settings=ITERATED)
                maps["free"] = polar(free, wall)
                spared = person.spared().scene(beating)
                both = [reconstruct(counts_of(one), settings=ITERATED) for one in (scene, spared)]
                here, there = (by_wall(np.asarray(sample_wall(i, wall, method="surface").value, float)) for i in both)
                taken = {name: here[name] / there[name] for name in WALLS}
        found.append(Attenuated(person.sex, maps["free"], maps["supine"], maps["prone"], maps["corrected"], taken))
        tell(f"attenuation {number + 1}/{2 * n}")
    return found


SHOWN: tuple[tuple[str, Callable[[Attenuated], Array]], ...] = (
    ("nothing attenuates, nothing scatters", lambda a: a.free),
    ("supine, not corrected", lambda a: a.uncorrected),
    ("prone, not corrected", lambda a: a.prone),
    ("supine, corrected", lambda a: a.corrected),
)


def attenuation_text(found: Sequence[Attenuated], seed: int) -> str:
    groups = {"women": [a for a in found if a.sex == "F"], "men": [a for a in found if a.sex == "M"]}
    rows = []
    for label, pick in SHOWN:
        for word, group in groups.items():
            walls = [by_wall(pick(a)) for a in group]
            cells = [
                interval([w[over] / w[under] for w in walls], seed)
                for over, under in (("inferior", "anterior"), ("anterior", "lateral"), ("septal", "lateral"))
            ]
            rows.append(f"| {label} | {word} | {' | '.join(cells)} |")
    changes = []
    for word, group in groups.items():
        pairs = [(by_wall(a.uncorrected), by_wall(a.free)) for a in group]
        cells = [interval([100 * (u[w] / f[w] - 1) for u, f in pairs], seed, digits=1) for w in ORDER]
        changes.append(f"| {word} | {' | '.join(cells)} |")
    effect = {
        word: np.array([_inferior(a.uncorrected) / _inferior(a.free) for a in group]) for word, group in groups.items()
    }
    blamed = []
    for word, cause in (("women", "breasts"), ("men", "domes not 20 mm lower")):
        cells = [interval([100 * (a.taken[w] - 1) for a in groups[word]], seed, digits=1) for w in ORDER]
        blamed.append(f"| {word}: {cause} | {' | '.join(cells)} |")
    n_women, n_men = len(groups["women"]), len(groups["men"])
    apart = difference(effect["women"], effect["men"], seed)
    prone = [_inferior(a.prone) / _inferior(a.uncorrected) for a in groups["men"]]
    return f"""## Attenuation: anterior in women, inferior in men

{n_women} women and {n_men} men with even uptake, exercise tetrofosmin, conventional camera. Ratios of mean counts of
two walls (90-degree sectors; apical cap and base left out), mean over patients with 95 % bootstrap interval. All images
by OSEM 4 x 8 without a model of the collimator; corrected ones with the true attenuation map and the true mean of the
scatter. What remains of a pattern where nothing attenuates is thickness, papillary muscles and what lies beside the
wall.

| image | | inferior / anterior | anterior / lateral | septal / lateral |
|---|---|---|---|---|
{chr(10).join(rows)}

What attenuation and scatter do to each wall's share of the map (not corrected, supine, over nothing attenuates):

| | anterior | lateral | inferior | septal |
|---|---|---|---|---|
{chr(10).join(changes)}

Attenuation moves inferior / anterior by a factor of {interval(effect["women"], seed)} in women and
{interval(effect["men"], seed)} in men; women minus men {apart}. Lying prone changes men's
inferior / anterior by a factor of {interval(prone, seed)}.

What causes it, by taking the cause away: counts of each wall (%, photopeak without scatter) against the same women
without breasts, and the same men with both domes of the diaphragm 20 mm lower.

| | anterior | lateral | inferior | septal |
|---|---|---|---|---|
{chr(10).join(blamed)}

![Mean polar maps of women and men](figures/artefacts_attenuation.png)
"""


def _inferior(polar_map: Array) -> float:
    """Inferior over anterior."""
    walls = by_wall(polar_map)
    return walls["inferior"] / walls["anterior"]


# --- upward creep -----------------------------------------------------------------------------------------------


def creep(n: int, seed: int, tell: Callable[[str], None]) -> dict[float, list[Array]]:
    """Polar maps with creep over those without (both in % of their mean), per extent of creep."""
    found: dict[float, list[Array]] = {mm: [] for mm in CREEP_MM}
    for number in range(n):
        person = draw_normal(SEXES[number % 2], [seed, 2, number])
        beating = person.beating(1)
        scene, wall = person.scene(beating), still(beating)
        at_rest = polar(reconstruct(counts_of(scene), settings=ITERATED), wall)
        for mm in CREEP_MM:
            moving = counts_of(scene, motion=Motion(creep_mm=mm, creep_time_s=240.0))
            found[mm].append(polar(reconstruct(moving, settings=ITERATED), wall) / at_rest)
        tell(f"creep {number + 1}/{n}")
    return found


def creep_text(found: Mapping[float, Sequence[Array]], seed: int) -> str:
    rows = []
    for mm, maps in found.items():
        walls = [by_wall(m) for m in maps]
        worst = [100 * (float(np.percentile(m[RINGS], 2)) - 1) for m in maps]
        share = [100 * float((m[RINGS] < 0.95).mean()) for m in maps]
        cells = [interval([100 * (w[name] - 1) for w in walls], seed, digits=1) for name in ORDER]
        rows.append(
            f"| {mm:g} | {' | '.join(cells)} | {interval(worst, seed, digits=1)} | {interval(share, seed, digits=1)} |"
        )
    table = "\n".join(rows)
    n, scan_min = len(next(iter(found.values()))), CAMERA.scan_s(VIEW_S) / 60
    return f"""## Upward creep

After exercise the heart rises while the camera turns. {n} patients; the creep decays with a time constant of 240 s, the
scan lasts {scan_min:.0f} min. Change of each wall against the same heart at rest (%), the deepest 2 % of the wall, and
the share of the wall that lost more than 5 %.

| creep mm | anterior | lateral | inferior | septal | deepest 2 % | share below 95 % |
|---|---|---|---|---|---|---|
{table}

![Polar maps with creep over those without](figures/artefacts_creep.png)
"""


# --- liver ------------------------------------------------------------------------------------------------------


def liver(n: int, seed: int, tell: Callable[[str], None]) -> list[dict[str, dict[float, dict[str, float]]]]:
    """Walls per image and liver-to-wall ratio, over those of the same patient with a cold liver and cold gut."""
    images = (
        ("filtered back-projection", ReconstructionSettings(method="fbp"), False),
        ("OSEM, not corrected", ITERATED, False),
        ("OSEM, attenuation corrected", ITERATED, True),
    )
    found = []
    for number in range(n):
        person = draw_normal(SEXES[number % 2], [seed, 3, number])
        beating = person.beating(1)
        mu = person.mu_map(beating)
        wall = person.kBq_mL["lv_wall"]
        one: dict[str, dict[float, dict[str, float]]] = {}
        for ratio in LIVER:
            organs = {"liver": ratio * wall, "gallbladder": 0.0, "stomach": 0.05 * wall, "bowel": 0.05 * wall}
            scene = person.scene(beating, organs=organs)
            counts = counts_of(scene)
            for name, settings, with_mu in images:
                image = reconstruct(counts, settings=settings, attenuation=mu if with_mu else None)
                value = np.asarray(sample_wall(image, still(beating), method="surface").value, float)
                one.setdefault(name, {})[ratio] = by_wall(value)
        found.append(one)
        tell(f"liver {number + 1}/{n}")
    return found


def liver_text(found: Sequence[Mapping[str, Mapping[float, Mapping[str, float]]]], seed: int) -> str:
    rows = []
    for name in found[0]:
        for ratio in LIVER[1:]:
            cells = []
            for part in ("inferior", "anterior"):
                change = [100 * (one[name][ratio][part] / one[name][0.0][part] - 1) for one in found]
                cells.append(interval(change, seed, digits=1))
            rows.append(f"| {name} | {ratio:g} | {' | '.join(cells)} |")
    table = "\n".join(rows)
    return f"""## Spill from the liver

{len(found)} patients, each with a liver that takes up 0.5, 1 and 2 times as much per mL as the wall, against the same
patient with a liver that takes up nothing (gut and gallbladder nearly cold throughout). Change of counts in % of the
wall's own. Spill adds counts; the streaks of images without attenuation correction take some away beside a hot liver.

| image | liver / wall | inferior wall | anterior wall |
|---|---|---|---|
{table}
"""


# --- gates and size ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measured:
    """Volumes (EDV, ESV in mL) and ejection fraction (%) of one heart: true, and as measured from 8 and 16 gates.

    ``seen`` holds what the true volumes averaged over each gate give, free of any image.
    """

    true: Volumes
    seen: Mapping[int, Volumes]
    measured: Mapping[int, Volumes]


def function_of(volumes: Array) -> Volumes:
    edv, esv = float(volumes.max()), float(volumes.min())
    return edv, esv, 100 * (edv - esv) / edv


def gates(n: int, seed: int, tell: Callable[[str], None]) -> tuple[list[Measured], int]:
    """Hearts that were measured from 8 and from 16 gates, and the number of those that were not."""
    found: list[Measured] = []
    failed = 0
    for number in range(n):
        sex: Sex = "F" if number % 2 else "M"
        # From small hearts to dilated ones, from poor to vigorous contraction.
        size = float(np.exp(np.interp(number / max(n - 1, 1), [0, 1], np.log([0.32, 1.5]))))
        vigour = (1.0, 1.12, 0.75, 0.95, 0.55)[number % 5]
        person = draw_normal(sex, [seed, 4, number], size=size, vigour=vigour)
        beating = person.beating(16)
        scene = person.scene(beating, organs={"liver": 0.3 * person.kBq_mL["lv_wall"], "bowel": 0.0, "stomach": 0.0})
        sixteen = counts_of(scene)
        true = (beating.edv_mL, beating.esv_mL, beating.ef_percent)
        volumes = np.asarray(beating.volumes_mL, float)
        seen = {16: function_of(volumes), 8: function_of(volumes.reshape(8, 2).mean(axis=1))}
        measured: dict[int, Volumes] = {}
        try:
            for n_gates in (8, 16):
                counts = sixteen.counts
                if n_gates == 8:
                    counts = counts.reshape(1, 8, 2, *counts.shape[2:]).sum(axis=2)
                gated = replace(sixteen, counts=counts, gating=Gating(n_gates))
                measured[n_gates] = _measure(reconstruct(gated, settings=ReconstructionSettings(method="fbp")))
        except MyoscopeError as error:
            failed += 1
            tell(f"gates {number + 1}/{n}: {error}")
            continue
        found.append(Measured(true, seen, measured))
        tell(f"gates {number + 1}/{n}: true {_numbers(true)}, 8 gates {_numbers(measured[8])}")
    return found, failed


def _numbers(values: Volumes) -> str:
    edv, esv, ef = values
    return f"EDV {edv:.0f} ESV {esv:.0f} EF {ef:.0f}"


def _measure(image: Volume) -> Volumes:
    ventricle, _ = find_left_ventricle(image.summed(), in_training_domain=False)
    function = ventricular_function(measure_wall(image, ventricle).surfaces)
    return function.edv_mL, function.esv_mL, function.ef_percent


def gates_text(done: Sequence[Measured], failed: int, seed: int) -> str:
    rows = []
    for name in ("true volumes averaged over each gate", "measured from the images"):
        for g in (16, 8):
            off = np.array([np.subtract(m.seen[g] if name.startswith("true") else m.measured[g], m.true) for m in done])
            percent = 100 * off[:, :2] / np.array([m.true[:2] for m in done])
            cells = [interval(v, seed, digits=1) for v in (percent[:, 0], percent[:, 1], off[:, 2])]
            rows.append(f"| {name} | {g} | {' | '.join(cells)} |")
    apart = [np.subtract(m.measured[8], m.measured[16])[2] for m in done]
    blur = [m.seen[8][2] - m.seen[16][2] for m in done]
    groups = []
    bands = ((0, 25, "under 25"), (25, 50, "25 to 50"), (50, 500, "above 50"))
    for low, high, word in bands:
        group = [m for m in done if low <= m.true[1] < high]
        if len(group) < 2:
            groups.append(f"| {word} | {len(group)} | | | |")
            continue
        off = np.array([np.subtract(m.measured[8], m.true) for m in group])
        relative = 100 * off[:, :2] / np.array([m.true[:2] for m in group])
        cells = [interval(relative[:, 0], seed, digits=1), interval(relative[:, 1], seed, digits=1)]
        groups.append(f"| {word} | {len(group)} | {' | '.join(cells)} | {interval(off[:, 2], seed, digits=1)} |")
    table, sizes = "\n".join(rows), "\n".join(groups)
    edv, ef = np.array([m.true[0] for m in done]), np.array([m.true[2] for m in done])
    return f"""## Gates: blur, and small hearts

{len(done)} hearts of {edv.min():.0f} to {edv.max():.0f} mL at end diastole, EF {ef.min():.0f} to {ef.max():.0f} %;
filtered back-projection of gates, no noise, then the same steps as `analyze` takes ({failed} further hearts could not
be measured). Errors against the true volumes at an instant. Walls of these hearts are about 7 mm thick, as in MRI;
where gates are too soft to show a thickness, the analysis takes the usual one for the size of the heart.

| | gates | EDV % | ESV % | EF points |
|---|---|---|---|---|
{table}

8 gates give an EF that differs from that of 16 by {interval(apart, seed, digits=1)} points in the images; averaging
over the longer gates alone accounts for {interval(blur, seed, digits=1)}.

With 8 gates, by true end-systolic volume:

| ESV mL | n | EDV % | ESV % | EF points |
|---|---|---|---|---|
{sizes}

![Error of measured volumes and ejection fraction against size](figures/artefacts_small_hearts.png)
"""


# --- figures and page -------------------------------------------------------------------------------------------


def _disc(axes: Any, values: Array, *, low: float, high: float, cmap: str) -> Any:
    """A polar map: apex in the middle, anterior up, septum left."""
    around = np.radians(np.arange(73) * 5.0)
    image = axes.pcolormesh(around, np.arange(41) / 40, values, vmin=low, vmax=high, cmap=cmap, shading="flat")
    axes.set_axis_off()
    return image


def _save(figure: Any, name: str) -> None:
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, dpi=90, facecolor="white")
    Image.open(drawn).convert("RGB").quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        FIGURES / name, optimize=True
    )


def draw_attenuation(found: Sequence[Attenuated]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(SHOWN), figsize=(9.6, 5.0), subplot_kw={"projection": "polar"}, layout="constrained"
    )
    for row, sex in zip(axes, SEXES, strict=True):
        group = [a for a in found if a.sex == sex]
        for ax, (title, pick) in zip(row, SHOWN, strict=True):
            mean = np.mean([pick(a) for a in group], axis=0)
            shown = _disc(ax, mean, low=65, high=120, cmap="viridis")
            ax.set_title(f"{'women' if sex == 'F' else 'men'} (n = {len(group)})\n{title}", fontsize=8)
    figure.colorbar(shown, ax=axes, shrink=0.7, label="% of the map's mean")
    _save(figure, "artefacts_attenuation.png")


def draw_creep(found: Mapping[float, Sequence[Array]]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(found), figsize=(9.0, 3.0), subplot_kw={"projection": "polar"}, layout="constrained"
    )
    for ax, (mm, maps) in zip(axes, found.items(), strict=True):
        shown = _disc(ax, 100 * np.mean(maps, axis=0), low=80, high=120, cmap="RdBu_r")
        ax.set_title(f"{mm:g} mm (n = {len(maps)})", fontsize=9)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="% of the heart at rest")
    _save(figure, "artefacts_creep.png")


def draw_small_hearts(found: Sequence[Measured]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.0), layout="constrained")
    for g, colour in ((8, "#b03030"), (16, "#3060a0")):
        true = np.array([m.true for m in found])
        got = np.array([m.measured[g] for m in found])
        axes[0].plot(true[:, 0], 100 * (got[:, 0] / true[:, 0] - 1), "o", ms=4, color=colour, label=f"{g} gates")
        axes[1].plot(true[:, 1], 100 * (got[:, 1] / true[:, 1] - 1), "o", ms=4, color=colour)
        axes[2].plot(true[:, 1], got[:, 2] - true[:, 2], "o", ms=4, color=colour)
    for ax, across, up in zip(
        axes,
        ("true EDV, mL", "true ESV, mL", "true ESV, mL"),
        ("error of EDV, %", "error of ESV, %", "error of EF, points"),
        strict=True,
    ):
        ax.axhline(0, color="#888888", lw=0.8)
        ax.set_xlabel(across)
        ax.set_ylabel(up)
    axes[0].legend(frameon=False, fontsize=8)
    _save(figure, "artefacts_small_hearts.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few patients: shows that it runs")
    options = parser.parse_args()
    import matplotlib as mpl
    import torch

    mpl.use("agg")
    torch.set_num_threads(1)
    FIGURES.mkdir(exist_ok=True)
    started = time.perf_counter()

    def tell(what: str) -> None:
        print(f"{time.perf_counter() - started:6.0f} s  {what}", flush=True)

    few = options.quick
    attenuated = attenuation(2 if few else 12, options.seed, tell)
    crept = creep(1 if few else 10, options.seed, tell)
    spilt = liver(1 if few else 8, options.seed, tell)
    gated, failed = gates(2 if few else 15, options.seed, tell)
    draw_attenuation(attenuated)
    draw_creep(crept)
    draw_small_hearts(gated)
    command = f"python docs/make/validate_artefacts.py --seed {options.seed}{' --quick' if few else ''}"
    PAGE.write_text(
        "\n".join(
            (
                "# Known artefacts",
                "",
                f"    {command}",
                "",
                INTRODUCTION.format(seed=options.seed),
                attenuation_text(attenuated, options.seed),
                creep_text(crept, options.seed),
                liver_text(spilt, options.seed),
                gates_text(gated, failed, options.seed),
            )
        ),
        encoding="utf-8",
    )
    tell(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
