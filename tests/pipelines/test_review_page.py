"""The review sheet in a browser: answered by keys alone, saved, taken in; it fetches nothing, and it expires."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.chromium import CHROMIUM, opened
from pipelines.test_identity_review import CANARY, QUESTIONS, constraints, exported, made, run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]
TAB, DOWN = ("Tab", 9), ("ArrowDown", 40)


def test_a_sheet_is_answered_by_keys_saved_and_taken_in(tmp_path: Path) -> None:
    site = made(tmp_path / "site")
    sheet = exported(site)
    with opened(sheet, tmp_path) as page:
        for _ in range(QUESTIONS):
            page.press(*TAB)
            page.press("2", ord("2"))
            page.press(*TAB)
            for letter in "A b":
                page.press(letter, ord(letter.upper()))
        assert (
            page.run("document.getElementById('progress').textContent")
            == f"{QUESTIONS} of {QUESTIONS} answered"
        )
        assert page.run(
            "[...document.querySelectorAll('input:checked')].map(i => i.value).join()"
        ) == ",".join(["nonlink"] * QUESTIONS)
        assert page.run("[...document.querySelectorAll('select')].every(s => s.value)")
        page.press(*TAB)
        assert page.run("document.activeElement.id") == "save"
        page.press(" ", ord(" "))
        begun = page.wait("Browser.downloadWillBegin")
        while page.wait("Browser.downloadProgress")["state"] != "completed":
            pass
        addresses = [
            e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"
        ]
        refused = [e for e in page.events if e["method"] == "Log.entryAdded"]
    assert not refused, "no rule of the page's own policy is broken"
    assert all(address.startswith(("file://", "blob:", "data:", "about:")) for address in addresses)
    back = tmp_path / begun["suggestedFilename"]
    assert CANARY not in back.read_text()
    assert run("import", back, "--project", site.root, "--json").document["decided"] == QUESTIONS
    assert constraints(site) == ["cannot"] * QUESTIONS
    assert not sheet.exists()


def test_an_answer_without_a_reason_is_asked_for(tmp_path: Path) -> None:
    with opened(exported(made(tmp_path / "site")), tmp_path) as page:
        page.press(*TAB)
        page.press("1", ord("1"))
        page.run("document.getElementById('save').click()")
        assert "reason" in page.run("document.getElementById('hint').textContent")
        assert page.run("document.activeElement.tagName") == "SELECT"
    assert not list(tmp_path.glob("review-answers*"))


def test_a_sheet_whose_last_day_is_over_shows_no_child(tmp_path: Path) -> None:
    sheet = exported(made(tmp_path / "site"))
    old = sheet.with_name("old.html")
    text = sheet.read_text()
    old.write_text(text.replace(f'data-expires="{sheet.name[:10]}"', 'data-expires="2026-01-01"'))
    with opened(old, tmp_path) as page:
        assert CANARY not in page.run("document.body.innerText")
        assert "over" in page.run("document.getElementById('hint').textContent")


@pytest.mark.parametrize("width", [360, 640, 1100])
def test_nothing_runs_over_the_edge(tmp_path: Path, width: int) -> None:
    with opened(exported(made(tmp_path / "site")), tmp_path) as page:
        page.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
        )
        assert page.run("document.documentElement.scrollWidth") <= width
