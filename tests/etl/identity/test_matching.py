"""Two files in, links out: bad input links nothing, what differs harmlessly is linked, and Splink says the same."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from wellbridge.etl.identity import scoring
from wellbridge.etl.identity.blocking import pairs_sql
from wellbridge.etl.identity.matching import match, match_within, prepared
from wellbridge.etl.identity.model import CHILDREN, M_FLOOR, read_model, shipped
from wellbridge.etl.identity.scoring import connect, score, self_check
from wellbridge.etl.identity.train import CHILDREN_TIGHT, train_by_labels, train_unsupervised, untrained
from wellbridge.pipelines.synth.pairs import make_pairs
from wellbridge.schemas.errors import ConfigurationError, ContractError

CHILD = {"first_name": "Jimena", "last_name": "Castellanos", "birth_date": "2014-05-09", "sex": "F",
         "zip_code": "97201", "phone": "5035551234", "address": "1813 Schultz St"}  # fmt: skip
RENAMED = {"unique_id": "record_id", "surname": "last_name", "dob": "birth_date", "zip": "zip_code"}
SEED = date.today().toordinal()


def records(source: str, *rows: dict[str, str | None]) -> pl.DataFrame:
    whole = [{"record_id": f"{source}{n}", "source": source, **CHILD, **row} for n, row in enumerate(rows)]
    return pl.DataFrame(
        whole, schema=dict.fromkeys(["record_id", "source", *CHILD, "middle_name"], pl.String)
    )


def outcome(left: dict[str, str | None], right: dict[str, str | None]) -> tuple[str, str]:
    """Return what becomes of two records, each in a file of 1,000 others that are nobody's."""
    found = match(_among(records("a", left)), _among(records("b", right)), shipped()).decided
    pair = found.filter((pl.col("record_a") == "a0") & (pl.col("record_b") == "b0"))
    return pair.select("outcome", "reason").row(0) if pair.height else ("none", "not a candidate")


def _among(frame: pl.DataFrame) -> pl.DataFrame:
    source = frame["source"][0]
    others = pl.DataFrame({"record_id": [f"{source}-{n}" for n in range(1000)]}).with_columns(
        pl.lit(source).alias("source"), pl.format("nobody {}", "record_id").alias("address")
    )
    return pl.concat([frame, others], how="diagonal")


@pytest.fixture(scope="module")
def synthetic() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return two standard files of 3,000 children of today's seed, and the true pairs."""
    print(f"seed {SEED}")
    left, right = make_pairs(children=3000, seed=SEED)
    true = left.join(right, on="pid").select(
        record_a="unique_id", record_b="unique_id_right", is_match=pl.lit(True)
    )
    columns = [*RENAMED, "first_name", "sex", "address", "phone"]
    one, other = (
        prepared(frame.select(columns).rename(RENAMED).with_columns(source=pl.lit(source)), shipped())
        for frame, source in ((left, "a"), (right, "b"))
    )
    return one, other, true


# -- what differs harmlessly -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"first_name": "JIMENA", "last_name": "CASTELLANOS"},
        {"last_name": "Castellanos-Ruiz"},
        {"last_name": "Ruiz Castellanos", "phone": None},
        {"first_name": "JimenÃ¡"},
        {"first_name": "Castellanos", "last_name": "Jimena"},  # the columns changed places
        {"first_name": "Jimean"},
        {"first_name": "Gimena"},
        {"birth_date": "2014-09-05"},
        {"birth_date": "05/09/2014"},
        {"address": "1813 SCHULTZ STREET", "phone": None, "zip_code": None},
        {"address": "4 Elm Ct", "phone": None, "zip_code": "97299"},  # moved
        {"last_name": "Ortega"},  # another surname, the same home
    ],
    ids=str,
)
def test_one_child_written_otherwise_is_linked(other: dict[str, str | None]) -> None:
    assert outcome({}, other)[0] == "link"


def test_a_name_in_one_column_is_linked() -> None:
    right = _among(records("b", {"first_name": None, "last_name": None})).with_columns(
        pl.when(pl.col("record_id") == "b0").then(pl.lit("Castellanos, Jimena")).alias("full_name")
    )
    found = match(_among(records("a", {})), right, shipped()).decided
    assert found.filter(pl.col("record_b") == "b0").select("record_a", "outcome").rows() == [("a0", "link")]


# -- too little, or somebody else ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"birth_date": None},
        {"birth_date": "1900-01-01"},
        {"first_name": None},
        {"first_name": "TEST", "last_name": "STUDENT"},
        {"first_name": "BABY BOY"},
        {"last_name": "Unknown"},
        {"zip_code": None, "phone": None, "address": None},
        {"zip_code": "00000", "phone": "0000000000", "address": "homeless"},
    ],
    ids=str,
)
def test_too_little_is_never_linked_without_a_person(change: dict[str, str | None]) -> None:
    """Whichever side lacks it, and when both do so in the same way."""
    for left, right in ((change, {}), ({}, change), (change, change)):
        assert outcome(left, right)[0] != "link"


@pytest.mark.parametrize(
    "other",
    [
        {"first_name": "Rodrigo", "sex": "M", "birth_date": "2016-11-30"},  # a brother
        {"first_name": "Maribel", "birth_date": "2016-11-30"},
        {"first_name": "Paloma"},  # a twin
        {"first_name": "Ramona"},
    ],
    ids=str,
)
def test_a_brother_or_sister_is_not_the_child(other: dict[str, str | None]) -> None:
    assert outcome({}, other)[0] != "link"


def test_twins_with_rhyming_names_are_asked_about() -> None:
    left, right = {"first_name": "Jayden", "sex": "M"}, {"first_name": "Hayden", "sex": "M"}
    assert outcome(left, right) == ("review", "twin")
    assert outcome({**left, "middle_name": "Lee"}, {**right, "middle_name": "Lee"})[0] == "link"


def test_twins_without_an_address_are_asked_about() -> None:
    nowhere = {"sex": "M", "last_name": "Ross", "phone": None}
    left = {"first_name": "Sebastian", **nowhere, "address": None}
    assert outcome(left, {"first_name": "Easton", **nowhere})[0] != "link"
    assert outcome({**left, "first_name": "Jayden"}, {"first_name": "Hayden", **nowhere}) == (
        "review",
        "twin",
    )


def test_two_records_of_one_source_that_claim_one_child_are_asked_about() -> None:
    found = match(_among(records("a", {})), _among(records("b", {}, {})), shipped()).decided
    pairs = found.filter(pl.col("record_a") == "a0")
    assert pairs.select("outcome", "reason").rows() == [("review", "source_not_unique")] * 2


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"first_name": "Jimena", "last_name": "Ortega"}, "link"),  # the surname alone differs
        ({"first_name": "Rodrigo", "last_name": "Ortega", "birth_date": "2012-01-30"}, "none"),
        ({"first_name": "Jimena", "last_name": "Ortega", "birth_date": "2012-01-30"}, "none"),
    ],
    ids=str,
)
def test_a_number_of_the_district_links_with_two_signs_more(
    other: dict[str, str | None], expected: str
) -> None:
    """Two systems that count from 1 share every number, and with it no child."""
    elsewhere = {"address": "4 Elm Ct", "phone": None, "zip_code": "97299"}
    left, right = (
        _among(frame).with_columns(
            student_number=pl.when(pl.col("record_id").is_in(["a0", "b0"])).then(pl.lit("17"))
        )
        for frame in (records("a", {}), records("b", {**elsewhere, **other}))
    )
    found = match(left, right, shipped()).decided
    outcomes = dict(found.filter(pl.col("record_a") == "a0").select("record_b", "outcome").iter_rows())
    assert outcomes.get("b0", "none") == expected


def test_an_empty_file_links_nothing() -> None:
    assert match(records("a"), records("b", {}), shipped()).decided.is_empty()
    assert match_within(records("a"), shipped()).decided.is_empty()


def test_doubles_inside_one_file_are_found() -> None:
    frame = records("a", {}, {"first_name": "Jimean"}, {"first_name": "Rodrigo", "birth_date": "2016-11-30"})
    links = match_within(_among(frame), shipped()).decided.filter(pl.col("outcome") == "link")
    assert links.select("record_a", "record_b").rows() == [("a0", "a1")]


# -- engine ----------------------------------------------------------------------------------------------------


def test_the_weight_of_a_pair_is_the_sum_of_its_levels_bits(
    synthetic: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    """What Splink weighs, homes given to it as of 2**64 records, is what the model says and ``explain`` shows."""
    left, right, _ = synthetic
    scored = score(left, right, shipped(), ["a", "b"])
    bits = [[0.0, *(weight.bits for weight in one.weights)] for one in shipped().compared]
    said = [
        sum(of_one[int(digit)] for of_one, digit in zip(bits, levels, strict=True))
        for levels in scored["levels"]
    ]
    assert scored.height > 1000
    assert scored["shares_home"].n_unique() == 2
    assert float((scored["weight"] - pl.Series(said)).abs().max()) < 1e-6  # type: ignore[arg-type]


def test_scores_do_not_depend_on_the_order_of_records_or_sides(
    synthetic: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    left, right, _ = synthetic
    key = ["record_a", "record_b"]
    first = score(left, right, shipped(), ["a", "b"]).sort(key)
    assert score(right.reverse(), left, shipped(), ["a", "b"]).sort(key).equals(first)
    part = left.head(500)  # new records against all, themselves among them: no pair twice, none with itself
    assert score(part, left, shipped(), ["a"], least_size=1).select(key).is_duplicated().sum() == 0


def test_the_true_pairs_are_candidates(synthetic: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> None:
    left, right, true = synthetic
    found = true.join(score(left, right, shipped(), ["a", "b"]), on=["record_a", "record_b"], how="semi")
    assert found.height / true.height > 0.98
    with connect() as connection:
        scoring.load(connection, left, right, shipped())
        count = connection.execute(
            f"SELECT count(*) FROM ({pairs_sql(shipped().blocking, 'record')})"
        ).fetchone()
    assert count is not None
    assert count[0] < 20 * left.height


def test_no_join_begins_with_the_inequality() -> None:
    """Every join of the plan is a hash join on a rule's keys; a nested loop or cross product is none."""
    with connect() as connection:
        frame = prepared(records("a", {}).with_columns(student_number=pl.lit("1")), shipped())
        connection.register(
            "record", frame.with_row_index("n").with_columns(in_left=True, in_right=True).to_arrow()
        )
        plan = connection.execute(
            f"EXPLAIN (FORMAT JSON) {pairs_sql(shipped().blocking, 'record')}"
        ).fetchall()
    joins = re.findall(r'"name": "(\w*(?:JOIN|PRODUCT)\w*)', plan[0][1])
    assert joins == ["HASH_JOIN"] * len(shipped().blocking)


def test_the_check_of_the_engine_passes_and_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    assert int(duckdb.__version__.split(".")[0]) < 2
    assert self_check() < scoring.SELF_CHECK_S
    with pytest.raises(ConfigurationError, match="WB-E-103"):
        self_check(limit_s=0.0)
    monkeypatch.setattr(scoring, "pairs_sql", lambda rules, table: "SELECT 0 AS x, 0 AS y WHERE false")
    with pytest.raises(ConfigurationError, match="WB-E-103"):
        self_check()


def test_the_database_of_scores_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a\n1\n")
    with connect() as connection, pytest.raises(duckdb.PermissionException):
        connection.execute(f"SELECT * FROM '{tmp_path / 'f.csv'}'")


# -- the model -------------------------------------------------------------------------------------------------


def test_the_shipped_model_is_as_it_was_signed() -> None:
    model = shipped()
    assert (model.name, model.version) == ("children", 1)
    assert {"made", "reviewer", "trained_on", "method"} <= set(model.about)
    assert len(model.sha256) == 64
    assert all(weight.m >= M_FLOOR * 0.99 for one in model.compared for weight in one.weights)


@pytest.mark.parametrize("change", ["weight", "limit", "column", "hash", "cut", "level"])
def test_a_model_that_was_changed_is_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / f"{CHILDREN}.json"
    shipped().write(path)
    assert read_model(path) == shipped()
    text = path.read_text()
    changed = {
        "weight": text.replace('"m": 0.9', '"m": 0.8', 1),
        "limit": text.replace('"auto": 0.99', '"auto": 0.5'),
        "column": text.replace('"any_name"', '"n FROM x; DROP"'),
        "hash": text.replace('"sha256": "', '"sha256": "0'),
        "cut": text[:-40],
        "level": text.replace('"differ"', '"agree"', 1),
    }[change]
    assert changed != text
    path.write_text(changed)
    with pytest.raises(ConfigurationError, match="WB-E-102"):
        read_model(path)


def test_training_by_labels_and_without_them_give_like_weights(
    synthetic: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    """The weight of an equal birth date is what loose blocks halve (reference/linkage.md 0.2)."""
    left, right, true = synthetic
    labelled = train_by_labels(left, right, true.sample(600, seed=SEED), untrained("children"), SEED)
    guessed = train_unsupervised(left, right, untrained("children"), CHILDREN_TIGHT, SEED)
    for place, name in enumerate(("first_name", "birth_date")):
        bits = [model.compared[place].weights[-1].bits for model in (labelled, guessed)]
        assert bits[0] == pytest.approx(bits[1], abs=0.5), name
    assert labelled.compared[1].weights[-1].bits > 11.5


def test_a_handful_of_labels_is_refused(synthetic: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> None:
    left, right, true = synthetic
    with pytest.raises(ContractError, match="WB-E-100"):
        train_by_labels(left, right, true.head(49), untrained("children"), SEED)
