import pathlib

import pytest
from suite import report, results
from suite.figures import Figure

ROOT = pathlib.Path(__file__).parents[2]
FIGURE = Figure("upload-tls", "cpu", "CPU per GiB", "s", {"ours": [1.4, 2.0], "curl": [1.0, 1.0]})
DOCUMENT = {
    "date": "2026-11-29T12:00:00+00:00",
    "runs": 2,
    "machine": {"cores": 2, "cpu": "AMD EPYC"},
    "versions": {
        "ours": {"python": "3.11.7", "httpx": "0.28.1"},
        "livepeer": "0.3.0",
        "tuspy": "1.1.0",
        "aiotus": "1.1.0",
        "tus-js-client": "4.3.1",
        "curl": "curl 7.88.1 (x86_64)",
    },
}


def test_printed_table_has_medians_spread_and_ratios():
    ours, curl = report.print_figures([FIGURE]).splitlines()[1:3]
    assert ours.split() == ["ours", "1.70", "(1.40", "to", "2)"]
    assert curl.endswith("ours / this 1.70 (1.40 to 2)")


def test_readme_row_has_our_value_and_each_ratio():
    *_, row = report.readme_table({("upload-tls", "cpu"): FIGURE}).splitlines()
    assert row == "| CPU per GiB | 1.70 s | curl 1.70 | `upload-tls` |"


def test_readme_rows_without_a_figure_are_left_out():
    assert len(report.readme_table({}).splitlines()) == 2


def test_section_names_machine_date_and_versions():
    text = report.readme_section({}, [DOCUMENT])
    for part in ("2026-11-29", "2 cores", "AMD EPYC", "3.11.7", "tuspy 1.1.0", "curl 7.88.1"):
        assert part in text


def test_section_names_all_days_of_measurements():
    documents = [DOCUMENT, {**DOCUMENT, "date": "2026-11-02T09:00:00+00:00"}]
    assert "from 2026-11-02 to 2026-11-29" in report.readme_section({}, documents)


def test_only_the_text_between_the_markers_is_replaced():
    readme = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    replaced = report.replace_section(readme, "new")
    assert replaced == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.replace_section(replaced, "new") == replaced


@pytest.mark.parametrize(
    "readme", ["", report.BEGIN, f"{report.END}{report.BEGIN}", f"{report.BEGIN}{report.END}" * 2]
)
def test_readme_without_its_markers_is_refused(readme):
    with pytest.raises(ValueError, match="wanted"):
        report.replace_section(readme, "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (22.0, "22"),
        (0.001, "1/1,000"),
        (0.0123, "0.012"),
        (1.234, "1.23"),
        (48.21, "48.2"),
        (19076.2, "19,076"),
    ],
)
def test_number(value, text):
    assert report.number(value) == text


def test_readme_has_the_newest_results():
    documents = results.read_all(ROOT / "benchmarks" / "results")
    newest = results.newest(documents)
    section = report.readme_section(newest, results.contributing(documents))
    readme = (ROOT / "README.md").read_text()
    assert report.replace_section(readme, section) == readme, "run `python benchmarks --readme`"
