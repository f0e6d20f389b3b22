"""All frames of a dynamic study placed at once: displacements under which few images and their time courses explain it.

Where the heart lies still, every frame is a mixture of a few images, of muscle, left and right blood, in the amounts of
their time courses:

    frame_f(x + d_f)  =  sum_k  course_k(f) image_k(x)  +  constant_f

The images are unknown and drop out: what a displacement leaves unexplained is the part of the frames that lies outside
the courses (variable projection, Golub and Pereyra, SIAM J Numer Anal 1973;10:413; Kaufman's form of the derivative).
What is left is a linear system of three unknowns per frame. It ties early frames, which show blood, to late ones, which
show muscle, by the frames in between, which show both; no frame is compared with a drawn heart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray

TIE_MM = 3.0
"""Displacements of frames that follow each other differ by about this much; only frames that show nothing feel it."""
_LONGEST_STEP_MM = 5.0


def joint_step(
    images: FloatArray,
    gradients: FloatArray,
    courses: FloatArray,
    *,
    weight: FloatArray,
    precision: FloatArray,
    grains: float,
    shifts_mm: FloatArray,
    late: NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """One Gauss-Newton step of all displacements, and their standard errors, both (frame, 3) in mm.

    ``images`` (frame, voxel) are the frames as displaced so far, ``gradients`` (frame, 3, voxel) their change per mm,
    ``courses`` (frame, course) the time courses; ``weight`` (voxel,) says which voxels count, ``precision`` (frame,)
    the weight of each frame, ``grains`` how many independent voxels there are. On average ``late`` frames stay at zero.
    """
    n = len(images)
    root = np.sqrt(precision)
    basis, _ = np.linalg.qr(courses * root[:, None])
    outside = np.eye(n) - basis @ basis.T
    share = weight / weight.sum()
    # Each frame has a constant of its own.
    data = (images - (images @ share)[:, None]) * root[:, None]
    slope = (gradients - (gradients @ share)[..., None]) * root[:, None, None]
    flat = slope.reshape(3 * n, -1)
    unexplained = outside @ data
    # What is left per independent value is the unit of misfit; frames that are explained to the last digit have none.
    left, whole = float((unexplained**2 @ weight).sum()), float((data**2 @ weight).sum())
    unit = max(left, 1e-6 * whole, 1e-30) / max(grains * (n - courses.shape[1]), 1.0)
    curvature = ((flat * weight) @ flat.T) * np.kron(outside, np.ones((3, 3))) / unit
    downhill = np.einsum("fav,fv->fa", slope * weight, unexplained).ravel() / unit

    chain = np.diff(np.eye(n), axis=0)
    anchor = late / max(int(late.sum()), 1)
    held = chain.T @ chain / TIE_MM**2 + 1e4 * np.outer(anchor, anchor)
    prior = np.kron(held, np.eye(3))
    normal = curvature + prior
    step = -np.linalg.solve(normal, downhill + prior @ shifts_mm.ravel()).reshape(n, 3)
    longest = float(np.abs(step).max())
    error = np.sqrt(np.diag(np.linalg.inv(normal))).reshape(n, 3)
    return step * min(1.0, _LONGEST_STEP_MM / max(longest, 1e-30)), error
