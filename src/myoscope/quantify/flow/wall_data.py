"""Time-activity curves of the wall with the blood that feeds and overlies it: what every flow model is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.physics.decay import decay_constant_per_s
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve

Weighting = Literal["uniform", "duration", "counts"]


@dataclass(frozen=True, eq=False, slots=True)
class Blood:
    """Blood of one cavity: its means over the frames, (frame,), and the curve behind them (kBq/mL, minutes)."""

    means: FloatArray
    curve: TimeCurve

    def __post_init__(self) -> None:
        means = frozen(self.means, np.float64)
        if means.ndim != 1 or not np.isfinite(means).all():
            raise InvalidValue("blood has one finite mean per frame")
        object.__setattr__(self, "means", means)

    @classmethod
    def from_means(cls, frames: Frames, means: ArrayLike) -> Blood:
        """Blood as an image shows it; between frames the smoothest curve with these means."""
        return cls(np.asarray(means, np.float64), TimeCurve.through_means(frames, means))

    @classmethod
    def from_curve(cls, frames: Frames, curve: TimeCurve) -> Blood:
        """Blood that is known at every moment."""
        return cls(curve.frame_means(frames), curve)


@dataclass(frozen=True, eq=False, slots=True)
class WallCurves:
    """Curves of the wall and of the blood beside it, decay-corrected to one time.

    ``tissue`` (curve, frame) in kBq/mL or any other unit that ``left`` shares; ``left`` the blood of the left
    ventricle, which is the arterial input as well, ``right`` that of the right one where it is known. ``weight``
    (frame,) or (curve, frame) are inverse variances up to a factor; with ``absolute`` they are inverse variances.
    ``recovery`` (curve,) is the share of the sample that is muscle and ``blood_share`` (curve,) that which is blood,
    for models that are told them; ``outside`` (curve,) the share that is neither muscle nor blood, which a geometric
    model leaves out (nothing if not given), and ``past_end`` (curve,) the share by which muscle is missing from what is
    not blood, because the wall ends beside the sample.
    ``beside_right`` (curve,) says where the right ventricle can spill over; everywhere if it is left out.
    """

    frames: Frames
    tissue: FloatArray
    left: Blood
    right: Blood | None = None
    weight: FloatArray | None = None
    absolute: bool = False
    recovery: FloatArray | None = None
    outside: FloatArray | None = None
    beside_right: NDArray[np.bool_] | None = None
    blood_share: FloatArray | None = None
    past_end: FloatArray | None = None

    def __post_init__(self) -> None:
        tissue = frozen(self.tissue, np.float64)
        n_frames = len(self.frames)
        if tissue.ndim != 2 or tissue.shape[1] != n_frames or not len(tissue):
            raise InvalidValue(f"curves have axes (curve, frame) with {n_frames} frames, got shape {tissue.shape}")
        for name, blood in (("left", self.left), ("right", self.right)):
            if blood is not None and blood.means.shape != (n_frames,):
                raise InvalidValue(f"the {name} ventricle has {len(blood.means)} means for {n_frames} frames")
        object.__setattr__(self, "tissue", tissue)
        weight = np.ones(n_frames) if self.weight is None else frozen(self.weight, np.float64)
        if weight.shape not in ((n_frames,), tissue.shape) or not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise InvalidValue("weights are finite and not negative, one per frame or one per curve and frame")
        if not (weight > 0).any():
            raise InvalidValue("no frame has any weight")
        object.__setattr__(self, "weight", frozen(weight))
        if self.recovery is not None:
            recovery = frozen(self.recovery, np.float64)
            if recovery.shape != (len(tissue),) or not ((recovery > 0) & (recovery <= 1.5)).all():
                raise InvalidValue("recovery is one share of 0 to 1 (a little above by noise) for each curve")
            object.__setattr__(self, "recovery", recovery)
        if self.blood_share is not None:
            blood_share = frozen(self.blood_share, np.float64)
            if blood_share.shape != (len(tissue),) or not ((blood_share >= 0) & (blood_share < 1)).all():
                raise InvalidValue("what of a sample is blood is one share from 0 to below 1 for each curve")
            object.__setattr__(self, "blood_share", blood_share)
        for name, words in (("outside", "outside the wall"), ("past_end", "past the wall's end")):
            share = getattr(self, name)
            if share is not None:
                share = frozen(share, np.float64)
                if share.shape != (len(tissue),) or not ((share >= 0) & (share < 1)).all():
                    raise InvalidValue(f"what lies {words} is one share from 0 to below 1 for each curve")
                object.__setattr__(self, name, share)
        if self.beside_right is not None:
            beside = frozen(self.beside_right, np.bool_)
            if beside.shape != (len(tissue),):
                raise InvalidValue("beside_right says yes or no for each curve")
            object.__setattr__(self, "beside_right", beside)

    def __len__(self) -> int:
        return len(self.tissue)

    @property
    def weights(self) -> FloatArray:
        """Weights by curve and frame, (1, frame) if all curves share them."""
        assert self.weight is not None
        return self.weight if self.weight.ndim == 2 else self.weight[None]

    def some(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> WallCurves:
        """The same blood with some of the curves.

        Raises
        ------
        InvalidValue
            If none is left.
        """
        assert self.weight is not None
        if not len(self.tissue[which]):
            raise InvalidValue("no curve of the wall is left to be fitted")
        return replace(
            self,
            tissue=self.tissue[which],
            weight=self.weight[which] if self.weight.ndim == 2 else self.weight,
            recovery=None if self.recovery is None else self.recovery[which],
            blood_share=None if self.blood_share is None else self.blood_share[which],
            outside=None if self.outside is None else self.outside[which],
            past_end=None if self.past_end is None else self.past_end[which],
            beside_right=None if self.beside_right is None else self.beside_right[which],
        )

    def until(self, minutes: float) -> WallCurves:
        """The frames that end by this time.

        Raises
        ------
        InvalidValue
            If fewer than five are left.
        """
        n = int((self.frames.end_min <= minutes + 1e-6).sum())
        if n < 5:
            raise InvalidValue(f"only {n} frames end within {minutes:g} min; a model needs five or more")
        if n == len(self.frames):
            return self
        assert self.weight is not None
        return replace(
            self,
            frames=self.frames.first(n),
            tissue=self.tissue[:, :n],
            left=Blood(self.left.means[:n], self.left.curve),
            right=None if self.right is None else Blood(self.right.means[:n], self.right.curve),
            weight=self.weight[..., :n],
        )

    def averaged(self, share: ArrayLike) -> WallCurves:
        """Curves of regions: ``share`` (region, curve) says what each curve adds to each region; rows sum to 1.

        A curve with missing frames spoils only the regions that it has a share in; a region without any curve is
        missing.
        """
        matrix = np.asarray(share, np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != len(self):
            raise InvalidValue(f"regions have axes (region, curve) with {len(self)} curves, got {matrix.shape}")
        assert self.weight is not None
        septal = None
        if self.beside_right is not None:
            septal = matrix @ self.beside_right.astype(float) > 0.1
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(self.tissue).all(axis=1))
        whole = (matrix != 0).any(axis=1) & ~(matrix[:, ~seen] != 0).any(axis=1)
        tissue = matrix @ np.where(seen[:, None], self.tissue, 0.0)
        return replace(
            self,
            tissue=np.where(whole[:, None], tissue, np.nan),
            weight=self.weight if self.weight.ndim == 1 else matrix @ self.weight,
            recovery=None if self.recovery is None else matrix @ self.recovery,
            blood_share=None if self.blood_share is None else matrix @ self.blood_share,
            outside=None if self.outside is None else matrix @ self.outside,
            past_end=None if self.past_end is None else matrix @ self.past_end,
            beside_right=septal,
        )


def frame_weights(
    frames: Frames, mean_curve: ArrayLike, *, nuclide: str | None, weighting: Weighting = "counts"
) -> FloatArray:
    """Inverse variances of frame means up to a factor, (frame,).

    ``counts``: a decay-corrected mean C over a frame of length d at time t comes from about C d exp(-l t) counts and
    has the variance C exp(l t) / d, so the weight is d exp(-l t) / C. C is read from ``mean_curve`` (frame,), the mean
    of all curves and not each curve itself: weights that follow the noise of what they weigh pull fits downward. Where
    it is below a twentieth of its highest value that is taken. ``duration`` and ``uniform`` leave the rest out.
    ``nuclide`` None takes no decay.
    """
    duration = frames.duration_min / frames.duration_min.mean()
    if weighting == "uniform":
        return np.ones(len(frames))
    if weighting == "duration":
        return np.asarray(duration)
    if weighting != "counts":
        raise InvalidValue(f"frames are weighted uniform, by duration or by counts, not {weighting!r}")
    curve = np.asarray(mean_curve, np.float64)
    top = float(np.nanmax(curve))
    if not top > 0:
        raise InvalidValue("a mean curve without activity gives no weights")
    left = 1.0 if nuclide is None else np.exp(-decay_constant_per_s(nuclide) * 60 * frames.middle_min)
    weight: FloatArray = duration * left / (np.maximum(np.nan_to_num(curve), 0.05 * top) / top)
    relative: FloatArray = weight / weight.mean()
    return relative
