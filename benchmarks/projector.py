"""The parallel-hole projector and OSEM on one thread, against PyTomography in the same run.

    python benchmarks/projector.py [--repeat 5] [--json FILE]

A volume of 64 x 64 x 40 voxels of 6.4 mm, 60 views over 180 degrees, attenuation and the response of a low-energy
high-resolution collimator at every depth. Both programs project the same image; ours in two discretisations:
"sampled", which equals PyTomography's, and "conserving", the default, which conserves counts. Figures are the least
CPU seconds of several runs that take turns, so that neither waiting for other programs nor a busy moment counts.
The peer needs `pip install pytomography`.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from myoscope.core import Grid, Volume
from myoscope.physics import COLLIMATORS, ParallelProjector, parallel_projector
from myoscope.physics.parallel import Discretisation
from myoscope.reconstruct import Measurement, osem

GRID = Grid.axis_aligned((64, 64, 40), spacing_mm=6.4)
ANGLE_DEG = 225.0 - 3.0 * np.arange(60)
RADIUS_MM = 250.0
COLLIMATOR = COLLIMATORS["SY-LEHR"]
ITERATIONS, SUBSETS, GATES = 4, 8, 8
TARGET, TARGET_BATCH = 12.0, 1.3


def patient() -> tuple[torch.Tensor, Volume]:
    """Activity (kBq/mL) and attenuation of a torso of ellipsoids: body, lungs, liver, heart."""
    points = GRID.points_mm()

    def inside(centre: tuple[float, ...], radius: tuple[float, ...]) -> Any:
        return (((points - centre) / radius) ** 2).sum(axis=-1) < 1

    body = inside((0, 0, 0), (170, 115, 400))
    lungs = inside((80, 0, 60), (60, 80, 120)) | inside((-80, 0, 60), (60, 80, 120))
    heart = inside((45, -35, 0), (40, 34, 34)) & ~inside((45, -35, 0), (28, 22, 22))
    activity = 2.0 * body - 1.0 * lungs + 30.0 * heart + 15.0 * inside((-70, 10, -80), (70, 60, 45))
    mu = np.where(lungs, 0.04, 0.154) * body
    return torch.from_numpy(activity.astype(np.float32)), Volume(mu.astype(np.float32), GRID, "1/cm")


def ours(mu: Volume, discretisation: Discretisation) -> ParallelProjector:
    return parallel_projector(
        GRID,
        angle_deg=ANGLE_DEG,
        radius_mm=RADIUS_MM,
        pixel_mm=6.4,
        detector_shape=(40, 64),
        collimator=COLLIMATOR,
        attenuation=mu,
        discretisation=discretisation,
    )


class Peer:
    """PyTomography's system matrix for the same camera; its x and y run to the right and to anterior, in cm."""

    def __init__(self, mu: Volume) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it silences all warnings when imported; this puts them back afterwards
            import pytomography
            from pytomography.metadata.SPECT import SPECTObjectMeta, SPECTProjMeta, SPECTPSFMeta
            from pytomography.projectors.SPECT import SPECTSystemMatrix
            from pytomography.transforms.SPECT import SPECTAttenuationTransform, SPECTPSFTransform

            pytomography.device = "cpu"

            def sigma_cm(distance_cm: Any, *_: Any) -> Any:
                return COLLIMATOR.sigma_mm(np.asarray(distance_cm) * 10) / 10

            spacing = (GRID.spacing_mm / 10).tolist()
            self.matrix = SPECTSystemMatrix(
                [
                    SPECTAttenuationTransform(self.image(torch.from_numpy(np.array(mu.array)))),
                    SPECTPSFTransform(SPECTPSFMeta([0.0], sigma_fit=sigma_cm)),
                ],
                [],
                SPECTObjectMeta(spacing, list(GRID.shape)),
                SPECTProjMeta([64, 40], spacing[:2], ANGLE_DEG % 360, np.full(len(ANGLE_DEG), RADIUS_MM / 10)),
            )

    @staticmethod
    def image(image: torch.Tensor) -> torch.Tensor:
        return image.flip(0, 1).contiguous()

    @staticmethod
    def views(data: torch.Tensor) -> torch.Tensor:
        """(view, v, u) with v to the feet from or to (view, u, z)."""
        return data.flip(1).transpose(1, 2).contiguous()

    @staticmethod
    def ours(data: torch.Tensor) -> torch.Tensor:
        return data.transpose(1, 2).flip(1).contiguous()

    def osem(self, data: torch.Tensor) -> torch.Tensor:
        from pytomography.algorithms import OSEM
        from pytomography.likelihoods import PoissonLogLikelihood

        image: torch.Tensor = OSEM(PoissonLogLikelihood(self.matrix, data))(n_iters=ITERATIONS, n_subsets=SUBSETS)
        return image


def least(repeat: int, **jobs: Callable[[], Any]) -> dict[str, float]:
    """Least CPU seconds of each job; the jobs take turns."""
    best = dict.fromkeys(jobs, np.inf)
    for _ in range(repeat):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            best[name] = min(best[name], time.process_time() - start)
    return best


def nrmse(one: torch.Tensor, reference: torch.Tensor) -> float:
    return float((one - reference).double().norm() / reference.double().norm())


def machine() -> tuple[float, float]:
    """GFLOP/s of a large matrix product and GB/s of a copy beyond all caches, one thread."""
    a, b, out = torch.rand(1024, 1024), torch.rand(1024, 1024), torch.empty(1024, 1024)
    source, target = torch.rand(32_000_000), torch.empty(32_000_000)
    best = least(5, product=lambda: torch.mm(a, b, out=out), copy=lambda: target.copy_(source))
    return 2 * 1024**3 / best["product"] / 1e9, 2 * 4 * len(source) / best["copy"] / 1e9


def work(projector: ParallelProjector) -> tuple[float, float]:
    """Floating-point operations of one forward projection, and bytes that must come from memory."""
    tables, operations, n_bytes = projector._tables, 0, 0
    rank, n_slices, n_v = tables.to_rows.shape
    n_u = projector.detector_shape[1]
    for view in tables.views:
        entries, cells = len(view.gather.weight), view.depth_weight.shape[1] * tables.n_cells
        per_slice = 2 * entries + cells + 2 * rank * cells + 2 * rank * n_u * tables.n_cells + 2 * n_u * rank * n_v
        operations += n_slices * per_slice
        n_bytes += 4 * cells * n_slices + 8 * entries  # attenuation; places and weights of voxels
    return float(operations), float(n_bytes)


def run(repeat: int) -> dict[str, Any]:
    activity, mu = patient()
    start = time.process_time()
    sampled = ours(mu, "sampled")
    sampled.forward(activity)
    setup = time.process_time() - start
    start = time.process_time()
    sampled_again = ours(mu, "sampled")
    sampled_again.forward(activity)
    again = time.process_time() - start
    conserving = ours(mu, "conserving")
    start = time.process_time()
    peer = Peer(mu)
    peer_setup = time.process_time() - start

    counts = sampled.forward(activity)
    scale = GRID.voxel_volume_mL * 1000 * 0.885 * COLLIMATOR.sensitivity
    peer_image, theirs = Peer.image(activity), Peer.views(counts)
    equal = nrmse(counts / scale, Peer.ours(peer.matrix.forward(peer_image)))
    back_equal = nrmse(sampled.adjoint(counts) / scale, Peer.image(peer.matrix.backward(theirs)))
    measured = Measurement(counts / counts.sum() * 1e6)
    adjoint_error = abs(
        float(
            (conserving.forward(activity).double() * counts).sum()
            / (conserving.adjoint(counts).double() * activity).sum()
        )
        - 1
    )

    forward = least(
        repeat,
        peer=lambda: peer.matrix.forward(peer_image),
        sampled=lambda: sampled.forward(activity),
        conserving=lambda: conserving.forward(activity),
    )
    adjoint = least(
        repeat,
        peer=lambda: peer.matrix.backward(theirs),
        sampled=lambda: sampled.adjoint(counts),
        conserving=lambda: conserving.adjoint(counts),
    )
    rebuilt = least(
        2,
        peer=lambda: peer.osem(theirs),
        sampled=lambda: osem(measured, sampled, iterations=ITERATIONS, subsets=SUBSETS),
        conserving=lambda: osem(measured, conserving, iterations=ITERATIONS, subsets=SUBSETS),
    )
    gates = torch.stack([activity * (1 + 0.1 * g) for g in range(GATES)])
    gated = Measurement(conserving.forward(gates))
    each = [Measurement(gated.counts[g]) for g in range(GATES)]
    data = gated.counts
    batch = least(
        max(2, repeat // 2),
        forward_together=lambda: conserving.forward(gates),
        forward_each=lambda: [conserving.forward(g) for g in gates],
        adjoint_together=lambda: conserving.adjoint(data),
        adjoint_each=lambda: [conserving.adjoint(g) for g in data],
        osem_together=lambda: osem(gated, conserving, iterations=ITERATIONS, subsets=SUBSETS),
        osem_each=lambda: [osem(g, conserving, iterations=ITERATIONS, subsets=SUBSETS) for g in each],
    )
    gflops, copy_gb = machine()
    operations, n_bytes = work(conserving)
    limit = max(operations / gflops / 1e9, n_bytes / copy_gb / 1e9)
    return {
        "equal_nrmse": equal,
        "backprojection_nrmse": back_equal,
        "adjoint_relative_error": adjoint_error,
        "setup_s": {"ours": setup, "ours_next_patient": again, "peer": peer_setup},
        "forward_s": forward,
        "adjoint_s": adjoint,
        "osem_s": rebuilt,
        "batch_of_8_s": batch,
        "roofline": {
            "matmul_GFLOP_per_s": gflops,
            "copy_GB_per_s": copy_gb,
            "forward_MFLOP": operations / 1e6,
            "forward_MB": n_bytes / 1e6,
            "limit_s": limit,
            "fraction_reached": limit / forward["conserving"],
        },
    }


def on_gpu(repeat: int) -> dict[str, float]:
    """Seconds per volume of 1 and 32 volumes on the GPU, in wall time."""
    activity, mu = patient()
    projector = ours(mu, "conserving").to("cuda")
    found = {}
    for n in (1, 32):
        images = activity.cuda().expand(n, -1, -1, -1).contiguous()
        data = projector.forward(images)
        jobs: dict[str, Callable[[], Any]] = {
            "forward": partial(projector.forward, images),
            "adjoint": partial(projector.adjoint, data),
        }
        for name, job in jobs.items():
            seconds = []
            for _ in range(repeat):
                torch.cuda.synchronize()
                start = time.perf_counter()
                job()
                torch.cuda.synchronize()
                seconds.append(time.perf_counter() - start)
            found[f"{name}, {n} at once"] = min(seconds) / n
    return found


def show(found: dict[str, Any]) -> None:
    print(
        f"projections equal to nRMSE {found['equal_nrmse']:.1e}; "
        f"back-projections to {found['backprojection_nrmse']:.1e}"
    )
    print(
        "  (the peer turns images back by interpolation, which is not the transpose; ours is, to "
        f"{found['adjoint_relative_error']:.0e})"
    )
    setup = found["setup_s"]
    print(
        f"set-up: {setup['ours']:.2f} s for a camera and grid with its first patient, "
        f"{setup['ours_next_patient']:.2f} s for the next patient, peer {setup['peer']:.2f} s "
        "(it makes its tables while projecting)"
    )
    print(f"\n{'CPU ms, one thread':28}{'peer':>9}{'equal':>9}{'ratio':>8}{'default':>9}{'ratio':>8}")
    for name, label in (
        ("forward_s", "forward"),
        ("adjoint_s", "adjoint"),
        ("osem_s", f"OSEM {ITERATIONS} x {SUBSETS}"),
    ):
        s = found[name]
        print(
            f"{label:28}{s['peer'] * 1e3:9.0f}{s['sampled'] * 1e3:9.1f}{s['peer'] / s['sampled']:8.1f}"
            f"{s['conserving'] * 1e3:9.1f}{s['peer'] / s['conserving']:8.1f}"
        )
    print(f"target: {TARGET:.0f} times faster")
    b = found["batch_of_8_s"]
    print(f"\n{'8 gates, ms per volume':28}{'each':>9}{'together':>9}{'ratio':>8}")
    for name in ("forward", "adjoint", "osem"):
        one, all_ = b[f"{name}_each"] / GATES * 1e3, b[f"{name}_together"] / GATES * 1e3
        print(f"{name:28}{one:9.1f}{all_:9.1f}{one / all_:8.2f}")
    print(f"target: {TARGET_BATCH} times faster (osem: {ITERATIONS} x {SUBSETS})")
    r = found["roofline"]
    print(
        f"\nroofline: {r['forward_MFLOP']:.0f} MFLOP and {r['forward_MB']:.0f} MB per forward projection; this machine "
        f"multiplies matrices at {r['matmul_GFLOP_per_s']:.0f} GFLOP/s and copies {r['copy_GB_per_s']:.1f} GB/s: "
        f"at least {r['limit_s'] * 1e3:.1f} ms, of which {100 * r['fraction_reached']:.0f} % is reached"
    )
    for name, seconds in found.get("gpu_s_per_volume", {}).items():
        print(f"GPU {name}: {seconds * 1e3:.3f} ms per volume")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        found = run(options.repeat)
        if torch.cuda.is_available():
            found["gpu_s_per_volume"] = on_gpu(options.repeat)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
