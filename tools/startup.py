"""`make bench`: seconds and memory of `omnie ask` from process start, written to `benchmarks/results/startup.json`.

Two cases of the command as a user types it: the example chart, and a clip of 60 s with sound, 1280 x 720, which is made on the
spot; a clip of 20 s beside it shows that memory does not grow with the length. Other arguments go to `omnie ask` unread
(`python tools/startup.py --model FOLDER`).
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, hardware

ROOT = Path(__file__).parents[1]
SIZE, RATE, SOUND_RATE = (1280, 720), 25, 48_000
RUNS = 5
"""Of each case; medians are reported, and the largest memory."""


@dataclass
class Run:
    """Seconds from process start to the first byte of the answer and to the exit; peaks of memory in MiB."""

    first: float
    exit: float
    peak: float
    largest: float


def main() -> None:
    options = sys.argv[1:]
    chart = [str(ROOT / "examples" / "chart.png"), "Wie lautet der Titel?"]
    with tempfile.TemporaryDirectory() as folder:
        cases = {"a chart (448 x 320)": chart}
        for seconds in (20, 60):
            path = clip(Path(folder) / f"{seconds}.mp4", seconds)
            cases[f"a clip of {seconds} s with sound (1280 x 720)"] = [str(path), "What moves?"]
        measured = [report(what, [*options, *words]) for what, words in cases.items()]
    facts = {
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(),
        "options": options,
        "cases": measured,
        "chart_timings": timings([*options, *chart]),
        "imports": {name: spent(f"import {name}") for name in ("torch", "omnie.runtime")},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "startup.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def report(what: str, arguments: list[str]) -> dict[str, Any]:
    """One case's row, printed and returned. The first run, whose files may not be in memory yet, is only warming up."""
    runs = [once(arguments) for _ in range(RUNS + 1)][1:]
    first, last = (round(statistics.median(values), 2) for values in zip(*((run.first, run.exit) for run in runs)))
    peak, largest = (round(max(values)) for values in zip(*((run.peak, run.largest) for run in runs)))
    print(f"{what}: first token {first:.2f} s, exit {last:.2f} s, memory {peak} MiB in all, {largest} MiB the largest process")
    return {"what": what, "first": first, "exit": last, "peak_mib": peak, "largest_process_mib": largest, "runs": RUNS}


def once(arguments: list[str]) -> Run:
    """One run of the command."""
    start = time.perf_counter()
    with subprocess.Popen(command(arguments), stdout=subprocess.PIPE) as process:
        watch = Watch(process.pid)
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1)
        seen = time.perf_counter() - start
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    last = time.perf_counter() - start
    if process.returncode or not first:
        sys.exit(f"omnie ask failed with status {process.returncode}")
    return Run(seen, last, watch.stop(), usage.ru_maxrss / 1024)


def command(arguments: list[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("omnie")), "ask", *arguments]


class Watch:
    """Looks every 10 ms how much memory a process and its children hold together."""

    def __init__(self, process: int):
        self.process, self.peak, self.done = process, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def stop(self) -> float:
        """The peak in MiB."""
        self.done.set()
        self.thread.join()
        return self.peak / 2**20

    def _look(self) -> None:
        while not self.done.wait(0.01):
            self.peak = max(self.peak, sum(map(resident, family(self.process))))


def family(process: int) -> list[int]:
    """A process and its children, as far as they still run."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *map(int, children)]


def resident(process: int) -> int:
    """Bytes of a process in memory; pages that it shares with others count in each."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def timings(arguments: list[str]) -> dict[str, float]:
    """Where the time goes, as the command itself says (medians, seconds)."""
    runs = [subprocess.run(command(["--json", *arguments]), capture_output=True, check=True) for _ in range(RUNS)]
    rows = [json.loads(run.stdout)["timings"] for run in runs]
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def spent(code: str) -> float:
    """Of a Python process that runs one statement (median)."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken), 2)


def clip(path: Path, length: int) -> Path:
    """Films a bright square that crosses a slowly moving pattern, with a tone that swells each second; H.264 and AAC."""
    import av

    width, height = SIZE
    x, y = np.meshgrid(np.arange(2 * width, dtype=np.float32), np.arange(height, dtype=np.float32))
    ground = (110 + 50 * np.sin(x / 40) + 40 * np.sin((x + y) / 23)).clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "50"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = file.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for number in range(length * RATE):
            planes = np.full((height * 3 // 2, width), 128, np.uint8)
            planes[:height] = ground[:, number % width : number % width + width]
            across = 80 + number * (width - 160) // (length * RATE)
            planes[height // 2 - 60 : height // 2 + 60, across - 60 : across + 60] = 235
            file.mux(video.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
            file.mux(audio.encode(tone(number)))
        file.mux([*video.encode(), *audio.encode()])
    return path


def tone(number: int) -> Any:
    """The sound of one frame."""
    import av

    times = (np.arange(SOUND_RATE // RATE) + number * SOUND_RATE // RATE) / SOUND_RATE
    samples = (0.3 * (times % 1) * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = SOUND_RATE, number * SOUND_RATE // RATE
    return frame


if __name__ == "__main__":
    main()
