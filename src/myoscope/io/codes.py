"""Tables of codes that nuclear cardiology files use, and what they say.

Keys are (vocabulary, code value). SNOMED codes appear in files in two spellings, the old letter-and-digits ones
(``SRT``; also ``SNM3`` and the private-looking ``99SDM`` seen in real GE files) and the numeric ones (``SCT``);
both are listed. Sources: DICOM PS3.16 context groups 18 to 21, 25, 3101, 3102, 3107, 3111, 3204 and 3262.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Code = tuple[str, str]

_VOCABULARIES: Final[Mapping[str, str]] = {
    "SRT": "SRT",
    "SNM3": "SRT",
    "99SDM": "SRT",
    "SNOMED-RT": "SRT",
    "SNOMED": "SRT",
    "SCT": "SCT",
    "SNOMED-CT": "SCT",
    "2.16.840.1.113883.6.96": "SCT",
    "DCM": "DCM",
    "UCUM": "UCUM",
    "NCIT": "NCIT",
}


def vocabulary(scheme: str) -> str:
    """The vocabulary behind a coding scheme designator; an unknown scheme stands for itself."""
    return _VOCABULARIES.get(scheme.strip().upper(), scheme.strip().upper())


def _both(old: str, new: str) -> tuple[Code, Code]:
    return ("SRT", old), ("SCT", new)


def _table(*rows: tuple[str, str, str]) -> dict[Code, str]:
    """Rows (meaning, old code, new code) to one entry per spelling; an empty code is left out."""
    return {code: meaning for meaning, old, new in rows for code in _both(old, new) if code[1]}


STATE: Final[Mapping[Code, str]] = {
    **_table(
        ("stress", "F-05019", "432655005"),  # cardiac stress state
        ("stress", "F-05028", "434161005"),  # peak cardiac stress state
        ("stress", "F-01606", "128976003"),  # exercise state
        ("rest", "F-01604", "128975004"),  # resting state
        ("rest", "F-01602", "128974000"),  # baseline state
    ),
    ("DCM", "109091"): "stress",
    ("DCM", "109095"): "stress",
}

# Thallium imaging reads the late image in place of rest: not the same thing, so it counts as inferred.
REDISTRIBUTION: Final[Mapping[Code, str]] = {
    ("DCM", "109092"): "reinjection",
    ("DCM", "109093"): "redistribution",
    ("DCM", "109094"): "delayed redistribution",
}

STRESS_AGENT: Final[Mapping[Code, str]] = {
    ("SCT", "108502004"): "adenosine",
    ("SCT", "66859009"): "dipyridamole",
    ("SCT", "26523005"): "dobutamine",
    ("SCT", "432062000"): "adenosine A2 receptor agonist",
}

POSITION: Final[Mapping[Code, str]] = {
    **_table(
        ("supine", "F-10340", "40199007"),
        ("prone", "F-10310", "1240000"),
        ("upright", "F-103A0", "33586001"),  # sitting
        ("upright", "F-10320", "10904000"),  # standing
        ("left lateral", "F-10319", "102536004"),
        ("right lateral", "F-10317", "102535000"),
        ("upright", "F-10460", "102539006"),  # semi-erect: the chair of a cardiac camera
    ),
    ("NCIT", "C86043"): "upright",
}

ENTRY: Final[Mapping[Code, str]] = _table(
    ("head-first", "F-10470", "102540008"),
    ("feet-first", "F-10480", "102541007"),
)

# PatientPosition (0018,5100): (position, entry).
PATIENT_POSITION: Final[Mapping[str, tuple[str, str]]] = {
    "HFS": ("supine", "head-first"),
    "FFS": ("supine", "feet-first"),
    "HFP": ("prone", "head-first"),
    "FFP": ("prone", "feet-first"),
    "HFDL": ("left lateral", "head-first"),
    "FFDL": ("left lateral", "feet-first"),
    "HFDR": ("right lateral", "head-first"),
    "FFDR": ("right lateral", "feet-first"),
    "SITTING": ("upright", ""),
}

RADIONUCLIDE: Final[Mapping[Code, str]] = _table(
    ("Tc-99m", "C-163A8", "72454006"),
    ("Tl-201", "C-138A9", "60057003"),
    ("I-123", "C-114A4", "21572004"),
    ("F-18", "C-111A1", "77004003"),
    ("N-13", "C-107A1", "21576001"),
    ("Rb-82", "C-159A2", "79197006"),
    ("O-15", "C-B1038", "129504001"),
)

RADIOPHARMACEUTICAL: Final[Mapping[Code, str]] = {
    **_table(
        ("Tc-99m sestamibi", "C-163AB", "424299003"),
        ("Tc-99m tetrofosmin", "C-163AD", "424118002"),
        ("Tc-99m teboroxime", "C-163AC", "424318009"),
        ("Tl-201 chloride", "C-B1231", "73685002"),
        ("Tl-201", "C-B1130", "353842007"),
        ("I-123 BMIPP", "C-114AB", "447134003"),
        ("I-123 MIBG", "C-B110E", "395787009"),
        ("F-18 FDG", "C-B1031", "35321007"),
        ("N-13 ammonia", "C-B103C", "129508003"),
        ("Rb-82 chloride", "C-B1037", "129503007"),
        ("O-15 water", "C-B1039", "129505000"),
    ),
    ("DCM", "126718"): "F-18 flurpiridaz",
}

VIEW: Final[Mapping[Code, str]] = _table(
    ("short axis", "G-A186", "103340004"),
    ("vertical long axis", "G-A18A", "131185001"),
    ("horizontal long axis", "G-A18B", "131186000"),
    ("transverse", "G-A117", "62824007"),
    ("transverse", "G-A147", "24422004"),  # axial
    ("coronal", "G-A138", "81654009"),
    ("sagittal", "G-A145", "30730003"),
)

# Makers by a word in the Manufacturer attribute, which is free text and is not passed on as it stands.
MAKER: Final[tuple[tuple[str, str], ...]] = (
    ("spectrum", "Spectrum Dynamics"),
    ("siemens", "Siemens"),
    ("philips", "Philips"),
    ("adac", "Philips (ADAC)"),
    ("picker", "Philips (Picker)"),
    ("marconi", "Philips (Marconi)"),
    ("mediso", "Mediso"),
    ("digirad", "Digirad"),
    ("mie", "MiE"),
    ("toshiba", "Toshiba"),
    ("canon", "Canon"),
    ("elscint", "GE (Elscint)"),
    ("ge", "GE"),
    ("general electric", "GE"),
    ("myoscope", "Myoscope"),
)

# What a camera is called in its files and on its door.
MODEL: Final[Mapping[str, str]] = {
    "UFC": "Discovery NM 530c",
}

COLLIMATOR_TYPE: Final[Mapping[str, str]] = {
    "PARA": "parallel-hole",
    "PINH": "pinhole",
    "FANB": "fan-beam",
    "CONE": "cone-beam",
    "SLNT": "slant-hole",
    "ASTG": "astigmatic",
}

UNIT: Final[Mapping[str, str]] = {
    "{counts}": "counts",
    "{COUNTS}": "counts",
    "counts": "counts",
    "CNTS": "counts",
    "1": "1",
    "Bq/ml": "Bq/mL",
    "Bq/mL": "Bq/mL",
    "BQML": "Bq/mL",
    "kBq/ml": "kBq/mL",
    "{counts}/s": "counts/s",
    "%": "%",
    "/cm": "1/cm",
    "1/cm": "1/cm",
    "ml/min/g": "mL/min/g",
    "{propcounts}": "counts (rescaled)",
    "{Propcounts}": "counts (rescaled)",
}

# The views of a camera without an orbit: JSON in a private element of ours.
PRIVATE_CREATOR, PRIVATE_GROUP, PRIVATE_VIEWS = "MYOSCOPE", 0x0055, 0x01
