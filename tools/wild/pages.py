"""Pages by Typst, WeasyPrint, fpdf2 and ReportLab: `python tools/wild/pages.py FOLDER`."""

import sys
from pathlib import Path

import typst
import weasyprint
from fpdf import FPDF
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

TYPST = {
    "typst_rechnung": """
#set page(paper: "a5", margin: 1.6cm)
#set text(lang: "de", size: 10pt)
= Rechnung
Gärtnerei Moosbach, Talweg 3, 79822 Neustadt

An: Frau Ilse Brandner

Rechnungsnummer: GM-7719 \\
Datum: 3. April 2026

#table(columns: (1fr, auto, auto), [*Ware*], [*Menge*], [*Preis*],
  [Apfelbaum], [2], [58,00 €], [Blumenerde], [5], [24,50 €], [Gießkanne], [1], [13,90 €])

#align(right)[*Summe: 96,40 €*]

Bitte zahlen Sie bis zum 17. April 2026.
""",
    "typst_notice": """
#set page(paper: "a6", margin: 1.2cm)
#set text(font: "New Computer Modern", size: 10pt)
#align(center)[#text(16pt)[*Lost cat*]]
Our grey cat Mortimer has been missing since Tuesday evening. He wears a green collar and answers to his name.

He was last seen near the old mill in Fenwick Lane.

If you find him, please call Harriet Dobson on 01632 7745. There is a reward of 80 pounds.
""",
    "typst_program": """
#set page(paper: "a5", margin: 1.5cm)
#set text(lang: "de", font: "New Computer Modern", size: 11pt)
= Sommerkonzert
im Rathaussaal, Samstag, 20. Juni

#table(columns: 2, stroke: none, [18:00], [Einlass], [18:30], [Begrüßung durch Dr. Annika Feld],
  [18:45], [Streichquartett in G], [19:40], [Pause], [20:00], [Chor der Bergschule])

Der Eintritt kostet 9 Euro, für Kinder 4 Euro.
""",
}

HTML = {
    "weasy_ticket": """<style>@page{size:A6;margin:1cm}
body{font:11pt sans-serif}h1{font-size:15pt}td{padding:2pt 9pt 2pt 0}</style>
<h1>Railway ticket</h1><table><tr><td>Passenger<td>Colin Ashworth<tr><td>From<td>Durham<tr><td>To<td>Perth<tr><td>Date
<td>9 May 2026<tr><td>Seat<td>27C<tr><td>Price<td>41.60 pounds</table><p>Booking number: RW-55821</p>""",
    "weasy_brief": """<html lang=de><style>@page{size:A5;margin:1.8cm}body{font:11pt serif;line-height:1.4}</style>
<p>Hotel Alpenblick<br>Seestraße 14<br>6353 Going</p><p>Sehr geehrter Herr Tauber,</p><p>wir bestätigen Ihre Buchung vom
12. bis 16. August. Ihr Zimmer hat die Nummer 208 und liegt zum See hin. Das Frühstück beginnt um 7 Uhr.</p>
<p>Der Preis beträgt 486 Euro für zwei Personen.</p><p>Mit freundlichen Grüßen<br>Veronika Steidl</p>""",
    "weasy_menu": """<style>@page{size:A6;margin:1cm}
body{font:11pt serif;text-align:center}h1{font-size:17pt;color:#7a2020}</style>
<h1>The Copper Kettle</h1><p>Leek soup 4.20<br>Trout with almonds 13.50<br>Plum tart 5.80</p><p>Chef: Rosalind Quaid</p>
<p>Open from 11:30, closed on Mondays</p>""",
}


def main(folder: Path) -> None:
    for name, source in TYPST.items():
        (folder / f"{name}.pdf").write_bytes(typst.compile(source.encode()))
    for name, source in HTML.items():
        weasyprint.HTML(string=source).write_pdf(folder / f"{name}.pdf")
    report(folder / "fpdf_report.pdf")
    warranty(folder / "fpdf_garantie.pdf")
    minutes(folder / "reportlab_minutes.pdf")
    recipe(folder / "reportlab_rezept.pdf")


def report(path: Path) -> None:
    pdf = FPDF(format="A5")
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 16)
    pdf.cell(0, 12, "Weather station report", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", size=11)
    for line in ("Station: Glenmore Ridge", "Observer: Fiona McAllan", "Highest temperature: 23.4 degrees",
                 "Lowest temperature: 6.1 degrees", "Rain in the month: 88 mm", "Days with frost: 0"):  # fmt: skip
        pdf.cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
    pdf.output(str(path))


def warranty(path: Path) -> None:
    pdf = FPDF(format="A5")
    pdf.add_page()
    pdf.set_font("Times", "B", 17)
    pdf.cell(0, 12, "Garantiekarte", align="C", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Times", size=12)
    with pdf.table(col_widths=(2, 3)) as table:
        for row in (("Gerät", "Kaffeemühle Modell K4"), ("Seriennummer", "8830-5127"), ("Gekauft am", "22. Januar 2026"),
                    ("Händler", "Elektro Wiesner"), ("Garantie", "36 Monate")):  # fmt: skip
            table.row(row)
    pdf.output(str(path))


def minutes(path: Path) -> None:
    styles = getSampleStyleSheet()
    lines = (
        "Present: Agnes Whitlock (chair), Tom Barrow, Leela Nair",
        "The committee agreed to repair the roof of the boathouse. The work will cost 3,150 pounds.",
        "Tom Barrow reported that 64 people came to the regatta.",
        "The next meeting is on 8 October at 19:30 in the scout hut.",
    )
    story = [Paragraph("Minutes of the rowing club", styles["Title"])]
    story += [part for line in lines for part in (Paragraph(line, styles["BodyText"]), Spacer(1, 6))]
    SimpleDocTemplate(str(path), pagesize=A5, invariant=1).build(story)


def recipe(path: Path) -> None:
    styles = getSampleStyleSheet()
    story = [Paragraph("Rezept: Linseneintopf", styles["Title"])]
    story.append(Table([["Linsen", "350 g"], ["Karotten", "4 Stück"], ["Zwiebeln", "2 Stück"], ["Brühe", "1,2 Liter"]]))
    story.append(Spacer(1, 10))
    story.append(Paragraph("Alles 45 Minuten kochen. Mit Essig abschmecken. Von Oma Gerlinde.", styles["BodyText"]))
    SimpleDocTemplate(str(path), pagesize=A5, invariant=1).build(story)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
