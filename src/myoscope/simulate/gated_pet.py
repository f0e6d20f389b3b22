"""The gated image of a dynamic PET study: its late frames once more, sorted by the phase of the beat.

A gate is what the late frames show on average, the beating heart taken out and put back as it stands in that gate. Wall
and blood keep their activities over the beat; where the wall is thin the camera's blur makes it dim. Gates add up to
the late image.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import Gating, InvalidValue, Volume
from myoscope.simulate.dynamic_body import breathing_sd_mm
from myoscope.simulate.dynamic_pet import DynamicScene
from myoscope.simulate.patient import VirtualPatient
from myoscope.simulate.pet_camera import PetCamera

GATES = 8


def gated_scan(
    patient: VirtualPatient,
    scene: DynamicScene,
    *,
    from_s: float,
    camera: PetCamera,
    rng: np.random.Generator | None,
    n_gates: int = GATES,
) -> Volume:
    """Gates of the frames that begin at ``from_s`` or later, kBq/mL, decay-corrected to the start of the study.

    ``camera`` is the one the scene was made with; without ``rng`` there is no noise. The patient lies still.

    Raises
    ------
    InvalidValue
        If no frame begins so late.
    """
    frames = scene.frames
    late = frames.start_s >= from_s - 0.5
    if not late.any():
        raise InvalidValue(f"no frame begins after {from_s:g} s")
    share = np.where(late, frames.duration_s, 0.0)
    share /= share.sum()
    corrected = scene.decayed * scene.decay_factors
    mean = (corrected @ share).astype(np.float32) @ scene.regions.reshape(len(scene.regions), -1)
    wall = scene.wall_means @ share
    beating = patient.beating(scene.state, "supine", n_gates)
    gates = beating.activity(
        scene.grid,
        wall_kBq_mL=wall,
        rv_wall_kBq_mL=0.0,
        blood_kBq_mL=float(scene.blood.left.frame_means(frames) @ share),
    )
    also_mm = breathing_sd_mm(patient, scene.state)
    hearts = np.stack([camera.blurred(gate, scene.grid, also_mm=also_mm) for gate in np.asarray(gates.array)])
    images = mean.reshape(scene.grid.shape) + hearts - hearts.mean(axis=0)
    if rng is not None:
        duration_s = float(frames.duration_s[late].sum()) / n_gates
        factor = float(scene.decay_factors @ share)
        for image in images:
            variance = camera.variance(
                image / factor,
                duration_s=duration_s,
                decay_factor=factor,
                body_kBq_mL=float(image.mean()) / factor,
            )
            image += np.sqrt(variance) * camera.grain(scene.grid, rng=rng)
    person = patient.facts.person
    rate = person.rest_heart_rate_bpm if scene.state == "rest" else person.peak_heart_rate_bpm
    return Volume(
        images.astype(np.float32),
        scene.grid,
        "kBq/mL",
        ("simulated gated PET, synthetic",),
        "gate",
        Gating(n_gates, rr_ms=round(60_000 / rate)),
    )
