"""What a network is fed and what it should answer: one row per study, missing things missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import frozen

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """Polar maps, covariates and targets of some studies.

    ``maps`` (study, channel, ring, angle), ``covariates`` (study, covariate) and ``targets`` (study, target) are
    float32; NaN is a wall not seen, an image not made, a value not known, an outcome not verified. A target is 0 or 1,
    or a value. ``channels``, ``covariate_names`` and ``target_names`` say what stands where; names of covariates carry
    their unit. ``about`` holds columns (study,) that are not fed to a network: site, camera, sex, baseline scores.
    ``left_out`` says in sentences which studies of the cohort are not here, and why.
    """

    patient: NDArray[np.str_]
    study: NDArray[np.str_]
    maps: Float32Array
    channels: tuple[str, ...]
    covariates: Float32Array
    covariate_names: tuple[str, ...]
    targets: Float32Array
    target_names: tuple[str, ...]
    cohort_sha256: str
    about: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("patient", "study"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        n = self.patient.size
        if n == 0 or self.study.shape != (n,) or self.patient.shape != (n,):
            raise InvalidValue(f"examples need a patient and a study per row, got {n} and {self.study.size}")
        for name, names, n_axes in (("maps", self.channels, 4), ("covariates", self.covariate_names, 2),
                                    ("targets", self.target_names, 2)):  # fmt: skip
            array = frozen(getattr(self, name), np.float32)
            if array.ndim != n_axes or array.shape[:2] != (n, len(names)):
                raise InvalidValue(
                    f"{name} of {n} studies and {len(names)} names ({', '.join(names) or 'none'}) have {n_axes} axes, "
                    f"got shape {array.shape}"
                )
            if np.isinf(array).any():
                raise InvalidValue(f"{name} hold an infinite number; what is missing is NaN")
            object.__setattr__(self, name, array)
        about = {name: frozen(value) for name, value in self.about.items()}
        wrong = [name for name, value in about.items() if value.shape != (n,)]
        if wrong:
            raise InvalidValue(f"{wrong[0]} needs one value for each of {n} studies, got {about[wrong[0]].shape}")
        object.__setattr__(self, "about", about)

    def __len__(self) -> int:
        return int(self.patient.size)

    def target(self, name: str) -> Float32Array:
        """One target (study,).

        Raises
        ------
        InvalidValue
            There is no such target.
        """
        if name not in self.target_names:
            raise InvalidValue(f"there is no target {name!r}; there are {', '.join(self.target_names)}")
        values: Float32Array = self.targets[:, self.target_names.index(name)]
        return values

    def rows(self, index: ArrayLike) -> Examples:
        """Some of the studies, by index or by a mask."""
        chosen = np.asarray(index)
        return Examples(
            self.patient[chosen],
            self.study[chosen],
            self.maps[chosen],
            self.channels,
            self.covariates[chosen],
            self.covariate_names,
            self.targets[chosen],
            self.target_names,
            self.cohort_sha256,
            {name: value[chosen] for name, value in self.about.items()},
            self.left_out,
        )

    def __repr__(self) -> str:
        known = np.isfinite(self.targets).sum(axis=0)
        targets = ", ".join(f"{name} {k}" for name, k in zip(self.target_names, known, strict=True))
        n_patients = np.unique(self.patient).size
        return (
            f"Examples({len(self)} studies of {n_patients} patients, maps {', '.join(self.channels)}, "
            f"{len(self.covariate_names)} covariates, targets known: {targets})"
        )
