"""The worker's process ends with the one that asks, whatever it is doing."""

from __future__ import annotations

import subprocess
import sys

WATCHED = "import psutil, sys; from fasp_core.jobs.worker_process import end_with; end_with(psutil.Process({})); "
BUSY = 'print("torch" in sys.modules, flush=True)\nwhile True: sum(range(1000))'


def test_it_ends_in_the_middle_of_anything_once_nobody_asks():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as asking:
        command = [sys.executable, "-c", WATCHED.format(asking.pid) + BUSY]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout.readline() == "False\n"  # it is watched before torch is there
            assert worker.poll() is None
            asking.kill()
            asking.wait(30)
            assert worker.wait(60) == 0


def test_a_process_that_is_gone_already_is_served_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(30)
    command = [sys.executable, "-m", "fasp_core.jobs.worker_process", str(tmp_path), str(gone.pid)]
    assert subprocess.run(command, timeout=60, check=True, capture_output=True).stdout == b""
    assert list(tmp_path.iterdir()) == []
