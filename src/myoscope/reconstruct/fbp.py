"""Filtered back-projection of parallel projections, many slices, gates and patients at once.

The ramp is the band-limited one, sampled in space (Kak and Slaney, Principles of Computerized Tomographic Imaging,
1988, chapter 3), so that the mean of the image is right; a window may multiply it. Views that see the same lines
from opposite sides share their weight, so that half a turn and a full turn give the same image of an object that
neither absorbs nor blurs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.reconstruct.filters import Filter

if TYPE_CHECKING:
    from torch import Tensor


def filtered_back_projection(
    counts: Tensor, *, angle_deg: ArrayLike, pixel_mm: float, window: Filter | None = None
) -> Tensor:
    """Slices of n_u by n_u pixels, shape (..., i, j, v), from projections (..., view, v, u).

    The axis of rotation projects to the middle of the u axis; pixels of the image are those of the detector, i to
    the patient's left, j to posterior (LPS). Pixels beyond the circle that all views see are 0. The values are scaled
    so that the image of an object without attenuation holds as many counts as one view does on average.

    ``angle_deg`` are DICOM detector angles, of any arc; an arc of less than half a turn leaves streaks. ``window``
    multiplies the ramp; None leaves it bare. The result is on the device of ``counts``, float32.

    Raises
    ------
    InvalidValue
        If angles and views do not match.
    """
    import torch

    angles = np.asarray(angle_deg, np.float64)
    *batch, n_views, n_v, n_u = counts.shape
    if angles.shape != (n_views,):
        raise InvalidValue(f"{n_views} views of counts, but {angles.size} angles")
    ramp = torch.as_tensor(_ramp(n_u, pixel_mm, window), dtype=torch.float32, device=counts.device)
    spectrum = torch.fft.rfft(counts.to(torch.float32), n=_padded(n_u)) * ramp
    filtered = torch.fft.irfft(spectrum, n=_padded(n_u))[..., :n_u]
    spread = _back_projection(tuple(angles.tolist()), n_u).to(counts.device)
    # (view, u) in rows to match the matrix; slices, gates and patients in columns.
    columns = filtered.reshape(-1, n_views, n_v, n_u).permute(1, 3, 0, 2).reshape(n_views * n_u, -1)
    slices: Tensor = (spread @ columns.contiguous()).reshape(n_u, n_u, -1, n_v).permute(2, 0, 1, 3)
    return slices.reshape(*batch, n_u, n_u, n_v).contiguous()


def view_weights_rad(angle_deg: ArrayLike) -> FloatArray:
    """The share of half a turn, in radians, that each view stands for.

    Opposite views see the same lines, so angles count modulo 180 degrees; each view reaches half-way to its
    neighbours, but no further than 1.5 times the usual step, so that a gap in the arc is left out rather than
    stretched over.
    """
    folded = np.mod(np.asarray(angle_deg, np.float64), 180.0)
    if folded.size == 1:
        return np.array([np.pi])
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(folded[order], append=folded[order[0]] + 180.0)
    steps = gaps[gaps > 1e-3]
    reach = np.minimum(gaps, 1.5 * float(np.median(steps))) if steps.size else gaps
    weights = np.empty(folded.size)
    weights[order] = (reach + np.roll(reach, 1)) / 2
    return np.radians(weights)


def _padded(n_u: int) -> int:
    return int(2 ** np.ceil(np.log2(2 * n_u)))


@lru_cache(maxsize=16)
def _ramp(n_u: int, pixel_mm: float, window: Filter | None) -> FloatArray:
    n = _padded(n_u)
    place = np.fft.fftfreq(n, 1 / n)
    kernel = np.zeros(n)
    kernel[0] = 0.25
    odd = np.abs(place) % 2 == 1
    kernel[odd] = -1 / (np.pi * place[odd]) ** 2
    ramp: FloatArray = np.fft.rfft(kernel).real
    if window is not None:
        ramp = ramp * window.gain(np.fft.rfftfreq(n, pixel_mm), pixel_mm=pixel_mm)
    return ramp


@lru_cache(maxsize=4)
def _back_projection(angle_deg: tuple[float, ...], n_u: int) -> Tensor:
    """Linear interpolation along u, weighted by view: sparse (pixel i * n_u + j, view * n_u + u)."""
    import warnings

    import torch

    angles = np.radians(np.array(angle_deg))
    weights = view_weights_rad(np.array(angle_deg))
    offset = np.arange(n_u) - (n_u - 1) / 2
    x, y = np.meshgrid(offset, offset, indexing="ij")
    # u runs along (-cos, sin) of the detector angle.
    u = (-np.cos(angles)[:, None] * x.ravel() + np.sin(angles)[:, None] * y.ravel()) + (n_u - 1) / 2
    low = np.floor(u).astype(np.int64)
    # Corners that some views do not see would be wrong, not just noisy.
    seen = np.hypot(x, y).ravel() <= n_u / 2
    rows, columns, values = [], [], []
    pixel = np.broadcast_to(np.arange(n_u * n_u), u.shape)
    view = np.broadcast_to(np.arange(len(angles))[:, None], u.shape)
    for side in (0, 1):
        at = low + side
        share = weights[:, None] * (1 - np.abs(u - at))
        inside = (at >= 0) & (at < n_u) & (share > 0) & seen
        rows.append(pixel[inside])
        columns.append((view * n_u + at)[inside])
        values.append(share[inside])
    matrix = sparse.csr_matrix(
        (np.concatenate(values).astype(np.float32), (np.concatenate(rows), np.concatenate(columns))),
        shape=(n_u * n_u, len(angles) * n_u),
    )
    with warnings.catch_warnings():
        # torch calls its compressed sparse rows a beta feature.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            check_invariants=False,
        )
