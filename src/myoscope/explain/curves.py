"""What if: the answer for one patient as one thing about him changes (individual conditional expectation).

Goldstein et al., J Comput Graph Stat 2015;24:44. The rest of the patient stays as it is, so a curve can lead to people
who do not exist (a ventricle of 300 mL that ejects 70 %); it says what the model would do, not what would happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.explain.model import Model, answers


@dataclass(frozen=True, eq=False, slots=True)
class WhatIf:
    """The model's answers (patient, k) over ``values`` (k,) of one covariate; ``own`` (patient,) are the real ones.

    ``own_answer`` (patient,) are the answers for the patients as they are.
    """

    name: str
    values: FloatArray
    answers: FloatArray
    own: FloatArray
    own_answer: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean curve over patients (k,): partial dependence."""
        mean: FloatArray = self.answers.mean(axis=0)
        return mean


def what_if(model: Model, covariates: NDArray[Any], names: tuple[str, ...], name: str, values: ArrayLike) -> WhatIf:
    """Curves of patients (patient, covariate) over ``values`` of one covariate.

    Raises
    ------
    InvalidValue
        There is no such covariate.
    """
    if name not in names:
        raise InvalidValue(f"there is no covariate {name!r}; there are {', '.join(names) or 'none'}")
    at = np.asarray(values, np.float64)
    patients = np.atleast_2d(np.asarray(covariates))
    column = names.index(name)
    variants = np.repeat(patients[:, None], at.size, axis=1)
    variants[:, :, column] = at
    found = answers(model, variants.reshape(-1, patients.shape[1])).reshape(len(patients), at.size)
    return WhatIf(name, at, found, patients[:, column].astype(np.float64), answers(model, patients))
