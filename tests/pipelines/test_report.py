from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.district_memory import AS_OF, refresh, small_district
from pipelines.warehouse_memory import empty_warehouse
from wellbridge.etl.store import Store, open_store
from wellbridge.pipelines.report import build_report, render_site_report, write_site_report
from wellbridge.pipelines.report.words import rows, tens
from wellbridge.pipelines.site import Site
from wellbridge.schemas.warehouse import METADATA

DISTRICT = "Marlow <script>alert(1)</script> Unified"


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, tables as rows of cell texts, all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data.strip()

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Store]:
    with small_district() as store:
        yield store


@pytest.fixture(scope="module")
def html(warehouse: Store) -> str:
    return render_site_report(build_report(warehouse, district=DISTRICT))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def group_rows(page: Page) -> list[list[str]]:
    """Rows of the tables beside the pictures of breakdowns: group, value, out of."""
    names = {"value", "of about"}
    found: list[list[str]] = []
    is_breakdown = False
    for row in page.rows:
        if set(row[1:]) & names:
            is_breakdown = set(row[1:]) == names
        elif len(row) != 3:
            is_breakdown = False
        elif is_breakdown:
            found.append(row)
    return found


def test_the_page_allows_its_own_style_sheet_and_nothing_else(html: str, page: Page):
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = [
        meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == [
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    ]


def test_the_page_has_no_script_no_inline_style_and_fetches_nothing(page: Page):
    names = {tag for tag, _ in page.tags}
    attributes = {(name, value) for _, found in page.tags for name, value in found.items()}
    assert not names & {"script", "link", "iframe", "object", "img", "form", "base"}
    assert not [name for name, _ in attributes if name == "style" or name.startswith("on")]
    assert all(str(value).startswith("#") for name, value in attributes if name in {"href", "src"})
    assert "alert(1)" in page.text


def test_the_same_warehouse_gives_the_same_bytes(warehouse: Store, html: str):
    assert render_site_report(build_report(warehouse, district=DISTRICT)) == html


def test_every_picture_has_a_title_a_description_and_headings_are_in_order(page: Page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    pictures = [svg for svg in page.named("svg") if svg.get("role") == "img"]
    assert len(ids) == len(set(ids))
    assert len(pictures) > 100
    assert all(set(str(svg["aria-labelledby"]).split()) <= set(ids) for svg in pictures)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_no_count_of_people_below_the_minimum_cell_is_on_the_page(page: Page):
    shown = [int(row[2].replace(",", "")) for row in group_rows(page) if row[2]]
    assert len(shown) > 200
    assert min(shown) >= 10
    told = [int(number.replace(",", "")) for number in re.findall(r"about ([\d,]+)", page.text)]
    assert min(told) >= 10
    assert all(number % 10 == 0 for number in shown + told)


def test_no_row_count_from_one_to_nine_is_on_the_page(page: Page):
    lines = [row for row in page.rows if len(row) == 7 and row[0] != "Feed"]
    cells = {cell for row in lines for cell in row[1:6]}
    assert len(lines) == 8
    assert "under 10" in cells
    assert all(int(cell.replace(",", "")) % 10 == 0 for cell in cells - {"under 10"})


def test_a_hidden_group_is_said_to_be_hidden_and_has_no_number_and_no_bar(html: str, page: Page):
    lines = group_rows(page)
    unseen = [row for row in lines if row[1] == "hidden"]
    quill = [row for row in lines if row[0] == "Quill Academy"]
    assert len(quill) > 5
    assert all(row[1:] == ["hidden", ""] for row in quill if row in unseen)
    assert quill[0] in unseen  # 20 students, few of them absent
    assert html.count('class="fill"') == len(lines) - len(unseen)
    pictures = re.findall(r"Quill Academy: ([^.]*)\.", html)
    assert sum(text == "hidden" for text in pictures) == sum(row in unseen for row in quill)


def test_p13_tiny_cells_planted_in_the_warehouse_do_not_reach_the_page():
    with small_district() as store:
        store.run(
            "UPDATE student SET race_ethnicity = 'pacific_islander' WHERE person_key IN ('p1', 'p2', 'p3')"
        )
        store.run("UPDATE student SET grade_band = 'other' WHERE person_key IN ('p4', 'p5')")
        store.run(
            "DELETE FROM reentry_plan WHERE plan_key NOT IN (SELECT plan_key FROM reentry_plan LIMIT 7)"
        )
        refresh(store)
        page = Page(render_site_report(build_report(store, district="D")))
    planted = [row for row in group_rows(page) if row[0] in {"Hawaiian/Pacific Islander", "Other grades"}]
    assert len(planted) > 5
    assert {tuple(row[1:]) for row in planted} == {("hidden", "")}
    assert "Too few plans behind it to show." in page.text
    assert not [row for row in group_rows(page) if row[2] and int(row[2].replace(",", "")) < 10]


def test_a_larger_minimum_cell_hides_more(warehouse: Store, page: Page):
    strict = Page(render_site_report(build_report(warehouse, district="D", min_n=50)))
    seen, seen_strictly = ([row for row in group_rows(one) if row[2]] for one in (page, strict))
    assert 0 < len(seen_strictly) < len(seen)
    assert min(int(row[2].replace(",", "")) for row in seen_strictly) >= 50
    assert "fewer than 50 people" in strict.text


def test_the_area_indicator_stands_beside_its_measure_with_its_interval(warehouse: Store):
    report = build_report(warehouse, district="D")
    measures = {measure.id: measure for pillar in report.pillars for measure in pillar.measures}
    plot = measures["positive_screen_rate"].beside
    assert plot is not None
    district, area = plot.rows
    assert district.is_district
    assert (area.text, area.lower, area.upper) == ("40 % (38–42)", 37.9, 41.5)
    assert [measure.id for measure in measures.values() if measure.beside] == ["positive_screen_rate"]


def test_held_and_removed_rows_are_told_apart_by_rule(warehouse: Store):
    report = build_report(warehouse, district="D")
    assert [(line.code, line.rows) for line in report.removed] == [("WB-P-002", "100")]
    assert {line.code: line.rows for line in report.held}["WB-R-003"] == "under 10"
    assert report.adds_up


def test_a_feed_whose_rows_do_not_add_up_is_said_so():
    with small_district() as store:
        store.run("UPDATE run_feed SET loaded = loaded - 1 WHERE feed = 'sis'")
        assert "do not add up" in Page(render_site_report(build_report(store, district="D"))).text


def test_an_empty_warehouse_has_a_page_too():
    with empty_warehouse() as store:
        text = Page(render_site_report(build_report(store, district="D", as_of=AS_OF))).text
    assert "Nothing has arrived yet." in text
    assert text.count("no data yet") == 2 * 17


def test_the_page_of_a_site_is_one_private_file(tmp_path: Path):
    site = Site(root=tmp_path, district="Marlow", district_id="1", state=tmp_path / "state", feeds={})
    open_store(site.warehouse, METADATA).__exit__()
    path = write_site_report(site)
    assert [found.name for found in site.reports.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o077 == 0
    assert "Marlow" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0"), (1, "under 10"), (9, "under 10"), (10, "10"), (1234, "1,230")]
)
def test_numbers_of_rows_are_rounded_to_tens(count: int, expected: str):
    assert rows(count) == expected


@pytest.mark.parametrize(("count", "expected"), [(10, 10), (14, 10), (15, 20), (99, 100)])
def test_numbers_of_people_are_rounded_to_tens_and_never_to_nothing(count: int, expected: int):
    assert tens(count) == expected
