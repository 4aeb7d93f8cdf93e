"""Writes `page.pdf`, a one-page invoice, with a PDF writer of its own, which the training material never saw.

python examples/make_page.py [FILE]
"""

import sys
from pathlib import Path

# (font, size, x, y from the foot, text), in points on A4 (595 x 842)
LINES = [
    ("bold", 18, 60, 770, "Northgate Bicycle Repairs"),
    ("plain", 10, 60, 752, "12 Harbour Street, Whitby"),
    ("plain", 11, 60, 705, "Martha Penrose"),
    ("plain", 11, 60, 690, "Scarborough"),
    ("bold", 15, 60, 645, "Invoice"),
    ("plain", 11, 60, 620, "Invoice number: NB-30814"),
    ("plain", 11, 60, 604, "Date: 14 March 2025"),
    ("bold", 11, 60, 566, "Work"),
    ("bold", 11, 400, 566, "Price"),
    ("plain", 11, 60, 548, "New chain and fitting"),
    ("plain", 11, 400, 548, "48.50 euros"),
    ("plain", 11, 60, 532, "Brake cables"),
    ("plain", 11, 400, 532, "21.00 euros"),
    ("bold", 11, 60, 506, "Total"),
    ("bold", 11, 400, 506, "69.50 euros"),
    ("plain", 11, 60, 462, "Please pay by 28 March 2025. If you have questions, ask for Owen Tate."),
    ("plain", 11, 60, 446, "Telephone: 0196 4402"),
]
FONTS = {"plain": "Times-Roman", "bold": "Times-Bold"}


def content() -> bytes:
    """The page's drawing operators: a rule under the table and the lines of text."""
    drawn = ["0.6 w 60 522 m 535 522 l S"]
    for font, size, x, y, text in LINES:
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        drawn.append(f"BT /{font} {size} Tf {x} {y} Td ({escaped}) Tj ET")
    return "\n".join(drawn).encode("cp1252")


def pdf() -> bytes:
    """The file: five objects, their table of offsets and the trailer (ISO 32000-1, section 7.5)."""
    stream = content()
    font = "/{} << /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    fonts = " ".join(font.format(name, base) for name, base in FONTS.items())
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font 5 0 R >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        f"<< {fonts} >>".encode(),
    ]
    result, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(result))
        result += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    return result + head + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(result))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("page.pdf")
    target.write_bytes(pdf())
