"""One study that the project makes itself: a virtual patient with a narrowed artery, as DICOM.

The patient comes to the centre with a CT: gated stress and rest, projections and reconstructions, corrected and not.
What is true of the heart lies beside the images; the patient is not a person.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from myoscope import io
from myoscope.core import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from myoscope.simulate.patient import Disease, VirtualPatient

SITE = "harbour"
DISEASE: Disease = "LAD"
_PLAIN_TO_SEE_PERCENT = (18.0, 40.0)  # true deficit of the left ventricle under stress
_LOW_SHARE, _FAIR_RESERVE = 0.75, 1.5  # of the other territories' flow reserve, and what those have at least
_MOST_PATIENTS = 200


def write_demo_study(
    folder: Path, *, seed: int, overwrite: bool = False, progress: Callable[[str, float], None] | None = None
) -> VirtualPatient:
    """Simulate the study into ``folder``: DICOM in ``folder/dicom``, truth beside it; same seed, same bytes.

    Raises
    ------
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    """
    from myoscope.virtual import PatientSettings, simulate_patient

    io.refuse_existing(folder, replace=overwrite, sign=io.TRUTH_FILE)
    settings = PatientSettings(seed=seed, site=SITE, index=_plain_case(seed), disease=DISEASE, overwrite=overwrite)
    return simulate_patient(settings, folder, progress=progress)


def write_pet_demo_study(
    folder: Path, *, seed: int, overwrite: bool = False, progress: Callable[[str, float], None] | None = None
) -> VirtualPatient:
    """Simulate a dynamic PET study of such a patient into ``folder``, as `write_demo_study` does.

    Raises
    ------
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    """
    from myoscope.virtual_pet import PetPatientSettings, simulate_pet_patient

    io.refuse_existing(folder, replace=overwrite, sign=io.TRUTH_FILE)
    settings = PetPatientSettings(
        seed=seed, site=SITE, index=_plain_pet_case(seed), disease=DISEASE, gated=True, overwrite=overwrite
    )
    return simulate_pet_patient(settings, folder, progress=progress)


def _plain_case(seed: int) -> int:
    """The first of a seed's patients with this disease whose defect is neither slight nor all of the heart.

    One who exercises: after a vasodilator the liver often outshines the inferior wall.
    """
    from myoscope.simulate.patient import draw_patient

    low, high = _PLAIN_TO_SEE_PERCENT
    for index in range(_MOST_PATIENTS):
        facts = draw_patient(seed, site=SITE, index=index, disease=DISEASE).facts
        plain = low <= facts.deficit.stress_percent <= high and facts.deficit.ischaemic_percent > low / 2
        if plain and facts.person.stress_type == "exercise":
            return index
    raise InvalidValue(f"none of {_MOST_PATIENTS} patients of seed {seed} has a plain defect")


def _plain_pet_case(seed: int) -> int:
    """The first of a seed's patients whose flow reserve is low behind the narrowed artery and fair elsewhere."""
    from myoscope.simulate.patient import draw_patient
    from myoscope.virtual_pet import true_reserve

    for index in range(_MOST_PATIENTS):
        reserve = true_reserve(draw_patient(seed, site=SITE, index=index, disease=DISEASE))
        others = min(reserve["LCx"], reserve["RCA"])
        if reserve[DISEASE] < _LOW_SHARE * others and others > _FAIR_RESERVE:
            return index
    raise InvalidValue(f"none of {_MOST_PATIENTS} patients of seed {seed} has a plain loss of flow")
