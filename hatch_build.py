"""What hatchling does besides when it builds omnie: compiles the C++ kernels. Without a compiler it warns, and goes on."""

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SCRIPT = Path("src", "omnie", "ops", "int4_linear", "native", "build.py")


class NativeHook(BuildHookInterface):
    """For wheels, and for editable installs, which find the library where it is built: beside its sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        spec = importlib.util.spec_from_file_location("omnie_native_build", Path(self.root, SCRIPT))
        assert spec is not None and spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        if why := script.build():
            self.app.display_warning(f"4-bit products will run in plain torch: {why}")
            return
        build_data["artifacts"].append(str(script.LIBRARY.relative_to(self.root)))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
