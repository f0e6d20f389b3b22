"""Was the heart gated well enough to believe its function? Counts per gate, beats, and the curve of volumes.

With a steady rhythm every gate is open for the same time and holds the same counts. Beats that are shorter than the
nominal one end before the last gates open: those hold fewer counts, look thinner perfused and noisier, and mix phases.
Beats outside of the acceptance window are lost; where many are, what was measured is the function of a few selected
beats. A curve of volumes falls once and rises once per cycle, with its maximum near the R wave: gates in a wrong order
have several ups and downs, a late trigger turns the curve, and gates that are copies of one image have no curve at all.

Thresholds are ours; each flag carries the numbers.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import Flag, Gating, InvalidValue, Projections, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.camera_geometry import geometry_named

# Beats that vary by 2 % empty the last of 8 gates by 8 %.
_NOTED_DROP, _SERIOUS_DROP = 0.10, 0.20  # of the counts of a usual gate
_LAST_SHARE = 0.25  # of the gates count as the last ones
_MANY_REJECTED = 1 / 3  # of all beats
_WIDE_WINDOW = 1.0  # of the nominal interval, full width: every beat up to 1.5 times its length
_LOST_VIEW = 0.75  # of the counts that a view's neighbours hold
_STANDARD_ERRORS = 4.0
_COPIES = 1e-6
_STILL_PERCENT = 5.0  # ejection fraction below which the curve is flat
_GREATEST_FACTOR = 3.0
_RESTLESS = 1.4  # ups and downs of a curve over twice its range; one beat has 1
_LATE = 0.2  # of the cycle from the R wave to the largest volume, either way


def gating_flags(image: Volume | Projections, *, cavity_mL: FloatArray | None = None) -> tuple[Flag, ...]:
    """What is doubtful about the gating of an image or of projections; empty if nothing is.

    ``cavity_mL`` (gate,) are the volumes measured in the gates, where there are any.

    Raises
    ------
    InvalidValue
        If the image is not gated, or there is another number of volumes than gates.
    """
    gating = image.gating
    n_gates = image.counts.shape[1] if isinstance(image, Projections) else image.n_frames
    if n_gates < 2 or (isinstance(image, Volume) and image.frame_axis != "gate"):
        raise InvalidValue("an image of one gate has no gating to judge")
    flags = list(count_flags(gate_counts(image), poisson=isinstance(image, Projections)))
    if isinstance(image, Projections):
        flags += _lost_view_flags(image)
    else:
        flags += _copy_flags(image)
    if gating is not None:
        flags += beat_flags(gating)
    if cavity_mL is not None:
        volumes = np.asarray(cavity_mL, float)
        if volumes.shape != (n_gates,):
            raise InvalidValue(f"{n_gates} gates have as many volumes, got shape {volumes.shape}")
        flags += curve_flags(volumes)
    return tuple(flags)


def gate_counts(image: Volume | Projections) -> FloatArray:
    """Total counts of every gate; of projections, all windows and views together."""
    if isinstance(image, Projections):
        return np.asarray(image.counts.sum(axis=(0, 2, 3, 4), dtype=np.float64))
    return np.asarray(np.nansum(image.array, axis=(1, 2, 3), dtype=np.float64))


def equal_count_factors(image: Volume) -> FloatArray:
    """What brings each gate to the mean counts of all: the last ones open for fewer beats.

    1 for an empty gate, and never more than 3: a gate with fewer counts holds little but noise.
    """
    counts = gate_counts(image)
    known = counts > 0
    if not known.any():
        return np.ones(len(counts))
    factors = np.where(known, counts[known].mean() / np.where(known, counts, 1.0), 1.0)
    return np.minimum(factors, _GREATEST_FACTOR)


def count_flags(counts: FloatArray, *, poisson: bool) -> tuple[Flag, ...]:
    """Gates that hold fewer counts than the usual one; ``poisson`` says that these are counted photons.

    A drop is told apart from chance where photons were counted.
    """
    counts = np.asarray(counts, float)
    usual = float(np.median(counts))
    if not usual > 0:
        return ()
    drop = 1 - counts / usual
    chance = _STANDARD_ERRORS / np.sqrt(usual) if poisson else 0.0
    low = drop > max(_NOTED_DROP, chance)
    if not low.any():
        return ()
    n_last = max(1, round(_LAST_SHARE * counts.size))
    late = bool(low[-1] and not low[:-n_last].any())
    worst = float(drop.max())
    where = "the last gates hold" if late else f"gate {int(np.argmax(drop)) + 1} holds"
    cause = (
        "beats shorter than the nominal one ended before they opened; volumes at the end of diastole are less certain"
        if late
        else "beats were lost or gates mixed; volumes and phase are less certain"
    )
    return (
        Flag(
            "count_drop_between_gates",
            f"Up to {100 * worst:.0f} % fewer counts: {where} less than the usual gate; {cause}.",
            "warning" if worst > _SERIOUS_DROP else "info",
            {
                "drop_percent": [round(100 * float(d), 1) for d in drop],
                "gates": (np.flatnonzero(low) + 1).tolist(),
                "last_gates_only": late,
            },
        ),
    )


def beat_flags(gating: Gating) -> tuple[Flag, ...]:
    """Arrhythmia as far as it is told by accepted and rejected beats and by the acceptance window."""
    flags = []
    accepted, rejected = gating.accepted_beats, gating.rejected_beats
    if accepted is not None and rejected is not None and accepted + rejected > 0:
        share = rejected / (accepted + rejected)
        if share > _MANY_REJECTED:
            flags.append(
                Flag(
                    "many_beats_rejected",
                    f"{100 * share:.0f} % of the beats were rejected; function is that of the others.",
                    "warning",
                    {"accepted": accepted, "rejected": rejected},
                )
            )
    low, high, nominal = gating.rr_low_ms, gating.rr_high_ms, gating.rr_ms
    if low is not None and high is not None and nominal is not None:
        width = (high - low) / nominal
        evidence = {"rr_low_ms": round(low), "rr_high_ms": round(high), "rr_ms": round(nominal)}
        if width >= _WIDE_WINDOW:
            flags.append(
                Flag(
                    "acceptance_window_wide",
                    f"Beats from {low:.0f} to {high:.0f} ms were accepted about {nominal:.0f} ms; beats of different "
                    "length were mixed, which blurs end systole.",
                    "info",
                    evidence,
                )
            )
        if not low <= nominal <= high:
            flags.append(
                Flag(
                    "nominal_beat_outside_window",
                    f"The nominal beat of {nominal:.0f} ms lies outside the accepted {low:.0f} to {high:.0f} ms.",
                    "warning",
                    evidence,
                )
            )
    return tuple(flags)


def curve_flags(cavity_mL: FloatArray) -> tuple[Flag, ...]:
    """Whether the curve of volumes is that of a beat: one fall, one rise, largest near the R wave."""
    volumes = np.asarray(cavity_mL, float)
    n = volumes.size
    span = float(volumes.max() - volumes.min())
    percent = 100 * span / float(volumes.max())
    told = {"cavity_mL": [round(float(v), 1) for v in volumes]}
    if percent < _STILL_PERCENT:
        return (
            Flag(
                "no_motion_between_gates",
                f"The cavity changes by {percent:.0f} % only: the heart hardly contracts, or its gates hold the same "
                "beats.",
                "warning",
                {**told, "ef_percent": round(percent, 1)},
            ),
        )
    flags = []
    ups_and_downs = float(np.abs(np.diff(volumes, append=volumes[0])).sum()) / (2 * span)
    if ups_and_downs > _RESTLESS:
        flags.append(
            Flag(
                "volume_curve_restless",
                "Volumes rise and fall more than once in the beat: gates in a wrong order, arrhythmia or noise.",
                "warning",
                {**told, "ups_and_downs": round(ups_and_downs, 2)},
            )
        )
    # The first harmonic's maximum: one noisy gate does not turn it.
    wave = np.exp(2j * np.pi * np.arange(n) / n) @ volumes
    late = float(np.angle(wave)) / (2 * np.pi)
    # End diastole of a beat that falls faster than it fills is not at the harmonic's top, but before the R wave.
    if late > _LATE or late < -2 * _LATE:
        flags.append(
            Flag(
                "trigger_shifted",
                f"The cavity is largest {100 * abs(late):.0f} % of the beat {'after' if late > 0 else 'before'} the "
                "first gate: the trigger was not the R wave, or the gates begin elsewhere.",
                "warning",
                {**told, "largest_at_share_of_beat": round(late, 2)},
            )
        )
    return tuple(flags)


def _copy_flags(image: Volume) -> list[Flag]:
    gates = np.asarray(image.array, np.float64)
    top = float(np.nanmax(np.abs(gates)))
    first = gates[0]
    same = [n + 1 for n in range(1, len(gates)) if np.nanmax(np.abs(gates[n] - first)) <= _COPIES * top]
    if not same:
        return []
    return [
        Flag(
            "gates_are_copies",
            f"{len(same) + 1} of {len(gates)} gates hold the very same image; this is not a gated study.",
            "warning",
            {"gates": [1, *same]},
        )
    ]


def _lost_view_flags(projections: Projections) -> list[Flag]:
    """Views that hold fewer counts than their neighbours, because beats were rejected while they were taken."""
    if geometry_named(projections.collimator) is not None or projections.n_views < 5:
        return []
    total = projections.counts.sum(axis=(0, 1, 3, 4), dtype=np.float64)
    # Neighbours by angle; one view at a time stands out, an organ coming into view does not.
    order = np.argsort(projections.angle_deg, kind="stable")
    ordered = total[order]
    padded = np.pad(ordered, 2, mode="reflect")
    around = np.median(np.stack([padded[n : n + ordered.size] for n in (0, 1, 3, 4)]), axis=0)
    lost = ordered < _LOST_VIEW * around - _STANDARD_ERRORS * np.sqrt(np.maximum(around, 0))
    if not lost.any():
        return []
    share = ordered[lost] / around[lost]
    views = np.sort(order[lost]) + 1
    return [
        Flag(
            "views_short_of_beats",
            f"{int(lost.sum())} of {total.size} views hold down to {100 * share.min():.0f} % of their neighbours' "
            "counts: beats were rejected while they were taken, which leaves streaks.",
            "warning",
            {"views": views.tolist(), "least_share": round(float(share.min()), 2)},
        )
    ]
