"""Processes that train together: they do what one process with all their batches does, and notice a death."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def law(name: str, folder: Path) -> str:
    paths = filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(HERE / "team_law.py"), name, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True).stdout


@pytest.mark.slow
def test_two_processes_equal_one_with_the_batches_of_both(tmp_path) -> None:
    distance, tokens, expected = map(float, law("equal", tmp_path).split())
    assert distance < 0.02  # Muon's bfloat16 steps magnify the rounding of another order of summation
    assert tokens == expected


def test_a_dead_process_is_an_error_and_no_hang(tmp_path) -> None:
    assert "exit code -9" in law("death", tmp_path)
