"""Work in processes: the same results whoever does it, and a death that is told."""

import os
import subprocess
import sys
from typing import Any

import pytest

from myoscope.core import WorkerDied
from myoscope.processes import in_processes, processes

BROKEN = "a worker died; try again"


def test_every_job_is_done_once_and_comes_back_with_its_name() -> None:
    absolute: Any = abs
    rows = dict(in_processes(absolute, [((0, "a"), -3), ((0, "b"), -4), ((1, "a"), -5)], 2, broken=BROKEN))
    assert rows == {((0, "a"), -3): 3, ((0, "b"), -4): 4, ((1, "a"), -5): 5}
    assert list(in_processes(absolute, [], 2, broken=BROKEN)) == []


def test_the_death_of_a_worker_is_said_in_one_sentence() -> None:
    die: Any = os._exit
    with pytest.raises(WorkerDied, match="try again"):
        list(in_processes(die, [(0, 1)], 1, broken=BROKEN))
    with pytest.raises(WorkerDied, match="try again"), processes(1, broken=BROKEN) as pool:
        pool.submit(die, 1).result()


def test_a_worker_runs_one_thread_and_the_parent_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with processes(1, broken=BROKEN) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_what_workers_still_do_is_given_up() -> None:
    """Leaving the program waits for its processes: they must be gone, and not asleep for a minute."""
    program = (
        "import os, time\n"
        "from myoscope.processes import processes\n"
        "if __name__ == '__main__':\n"
        "    with processes(1, broken='') as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        pool.submit(time.sleep, 60)\n"
        "        raise SystemExit(5)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=45, check=False)
    assert done.returncode == 5, done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
