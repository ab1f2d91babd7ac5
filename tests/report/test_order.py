"""What cells are sorted by."""

import pytest

from vidops_cli.report.order import value_of, values_of


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *[("72.7 ± 8.0", 72.7), ("23.8 M", 23.8e6), ("78.4 k", 78.4e3), ("1.5 G", 1.5e9), ("-0.7 [-2.9, +1.5]", -0.7)],
        *[("+67.8 [+64.1, +71.5] *", 67.8), ("12.3 MiB", 12.3 * 2**20), ("16.5 M (memory)", 16.5e6), ("58 %", 58.0)],
        *[("12.3 ms", 0.0123), ("3 min", 180.0), ("~ [0.222, 0.276]", 0.222), ("7/8", 7.0), ("10,000", 1e4)],
        *[("4e-07, all positions", 4e-7), ("2.61 (2.50-2.80)", 2.61), ("15.0 (once)", 15.0), ("5 kinds", 5.0)],
        *[("\N{MINUS SIGN}3", -3.0), ("100 % right", 100.0), ("26.2 ± 0.6 (older code)", 26.2), ("0", 0.0)],
        *[(cell, None) for cell in ("", "-", "1x64x8x56x56", "12x3", "3-D convolution", "2026-11-22", "3.11.7")],
        *[(cell, None) for cell in ("not run", "x0.5 held", "9d4f", "1e999", "nan", "macs at most +2 %")],
    ],
)
def test_the_number_that_a_cell_begins_with(cell, value):
    assert value_of(cell) == (None if value is None else pytest.approx(value))


def test_a_column_of_numbers_has_words_and_gaps():
    assert values_of(["2.0 k", "-", "30", "out of memory", ""]) == [2000.0, "", 30.0, None, ""]


def test_a_column_of_words_has_no_numbers():
    assert values_of(["3 shots", "one shot", "-", "none"]) == [None, None, "", None]
