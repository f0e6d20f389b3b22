import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from myoscope.core import OutputError
from myoscope.io import atomic, atomic_folder, atomic_write, refuse_existing

NOBODY = 65534


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@contextmanager
def without_root(folder: Path) -> Iterator[None]:
    """Inside a folder, as a user whom permissions bind."""
    here, root = Path.cwd(), os.geteuid() == 0
    os.chdir(folder)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        os.chdir(here)


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    with atomic_write(target, "w") as file:
        file.write("{}\n")
        file.flush()
        assert not target.exists()
    assert target.read_bytes() == b"{}\n"
    assert names(tmp_path) == {"result.json"}


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "map.npz"
    target.write_bytes(b"old")
    with atomic_write(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("a step failed"), KeyboardInterrupt(), OutputError("one sentence")])
def test_an_error_leaves_nothing_behind_and_passes_through(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "map.npz"
    target.write_bytes(b"old")

    def fail_half_way() -> None:
        with atomic_write(target) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"map.npz"}


def test_an_input_that_vanishes_meanwhile_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out", replace=False):
        (tmp_path / "input.dcm").read_bytes()
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out.json"):
        (tmp_path / "input.dcm").read_bytes()
    assert names(tmp_path) == set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_no_room_is_one_sentence_and_leaves_nothing(tmp_path: Path, code: int) -> None:
    target = tmp_path / "short_axis.nii.gz"
    with pytest.raises(OutputError, match=r"short_axis.nii.gz could not be written: ") as caught, atomic_write(target):
        raise OSError(code, os.strerror(code))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == set()


def test_a_full_disk_while_a_folder_is_written_leaves_nothing(tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        with atomic_folder(tmp_path / "out", replace=False) as folder:
            (folder / "first").write_text("written")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match="out could not be written: the disk is full"):
        fill_the_disk()
    assert names(tmp_path) == set()


def test_a_disk_that_is_really_full() -> None:
    """/dev/full refuses every write as a full disk does; the buffer meets it when it is flushed."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match=r".*") as caught, Path("/dev/full").open("wb") as file:
        file.write(b"x" * 100_000)
    assert str(atomic.output_error(Path("out"), caught.value)) == "out could not be written: the disk is full"


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="this system has no limit on file sizes")
def test_a_system_that_cuts_a_file_off_leaves_nothing(tmp_path: Path) -> None:
    """The limit on file sizes fails a write in the middle, as a full disk does, for real."""
    script = """
import resource, signal, sys
from myoscope.core import OutputError
from myoscope.io import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with atomic_write(sys.argv[1]) as file:
        file.write(b"x" * 1_000_000)
except OutputError as error:
    sys.exit(f"refused: {error}")
"""
    target = tmp_path / "big.bin"
    run = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == f"refused: {target} could not be written: the file is larger than the system allows"
    assert names(tmp_path) == set()


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o755)
    locked.chmod(0o555)
    with without_root(locked):
        with pytest.raises(OutputError, match=r"^result.json could not be written: writing there is not permitted$"):
            atomic_write("result.json").__enter__()
        with pytest.raises(OutputError, match=r"^out could not be written: writing there is not permitted$"):
            atomic_folder("out", replace=True).__enter__()


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("missing/result.json", "the folder it should go into does not exist"),
        ("file/result.json", "part of the path is a file, not a folder"),
        ("folder", "there is a folder of that name"),
        ("x" * 300, "the name is too long"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_one_sentence(tmp_path: Path, name: str, cause: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=f"could not be written: {cause}$"), atomic_write(tmp_path / name):
        pytest.fail("nothing can be written here")
    assert names(tmp_path) == {"file", "folder"}


def test_a_long_but_legal_name_is_written(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 127)  # 254 bytes
    with atomic_write(target) as file:
        file.write(b"x")
    assert target.exists()


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "made" / "on the way" / "out"
    with atomic_folder(target, replace=False) as folder:
        (folder / "result.json").write_text("{}")
        assert not target.exists()
        assert folder.parent == target.parent
    assert names(target) == {"result.json"}
    assert names(target.parent) == {"out"}


def test_a_folder_with_something_in_it_is_refused_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already and is not empty"), atomic_folder(target, replace=False):
        pytest.fail("the block must not run")
    assert names(target) == {"notes.txt"}


def test_an_empty_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out", replace=False) as folder:
        (folder / "a").write_text("")
    assert names(tmp_path) == {"out"}
    assert names(tmp_path / "out") == {"a"}


def test_replacing_keeps_the_old_folder_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("")

    def fail_half_way() -> None:
        with atomic_folder(target, replace=True) as folder:
            (folder / "new").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert names(target) == {"old"}
    with atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("")
        assert names(target) == {"old"}
    assert names(target) == {"new"}
    assert names(tmp_path) == {"out"}


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("")
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if Path(to) == target and (self / "new").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="the disk reports an error"), atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("")
    assert names(target) == {"old"}
    assert names(tmp_path) == {"out"}


def test_a_folder_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def meet_another_writer() -> None:
        with atomic_folder(target, replace=False) as folder:
            (folder / "mine").write_text("")
            target.mkdir()
            (target / "theirs").write_text("")

    with pytest.raises(OutputError, match="exists already"):
        meet_another_writer()
    assert names(target) == {"theirs"}
    assert names(tmp_path) == {"out"}


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_or_a_link_is_never_replaced_by_a_folder(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(OutputError, match="is not a folder"), atomic_folder(tmp_path / name, replace=replace):
            pytest.fail("the block must not run")
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()


def test_what_a_crash_left_is_cleared_after_a_day_and_a_running_write_is_let_be(tmp_path: Path) -> None:
    old, young = tmp_path / ".out.0123456789ab.part", tmp_path / ".out.ba9876543210.part"
    other = tmp_path / ".notes.part"
    for path in (old, young):
        path.mkdir()
        (path / "half").write_text("")
    other.write_text("")
    two_days_ago = time.time() - 2 * 86_400
    for path in (old, other):
        os.utime(path, (two_days_ago, two_days_ago))
    with atomic_folder(tmp_path / "out", replace=False):
        pass
    assert names(tmp_path) == {"out", young.name, other.name}


def test_a_folder_that_is_no_earlier_output_is_never_replaced(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "wedding.jpg").write_text("mine")
    with pytest.raises(OutputError, match=r"no result\.json\) and is not replaced"):
        atomic_folder(photos, replace=True, sign="result.json").__enter__()
    assert names(photos) == {"wedding.jpg"}
    (photos / "result.json").write_text("{}")
    with atomic_folder(photos, replace=True, sign="result.json") as folder:
        (folder / "result.json").write_text("{}")
    assert names(photos) == {"result.json"}


def test_a_folder_that_holds_the_inputs_is_never_replaced(tmp_path: Path) -> None:
    study = tmp_path / "study" / "dicom"
    study.mkdir(parents=True)
    (study / "1.dcm").write_text("")
    for target in (tmp_path / "study", study):
        for given in (study, study / "1.dcm"):
            with pytest.raises(OutputError, match="holds an input and is not replaced"):
                refuse_existing(target, replace=True, keep=[given])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("")
    refuse_existing(tmp_path / "out", replace=True, keep=[study])


def test_the_working_folder_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "here" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for target in (Path(), inside, inside.parent, Path("..")):
        with pytest.raises(OutputError, match="holds the working folder and is not replaced"):
            atomic_folder(target, replace=True).__enter__()


def test_a_place_that_is_free_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent", "absent/deeper"):
        refuse_existing(tmp_path / name, replace=False, sign="result.json", keep=[tmp_path])
