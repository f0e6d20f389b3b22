"""How far polar maps of one unchanged virtual patient differ when the study is done twice: for `map_change.py`.

    python docs/make/measure_repeats.py --folder FOLDER [--patients-per-site 1] [--seed 71]

Each patient is photographed twice, with other counts, another movement and another rhythm, and both studies are
analysed as any other. Printed is, for each image, the standard deviation over the wall of the difference of the
smoothed maps at one level, over the root of two: what one study adds, in % of the mean of its map, and what of it the
noise of the map does not tell.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np

from myoscope import io, quantify
from myoscope.analyze import Settings, analyze
from myoscope.core import PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.simulate.patient import VirtualPatient
from myoscope.simulate.sites import SITES
from myoscope.virtual import PatientSettings, simulate_patient

_ANOTHER_DAY = ("counts", "motion", "rhythm")
_USUAL_PERCENT = 5.0  # of the mean; only the level of the second map rests on it


def twice(settings: PatientSettings, folder: Path) -> tuple[Path, Path]:
    """Results of the same patient on two days."""
    results = []
    own = VirtualPatient.rng

    def other(patient: VirtualPatient, purpose: str) -> np.random.Generator:
        return own(patient, f"{purpose}, again" if purpose.startswith(_ANOTHER_DAY) else purpose)

    for day, stream in (("first", own), ("second", other)):
        with mock.patch.object(VirtualPatient, "rng", stream):
            simulate_patient(settings, folder / day)
        analyze([folder / day / "dicom"], folder / day / "result", settings=Settings(workers=1))
        results.append(folder / day / "result")
    return results[0], results[1]


def differences(first: Path, second: Path) -> list[tuple[str, float, float | None]]:
    """For each image that both results hold: its name, what one study adds, and what noise tells of that, in %."""
    found = []
    for path in sorted(first.glob("*/polar_map.npz")):
        name = path.parent.name
        if not (second / name / path.name).is_file():
            continue
        maps = [io.load(side / name / path.name, PolarMap) for side in (first, second)]
        smooth: list[FloatArray] = [
            quantify.smoothed_on_wall(m.value, m.area_mm2, quantify.SMOOTHING_FWHM_MM) for m in maps
        ]
        usual = [np.full(one.shape, _USUAL_PERCENT / 100 * float(np.nanmean(one))) for one in smooth]
        change = quantify.changed_cells(
            maps[0].like(smooth[0], "first"),
            maps[1].like(smooth[1], "second"),
            before_sd=usual[0],
            after_sd=usual[1],
            false_discovery_rate=0.05,
        ).change
        noise = path.parent / "polar_map_noise.npz"
        told = None
        if noise.is_file():
            told = 100 * float(np.nanmean(io.load(noise, PolarMap).value) / np.nanmean(smooth[0]))
        found.append((name, float(np.nanstd(change.value)) / np.sqrt(2), told))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--patients-per-site", type=int, default=1)
    parser.add_argument("--seed", type=int, default=71)
    call = parser.parse_args()
    rows = []
    for site in SITES:
        for index in range(call.patients_per_site):
            settings = PatientSettings(seed=call.seed, site=site, index=index, with_ct=False)
            pair = twice(settings, call.folder / f"{site}-{index}")
            for name, adds, told in differences(*pair):
                rows.append((adds, told))
                print(
                    f"{site} {index} {name}: {adds:.1f} %" + ("" if told is None else f", of noise {told:.1f} %"),
                    flush=True,
                )
    adds_percent = np.array([adds for adds, _ in rows])
    beside = [np.sqrt(max(adds**2 - told**2, 0.0)) for adds, told in rows if told is not None]
    print(f"{len(rows)} images: {np.sqrt((adds_percent**2).mean()):.1f} % (median {np.median(adds_percent):.1f} %)")
    if beside:
        print(f"{len(beside)} with a known noise: {np.sqrt((np.array(beside) ** 2).mean()):.1f} % beside it")


if __name__ == "__main__":
    main()
