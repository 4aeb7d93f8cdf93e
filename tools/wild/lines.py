"""Paragraphs set by Typst, and cuttings of real scans and photographs: `python tools/wild/lines.py FOLDER OCRMYPDF`.

OCRMYPDF is the unpacked source of the package ocrmypdf, whose tests hold a scanned page of a book.
"""

import shutil
import sys
from pathlib import Path

import pypdfium2
import typst
from PIL import Image
from skimage import data

PAPER = '#set page(width: auto, height: auto, margin: 10pt)\n#set text(size: 12pt, lang: "{language}", font: "{font}")\n{lines}'

BLOCKS = {
    "typst_block_de": ("de", "Libertinus Serif", "Der Müller schläft, \\\nund die Mühle \\\ndreht sich allein."),
    "typst_block_en": ("en", "New Computer Modern", "Snow fell on the harbour \\\nand the gulls \\\nkept quiet."),
    "typst_address": ("de", "DejaVu Sans Mono", "Ottilie Krafft \\\nAm Deich 21 \\\n26721 Emden"),
}

PHOTOGRAPHED = {"photo_heading": (0, 0, 320, 42), "photo_paragraph": (0, 44, 384, 140)}
"""Name -> left, top, right, bottom of a cutting from the photograph of a page that scikit-image ships."""
SCANNED = {"scan_line": (46, 758, 800, 794), "scan_block": (356, 310, 800, 400)}
"""The same, of the scanned page."""


def main(folder: Path, ocrmypdf: Path) -> None:
    for name, (language, font, lines) in BLOCKS.items():
        source = PAPER.format(language=language, font=font, lines=lines)
        (folder / f"{name}.png").write_bytes(typst.compile(source.encode(), format="png", ppi=120))
    page = Image.fromarray(data.page())
    for name, box in PHOTOGRAPHED.items():
        page.crop(box).save(folder / f"{name}.png", optimize=True)
    shutil.copy(ocrmypdf / "tests" / "resources" / "c03-29.pdf", folder / "scan_page.pdf")
    scan = pypdfium2.PdfDocument(folder / "scan_page.pdf")[0].render(scale=2.2).to_pil().convert("L")
    for name, box in SCANNED.items():
        scan.crop(box).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
