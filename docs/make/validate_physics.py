"""Projectors and reconstruction against exact cases, laws and another program.

    python docs/make/validate_physics.py [--quick] [--seed 1]

writes ``docs/validation/physics.md`` and ``docs/validation/figures/physics.png``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import iv, modstruve

from myoscope.core import Grid, Volume
from myoscope.correct.tew import triple_energy_window
from myoscope.physics import COLLIMATORS, Projector, attenuation_per_cm, parallel_projector
from myoscope.physics.camera_geometry import generic_19_pinhole, generic_columns
from myoscope.physics.columns import column_projector
from myoscope.physics.pinhole import pinhole_projector
from myoscope.reconstruct import Butterworth, Measurement, filtered_back_projection, log_likelihood, mlem, osem

Array = NDArray[Any]
DOCS = Path(__file__).parents[1]
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
LEHR = COLLIMATORS["SY-LEHR"]


@dataclass(frozen=True)
class Case:
    """One line of a table: what was expected, what came out, and how far off it may be."""

    name: str
    expected: float
    got: float
    tolerance: float
    digits: int = 4

    @property
    def held(self) -> bool:
        return abs(self.got - self.expected) <= self.tolerance

    def row(self) -> str:
        expected, got = (f"{x:.{self.digits}f}" for x in (self.expected, self.got))
        return f"| {self.name} | {expected} | {got} | {self.tolerance:.2g} | {'yes' if self.held else '**no**'} |"


HEAD = ("| case | expected | got | tolerance | held |", "|---|---|---|---|---|")


# --- exact cases ------------------------------------------------------------------------------------------------


def attenuation_cases() -> Iterator[Case]:
    """Tabled coefficients, and the transmission of 10 cm of water: by the formula and by the projector."""
    for material, mu in (
        ("water", 0.1536),
        ("muscle", 0.1599),
        ("adipose", 0.1452),
        ("breast", 0.1553),
        ("cortical bone", 0.2947),
        ("lung", 0.040),
    ):
        found = attenuation_per_cm(material, energy_keV=140.5)
        yield Case(f"{material}, 140.5 keV, per cm", mu, found, 5e-4)
    for material, energy, mu in (("water", 75, 0.1885), ("cortical bone", 75, 0.4624), ("water", 511, 0.0960)):
        found = attenuation_per_cm(material, energy_keV=energy)
        yield Case(f"{material}, {energy} keV, per cm", mu, found, 6e-4)
    water = attenuation_per_cm("water", energy_keV=140.5)
    yield Case("transmission of 10 cm of water", 0.2152, float(np.exp(-10 * water)), 1e-4)
    yield Case("the same, by the projector", float(np.exp(-10 * water)), _transmission_of_a_slab(water), 1e-5, 6)


def _transmission_of_a_slab(mu_per_cm: float) -> float:
    """A source whose middle lies behind 10 cm: the slab begins half a voxel nearer than the voxel's edge."""
    import torch

    grid = Grid.axis_aligned((20, 24, 3), spacing_mm=10.0)
    slab = np.zeros(grid.shape)
    slab[:, :10] = mu_per_cm  # y from -120 to -20 mm
    image = torch.zeros(grid.shape)
    image[10, 12, 1] = 1.0
    counts = [
        float(
            parallel_projector(
                grid,
                angle_deg=180,
                radius_mm=150,
                pixel_mm=10,
                detector_shape=(3, 20),
                collimator=None,
                attenuation=mu,
            )
            .forward(image)
            .sum()
        )
        for mu in (Volume(slab, grid, "1/cm"), None)
    ]
    return counts[0] / counts[1]


def collimator_cases() -> Iterator[Case]:
    """The table of three collimators without a gap."""
    table = {
        "SY-LEHR": (1.171, 103.7, (3.96, 5.16, 6.99, 9.09, 11.29, 13.56)),
        "GE-LEHR": (1.009, 89.3, (4.09, 5.30, 7.00, 8.92, 10.94, 13.01)),
        "VENTRI-LEHR": (1.263, 111.8, (4.05, 5.37, 7.26, 9.38, 11.61, 13.89)),
    }
    for name, (share, rate, widths) in table.items():
        collimator = replace(COLLIMATORS[name], gap_mm=0)
        yield Case(f"{name}: share of photons passed, 1e-4", share, collimator.geometric_efficiency * 1e4, 6e-4, 3)
        yield Case(f"{name}: per s and MBq", rate, collimator.geometric_efficiency * 0.885e6, 0.06, 1)
        for distance, width in zip((0, 50, 100, 150, 200, 250), widths, strict=True):
            found = float(collimator.fwhm_mm(distance))
            yield Case(f"{name}: FWHM at {distance} mm, mm", width, found, 0.0051, 2)


def filter_cases() -> Iterator[Case]:
    """Both Butterworth forms, and the scatter of a lower window."""
    for order, cutoff, gains in (
        (5, 0.33, {0.2: 0.9967, 0.3: 0.8496, 0.4: 0.3570}),
        (2.5, 0.30, {0.2: 0.9400, 0.3: 0.7071}),
    ):
        amplitude = Butterworth(order, cutoff, "cycles/pixel", "amplitude")
        power = Butterworth(order, cutoff, "cycles/pixel", "power")
        for f, gain in gains.items():
            found = float(amplitude.gain(f / 6.4, pixel_mm=6.4))
            yield Case(f"Butterworth {order:g}, {cutoff} cycles/pixel, at {f}, amplitude", gain, found, 1e-4)
        f = max(gains)
        yield Case(f"the same at {f}, power", gains[f] ** 2, float(power.gain(f / 6.4, pixel_mm=6.4)), 1e-4)
    in_cm = Butterworth(5, 0.33 / 0.64, "cycles/cm", "amplitude").gain(0.3 / 6.4, pixel_mm=6.4)
    yield Case("0.33 cycles/pixel of 6.4 mm given as 0.516 cycles/cm, at 0.3", 0.8496, float(in_cm), 1e-4)
    scatter = triple_energy_window(5000, None, lower_keV=6, upper_keV=None, photopeak_keV=28)
    yield Case("scatter of 5,000 counts in 6 keV below 28 keV", 11667, float(scatter), 0.5, 0)


# --- laws -------------------------------------------------------------------------------------------------------


def cameras() -> dict[str, Projector]:
    """All three cameras on one box round the heart, with attenuation."""
    grid = Grid.axis_aligned((28, 28, 20), spacing_mm=4.8)
    points = grid.points_mm()
    mu = Volume(0.15 * (np.hypot(points[..., 0] / 60, points[..., 1] / 50) < 1), grid, "1/cm")
    return {
        "conventional": parallel_projector(
            grid,
            angle_deg=225 - 6.0 * np.arange(30),
            radius_mm=200,
            pixel_mm=4.8,
            detector_shape=(40, 48),
            collimator=LEHR,
            attenuation=mu,
        ),
        "columns": column_projector(grid, geometry=generic_columns(), attenuation=mu),
        "pinholes": pinhole_projector(grid, geometry=generic_19_pinhole(), attenuation=mu),
    }


def law_cases(seed: int) -> Iterator[Case]:
    """Adjointness, likelihood and counts."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, projector in cameras().items():
        image = torch.rand(projector.grid.shape, generator=generator)
        data = torch.rand((projector.n_views, *projector.detector_shape), generator=generator)
        there = float((projector.forward(image).double() * data).sum())
        back = float((image.double() * projector.adjoint(data)).sum())
        yield Case(f"{name}: <Ax, y> / <x, A'y>", 1.0, there / back, 1e-5, 7)

        expected = projector.forward(image) * (2e5 / projector.forward(image).sum())
        noisy = torch.from_numpy(np.random.default_rng(seed).poisson(expected.numpy().clip(0)).astype(np.float32))
        measured = Measurement(noisy)
        estimate = mlem(measured, projector, iterations=1)
        likelihood = [float(log_likelihood(estimate, measured, projector))]
        for _ in range(12):
            estimate = mlem(measured, projector, iterations=1, start=estimate)
            likelihood.append(float(log_likelihood(estimate, measured, projector)))
        rises = int((np.diff(likelihood) > 0).sum())
        yield Case(f"{name}: MLEM steps of 12 that raise the likelihood", 12, rises, 0, 0)
        kept = float(projector.forward(estimate).sum() / noisy.sum())
        yield Case(f"{name}: counts of the estimate over counts measured", 1.0, kept, 1e-3)


# --- uniform cylinder -------------------------------------------------------------------------------------------

RADIUS_MM, VOXEL_MM = 110.0, 6.4


def cylinder(quick: bool) -> tuple[list[Case], Array, dict[str, Array]]:
    """A uniform water cylinder, all round, with and without attenuation correction.

    Profiles are means over rings and slices; the middle 8 slices of 16.
    """
    import torch

    grid = Grid.axis_aligned((44, 44, 16), spacing_mm=VOXEL_MM)
    points = grid.points_mm()
    radius = np.hypot(points[..., 0], points[..., 1])
    # Shares of the voxels at the rim, from a finer lattice.
    fine = Grid.axis_aligned((220, 220, 1), spacing_mm=VOXEL_MM / 5).points_mm()
    inside = np.hypot(fine[..., 0], fine[..., 1]) < RADIUS_MM
    share = inside.reshape(44, 5, 44, 5).mean(axis=(1, 3))[..., None] * np.ones(16)
    mu = attenuation_per_cm("water", energy_keV=140.5)
    angle_deg = np.arange(0, 360, 6.0)

    def camera(attenuation: Volume | None) -> Projector:
        return parallel_projector(
            grid,
            angle_deg=angle_deg,
            radius_mm=180,
            pixel_mm=VOXEL_MM,
            detector_shape=(16, 44),
            collimator=LEHR,
            attenuation=attenuation,
        )

    corrected, uncorrected = camera(Volume(mu * share, grid, "1/cm")), camera(None)
    truth = torch.from_numpy(share.astype(np.float32))
    measured = Measurement(corrected.forward(truth))
    iterations = 4 if quick else 12
    with_ac = osem(measured, corrected, iterations=iterations, subsets=10).numpy()
    without = osem(measured, uncorrected, iterations=iterations, subsets=10).numpy()
    back = filtered_back_projection(measured.counts, angle_deg=angle_deg, pixel_mm=VOXEL_MM).numpy()

    ring = (radius[..., 0] / VOXEL_MM).astype(int)
    at = (np.arange(ring.max() + 1) + 0.5) * VOXEL_MM

    def profile(image: Array) -> Array:
        flat = image[..., 4:12].mean(axis=-1)
        return np.bincount(ring.ravel(), flat.ravel()) / np.bincount(ring.ravel())

    inner = radius < RADIUS_MM - 2 * 13  # two resolution widths from the rim
    values = with_ac[..., 4:12][inner[..., 4:12]]
    centre, edge = _centre_and_edge(with_ac, radius)
    per_kBq_mL = grid.voxel_volume_mL * 1000 * 0.885 * LEHR.sensitivity
    bare, filtered = (_centre_and_edge(image, radius)[0] for image in (without, back / per_kBq_mL))
    deficit = float(iv(0, 2 * mu * RADIUS_MM / 10) - modstruve(0, 2 * mu * RADIUS_MM / 10))
    profiles = {
        "OSEM, corrected": profile(with_ac),
        "OSEM, not corrected": profile(without),
        "FBP, not corrected": profile(back / per_kBq_mL),
    }
    cases = [
        Case("with correction: mean over truth", 1.0, float(values.mean()), 0.02, 3),
        Case("with correction: standard deviation over mean", 0.0, float(values.std() / values.mean()), 0.03, 3),
        Case("with correction: centre over edge", 1.0, centre / edge, 0.03, 3),
        Case("without, OSEM: centre, kBq/mL", deficit, bare, 0.01, 3),
        Case("without, FBP: centre, kBq/mL", deficit, filtered, 0.01, 3),
    ]
    return cases, at, profiles


def _centre_and_edge(image: Array, radius: Array) -> tuple[float, float]:
    """Means within 2 cm of the axis, and between 65 and 75 % of the cylinder's radius, in the middle slices."""
    middle, r = image[..., 4:12], radius[..., 4:12]
    return float(middle[r < 20].mean()), float(middle[np.abs(r / RADIUS_MM - 0.7) < 0.05].mean())


# --- resolution in projections ----------------------------------------------------------------------------------


def widths() -> tuple[Array, dict[str, tuple[Array, Array]]]:
    """FWHM of projected points at distances from the collimator, and what the formula says, for two collimators."""
    import torch

    grid = Grid.axis_aligned((72, 100, 72), spacing_mm=2.5)
    rows = np.arange(5, 100, 15)
    y = grid.to_mm(np.stack([np.full(len(rows), 36), rows, np.full(len(rows), 36)], axis=1))[:, 1]
    found = {}
    for name, collimator in (("SY-LEHR", LEHR), (generic_columns().name, generic_columns().collimator)):
        projector = parallel_projector(
            grid, angle_deg=180, radius_mm=130, pixel_mm=2.5, detector_shape=(72, 72), collimator=collimator
        )
        images = torch.zeros(len(rows), *grid.shape)
        images[torch.arange(len(rows)), 36, torch.from_numpy(rows), 36] = 1
        profile = projector.forward(images)[:, 0].sum(dim=1).double().numpy()
        u = 2.5 * np.arange(72)
        middle = (profile * u).sum(axis=1) / profile.sum(axis=1)
        variance = (profile * (u - middle[:, None]) ** 2).sum(axis=1) / profile.sum(axis=1)
        found[name] = (2.3548 * np.sqrt(variance), collimator.fwhm_mm(130 + y))
    return 130 + y, found


# --- another program --------------------------------------------------------------------------------------------


def against_peer() -> str:
    """One sentence on the agreement with PyTomography, or on why there is none."""
    try:
        import pytomography  # noqa: F401
    except ImportError:
        return "PyTomography is not installed here: not compared."
    benchmark: Any = import_module("projector")  # of the folder of benchmarks
    activity, mu = benchmark.patient()
    peer = benchmark.Peer(mu)
    scale = benchmark.GRID.voxel_volume_mL * 1000 * 0.885 * benchmark.COLLIMATOR.sensitivity
    theirs = peer.ours(peer.matrix.forward(peer.image(activity)))
    apart = [
        benchmark.nrmse(benchmark.ours(mu, kind).forward(activity) / scale, theirs)
        for kind in ("sampled", "conserving")
    ]
    return (
        f"PyTomography 3.4.0, same image, attenuation and response: projections differ by {apart[0]:.1e} (normalised "
        f"root mean square) in its own discretisation and by {apart[1]:.1e} in ours, which conserves counts. How fast "
        "each is: `python benchmarks/projector.py`."
    )


# --- page -------------------------------------------------------------------------------------------------------


def figure(
    out: Path, distance: Array, blur: dict[str, tuple[Array, Array]], at: Array, profiles: dict[str, Array]
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    page, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.4), layout="constrained")
    for (name, (got, formula)), colour in zip(blur.items(), ("#1f5a8a", "#b3541e"), strict=True):
        left.plot(distance, formula, color=colour, label=f"{name}, formula")
        left.plot(distance, got, "o", color=colour, label=f"{name}, projected points", ms=4)
    left.set(xlabel="distance from the collimator (mm)", ylabel="FWHM (mm)", ylim=(0, None), title="Response")
    left.legend(frameon=False, fontsize=7.5)
    for (name, values), colour in zip(profiles.items(), ("#1f5a8a", "#b3541e", "#777777"), strict=True):
        right.plot(at, values, color=colour, label=name)
    right.plot([0, RADIUS_MM, RADIUS_MM, at.max()], [1, 1, 0, 0], "k:", lw=1, label="truth")
    right.set(xlabel="distance from the axis (mm)", ylabel="kBq/mL", title="Water cylinder of 220 mm", ylim=(0, 1.35))
    right.legend(frameon=False, fontsize=7.5)
    out.parent.mkdir(parents=True, exist_ok=True)
    page.savefig(out, dpi=110)
    plt.close(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer iterations")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    lines: list[str] = []
    total: list[Case] = []

    def table(title: str, text: str, make: Callable[[], Any]) -> None:
        cases = list(make())
        total.extend(cases)
        print(f"{title}: {sum(c.held for c in cases)} of {len(cases)} hold")
        lines.extend(["", f"## {title}", "", text, "", *HEAD, *(case.row() for case in cases)])

    with torch.no_grad():
        table(
            "Attenuation",
            "Linear coefficients from the tables of NIST, and what they let through.",
            attenuation_cases,
        )
        table(
            "Collimators",
            "Anger's formulas without a gap behind the collimator and with an intrinsic resolution of 3.8 mm.",
            collimator_cases,
        )
        table("Filters and scatter", "Two filters go by the name of Butterworth; both are here by name.", filter_cases)
        table(
            "Projectors and likelihood",
            "All three cameras on one box of 28 x 28 x 20 voxels of 4.8 mm, with attenuation and response; a random "
            f"image (seed {options.seed}), 200,000 counts with Poisson noise.",
            lambda: law_cases(options.seed),
        )
        round_cases, at, profiles = cylinder(options.quick)
        table(
            "Uniform cylinder",
            "Water, 220 mm across, uniform activity of 1 kBq/mL, noise-free, 60 views all round at 180 mm; OSEM of "
            f"{4 if options.quick else 12} passes over 10 subsets with the response. The centre is what lies within "
            "20 mm of the axis, the edge what lies at 70 % of the radius R. Without correction, inverting the "
            "attenuated projections exactly gives I0(2 mu R) - L0(2 mu R) at the centre (modified Bessel and Struve "
            "functions); the rule of thumb, exp(-mu R), is "
            f"{np.exp(-attenuation_per_cm('water', energy_keV=140.5) * RADIUS_MM / 10):.3f}.",
            lambda: round_cases,
        )
        distance, blur = widths()
        off = max(float(np.abs(got / formula - 1).max()) for got, formula in blur.values())
        print(f"projected points: widths within {100 * off:.1f} % of the formula")
        figure(DOCS / "validation" / "figures" / "physics.png", distance, blur, at, profiles)
        peer = against_peer()
        print(peer)
    page = [
        "# Physics and reconstruction",
        "",
        f"    python docs/make/validate_physics.py{' --quick' if options.quick else ''} --seed {options.seed}",
        "",
        "Projectors, filters and reconstruction against exact cases, laws that must hold and another program. "
        f"{sum(c.held for c in total)} of {len(total)} cases hold. What virtual cameras count of virtual patients, and "
        "the sharpness of their images, are on the page [Acquisition](acquisition.md).",
        "",
        "![Response and uniform cylinder](figures/physics.png)",
        "",
        "*Left: widths of point sources in projections (from their variance) against the formula that went in: within "
        f"{100 * off:.1f} %. Right: a uniform cylinder, reconstructed with and without attenuation correction.*",
        *lines,
        "",
        "## Another program",
        "",
        peer,
        "",
    ]
    (DOCS / "validation" / "physics.md").write_text("\n".join(page))
    if not all(case.held for case in total):
        print("not held: " + "; ".join(case.name for case in total if not case.held))


if __name__ == "__main__":
    main()
