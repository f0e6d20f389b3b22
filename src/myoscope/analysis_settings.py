"""What a user may choose about one analysis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from myoscope import io, reconstruct, report
from myoscope.core import InvalidValue
from myoscope.flow_choices import FlowSettings
from myoscope.systems import MODELS


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose about one analysis.

    ``finder``: ``auto`` takes the learned finder for images like its training set and the model-based one
    elsewhere. ``sampling``: how the wall's counts become polar-map values (see ``heart.sample_wall``).
    ``resolution_fwhm_mm``: the reconstructed resolution, where it is known better than by the voxel size.
    ``reconstruction``: how projections become images. ``limits``: folders of normal limits besides those that come
    with the program; ``models`` folders of trained models, likewise; ``seed`` of the draws that intervals come from.
    ``flow`` is how blood flow is measured, ``rest_rate_pressure`` heart rate times systolic pressure at rest, to which
    files have no word. ``workers`` processes analyse stress and rest side by side; with more than 1, a program that
    calls `analyze` must begin under ``if __name__ == "__main__"``.
    """

    finder: Literal["auto", "network", "model"] = "auto"
    sampling: Literal["surface", "profile", "hybrid"] = "surface"
    resolution_fwhm_mm: float | None = None
    colour_table: str = report.DEFAULT_COLOUR_TABLE
    overwrite: bool = False
    reconstruction: reconstruct.ReconstructionSettings = field(default_factory=reconstruct.ReconstructionSettings)
    limits: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    seed: int = 1
    flow: FlowSettings = field(default_factory=FlowSettings)
    rest_rate_pressure: float | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidValue(f"an analysis needs at least one worker, got {self.workers}")

    def known_limits(self) -> tuple[io.SignedLimits, ...]:
        """The user's limits, and those that come with the program."""
        own = [one for folder in self.limits for one in io.read_limits_folder(folder)]
        return (*own, *io.shipped_limits())

    def known_models(self) -> dict[str, Path]:
        """The folder of the model of each system: the user's before the program's.

        Raises
        ------
        InvalidValue
            A folder of the user's holds no model.
        """
        roots = [*self.models, *([MODELS] if MODELS.is_dir() else [])]
        if not roots:
            return {}
        # The systems take half a second to load, which analyses without models do without.
        from myoscope.systems.one_study import model_folders

        found: dict[str, Path] = {}
        for root in roots:
            here = model_folders(root)
            if not here and root in self.models:
                raise InvalidValue(f"{root} holds no trained model that an analysis can ask (myoscope train makes one)")
            found = here | found
        return found
