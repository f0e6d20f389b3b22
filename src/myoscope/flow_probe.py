"""What lies about the wall of a dynamic study, told by the passing of the bolus: blood, blur, the right ventricle.

In: the image, where the wall is in every frame, and blood. Out: shares of blood, the blur of the wall's edges, and what
must be doubted because of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Flag, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.frames import Frames
from myoscope.quantify import flow as models
from myoscope.quantify.flow import Blood, FlowEstimate, FlowModel, WallCurves
from myoscope.quantify.flow.blur import EDGE_DEPTHS_MM, Blur, blur_from_blood, edge_regions
from myoscope.quantify.flow.wall_place import WallPlace, read_frames, wall_curves

LEAST_MUSCLE = 0.2
"""Share of muscle that a sample of the wall has at least."""
FAR_BREATH_MM = 9.0
"""Standard deviation of the heart's place over a breath from which flow is doubted."""
_BESIDE_RIGHT = 0.3  # share of right blood beyond the wall from which a cell is beside the right ventricle


class Probe:
    """Fits of a plain one-tissue model at a few places about the wall, which tell what lies there."""

    def __init__(
        self,
        volume: Volume,
        place: WallPlace,
        shifts_mm: FloatArray,
        frames: Frames,
        left: Blood,
        right: Blood | None,
        weight: FloatArray,
        tracer: str,
    ) -> None:
        self.volume, self.place, self.shifts_mm = volume, place, shifts_mm
        self.blood = (frames, left, right, weight)
        plain: Mapping[str, FlowModel] = {
            "water": models.iida(),
            "sestamibi": models.tc99m_one_tissue("sestamibi", washout="none"),
            "tetrofosmin": models.tc99m_one_tissue("tetrofosmin", washout="none"),
        }
        self.model = plain.get(tracer) or models.katoh()

    def fit(self, curves: FloatArray) -> FlowEstimate:
        """The plain model fitted to curves (curve, frame)."""
        frames, left, right, weight = self.blood
        return self.model.estimate(WallCurves(frames, np.nan_to_num(curves), left, right, weight=weight))

    def blood_share(self, curves: FloatArray, beside_right: NDArray[np.bool_]) -> FloatArray:
        """Share of blood, left and right, in samples with these curves, (cell,): 0 where it cannot be told."""
        frames, left, right, weight = self.blood
        known = WallCurves(frames, np.nan_to_num(curves), left, right, weight=weight, beside_right=beside_right)
        found = self.model.estimate(known)
        share = found.of("v_lv") + (found.of("v_rv") if found.has("v_rv") else 0.0)
        return np.clip(np.nan_to_num(share), 0.0, 1 - LEAST_MUSCLE)

    def beside_right(self) -> NDArray[np.bool_]:
        """Cells beyond whose outer side lies right blood, (ring, angle)."""
        rings, angles = self.place.thickness_mm.shape
        if self.blood[2] is None:
            return np.zeros((rings, angles), bool)
        beyond = self.place.mid_mm + (0.5 * self.place.thickness_mm + 6.0)[..., None] * self.place.outward
        curves = read_frames(self.volume, beyond, self.shifts_mm)
        block = np.nan_to_num(curves).reshape(len(curves), rings // 4, 4, angles // 6, 6).mean(axis=(2, 4))
        share: FloatArray = np.nan_to_num(self.fit(block.reshape(len(curves), -1).T).of("v_rv"))
        yes: NDArray[np.bool_] = np.asarray(share.reshape(rings // 4, angles // 6) > _BESIDE_RIGHT)
        return np.repeat(np.repeat(yes, 4, axis=0), 6, axis=1)

    def blur(self) -> Blur:
        """How blurred the wall's edges are, from where left blood fades."""
        regions, amount = edge_regions(self.place)
        curves = np.concatenate(
            [
                regions @ np.nan_to_num(wall_curves(self.volume, self.place, self.shifts_mm, [depth]))
                for depth in EDGE_DEPTHS_MM
            ]
        )
        share = self.fit(curves).of("v_lv").reshape(len(EDGE_DEPTHS_MM), len(regions))
        return blur_from_blood(np.nan_to_num(share), amount)


def no_pool() -> Flag:
    """A doubt about where left blood was read: no core of the pool was found."""
    message = (
        "No place in cavity and atrium was filled with blood alone: it was read about the valve plane, as with "
        "input=basal. Is the wall in its place?"
    )
    return Flag("blood_pool_not_found", message, "warning")


def drawn_in_blood(inside_mm: float) -> Flag:
    """A doubt about a wall that lies this far inside of where blood ends, mm."""
    message = (
        f"The wall of the late image lies {inside_mm:.1f} mm inside of where the bolus ends: muscle was hardly "
        "brighter than blood. Flow was read that much farther out and may still be far too high; do not trust it."
    )
    return Flag("wall_drawn_in_blood", message, "error", {"inside_mm": round(inside_mm, 1)})


def breathes_far(breathing_sd_mm: float) -> Flag:
    """A doubt about a heart whose place varies by this standard deviation over a breath, mm."""
    message = (
        f"The heart moves far with breathing (standard deviation {breathing_sd_mm:.0f} mm or more). It blurs the wall "
        "over more than its thickness: flow may come out by a quarter too low or more."
    )
    return Flag("heart_breathes_far", message, "warning", {"breathing_sd_mm": round(breathing_sd_mm, 1)})


def partly_in_blood(in_blood: NDArray[np.bool_], names: Sequence[str]) -> tuple[Flag, ...]:
    """A doubt about segments, (segment,), whose wall is drawn in blood, by their names."""
    drawn = [name for name, yes in zip(names, in_blood, strict=False) if yes]
    if not drawn:
        return ()
    message = (
        f"Part of the wall is drawn in blood and is given no flow: {', '.join(drawn)}. Territories are means of what "
        "is left; the map is too high there. Look at the contours."
    )
    return (Flag("wall_partly_in_blood", message, "warning", {"segments": len(drawn)}),)
