"""Tables and text: delimiters, encodings, cell types, and workbooks that are bombs."""

import datetime
import io

import openpyxl
import pytest

from omnie.errors import MediaError
from omnie.media.types import Table

from .helpers import decoded
from .samples import zipped


def workbook(*sheets: tuple[str, list[list[object]]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv(tmp_path, mark, encoding, end):
    path = tmp_path / "prices.csv"
    path.write_bytes(
        end.join([mark.join(["Ware", "Preis €"]), mark.join(["Äpfel", '"1,5"']), mark.join(["Öl", "8"])]).encode(encoding)
    )
    assert decoded(path) == Table("prices", (("Ware", "Preis €"), ("Äpfel", "1,5"), ("Öl", "8")))


def test_quoted_cells_and_short_rows():
    rows = "a,b,c\n1,2,3\n4,5,6\n7,8,9\n1,2,3\n" + '"x, y",2\n"two\nlines",3,4\n' + "1,2,3\n" * 5
    table = decoded(rows.encode())
    assert {len(row) for row in table.rows} == {3}
    assert table.rows[5] == ("x, y", "2", "") and table.rows[6][0] == "two\nlines"


def test_german_numbers_do_not_hide_the_delimiter():
    assert decoded(b"Monat;Umsatz\nJan;1,5\nFeb;2,5\n").rows[1] == ("Jan", "1,5")


@pytest.mark.parametrize(
    "text",
    [
        "A single line, with a comma.",
        "Dear Anna,\nthank you for the letter.\nYours, B.",
        "First, there was nothing at all to see\nThen, it became rather bright outside\nLast, everyone went home again",
        "word\nanother\nthird",
        "# Title\n\nSome | text\n",
    ],
)
def test_prose_is_text(text):
    assert decoded(text.encode()) == text


def test_text_encodings():
    text = "Grüße, 20 € für Öl\nzweite Zeile"
    for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16"):
        assert decoded(text.encode(encoding)) == text
    assert decoded("grün\r\nblau".encode("latin-1")) == "grün\nblau"


def test_text_longer_than_the_looked_at_head():
    text = "ä" * 100_001
    assert decoded(text.encode()) == text
    with pytest.raises(MediaError, match="200,002 bytes"):
        decoded(text.encode(), text_bytes=100_000)


def test_text_that_turns_binary():
    with pytest.raises(MediaError, match="binary"):
        decoded(b"words " * 20_000 + bytes(range(256)))


@pytest.mark.parametrize("data", [b" \n\n ", b"\xef\xbb\xbf"])
def test_blank_text(data):
    with pytest.raises(MediaError, match="blanks"):
        decoded(data)


def test_workbook_cells():
    date = datetime.datetime
    data = workbook(
        ("Sales", [["what", "n"], ["whole", 3.0], ["part", 0.1 + 0.2], ["yes", True], [], ["day", date(2024, 5, 1)]])
    )
    table = decoded(data)
    assert table.name == "Sales"
    assert table.rows == (("what", "n"), ("whole", "3"), ("part", "0.3"), ("yes", "TRUE"), ("", ""), ("day", "2024-05-01"))


def test_percentages_and_uncalculated_formulas():
    book = openpyxl.Workbook()
    book.active["A1"] = 0.125
    book.active["A1"].number_format = "0.0%"
    book.active["B1"] = "=A1*2"
    buffer = io.BytesIO()
    book.save(buffer)
    assert decoded(buffer.getvalue()).rows == (("12.5%", "=A1*2"),)


def test_formulas_show_their_stored_value():
    data = workbook(("S", [[1, "=A1+1"]]))
    import zipfile

    parts = {name: zipfile.ZipFile(io.BytesIO(data)).read(name) for name in zipfile.ZipFile(io.BytesIO(data)).namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    parts["xl/worksheets/sheet1.xml"] = (
        sheet.replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>").replace(b"<v/>", b"<v>2</v>")
    )
    assert parts["xl/worksheets/sheet1.xml"] != sheet
    assert decoded(zipped(parts)).rows == (("1", "2"),)


def test_several_sheets_follow_one_another():
    table = decoded(workbook(("A", [[1, 2]]), ("Empty", []), ("B", [[3]])))
    assert table.rows == (("A:", ""), ("1", "2"), ("B:", ""), ("3", ""))


def test_far_cell_is_refused_before_rows_are_filled():
    book = openpyxl.Workbook()
    book.active.cell(50_000, 5_000, "far")
    buffer = io.BytesIO()
    book.save(buffer)
    with pytest.raises(MediaError, match="too many cells"):
        decoded(buffer.getvalue())


def test_too_many_cells():
    with pytest.raises(MediaError, match="at most 20"):
        decoded(b"a,b\n" * 11, cells=20)
    with pytest.raises(MediaError, match="at most 20"):
        decoded(workbook(("S", [[1, 2]] * 11)), cells=20)


def test_zip_bomb():
    parts = {"xl/workbook.xml": b"<workbook/>", "xl/worksheets/sheet1.xml": bytes(100 << 20)}
    with pytest.raises(MediaError, match="unpacks to too much"):
        decoded(zipped(parts))


@pytest.mark.parametrize("size", [0.3, 0.9])
def test_cut_off_workbook(size):
    data = workbook(("S", [[1, 2]]))
    with pytest.raises(MediaError, match="damaged"):
        decoded(data[: int(len(data) * size)])


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "[Content_Types].xml"])
def test_damaged_parts(part):
    import zipfile

    archive = zipfile.ZipFile(io.BytesIO(workbook(("S", [[1, 2]]))))
    parts = {name: archive.read(name) for name in archive.namelist()} | {part: b"<broken"}
    with pytest.raises(MediaError, match="the XLSX workbook is damaged"):
        decoded(zipped(parts))


def test_empty_workbook():
    with pytest.raises(MediaError, match="no cells"):
        decoded(workbook(("S", [])))
