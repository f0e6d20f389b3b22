import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoscope import io
from myoscope.core import InvalidValue, NormalLimits, StudyKind, UnreadableFile, UnsupportedFile

KIND = StudyKind(sex="F", tracer="sestamibi", camera="one", position="supine", state="stress", corrected=False)


def made(kind: StudyKind = KIND, n: int = 40, *, modes: bool = True) -> NormalLimits:
    rng = np.random.default_rng(n)
    return NormalLimits(
        mean=rng.uniform(60, 100, (40, 72)),
        deviation=rng.uniform(3, 9, (40, 72)),
        area_mm2=rng.uniform(2, 8, (40, 72)),
        multiple=3.0,
        n=n,
        kind=kind,
        unit="%",
        method="surface",
        provenance="made up, seed 1",
        modes=rng.normal(size=(4, 2, 40, 72)) if modes else None,
    )


@pytest.mark.parametrize("modes", [True, False])
def test_limits_come_back_to_within_a_step(tmp_path: Path, modes: bool) -> None:
    limits = made(modes=modes)
    io.write_limits(limits, tmp_path / "a.limits")
    back = io.read_limits(tmp_path / "a.limits").limits
    np.testing.assert_allclose(back.mean, limits.mean, atol=0.002)
    np.testing.assert_allclose(back.deviation, limits.deviation, atol=0.001)
    np.testing.assert_allclose(back.area_mm2, limits.area_mm2, rtol=1e-3)
    assert back.kind == KIND
    assert (back.n, back.multiple, back.unit, back.method) == (40, 3.0, "%", "surface")
    if limits.modes is not None and back.modes is not None:
        np.testing.assert_allclose(back.modes, limits.modes, atol=0.03)
    else:
        assert back.modes is limits.modes is None


def test_a_signed_file_names_its_signer_and_the_same_limits_give_the_same_bytes(tmp_path: Path) -> None:
    key = io.new_key()
    for name in ("a.limits", "b.limits"):
        io.write_limits(made(), tmp_path / name, key=key, signer_name="Core lab")
    assert (tmp_path / "a.limits").read_bytes() == (tmp_path / "b.limits").read_bytes()
    assert (tmp_path / "a.limits").stat().st_size < 60_000
    signer = io.signer_of(key, "Core lab")
    found = io.read_limits(tmp_path / "a.limits", trusted=[signer])
    assert found.signer == signer


def changed(source: Path, target: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            after.writestr(name, content if name == member else before.read(name))


def test_a_file_that_was_changed_after_signing_is_refused(tmp_path: Path) -> None:
    io.write_limits(made(), tmp_path / "a.limits", key=io.new_key(), signer_name="Core lab")
    with zipfile.ZipFile(tmp_path / "a.limits") as archive:
        header = json.loads(archive.read("limits.json"))
    header["kind"]["sex"] = "M"
    changed(tmp_path / "a.limits", tmp_path / "b.limits", "limits.json", json.dumps(header).encode())
    with pytest.raises(UnreadableFile, match=r"b\.limits was changed after 'Core lab' signed it"):
        io.read_limits(tmp_path / "b.limits")


def test_only_trusted_signers_are_believed(tmp_path: Path) -> None:
    mine, theirs = io.new_key(), io.new_key()
    io.write_limits(made(), tmp_path / "a.limits", key=theirs, signer_name="Somebody")
    io.write_limits(made(), tmp_path / "b.limits")
    trusted = [io.signer_of(mine, "Core lab")]
    with pytest.raises(UnreadableFile, match="'Somebody' signed it with a key that is not trusted"):
        io.read_limits(tmp_path / "a.limits", trusted=trusted)
    with pytest.raises(UnreadableFile, match="nobody signed it"):
        io.read_limits(tmp_path / "b.limits", trusted=trusted)
    assert io.read_limits(tmp_path / "b.limits").signer is None


def test_a_key_survives_its_file_and_is_for_its_owner_only(tmp_path: Path) -> None:
    key = io.new_key()
    io.save_key(key, tmp_path / "key.pem")
    assert io.signer_of(io.load_key(tmp_path / "key.pem"), "x") == io.signer_of(key, "x")
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(UnreadableFile, match=r"no\.pem is not a private key"):
        io.load_key(tmp_path / "no.pem")


def test_what_is_no_limits_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="does not exist"):
        io.read_limits(tmp_path / "none.limits")
    (tmp_path / "text.limits").write_text("limits")
    with pytest.raises(UnreadableFile, match="damaged or does not hold normal limits"):
        io.read_limits(tmp_path / "text.limits")
    io.write_limits(made(), tmp_path / "a.limits")
    data = (tmp_path / "a.limits").read_bytes()
    (tmp_path / "cut.limits").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableFile, match="damaged"):
        io.read_limits(tmp_path / "cut.limits")
    with zipfile.ZipFile(tmp_path / "a.limits") as archive:
        header = json.loads(archive.read("limits.json"))
    newer = json.dumps({**header, "schema_version": 99}).encode()
    changed(tmp_path / "a.limits", tmp_path / "new.limits", "limits.json", newer)
    with pytest.raises(UnsupportedFile, match="schema version 99"):
        io.read_limits(tmp_path / "new.limits")
    with pytest.raises(InvalidValue, match=r"\.limits files"):
        io.write_limits(made(), tmp_path / "a.npz")
    with pytest.raises(InvalidValue, match="name of who signs"):
        io.write_limits(made(), tmp_path / "c.limits", key=io.new_key())


def test_the_limits_that_fit_are_found_and_the_nearest_say_why_they_do_not(tmp_path: Path) -> None:
    kinds = (KIND, replace(KIND, sex="M"), replace(KIND, camera="two", corrected=True))
    for n, kind in enumerate(kinds):
        io.write_limits(made(kind, n=40 + n), tmp_path / io.limits_file_name(kind))
    assert len(list(tmp_path.glob("*.limits"))) == 3
    known = io.read_limits_folder(tmp_path)
    found, why = io.limits_for(replace(KIND, sex="M"), known)
    assert found is not None
    assert found.limits.kind.sex == "M"
    assert why == ()
    found, why = io.limits_for(replace(KIND, tracer="thallium"), known)
    assert found is None
    assert why == ("the limits are for tracer sestamibi, the study has thallium",)
    assert io.limits_for(KIND, ()) == (None, ("there are no normal limits",))
    shutil.rmtree(tmp_path)
    with pytest.raises(UnreadableFile, match="not a folder"):
        io.read_limits_folder(tmp_path)


def test_nobody_else_signs_in_the_name_of_the_project(tmp_path: Path) -> None:
    (own, *_) = io.shipped_limits()
    assert own.signer is not None
    name = own.signer.name.upper().replace(" ", "\u00a0") + " "
    io.write_limits(made(), tmp_path / "a.limits", key=io.new_key(), signer_name=name)
    with pytest.raises(UnreadableFile, match="somebody else's key"):
        io.read_limits(tmp_path / "a.limits")


def test_signers_of_one_name_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    said = []
    for name in ("a.limits", "b.limits"):
        io.write_limits(made(), tmp_path / name, key=io.new_key(), signer_name="Core lab")
        said.append(str(io.read_limits(tmp_path / name).signer))
    assert all(words.startswith("Core lab (key ") for words in said)
    assert said[0] != said[1]
