"""Damaged files end in an image or in one clear sentence: never in a traceback, a hang or a flood of memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import nm_factory as make
import numpy as np
import pytest
from mutate import mutations
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from myoscope.core import MyoscopeError, Projections, Volume
from myoscope.io import read_paths

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MAX_SECONDS = 10.0
MAX_BYTES = 1_500_000_000


def _bases() -> dict[str, bytes]:
    bases = {
        "recon": make.to_bytes(make.recon()),
        "gated recon": make.to_bytes(make.gated_recon(shuffle=1)),
        "tomo": make.to_bytes(make.tomo(n_windows=2, n_detectors=2)),
        "gated tomo": make.to_bytes(make.gated_tomo()),
    }
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        ds = make.nm(make.counts(3, 64, 64), (make.SLICE,))
        ds.compress(syntax)
        bases[syntax.name] = make.to_bytes(ds)
    ds = make.nm(make.counts(3, 32, 32), (make.SLICE,))
    ds.PixelData = encapsulate([make.jpeg_lossless(frame) for frame in make.counts(3, 32, 32)])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    bases[JPEGLosslessSV1.name] = make.to_bytes(ds)
    real = sorted((DATA / "physionet-mps" / "dicom").glob("*.dcm"))[:1]
    real += sorted((DATA / "spect-projections").glob("*.dcm"))[:1]
    for n, path in enumerate(real):
        bases[f"real {n}"] = path.read_bytes()
    return bases


def _read_damaged(n: int, seed: int, folder: Path) -> dict[str, int]:
    """Read ``n`` damaged files of every kind; counts how they ended."""
    bases = _bases()
    ended = {"image": 0, "sentence": 0}
    sentences: list[tuple[str, str]] = []
    path = folder / "damaged.dcm"
    for which, (kind, base) in enumerate(bases.items()):
        share = n // len(bases) + (which < n % len(bases))
        for number, content in enumerate(mutations(base, share, seed + which)):
            path.write_bytes(content)
            started = time.monotonic()
            try:
                study = read_paths([path]).study
            except MyoscopeError as error:
                ended["sentence"] += 1
                sentence = str(error)
                sentences.append((f"{kind} {number}", sentence))
            else:
                ended["image"] += 1
                for series in study.series:
                    assert isinstance(series.image, Volume | Projections)
                    array = series.image.array if isinstance(series.image, Volume) else series.image.counts
                    assert np.isfinite(array).all(), f"{kind} {number}"
            assert time.monotonic() - started < MAX_SECONDS, f"{kind} {number} took too long"
    for which_file, sentence in sentences:
        assert "\n" not in sentence, which_file
        assert 10 < len(sentence) < 400, f"{which_file}: {sentence}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MAX_BYTES
    return ended


def test_150_damaged_files_end_in_an_image_or_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = _read_damaged(150, 20, tmp_path)
    # Both ends are met: the damage is neither harmless nor total.
    assert min(ended.values()) >= 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_2000_damaged_files_end_in_an_image_or_a_sentence(tmp_path: Path) -> None:
    ended = _read_damaged(2000, 500, tmp_path)
    assert min(ended.values()) >= 300


def test_damage_to_identifiers_never_mixes_two_patients(tmp_path: Path) -> None:
    """A file of another patient beside a sound one is never read as the same patient's."""
    make.write(make.recon(), tmp_path / "sound.dcm")
    other = make.to_bytes(make.recon(PatientID="OTHER77", PatientName="Roe^Al", seed_uid="two", StudyInstanceUID="1.9"))
    path = tmp_path / "damaged.dcm"
    for content in mutations(other, 60, 7):
        path.write_bytes(content)
        try:
            found = read_paths([tmp_path])
        except MyoscopeError:
            continue
        assert len(found.study.series) == 1, "a damaged file of another patient was taken in"


def test_the_same_seed_gives_the_same_damage() -> None:
    base = make.to_bytes(make.recon())
    assert list(mutations(base, 20, 3)) == list(mutations(base, 20, 3))
    assert list(mutations(base, 20, 3)) != list(mutations(base, 20, 4))
