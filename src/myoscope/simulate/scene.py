"""What a camera sees: activity and attenuation of one patient in one state and position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue, Volume


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """Activity concentration at the middle of the acquisition, in two parts, and the attenuation around it.

    ``heart`` (kBq/mL, gate axis in front) holds the heart alone, on a fine grid round it; ``background``
    (kBq/mL, static) everything else, on a coarse grid that covers the body in the camera's reach, with nothing
    where the heart lies; ``attenuation`` (1/cm at the photopeak) has the grid of the background. All grids are
    axis-aligned LPS with isotropic voxels, and their origin is the camera's axis of rotation (or the centre of
    its field of view).
    """

    heart: Volume
    background: Volume
    attenuation: Volume

    def __post_init__(self) -> None:
        if self.heart.unit != "kBq/mL" or self.background.unit != "kBq/mL" or self.attenuation.unit != "1/cm":
            raise InvalidValue(
                "a scene holds activities in kBq/mL and attenuation in 1/cm, got "
                f"{self.heart.unit}, {self.background.unit} and {self.attenuation.unit}"
            )
        if self.heart.frame_axis != "gate":
            raise InvalidValue("the heart of a scene has a gate axis (one gate where it stands still)")
        if not self.background.grid.same_place(self.attenuation.grid):
            raise InvalidValue("background activity and attenuation lie on different grids")
        for name in ("heart", "background"):
            grid = getattr(self, name).grid
            if not np.allclose(grid.direction, np.eye(3)) or np.ptp(grid.spacing_mm) > 1e-6:
                raise InvalidValue(f"the grid of the {name} is not axis-aligned with isotropic voxels: {grid!r}")

    @property
    def n_gates(self) -> int:
        return self.heart.n_frames
