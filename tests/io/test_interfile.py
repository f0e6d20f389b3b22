"""Interfile 3.3 projections, out and back and from headers written by hand after the specification."""

from pathlib import Path

import numpy as np
import pytest
from projection_sets import apart_deg, projections

from myoscope.core import Gating, InvalidValue, MyoscopeError, OutputError, UnreadableFile, UnsupportedFile
from myoscope.io import read_interfile, write_interfile

GATING = Gating(8, rr_ms=800.0, rr_low_ms=700, rr_high_ms=900, accepted_beats=1000, rejected_beats=20)

MINIMAL = """!INTERFILE :=
!imaging modality := nucmed
!version of keys := 3.3
!GENERAL DATA :=
!name of data file := p.i33
!GENERAL IMAGE DATA :=
!type of data := Tomographic
imagedata byte order := LITTLEENDIAN
!SPECT STUDY (general) :=
!matrix size [1] := 4
!matrix size [2] := 3
!number format := unsigned integer
!number of bytes per pixel := 2
scaling factor (mm/pixel) [1] := 6.4
scaling factor (mm/pixel) [2] := 6.8
!number of projections := 5
!extent of rotation := 180
!process status := Acquired
!SPECT STUDY (acquired data) :=
!direction of rotation := CW
start angle := 315
!END OF INTERFILE :=
"""
COUNTS = np.arange(5 * 3 * 4, dtype="<u2").reshape(5, 3, 4)


def written(folder: Path, header: str = MINIMAL, data: bytes = COUNTS.tobytes()) -> Path:
    (folder / "p.i33").write_bytes(data)
    (folder / "p.h33").write_text(header)
    return folder / "p.h33"


def changed(*lines: str) -> str:
    """The minimal header with some keys replaced, or added before its end."""
    text = MINIMAL
    for line in lines:
        key = line.split(":=")[0]
        old = next(
            (existing for existing in text.splitlines() if existing.split(":=")[0].strip("! ") == key.strip("! ")), ""
        )
        text = text.replace(old, line) if old else text.replace("!END OF", f"{line}\n!END OF")
    return text


@pytest.mark.parametrize("gating", [None, GATING], ids=["ungated", "gated"])
@pytest.mark.parametrize("n_windows", [1, 2])
@pytest.mark.parametrize(("start", "step"), [(225.44, -6.0), (45.0, 3.0), (350.0, 2.8125)])
@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP", "FFP"])
def test_projections_come_back_the_same(
    tmp_path: Path, gating: Gating | None, n_windows: int, start: float, step: float, position: str
) -> None:
    original = projections(
        n_windows=n_windows, gating=gating, start_deg=start, step_deg=step, patient_position=position
    )
    assert write_interfile(original, tmp_path / "p.h33") == tmp_path / "p.i33"
    back = read_interfile(tmp_path / "p.h33")
    np.testing.assert_array_equal(back.counts, original.counts)
    assert apart_deg(back.angle_deg, original.angle_deg) < 1e-9
    np.testing.assert_array_equal(back.radius_mm, original.radius_mm)
    np.testing.assert_array_equal(back.view_duration_s, original.view_duration_s)
    assert back.pixel_mm == original.pixel_mm
    assert back.gating == original.gating
    assert (back.patient_position, back.collimator) == (position, "LEHR")
    assert [(w.name, w.lower_keV, w.upper_keV) for w in back.windows] == [
        (w.name, w.lower_keV, w.upper_keV) for w in original.windows
    ]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", "float32", "float64", ">u2", ">f4"])
def test_every_type_of_count_comes_back_with_its_values(tmp_path: Path, dtype: str) -> None:
    counts = (np.random.default_rng(0).random((1, 1, 12, 10, 8)) * 100).astype(dtype)
    write_interfile(projections(counts=counts), tmp_path / "p.h33")
    back = read_interfile(tmp_path / "p.h33").counts
    np.testing.assert_array_equal(back, counts)
    assert back.dtype == (np.dtype("uint8") if dtype == "bool" else np.dtype(dtype).newbyteorder("="))


def test_what_is_not_known_stays_unknown_and_an_orbit_that_is_no_circle_keeps_its_radii(tmp_path: Path) -> None:
    unknown = np.full(12, np.nan)
    write_interfile(projections(radius_mm=unknown, view_duration_s=unknown, collimator=None), tmp_path / "p.h33")
    back = read_interfile(tmp_path / "p.h33")
    assert np.isnan(back.radius_mm).all()
    assert np.isnan(back.view_duration_s).all()
    assert back.collimator is None
    write_interfile(projections(radius_mm=200 + np.arange(12.0)), tmp_path / "q.h33")
    np.testing.assert_array_equal(read_interfile(tmp_path / "q.h33").radius_mm, 200 + np.arange(12.0))


@pytest.mark.parametrize(
    ("rotation", "direction", "start", "dicom"),
    [
        # Interfile: 0 is top dead centre, counted in the direction of rotation, seen from the feet.
        ("supine", "CW", 0, 180),  # the top of a supine patient is the front
        ("supine", "CW", 90, 90),  # a quarter turn clockwise from the front: the left
        ("supine", "CCW", 90, 270),  # and counter-clockwise: the right
        ("supine", "CW", 315, 225),  # right anterior oblique, where cardiac arcs begin
        ("prone", "CW", 0, 0),  # the top of a prone patient is the back
        ("prone", "CW", 90, 270),
        ("prone", "CCW", 90, 90),
    ],
)
def test_the_start_angle_is_converted_from_top_dead_centre(
    tmp_path: Path, rotation: str, direction: str, start: float, dicom: float
) -> None:
    header = changed(
        f"patient rotation := {rotation}", f"!direction of rotation := {direction}", f"start angle := {start}"
    )
    angle = read_interfile(written(tmp_path, header)).angle_deg
    assert angle[0] == pytest.approx(dicom)
    np.testing.assert_allclose(np.diff(angle), -36 if direction == "CW" else 36)


def test_the_first_projection_angle_comes_before_the_start_angle(tmp_path: Path) -> None:
    header = changed("start angle := 0", "first projection angle in data set := 45")
    assert read_interfile(written(tmp_path, header)).angle_deg[0] == pytest.approx(135)
    header = changed("start angle := 0", "first projection angle in data set :=")
    assert read_interfile(written(tmp_path, header)).angle_deg[0] == pytest.approx(180)


def test_the_minimal_header(tmp_path: Path) -> None:
    back = read_interfile(written(tmp_path))
    np.testing.assert_array_equal(back.counts[0, 0], COUNTS)
    assert back.pixel_mm == (6.4, 6.8)
    assert (back.windows[0].lower_keV, back.windows[0].upper_keV) == (0, 1000)
    assert "not stated" in back.windows[0].name
    assert back.patient_position == "HFS"
    assert back.gating is None
    np.testing.assert_allclose(back.angle_deg, 225 - 36 * np.arange(5))


def test_case_blanks_marks_and_comments_do_not_matter(tmp_path: Path) -> None:
    untidy = []
    for line in MINIMAL.splitlines():
        key, _, value = line.partition(":=")
        untidy.append(f"  {key.upper().replace(' ', '_').replace('!', '')} :={value}  ; a comment := with a trap")
        untidy.append("; number of projections := 7")
        untidy.append("")
    header = "\r\n".join(untidy).replace("P.I33", "p.i33")
    np.testing.assert_array_equal(read_interfile(written(tmp_path, header)).counts[0, 0], COUNTS)


def test_nothing_after_the_end_is_read(tmp_path: Path) -> None:
    header = MINIMAL + "number of projections := 7\n"
    assert read_interfile(written(tmp_path, header)).n_views == 5
    assert (
        read_interfile(written(tmp_path, MINIMAL.replace("!END OF", "\x1anumber of projections := 7\n!END OF"))).n_views
        == 5
    )


def test_big_endian_is_the_default(tmp_path: Path) -> None:
    header = MINIMAL.replace("imagedata byte order := LITTLEENDIAN\n", "")
    back = read_interfile(written(tmp_path, header, COUNTS.astype(">u2").tobytes()))
    np.testing.assert_array_equal(back.counts[0, 0], COUNTS)


@pytest.mark.parametrize("line", ["!data offset in bytes := 100", "!data starting block := 1"])
def test_an_offset_into_the_data_file_is_respected(tmp_path: Path, line: str) -> None:
    offset = 100 if "bytes" in line else 2048
    back = read_interfile(written(tmp_path, changed(line), b"\xff" * offset + COUNTS.tobytes()))
    np.testing.assert_array_equal(back.counts[0, 0], COUNTS)


def test_two_heads_become_one_list_of_views(tmp_path: Path) -> None:
    header = changed("number of detector heads := 2", "!extent of rotation := 90")
    header = header.replace("!END OF", "!SPECT STUDY (acquired data) :=\nstart angle := 45\n!END OF")
    counts = np.arange(2 * 5 * 12, dtype="<u2").reshape(10, 3, 4)
    back = read_interfile(written(tmp_path, header, counts.tobytes()))
    np.testing.assert_array_equal(back.counts[0, 0], counts)
    np.testing.assert_allclose(back.angle_deg, [*(225 - 18 * np.arange(5)), *(135 - 18 * np.arange(5))])
    one_start = header.replace("start angle := 45\n", "")
    with pytest.raises(UnreadableFile, match="2 heads and does not give each its start angle"):
        read_interfile(written(tmp_path, one_start, counts.tobytes()))


def test_gated_data_nested_by_view_or_by_gate_are_the_same(tmp_path: Path) -> None:
    gated = np.arange(8 * 5 * 12, dtype="<u2").reshape(8, 5, 3, 4)  # gate, view, v, u
    base = changed("!type of data := GSPECT", "!number of images in time window := 8", "!image duration (sec) := 0.1")
    by_gate = base.replace("!END OF", "!Gated SPECT nesting outer level := Gated\n!END OF")
    by_view = base.replace("!END OF", "!Gated SPECT nesting outer level := SPECT\n!END OF")
    for header, data in ((by_gate, gated), (by_view, gated.swapaxes(0, 1))):
        back = read_interfile(written(tmp_path, header, np.ascontiguousarray(data).tobytes()))
        np.testing.assert_array_equal(back.counts[0], gated)
        assert back.gating is not None
        assert back.gating.rr_ms == pytest.approx(800)


def test_a_scaled_file_says_that_it_was_scaled(tmp_path: Path) -> None:
    back = read_interfile(written(tmp_path, changed("quantification units := 0.25")))
    np.testing.assert_allclose(back.counts[0, 0], COUNTS * 0.25)
    assert back.made_by == ("read from Interfile", "scaled by 0.25 as the header asks")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../p.i33", "data/p.i33", "C:\\data\\p.i33", "..\\p.i33", "\\\\host\\share\\p.i33", ".."]
)
def test_data_outside_the_headers_folder_are_never_opened(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "p.i33").write_bytes(COUNTS.tobytes())
    path = written(folder, changed(f"!name of data file := {name}"))
    with pytest.raises(UnreadableFile, match="in another folder"):
        read_interfile(path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(COUNTS.tobytes())
    path = written(folder)
    (folder / "p.i33").unlink()
    (folder / "p.i33").symlink_to(tmp_path / "secret")
    with pytest.raises(UnreadableFile, match="link to another folder"):
        read_interfile(path)


def test_the_data_file_may_differ_in_case(tmp_path: Path) -> None:
    path = written(tmp_path, changed("!name of data file := P.I33"))
    assert read_interfile(path).n_views == 5


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (("!matrix size [1] :=",), UnreadableFile, r"lacks the key 'matrix size \[1\]'"),
        (("!matrix size [1] := many",), UnreadableFile, "not a number"),
        (("!matrix size [1] := 4.5",), UnreadableFile, "not a whole number"),
        (("!matrix size [1] := 0",), UnreadableFile, "not a whole number"),
        (("!number of projections := -5",), UnreadableFile, "not a whole number"),
        (("!number of projections := 1e999",), UnreadableFile, "not a number"),
        (("!number of projections := 6",), UnreadableFile, "p.i33 is too short: p.h33 describes 144 bytes"),
        (("!data offset in bytes := -1",), UnreadableFile, "too short"),
        (("!number format := quaternions",), UnreadableFile, "do not exist"),
        (("!number of bytes per pixel := 3",), UnreadableFile, "do not exist"),
        (("!number format := bit",), UnsupportedFile, "stores its pixels as bit"),
        (("!number format := ASCII",), UnsupportedFile, "stores its pixels as ascii"),
        (("imagedata byte order := MIDDLEENDIAN",), UnreadableFile, "byte order"),
        (("scaling factor (mm/pixel) [1] := 0",), UnreadableFile, "not a pixel size"),
        (("!extent of rotation := 0",), UnreadableFile, "turns nothing"),
        (("!direction of rotation := up",), UnreadableFile, "CW or CCW"),
        (("start angle :=",), UnreadableFile, "lacks the key 'start angle'"),
        (("!type of data := Static",), UnsupportedFile, "holds static data"),
        (("!process status := Reconstructed",), UnsupportedFile, "reconstruction"),
        (("data compression := JPEG",), UnsupportedFile, "data compression"),
        (("data encode := uuencode",), UnsupportedFile, "data encode"),
        (("patient rotation := other",), UnsupportedFile, "supine or prone"),
        (("!name of data file :=",), UnreadableFile, "does not name its data file"),
        (("!name of data file := q.i33",), UnreadableFile, "is not beside it"),
        (("!type of data := GSPECT",), UnreadableFile, "number of images in time window"),
        (("!type of data := GSPECT", "number of images in time window := 1"), UnreadableFile, "at least 2 gates"),
        (("Radii := {1, 2, 3}",), UnreadableFile, "3 radii for 5 views"),
        (("Radii := {1, x}",), UnreadableFile, "not a list of numbers"),
        (("energy window lower level [1] := 154", "energy window upper level [1] := 126"), UnreadableFile, "empty"),
        (("quantification units := 0",), UnreadableFile, "scales its pixels by 0"),
        (("quantification units := 2", "NUD/rescale slope := 3"), UnsupportedFile, "contradicts itself"),
    ],
)
def test_a_header_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, lines: tuple[str, ...], error: type[MyoscopeError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read_interfile(written(tmp_path, changed(*lines)))
    assert "\n" not in str(caught.value)


def test_a_patient_name_in_a_header_appears_in_no_message_and_no_value(tmp_path: Path) -> None:
    header = changed("patient name := Elvis Presley", "!patient ID := 4711-EP")
    assert "Elvis" not in repr(read_interfile(written(tmp_path, header)))
    with pytest.raises(UnreadableFile) as caught:
        read_interfile(written(tmp_path, header.replace("!matrix size [1] := 4", "!matrix size [1] := Elvis")))
    assert "Elvis" not in str(caught.value)


def test_what_is_no_header_is_one_sentence(tmp_path: Path) -> None:
    for content in (b"", b"DICM" * 100, b"patient name := x\n!INTERFILE :=\n", bytes(range(256)) * 50):
        (tmp_path / "p.h33").write_bytes(content)
        with pytest.raises(UnreadableFile, match=r"^p.h33 is not an Interfile header"):
            read_interfile(tmp_path / "p.h33")
    with pytest.raises(UnreadableFile, match=r"^q.h33 cannot be read: No such file"):
        read_interfile(tmp_path / "q.h33")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_interfile(tmp_path)


def test_what_interfile_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="even angular step"):
        write_interfile(projections(angle_deg=np.array([0.0, 1, 3, *range(4, 13)])), tmp_path / "p.h33")
    with pytest.raises(InvalidValue, match="one duration"):
        write_interfile(projections(view_duration_s=np.arange(12.0)), tmp_path / "p.h33")
    with pytest.raises(InvalidValue, match="supine and prone"):
        write_interfile(projections(patient_position="HFDL"), tmp_path / "p.h33")
    with pytest.raises(InvalidValue, match="an Interfile header is named"):
        write_interfile(projections(), tmp_path / "p.hdr")
    with pytest.raises(OutputError, match="does not exist"):
        write_interfile(projections(), tmp_path / "none" / "p.h33")
    assert not list(tmp_path.iterdir())


def test_the_same_projections_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_interfile(projections(gating=GATING), tmp_path / folder / "p.h33")
    for name in ("p.h33", "p.i33"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_header_carries_no_identifier(tmp_path: Path) -> None:
    write_interfile(projections(), tmp_path / "p.h33")
    header = (tmp_path / "p.h33").read_text()
    assert "patient name :=\n" in header.replace("\r", "")
    assert "!patient ID := ANONYMOUS" in header
