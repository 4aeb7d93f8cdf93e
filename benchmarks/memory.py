"""The highest memory of this process while something runs, read from Linux's /proc/self/status every 10 ms.

- `anonymous`: what the process holds that is not a file's content (RssAnon); only swapping could take it away. Tensors that
  were read or computed are in here. This is what a machine must have.
- `mapped`: pages of mapped files that are in memory just now (RssFile): weights that lie where the file is mapped, and the
  code of torch. The system may drop them at any time and read them again.
- `resident`: the sum, at its highest.
"""

import threading
import time
from pathlib import Path
from typing import Any


class Watch:
    """Seconds and the peaks, in bytes, of a `with` block."""

    def __enter__(self) -> "Watch":
        self.peak = {"anonymous": 0, "mapped": 0, "resident": 0}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            fields = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.startswith("Rss")}
            now = {"anonymous": fields["RssAnon"], "mapped": fields["RssFile"], "resident": sum(fields.values())}
            self.peak = {name: max(value, self.peak[name]) for name, value in now.items()}
            if self._end.wait(0.01):
                return

    def facts(self) -> dict[str, Any]:
        return {"seconds": round(self.seconds, 1), "peak_bytes": self.peak}
