"""The dynamic image of a SPECT scan, from the projections of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from myoscope.core import InvalidValue, Projections, Volume
from myoscope.correct.tew import estimate_scatter
from myoscope.flow_protocols import protocol_of
from myoscope.reconstruct import Gaussian, ReconstructionSettings, photopeak, reconstruct_frames

SPECT_RECONSTRUCTION = ReconstructionSettings("osem", 8, 8, post_filter=Gaussian(6.0))
"""How frames of projections become images unless settings say otherwise."""


def dynamic_image(
    frames: Sequence[Projections],
    tracer: str,
    *,
    frame_start_s: Sequence[float],
    attenuation: Volume | None = None,
    settings: ReconstructionSettings = SPECT_RECONSTRUCTION,
) -> Volume:
    """The dynamic image of a SPECT scan, counts/s corrected for decay to its start, of the projections of its frames.

    Scatter is modelled as the window below the photopeak tells of it, where there is one. With ``attenuation`` (1/cm,
    in the place of the image) photons that the body stopped are made up for; without it the image shows deep blood and
    the wall's deep parts too faint, flow comes out too high, and ``made_by`` says so. No calibration is needed: wall
    and blood share one scale, and flow is a ratio of the two.

    Raises
    ------
    InvalidValue
        If flow cannot be measured with the tracer, or a frame is gated or of unknown duration.
    GeometryMismatch
        If the frames were not taken from the same places.
    """
    protocol = protocol_of(tracer)
    peak = photopeak(_added_up(frames))
    estimates = [estimate_scatter(one, photopeak=peak) for one in frames]
    known = [np.asarray(one.counts[0], np.float32) for one in estimates if one is not None]
    return reconstruct_frames(
        frames,
        frame_start_s=frame_start_s,
        settings=settings,
        attenuation=attenuation,
        scatter=np.stack(known) if len(known) == len(estimates) and known else None,
        nuclide=protocol.nuclide,
    )


def _added_up(frames: Sequence[Projections]) -> Projections:
    """All counts of all frames, as one acquisition."""
    if not frames:
        raise InvalidValue("a dynamic scan has at least one frame of projections")
    return replace(frames[0], counts=np.sum([np.asarray(one.counts, np.float64) for one in frames], axis=0))
