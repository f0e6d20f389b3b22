"""What kind of camera took a series, told from what its files say of maker, model and collimator."""

from __future__ import annotations

import numpy as np

from myoscope.core import Series, Volume

# Kinds, as the keys of `simulate.cameras.CAMERAS`, by words in maker, model and DICOM's CollimatorType (PARA, FANB,
# PINH). The first that fits counts: column cameras state parallel collimators too.
_WORDS = {
    "multi-pinhole-czt": ("pinh", "530c", "570c", "alcyone"),
    "column-czt": ("column", "d-spect", "dspect"),
    "conventional": ("conventional", "parallel", "para", "fan", "symbia", "infinia", "millennium", "brightview"),
}
_TRAINED_ON_MM = 4.0


def camera_kind(series: Series) -> str | None:
    """``multi-pinhole-czt``, ``column-czt`` or ``conventional``; None where nothing tells, as in PET."""
    names = f"{series.camera.value or ''} {series.acquisition.get('collimator_type') or ''}".lower()
    return next((kind for kind, words in _WORDS.items() if any(word in names for word in words)), None)


def like_training_set(series: Series) -> bool:
    """Whether an image resembles what the learned finder was trained on: NM 530c, ungated, 4 mm voxels.

    Judged by the kind of camera and by the voxel size.
    """
    if not isinstance(series.image, Volume) or series.image.frame_axis is not None:
        return False
    near = np.allclose(series.image.grid.spacing_mm, _TRAINED_ON_MM, atol=0.3)
    return camera_kind(series) == "multi-pinhole-czt" and bool(near)
