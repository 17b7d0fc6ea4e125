"""``wellbridge identity evaluate`` and ``train`` through the public door."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.etl.identity import matching
from wellbridge.etl.identity.evaluate import drift, gates, wilson
from wellbridge.etl.identity.model import read_model
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.synth.pairs import write_pairs

SEED = date.today().toordinal()
SAMPLE = Path(__file__).parents[3] / "shared/data/linkage/district_synth"
CANARY = "Zyxquivera"


def run(*arguments: object) -> Answer:
    done = CliRunner().invoke(cli, ["identity", *map(str, arguments)])
    assert CANARY.lower() not in (done.stdout + done.stderr).lower()
    return Answer(done.exit_code, done.stdout, done.stderr)


def evaluated(left: Path, right: Path | None, *more: object) -> dict[str, Any]:
    files = ["--left", left] if right is None else ["--left", left, "--right", right]
    answer = run("evaluate", *files, "--json", *more)
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["exit_code"] == answer.exit
    return found


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two files of 10,000 children, of today's seed."""
    print(f"seed {SEED}")
    folder = tmp_path_factory.mktemp("district")
    write_pairs(folder, children=10_000, seed=SEED)
    return folder


def _holds(found: dict[str, Any], siblings: int) -> None:
    assert found["precision"] >= 0.9995
    assert found["recall"] >= 0.95
    assert found["collisions"]["sibling_links"] <= siblings
    assert found["review"]["share"] <= 0.04
    groups = {(one["group"], one["value"]): one for one in found["groups"]}
    assert groups["double_surname", "true"]["gap"] <= 0.05
    twins = groups["twin", "true"]
    assert twins["gap"] <= 0.02 or not twins["is_more_than_chance"]


def test_a_district_of_today_s_seed_is_linked_as_promised(district: Path) -> None:
    found = evaluated(district / "left.parquet", district / "right.parquet", "--truth", "pid")
    _holds(found, siblings=2)
    assert found["cpu_s"] > 0
    assert found["peak_mb"] > 0
    low, high = found["recall_interval"]
    assert low < found["recall"] < high
    assert {one["group"] for one in found["groups"]} >= {
        "twin",
        "mover",
        "language",
        "school",
        "homeless",
        "foster",
    }
    assert found["links"] == sum(found["links_by_tier"].values())


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample district is not here (../shared/data/linkage)")
def test_a_district_of_another_generator_is_linked_as_promised() -> None:
    """Its names, streets and mistakes come from elsewhere than those the model was trained on."""
    _holds(evaluated(SAMPLE / "sis.parquet", SAMPLE / "clinic.parquet", "--truth", "pid"), siblings=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED + 1, SEED + 2])
def test_a_larger_district_is_linked_as_promised(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    write_pairs(tmp_path, children=50_000, seed=seed)
    _holds(evaluated(tmp_path / "left.parquet", tmp_path / "right.parquet", "--truth", "pid"), siblings=3)


def test_the_matcher_never_sees_the_truth(
    district: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that only the judge may see do not reach it, and the links are the same whatever they hold."""
    seen: list[str] = []
    whole = matching.prepared

    def watched(records: pl.DataFrame, model: Any) -> pl.DataFrame:
        seen.extend(records.columns)
        return whole(records, model)

    monkeypatch.setattr(matching, "prepared", watched)
    first = evaluated(district / "left.parquet", district / "right.parquet", "--truth", "pid")
    assert not {"pid", "hid", "twin", "school", "homeless"} & set(seen)
    for side in ("left", "right"):
        frame = pl.read_parquet(district / f"{side}.parquet")
        frame.with_columns(pl.col("pid").shuffle(1), pl.col("hid").shuffle(2)).write_parquet(
            tmp_path / f"{side}.parquet"
        )
    second = evaluated(tmp_path / "left.parquet", tmp_path / "right.parquet", "--truth", "pid")
    same = ("links", "links_by_tier", "level_shares")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert second["precision"] < 0.01


def test_a_truth_column_that_is_called_like_a_name_is_not_compared(tmp_path: Path) -> None:
    """``first_name`` as truth: then the matcher has no first name, and links nothing."""
    for side in ("left", "right"):
        pl.DataFrame({"first_name": ["Ada", "Bo"], "last_name": ["Xu", "Yi"], "birth_date": ["2014-01-02"] * 2,
                      "zip": ["97201"] * 2}).write_csv(tmp_path / f"{side}.csv")  # fmt: skip
    assert evaluated(tmp_path / "left.csv", tmp_path / "right.csv")["links"] == 2
    assert evaluated(tmp_path / "left.csv", tmp_path / "right.csv", "--truth", "first_name")["links"] == 0


def test_csv_with_other_headers_is_read_like_parquet(district: Path, tmp_path: Path) -> None:
    names = {"unique_id": "ID", "first_name": "Given Name", "surname": "Last Name", "dob": "Date of Birth",
             "zip": "ZIP Code", "phone": "Telephone"}  # fmt: skip
    for side in ("left", "right"):
        pl.read_parquet(district / f"{side}.parquet").rename(names).write_csv(tmp_path / f"{side}.csv")
    one = evaluated(district / "left.parquet", district / "right.parquet", "--truth", "pid")
    other = evaluated(tmp_path / "left.csv", tmp_path / "right.csv", "--truth", "pid")
    assert {k: one[k] for k in ("links", "wrong_links", "recall")} == {
        k: other[k] for k in ("links", "wrong_links", "recall")
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_accents_survive_the_encoding_of_a_sheet(encoding: str, tmp_path: Path) -> None:
    names = ["José,Núñez", "Zoë,Peña", "Inés,Güell"]
    for side, form in (("left", "utf-8"), ("right", encoding)):
        lines = [
            "first_name,last_name,birth_date,zip",
            *(f"{name},2014-01-0{n + 1},97201" for n, name in enumerate(names)),
        ]
        (tmp_path / f"{side}.csv").write_bytes("\n".join(lines).encode(form))
    assert evaluated(tmp_path / "left.csv", tmp_path / "right.csv")["links_by_tier"] == {"rule": 3}


def test_a_name_in_one_column_costs_little(tmp_path: Path) -> None:
    write_pairs(tmp_path, children=5_000, seed=SEED, one_name_column=True)
    found = evaluated(tmp_path / "left.parquet", tmp_path / "right.parquet", "--truth", "pid")
    assert found["flags"]["right"]["name_in_one_column"] > 4_900
    assert found["recall"] > 0.93
    assert found["precision"] >= 0.999


def test_a_file_with_doubles_is_searched_alone(district: Path, tmp_path: Path) -> None:
    frame = pl.concat(
        [pl.read_parquet(district / f"{side}.parquet").head(4000) for side in ("left", "right")]
    )
    frame.write_parquet(tmp_path / "one.parquet")
    found = evaluated(tmp_path / "one.parquet", None, "--truth", "pid")
    assert found["precision"] >= 0.997
    assert found["recall"] >= 0.93


# -- labels, models, gates ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labels(district: Path) -> Path:
    """Return 1,500 labelled pairs, in the files' own ids."""
    left, right = (pl.read_parquet(district / f"{side}.parquet") for side in ("left", "right"))
    true = left.join(right, on="pid").sample(1500, seed=SEED)
    path = district / "labels.csv"
    true.select(left_id="unique_id", right_id="unique_id_right", is_match=pl.lit(1)).write_csv(path)
    return path


def test_a_model_of_labels_links_as_well(district: Path, labels: Path) -> None:
    files = (district / "left.parquet", district / "right.parquet", "--truth", "pid")
    _holds(evaluated(*files, "--labels", labels), siblings=2)


def test_a_trained_model_is_written_with_its_hash_and_links(
    district: Path, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.json"
    sides = ("--left", district / "left.parquet", "--right", district / "right.parquet")
    answer = run(
        "train", *sides, "--labels", labels, "--out", out, "--reviewer", "A. Reviewer", "--about", "a test"
    )
    assert answer.exit == 0
    model = read_model(out)
    assert model.about["reviewer"] == "A. Reviewer"
    assert model.about["method"] == "1500 labelled pairs of one child"
    assert json.loads(out.read_text())["sha256"] == model.sha256
    found = evaluated(district / "left.parquet", district / "right.parquet", "--truth", "pid", "--model", out)
    assert found["model"]["sha256"] == model.sha256
    assert found["drift"]["most"] == 0.0
    _holds(found, siblings=2)


def test_training_without_labels_warns_and_says_so_in_the_model(district: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.json"
    sides = ("--left", district / "left.parquet", "--right", district / "right.parquet")
    answer = run("train", *sides, "--out", out, "--json")
    assert answer.exit == 0
    assert "No labels" in answer.stderr
    assert "no labels" in read_model(out).about["method"]
    found = evaluated(district / "left.parquet", district / "right.parquet", "--truth", "pid", "--model", out)
    assert found["precision"] >= 0.999
    assert found["recall"] >= 0.9


def test_a_gate_that_fails_stops_with_exit_14_and_names_the_group(district: Path) -> None:
    files = (district / "left.parquet", district / "right.parquet", "--truth", "pid", "--gate")
    assert evaluated(*files, "--max-gap", 0.2)["exit_code"] == 0
    found = evaluated(*files, "--max-gap", 0.0)
    assert found["exit_code"] == 14
    assert [one["code"] for one in found["errors"]] == ["WB-E-101"]
    assert any(one["failed_by"] for one in found["gates"] if one["gate"] == "recall_gap")
    assert evaluated(*files, "--max-gap", 0.2, "--max-drift", 0.0)["exit_code"] == 14
    assert evaluated(*files[:-1], "--max-gap", 0.0)["exit_code"] == 0  # without --gate it only says so


def test_drift_is_measured_from_the_last_run(district: Path, tmp_path: Path) -> None:
    files = (district / "left.parquet", district / "right.parquet", "--truth", "pid")
    last = tmp_path / "last.json"
    last.write_text(json.dumps(evaluated(*files)))
    assert evaluated(*files, "--last", last)["drift"]["most"] == 0.0
    other = json.loads(last.read_text())
    other["level_shares"]["birth_date"] = [0.5, 0.3, 0.1, 0.1]
    last.write_text(json.dumps(other))
    found = evaluated(*files, "--last", last, "--gate", "--max-gap", 0.5)
    assert found["exit_code"] == 14
    assert found["gates"][1]["failed_by"] == ["birth_date"]


def test_a_group_column_of_one_s_own_is_compared(tmp_path: Path, district: Path) -> None:
    for side in ("left", "right"):
        frame = pl.read_parquet(district / f"{side}.parquet")
        frame.with_columns(bus=pl.col("pid") % 2 == 0).write_parquet(tmp_path / f"{side}.parquet")
    found = evaluated(
        tmp_path / "left.parquet", tmp_path / "right.parquet", "--truth", "pid", "--group", "bus"
    )
    sizes = {one["value"]: one["true_pairs"] for one in found["groups"] if one["group"] == "bus"}
    assert sum(sizes.values()) == found["true_pairs"]


def test_the_text_says_what_a_person_asks(district: Path) -> None:
    answer = run(
        "evaluate",
        "--left",
        district / "left.parquet",
        "--right",
        district / "right.parquet",
        "--truth",
        "pid",
    )
    assert answer.exit == 0
    for words in (
        "10,000 and 10,000 records",
        "precision of links",
        "recall of links",
        "For review",
        "recall_gap",
    ):
        assert words in answer.stdout
    assert re.search(r"double_surname=true +\d", answer.stdout)


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "more", "code"),
    [
        ("", (), "WB-E-023"),
        ("a,b\n1,2\n", (), "WB-E-011"),
        (f"first_name,last_name\n{CANARY},{CANARY}\n", ("--truth", "pid"), "WB-E-011"),
        (f"first_name,last_name\n{CANARY},{CANARY}\n", ("--group", "bus"), "WB-E-011"),
        (f"first_name,last_name\n{CANARY},{CANARY}\n", ("--last", "nowhere.json"), "WB-E-011"),
        (f"first_name,last_name\n{CANARY},{CANARY}\n", ("--model", "nowhere.json"), "WB-E-102"),
        (f"first_name,last_name\n{CANARY},{CANARY}\n", ("--labels", "nowhere.csv"), "WB-E-023"),
        ('first_name,last_name\n"unclosed,x\n', (), None),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_a_value(
    content: str, more: tuple[str, ...], code: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(content)
    found = evaluated(path, path, *more)
    assert found["exit_code"] != 1
    assert code is None or [one["code"] for one in found["errors"]] == [code]


def test_records_of_nothing_but_trouble_link_nothing(tmp_path: Path) -> None:
    rows = [
        ("TEST", "STUDENT", "2014-01-01", "97201"), ("Baby Boy", CANARY, "1900-01-01", "97201"),
        (None, None, None, None), ("Ada", CANARY, None, None), ("Unknown", "Unknown", "2014-01-01", "97201"),
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=["first_name", "last_name", "dob", "zip"], orient="row")
    for side in ("left", "right"):
        frame.write_csv(tmp_path / f"{side}.csv")
    assert evaluated(tmp_path / "left.csv", tmp_path / "right.csv")["links"] == 0


# -- the arithmetic ----------------------------------------------------------------------------------------------


def test_wilson_s_interval_is_the_published_one() -> None:
    """Newcombe (1998), Statistics in Medicine 17, table I: 81/263, 15/148, 0/20, 1/29 at 95 %."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, of), bounds in published.items():
        assert wilson(hits, of) == pytest.approx(bounds, abs=1e-4)
    assert wilson(0, 0) is None


def test_drift_is_nothing_for_equal_shares_and_grows_with_the_change() -> None:
    before = {"sex": [0.01, 0.99]}
    assert drift(before, before)["most"] == 0.0
    small, large = (drift({"sex": [share, 1 - share]}, before)["most"] for share in (0.02, 0.3))
    assert 0 < small < large


def test_a_gap_by_luck_does_not_fail_the_gate() -> None:
    group = {"group": "school", "value": "S1", "gap": 0.08, "is_more_than_chance": False}
    document = {"groups": [group], "drift": {"bits": {"sex": 0.1}}}
    assert [one["holds"] for one in gates(document)] == [True, True]
    real = {**document, "groups": [{**group, "is_more_than_chance": True}]}
    assert [one["holds"] for one in gates(real)] == [False, True]


def test_a_gate_with_nothing_to_judge_neither_holds_nor_fails() -> None:
    alone = {"group": "school", "value": "S1", "gap": None, "is_more_than_chance": False}
    for groups in ([], [alone]):
        assert [one["holds"] for one in gates({"groups": groups, "drift": {"bits": {}}})] == [None, None]
