"""`make bench`: seconds and memory of `omnie ask` on a picture, from process start to the first and the last character."""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def once(arguments: list[str]) -> tuple[float, float]:
    """Seconds from process start to the first byte of the answer, and to the exit."""
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("omnie")), "ask", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1)
        seen = time.perf_counter() - start
        process.stdout.read()
    if process.returncode or not first:
        sys.exit(f"omnie ask failed with status {process.returncode}")
    return seen, time.perf_counter() - start


def main() -> None:
    arguments = sys.argv[1:] or [str(ROOT / "examples" / "chart.png"), "Was zeigt diese Grafik?"]
    runs = [once(arguments) for _ in range(5)]
    first, last = (statistics.median(column) for column in zip(*runs))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"first character {first:.2f} s, exit {last:.2f} s (medians of {len(runs)}), largest process {peak:.0f} MB")


if __name__ == "__main__":
    main()
