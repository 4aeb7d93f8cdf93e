"""Pages and tables as text: words to lines, rows to lines. Rendering a page to pixels lives in `omnie.media`."""

from collections.abc import Sequence

from omnie.media.types import CELLS, Table, Word, record


def lines(words: Sequence[Word]) -> list[str]:
    """A page's words, in reading order, as lines: a new line where the next word does not stand beside the last one."""
    result: list[list[Word]] = []
    for word in words:
        if result and beside(result[-1][-1], word):
            result[-1].append(word)
        else:
            result.append([word])
    return [" ".join(word.text for word in line) for line in result]


def beside(last: Word, word: Word) -> bool:
    """Does a word continue the line: it begins further right, and half of the lower of the two shares the other's height?"""
    overlap = min(last.box[3], word.box[3]) - max(last.box[1], word.box[1])
    height = min(last.box[3] - last.box[1], word.box[3] - word.box[1])
    return word.box[0] >= last.box[0] and overlap >= 0.5 * height


def page_text(words: Sequence[Word]) -> str:
    """The text layer of a page, line by line; empty for a scanned page."""
    return "\n".join(lines(words))


def table_grid(table: Table) -> str:
    """A table as it is, one row a line, cells parted by ` | `; breaks inside a cell become spaces."""
    return "\n".join(CELLS.join(" ".join(cell.split()) for cell in row) for row in table.rows)


def table_records(table: Table) -> str:
    """A table whose rows name their columns, below the header row: `City | 2022`, `Berlin | 2022: 12`.

    So nothing has to be counted to know what a cell is. A table without a header row is a grid.
    """
    if not table.rows or not headed(table.rows[0]):
        return table_grid(table)
    header, *rows = table.rows
    return "\n".join([table_grid(Table(table.name, (header,))), *(CELLS.join(record(header, row)) for row in rows)])


def headed(first: Sequence[str]) -> bool:
    """Does the first row name the columns: not if every cell is a number or a date in digits."""
    return not all(any(map(str.isdigit, cell)) and not any(map(str.isalpha, cell)) for cell in first)
