"""The house rules as tests: imports go down, folders stay small, no machine's paths, the README's commands exist."""

import ast
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnie import checkpoint

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "omnie"
FLOORS = {
    "__init__": 8, "__main__": 8, "cli": 7, "evaluation": 6, "server": 6, "apps": 6, "runtime": 5, "engine": 4, "train": 4,
    "quantise": 4, "extend": 4.5,
    "checkpoint": 3, "foreign": 2.5, "model": 2, "processor": 2, "ops": 1, "media": 1, "errors": 0, "messages": 0, "inputs": 0,
    "numerals": 0, "carried": 0,
}  # fmt: skip
SIDE = {"data": {"media", "errors", "messages", "inputs", "numerals"}}
"""A building beside the house: what it may use; only `SIDE_USERS` may use it."""
SIDE_USERS = {"train", "evaluation"}
ROOT_FACTS = {"__version__"}
"""Names of `omnie/__init__.py` that every floor may read: they need no import."""
LIGHT = {"errors": set(), "messages": set(), "inputs": {"numpy"}, "numerals": set(), "carried": set()}
"""Floor 0: which packages besides the standard library."""
NO_TORCH = ("media", "data", "processor", "cli.app", "cli.ask", "engine.request")
"""What must be importable without torch: commands answer early, and decoding runs beside torch's import."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """The floor's room that a file belongs to: `cli/ask.py` is `cli`, `runtime.py` is `runtime`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Every module named by an import in a file, wherever it stands, relative ones resolved; `from x import y` gives `x.y`."""
    package = ["omnie", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *([node.module] if node.module else []), alias.name]) for alias in node.names)


def units_used(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path) if name.split(".")[0] == "omnie")
    return {"__init__" if len(parts) == 1 else parts[1] for parts in names} - ROOT_FACTS


def allowed(user: str, used: str) -> bool:
    if user == used:
        return True
    if user in SIDE:
        return used in SIDE[user]
    if used in SIDE:
        return user in SIDE_USERS
    return FLOORS.get(used, 99) < FLOORS[user]


def test_every_room_has_a_floor():
    assert {unit(path) for path in modules()} <= set(FLOORS) | set(SIDE)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    climbs = {used for used in units_used(path) if not allowed(unit(path), used)}
    assert not climbs, f"{path.relative_to(ROOT)} imports from {sorted(climbs)}, which is not below {unit(path)}"


def test_no_circle_between_files():
    """Circles inside one room too, except those through lazy imports (inside functions)."""
    names = {".".join(["omnie", *p.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): p for p in modules()}
    edges = {name: top_level_imports(path, names) - {name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def top_level_imports(path: Path, names: dict[str, Path]) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else node.module for name in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(names)


@pytest.mark.parametrize("name", LIGHT)
def test_ground_floor_is_light(name):
    top = {module.split(".")[0] for module in imported(PACKAGE / f"{name}.py")} - {"omnie"}
    assert top <= set(sys.stdlib_module_names) | LIGHT[name]


def test_the_rule_sees_lazy_typing_and_relative_imports(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "media").mkdir()
    climb = tmp_path / "media" / "climb.py"
    climb.write_text("if TYPE_CHECKING:\n    from omnie.runtime import Runtime\ndef f():\n    from ..engine import engine\n")
    assert units_used(climb) == {"runtime", "engine"}
    assert not any(allowed("media", used) for used in units_used(climb))


@pytest.mark.parametrize("name", NO_TORCH)
def test_imports_without_torch(name):
    code = f"import sys, omnie.{name}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_folders_stay_small():
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]
    counts = {str(folder.relative_to(PACKAGE)): len({*folder.glob("*.py")} - {folder / "__init__.py"}) for folder in folders}
    crowded = {name: count for name, count in counts.items() if count > 9}
    for name in crowded:
        warnings.warn(f"{name} holds {crowded[name]} files", stacklevel=1)
    assert set(crowded) <= CROWDED, "more than nine files besides __init__.py"


CROWDED = {"data", "data/charts", "media", "processor"}
"""Folders that may hold more than nine files for now; each is warned about."""


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = done.stdout.split() if done.returncode == 0 else [str(p.relative_to(ROOT)) for p in modules()]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_machine_paths():
    pattern = re.compile(rb"(?<![\w.:/-])/(?:work|root|home|Users|opt)/[\w.]")
    found = [p.relative_to(ROOT) for p in tracked() if p.suffix in TEXT_FILES and pattern.search(p.read_bytes())]
    assert not found


TEXT_FILES = {".py", ".md", ".toml", ".json", ".txt", ".yml", ".sh", ""}


HOSTS = {b"www.w3.org", b"example.org"}
"""Name spaces of SVG, and addresses in tests that are never opened."""


def test_no_network_address_is_built_in():
    """Where packages, fonts and models come from is a setting of pip and npm on the user's machine."""
    found = {
        (str(path.relative_to(ROOT)), host.decode())
        for path in tracked()
        if path.suffix not in {".md", ".png", ".mp4", ".wav", ".pdf"} and path.name != "LICENSE"
        for host in re.findall(rb"\w+://([\w-]+(?:\.[\w-]+)+)", path.read_bytes())
    }
    assert {place for place in found if place[1].encode() not in HOSTS} == set()


def test_readme_names_both_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "make run" in readme and "make test" in readme
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert {"install", "run", "test", "check", "fix", "assets", "eval", "train", "bench"} <= set(targets)
    assert set(re.findall(r"\bmake ([a-z]+)", readme)) <= set(targets)


DOCUMENTS = sorted(p.relative_to(ROOT) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *PACKAGE.rglob("*.md")])


@pytest.mark.parametrize("name", DOCUMENTS, ids=str)
def test_what_a_document_points_at_exists(name):
    """Links, and files that are named in code marks: from the root, from the package, or by their own name in the package."""
    text = (ROOT / name).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (ROOT / name.parent / link).exists()] == []
    files = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|toml|md))`", text)
    missing = [file for file in files if not any((base / file).exists() for base in (ROOT, PACKAGE, *PACKAGE.iterdir()))]
    assert missing == []


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)


@pytest.mark.slow
@pytest.mark.parametrize("code", snippets(), ids=lambda code: code.strip().splitlines()[0][:40])
def test_readme_python_runs(code):
    if not checkpoint.models():
        pytest.skip("nano's weights are not in the package")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_console_entry_point():
    done = subprocess.run([str(Path(sys.executable).with_name("omnie")), "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("omnie ")
