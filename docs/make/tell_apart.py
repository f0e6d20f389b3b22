"""Can a machine tell virtual hearts from real ones? Two classifiers on short-axis slices, cross-validated by patient.

In: reconstructed volumes with their patients. Each is reoriented about the axis that the finder gives, cut to 60 mm
round it and scaled to its own wall, so that neither place nor scale tells. Out: the area under the ROC curve of a small
convolutional network and of texture features with boosted trees, with an interval over patients. 0.5 is
indistinguishable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import heart
from myoscope.core import Volume

PIXEL_MM, SIDE = 4.0, 15  # 60 mm
_DEPTH, _STEP = 13, 2  # slices about the centre, every second one: 48 mm from apical to basal
FOLDS = 5
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Slices:
    """Short-axis slices (n, 15, 15), anterior up and septum left, and the patient of each."""

    pixels: Array
    patient: NDArray[np.str_]


@dataclass(frozen=True)
class Told:
    """How well the two sources were told apart, slice by slice, with a 95 % interval over patients."""

    auc: float
    low: float
    high: float
    auc_patient: float
    score: NDArray[np.float64]


def short_axis_slices(volume: Volume, patient: str) -> Slices:
    """The slices of one heart.

    Raises
    ------
    HeartNotFound
        If the learned finder finds no heart.
    """
    frame = heart.find_by_network(volume.summed()).frame
    grid = frame.short_axis_grid((SIDE, SIDE, _DEPTH), spacing_mm=PIXEL_MM)
    cut = np.asarray(heart.resample(volume.summed(), grid, step="cut for comparison").array, np.float32)
    cut = np.nan_to_num(cut / np.percentile(cut, 98))
    pixels = np.ascontiguousarray(np.moveaxis(cut, 2, 0)[::_STEP].swapaxes(1, 2))
    return Slices(pixels, np.full(len(pixels), patient))


def joined(parts: Sequence[Slices]) -> Slices:
    """Several hearts' slices one after the other."""
    return Slices(np.concatenate([p.pixels for p in parts]), np.concatenate([p.patient for p in parts]))


def tell_apart(real: Slices, virtual: Slices, *, by: str, seed: int, bootstrap: int = 1000) -> Told:
    """Cross-validated by patient with the classifier ``by``: "network" or "texture"."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    pixels = np.concatenate([real.pixels, virtual.pixels])
    patient = np.concatenate([np.char.add("real ", real.patient), np.char.add("virtual ", virtual.patient)])
    is_virtual = np.repeat([0, 1], [len(real.pixels), len(virtual.pixels)])
    fold = np.empty(len(pixels), int)
    for group in (0, 1):
        names = np.unique(patient[is_virtual == group])
        dealt = dict(zip(rng.permutation(names), np.arange(names.size) % FOLDS, strict=True))
        fold[is_virtual == group] = [dealt[p] for p in patient[is_virtual == group]]
    data: Array = pixels if by == "network" else texture_features(pixels)
    classify: Callable[..., NDArray[np.float64]] = _network if by == "network" else _trees
    score = np.empty(len(pixels))
    for k in range(FOLDS):
        test = fold == k
        score[test] = classify(data[~test], is_virtual[~test], data[test], seed + k)
    names, row = np.unique(patient, return_inverse=True)
    rows = [np.flatnonzero(row == n) for n in range(names.size)]
    truth = np.array([is_virtual[r[0]] for r in rows])
    draws = []
    for _ in range(bootstrap):
        chosen = np.concatenate(
            [rows[n] for g in (0, 1) for n in rng.choice(np.flatnonzero(truth == g), (truth == g).sum())]
        )
        draws.append(roc_auc_score(is_virtual[chosen], score[chosen]))
    low, high = np.percentile(draws, [2.5, 97.5])
    by_patient = roc_auc_score(truth, [score[r].mean() for r in rows])
    return Told(float(roc_auc_score(is_virtual, score)), float(low), float(high), float(by_patient), score)


FEATURES = (
    *(f"percentile {p}" for p in (2, 10, 25, 50, 75, 90, 98)),
    "mean",
    "spread",
    *(f"mean at radius {r} to {r + 6} mm" for r in range(0, 42, 6)),
    *(f"spread at radius {r} to {r + 6} mm" for r in range(0, 42, 6)),
    *(f"gradient percentile {p}" for p in (25, 50, 75, 95)),
    *(f"Laplacian percentile {p}" for p in (5, 50, 95)),
    "Laplacian spread",
    *(f"log power, band {b}" for b in range(7)),
    *(f"co-occurrence {n}" for n in ("contrast", "homogeneity", "energy", "entropy", "correlation")),
    "autocorrelation at 4 mm",
    "autocorrelation at 8 mm",
    "left minus right",
    "bottom minus top",
)


def texture_features(pixels: Array) -> Array:
    """First-order, radial, gradient, spectral and co-occurrence features of each slice: (n, ``len(FEATURES)``)."""
    n = len(pixels)
    flat = pixels.reshape(n, -1)
    axis = (np.arange(SIDE) - (SIDE - 1) / 2) * PIXEL_MM
    radius = np.hypot(*np.meshgrid(axis, axis))
    parts: list[NDArray[Any]] = [*np.percentile(flat, (2, 10, 25, 50, 75, 90, 98), axis=1), flat.mean(1), flat.std(1)]
    rings = [pixels[:, (radius >= r) & (radius < r + 6)] for r in range(0, 42, 6)]
    parts += [ring.mean(1) for ring in rings] + [ring.std(1) for ring in rings]
    gy, gx = np.gradient(pixels, axis=(1, 2))
    parts += [*np.percentile(np.hypot(gy, gx).reshape(n, -1), (25, 50, 75, 95), axis=1)]
    inner = pixels[:, 1:-1, 1:-1]
    laplacian = (
        pixels[:, 2:, 1:-1] + pixels[:, :-2, 1:-1] + pixels[:, 1:-1, 2:] + pixels[:, 1:-1, :-2] - 4 * inner
    ).reshape(n, -1)
    parts += [*np.percentile(laplacian, (5, 50, 95), axis=1), laplacian.std(1)]
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE))
    power = np.abs(np.fft.fft2((pixels - pixels.mean((1, 2), keepdims=True)) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    total = power.sum((1, 2))
    bands = np.linspace(0, 0.5, 8)
    for low, high in pairwise(bands):
        parts.append(np.log(power[:, (frequency >= low) & (frequency < high)].sum(1) / total + 1e-9))
    parts += _co_occurrence(pixels)
    centred = pixels - pixels.mean((1, 2), keepdims=True)
    variance = (centred**2).mean((1, 2))
    parts += [(centred[:, :, lag:] * centred[:, :, :-lag]).mean((1, 2)) / variance for lag in (1, 2)]
    half = SIDE // 2
    parts.append(pixels[:, :, :half].mean((1, 2)) - pixels[:, :, -half:].mean((1, 2)))
    parts.append(pixels[:, -half:].mean((1, 2)) - pixels[:, :half].mean((1, 2)))
    return np.stack(parts, axis=1).astype(np.float32)


def _co_occurrence(pixels: Array, levels: int = 12) -> list[NDArray[Any]]:
    """Haralick's features of the grey-level co-occurrence of right and lower neighbours."""
    n = len(pixels)
    grey = np.clip(pixels * levels, 0, levels - 1).astype(int)
    count = np.zeros((n, levels * levels))
    for a, b in ((grey[:, :, :-1], grey[:, :, 1:]), (grey[:, :-1], grey[:, 1:])):
        pair = (a * levels + b).reshape(n, -1) + np.arange(n)[:, None] * levels**2
        count += np.bincount(pair.ravel(), minlength=n * levels**2).reshape(n, -1)
    p = (count / count.sum(1, keepdims=True)).reshape(n, levels, levels)
    p = (p + p.swapaxes(1, 2)) / 2
    i, j = np.indices((levels, levels))
    mean = (p * i).sum((1, 2))
    variance = (p * i**2).sum((1, 2)) - mean**2
    return [
        (p * (i - j) ** 2).sum((1, 2)),
        (p / (1 + (i - j) ** 2)).sum((1, 2)),
        (p**2).sum((1, 2)),
        -(p * np.log(p + 1e-12)).sum((1, 2)),
        ((p * i * j).sum((1, 2)) - mean**2) / (variance + 1e-9),
    ]


def _trees(x: Array, y: NDArray[Any], test: Array, seed: int) -> NDArray[np.float64]:
    from xgboost import XGBClassifier

    model = XGBClassifier(
        n_estimators=200,
        max_depth=3,
        learning_rate=0.08,
        subsample=0.8,
        colsample_bytree=0.6,
        n_jobs=1,
        random_state=seed,
    )
    model.fit(x, y)
    return np.asarray(model.predict_proba(test)[:, 1], np.float64)


def _network(x: Array, y: NDArray[Any], test: Array, seed: int) -> NDArray[np.float64]:
    """Three small convolutional layers, 40 epochs; the mean of two trainings."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    scores = []
    for repeat in range(2):
        torch.manual_seed(1000 * seed + repeat)
        model = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, 1)),
        )
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
        inputs, labels = torch.as_tensor(x)[:, None], torch.as_tensor(y, dtype=torch.float32)
        weight = torch.where(labels > 0, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
        epochs = 40
        for epoch in range(epochs):
            for group in optimiser.param_groups:
                group["lr"] = 3e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
            order = torch.randperm(len(inputs))
            for start in range(0, len(order), 32):
                batch = order[start : start + 32]
                if len(batch) < 2:
                    continue
                logit = model(inputs[batch])[:, 0]
                loss = nn.functional.binary_cross_entropy_with_logits(logit, labels[batch], weight[batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        model.eval()
        with torch.no_grad():
            scores.append(model(torch.as_tensor(test)[:, None])[:, 0].numpy())
    return np.asarray(np.mean(scores, axis=0), np.float64)
