"""Tables as text: rows name their columns, nothing is lost, and odd tables have a sensible form."""

import pytest

from omnie.media.types import Table
from omnie.processor.documents import table_grid, table_records

CITIES = (("City", "2022", "2023"), ("Berlin", "12", "45"), ("Rome", "3\n4", ""))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (CITIES, "City | 2022 | 2023\nBerlin | 2022: 12 | 2023: 45\nRome | 2022: 3 4 | 2023:"),
        ((), ""),
        (((),), ""),
        (CITIES[:1], "City | 2022 | 2023"),
        ((("City",), ("Berlin",), ("Rome",)), "City\nBerlin\nRome"),
        ((("", "2022"), ("Berlin", "12")), " | 2022\nBerlin | 2022: 12"),
        ((("City", ""), ("Berlin", "12")), "City | \nBerlin | 12"),
        ((("", ""), ("a", "b")), " | \na | b"),
        ((("City", "2022"), ("Berlin", "12", "45"), ("Rome",)), "City | 2022\nBerlin | 2022: 12 | 45\nRome"),
        ((("City", "Sum", "Sum"), ("Berlin", "1", "2")), "City | Sum | Sum\nBerlin | Sum: 1 | Sum: 2"),
        ((("1", "2.5", "3"), ("4", "5", "6")), "1 | 2.5 | 3\n4 | 5 | 6"),
        ((("2024-01-05", "7 %"), ("2024-01-06", "9 %")), "2024-01-05 | 7 %\n2024-01-06 | 9 %"),
    ],
    ids=[
        *("plain", "no rows", "no cells", "header only", "one column", "no corner", "no name", "no names"),
        *("ragged", "names twice", "numbers only", "dates only"),
    ],
)
def test_rows_name_their_columns(rows, expected):
    found = table_records(Table("sheet", rows))
    assert found == expected
    assert all(" ".join(cell.split()) in found for row in rows for cell in row)


def test_a_grid_is_the_cells():
    assert table_grid(Table("sheet", CITIES)) == "City | 2022 | 2023\nBerlin | 12 | 45\nRome | 3 4 | "
