"""A site's own model: from what its reviewers decided to the nights that link by it, through the public door."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.etl.identity.hub import By, decide_by_hand
from wellbridge.etl.identity.model import Model, read_model, shipped
from wellbridge.etl.identity.step import link
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT, Vault
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.demo import deliver
from wellbridge.pipelines.nightly.run import run_night
from wellbridge.pipelines.nightly.stores import open_stores, seals_of, write_event
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.pipelines.synth.pairs import write_pairs

SEED = (
    datetime.now(UTC).date().toordinal()
)  # other children every day; printed, so that a failure can be repeated
CHILDREN, DECIDED = 400, 120


def identity(*arguments: object) -> Answer:
    done = CliRunner().invoke(cli, ["identity", *map(str, arguments), "--json"])
    return Answer(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two files that the sources sent."""
    folder = tmp_path_factory.mktemp("files")
    write_pairs(folder, children=CHILDREN, seed=SEED)
    return folder


@pytest.fixture
def site(tmp_path: Path, files: Path) -> Site:
    """A site whose hub holds both files, and of whose links a reviewer confirmed some."""
    print("seed", SEED)
    site = init_site(tmp_path / "site")
    with run_lock(site.lock), open_stores(site, "first") as (warehouse, store):
        write_event(warehouse, "test", "test", "")
        vault = Vault(store, seals_of(site))
        for side, feed, name in (("left", "oneroster", "student"), ("right", "clinic", "patient")):
            file = pl.read_parquet(files / f"{side}.parquet")
            keys = vault.namespace(feed, name).keys(file["unique_id"], defines=True)
            traits = file.select(
                "unique_id", "first_name", "sex", "address", "phone", last_name="surname", birth_date="dob",
                zip_code="zip", version=pl.lit("1"),
            )  # fmt: skip
            keyed = traits.join(keys.select(unique_id="source_id", subject_key="key"), on="unique_id")
            vault.set_traits(keyed.drop("unique_id"))
        link(vault, "first")
        sure = store.frame("SELECT record_a, record_b FROM scored_pair WHERE outcome = 'link' ORDER BY ALL")
        assert sure.height > DECIDED
        decide_by_hand(store, sure.head(DECIDED).rows(), "link", By("ana", "seen", "first"))
        link(vault, "first")
    return site


def trained(site: Site, files: Path, out: Path, *more: str) -> str:
    """Train from what was decided; return the hash of the model."""
    labels = site.root.parent / "labels.csv"
    written = identity("review", "labels", labels, "--project", site.root)
    assert written.document["labels"] == DECIDED
    sides = ("--left", files / "left.parquet", "--right", files / "right.parquet")
    answer = identity("train", *sides, "--labels", labels, "--out", out, *more)
    assert answer.exit == 0, answer.stdout
    assert answer.document["method"] == f"{DECIDED} labelled pairs of one child"
    return str(answer.document["sha256"])


def use(site: Site, model: str) -> None:
    settings = site.root / "wellbridge.toml"
    text = settings.read_text(encoding="utf-8")
    head, _, rest = text.partition("[identity]\n")
    settings.write_text(f'{head}[identity]\nmodel = "{model}"\n{rest}', encoding="utf-8")


def decided_by(site: Site) -> tuple[set[str], set[str], list[tuple[str, str]]]:
    """Return the model of the last run, those of the stored pairs, and two linked records."""
    with open_store(site.vault, VAULT, read_only=True) as store:
        last = "SELECT model_hash FROM identity_run ORDER BY ended_at DESC LIMIT 1"
        return (
            set(store.frame(last)["model_hash"]),
            set(store.frame("SELECT DISTINCT model_hash FROM scored_pair")["model_hash"]),
            store.frame(
                "SELECT record_a, record_b FROM scored_pair WHERE outcome = 'link' AND tier = 'model' ORDER BY ALL"
            ).rows(),
        )


def test_what_reviewers_decided_trains_the_model_by_which_the_next_night_links(
    site: Site, files: Path
) -> None:
    shipped = decided_by(site)[0]
    model = trained(site, files, site.root / "ours.json", "--reviewer", "Ana Ruiz")
    use(site, "ours.json")
    one, other = decided_by(site)[2][0]
    told = identity("explain", one, other, "--project", site.root).document["compared"]
    assert told["levels"] == []  # the shipped model scored it, and its words are not this model's
    changed = identity("merge", one, other, "--reason", "seen", "--project", site.root)
    assert changed.exit == 0, changed.stdout + changed.stderr
    last, of_pairs, links = decided_by(site)
    assert last == of_pairs == {model}
    assert model not in shipped
    assert len(links) > 10
    told = identity("explain", one, other, "--project", site.root).document["compared"]
    assert told["model_hash"] == model
    assert sum(level["bits"] for level in told["levels"]) == pytest.approx(told["weight"], abs=1e-3)


def test_a_model_that_nobody_answers_for_or_that_was_changed_links_nothing(site: Site, files: Path) -> None:
    trained(site, files, site.root / "ours.json")
    use(site, "ours.json")
    one, other = decided_by(site)[2][0]
    refused = identity("merge", one, other, "--reason", "seen", "--project", site.root)
    assert (refused.exit, refused.error["code"]) == (10, "WB-E-106")
    changed = json.loads((site.root / "ours.json").read_text()) | {"about": {"reviewer": "Ana Ruiz"}}
    (site.root / "ours.json").write_text(json.dumps(changed))
    refused = identity("merge", one, other, "--reason", "seen", "--project", site.root)
    assert (refused.exit, refused.error["code"]) == (10, "WB-E-102")
    (site.root / "ours.json").unlink()
    refused = identity("merge", one, other, "--reason", "seen", "--project", site.root)
    assert (refused.exit, refused.error["code"]) == (10, "WB-E-011")
    assert decided_by(site)[0] == decided_by(site)[1]


LOOSER: dict[str, Callable[[Model], Model]] = {
    "guards": lambda model: replace(model, guards=("twin",)),
    "limits.auto": lambda model: model.with_limits(auto=0.03),
    "limits.margin": lambda model: model.with_limits(margin=-50.0),
    "limits.review": lambda model: model.with_limits(review=0.5),
    "limits.share": lambda model: model.with_limits(share=1e6),
    "needs": lambda model: replace(model, needs=()),
    "needs ": lambda model: replace(model, needs=(("first_name", "sex"), *model.needs[1:])),
    "blocking": lambda model: replace(model, blocking=()),
    "blocking ": lambda model: replace(model, blocking=model.blocking[:-1]),
    "comparisons": lambda model: replace(model, compared=model.compared[1:]),
    "born": lambda model: replace(model, born=(date(1899, 1, 1), model.born[1])),
    "limits.auto ": lambda model: model.with_limits(auto=float("nan")),
}


def doctor(site: Site) -> dict[str, str]:
    done = CliRunner().invoke(cli, ["doctor", "--project", str(site.root), "--json"])
    return next(one for one in json.loads(done.stdout)["checks"] if one["check"] == "linking")


@pytest.mark.parametrize("part", LOOSER)
def test_a_sites_model_may_not_be_looser_than_the_shipped_one(tmp_path: Path, part: str) -> None:
    """Its hash fits, because whoever writes a file can also hash it."""
    site = init_site(tmp_path / "site")
    LOOSER[part](shipped()).write(site.root / "ours.json")
    use(site, "ours.json")
    refused = identity("explain", "a" * 8, "b" * 8, "--project", site.root)
    assert (refused.exit, refused.error["code"]) == (10, "WB-E-107")
    assert refused.error["where"] == f"file ours.json · {part.strip()}"
    found = doctor(site)
    assert found["state"] == "FAIL"
    assert "WB-E-107" in found["detail"]


def test_a_looser_model_links_nothing(site: Site) -> None:
    before = decided_by(site)
    replace(shipped(), guards=()).with_limits(auto=0.03, margin=-50.0).write(site.root / "ours.json")
    use(site, "ours.json")
    one, other = before[2][0]
    refused = identity("merge", one, other, "--reason", "seen", "--project", site.root)
    assert refused.error["where"] == "file ours.json · guards, limits.auto, limits.margin"
    assert decided_by(site) == before


def test_a_sites_model_may_be_stricter(tmp_path: Path) -> None:
    site = init_site(tmp_path / "site")
    stricter = shipped().with_limits(auto=0.999, margin=7.0, review=0.01, share=0.4)
    replace(stricter, needs=(*stricter.needs[:3], ("phone",), ("sex",)), name="ours").write(
        site.root / "ours.json"
    )
    use(site, "ours.json")
    assert doctor(site)["state"] == "OK"


def test_doctor_misses_spark_where_the_site_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = init_site(tmp_path / "site")
    settings = site.root / "wellbridge.toml"
    settings.write_text(settings.read_text().replace('engine = "duckdb"', 'engine = "spark"'))
    monkeypatch.setattr("wellbridge.etl.identity.spark.find_spec", lambda _name: None)
    found = doctor(site)
    assert found["state"] == "FAIL"
    assert found["detail"].startswith("WB-E-104 ")
    assert "wellbridge[spark]" in found["todo"]
    monkeypatch.setattr("wellbridge.etl.identity.spark.find_spec", lambda name: name)
    assert doctor(site)["state"] == "OK"


# -- trained on what the site holds, without any file of names or ids ------------------------------------------------


def train_on(site: Site, out: Path, *more: object) -> Answer:
    return identity("train", "--project", site.root, "--out", out, *more)


def stored(site: Site) -> dict[Path, bytes]:
    """Every file of the site, byte for byte."""
    return {path: path.read_bytes() for path in sorted(site.root.rglob("*")) if path.is_file()}


def change(site: Site, *statements: str) -> None:
    with open_store(site.vault, VAULT) as store:
        for statement in statements:
            store.run(statement)


# Decided pairs of the right side's source, the first ones by name.
SOME_DECIDED = (
    "(SELECT subject_key FROM subject SEMI JOIN (SELECT unnest([record_a, record_b]) AS subject_key FROM "
    "link_constraint) USING (subject_key) WHERE namespace <> 'student' ORDER BY subject_key LIMIT {})"
)


def test_a_site_trains_its_model_on_its_own_records_and_decisions(site: Site, files: Path) -> None:
    before = stored(site)
    out = site.root / "ours.json"
    answer = train_on(site, out, "--reviewer", "Ana Ruiz")
    assert answer.exit == 0, answer.stdout
    assert answer.document["method"] == f"{DECIDED} labelled pairs of one child"
    assert answer.document["labels"] == {"given": DECIDED, "used": DECIDED, "silent": 0}
    assert stored(site) == before | {out: out.read_bytes()}, (
        "the stores are only read, and nothing else is written"
    )
    by_files = site.root.parent / "by_files.json"
    trained(site, files, by_files)
    one, other = (read_model(path) for path in (out, by_files))
    for ours, theirs in zip(one.compared, other.compared, strict=True):
        assert [weight.m for weight in ours.weights] == [weight.m for weight in theirs.weights]
    use(site, "ours.json")
    pair = decided_by(site)[2][0]
    changed = identity("merge", *pair, "--reason", "seen", "--project", site.root)
    assert changed.exit == 0, changed.stdout + changed.stderr
    last, of_pairs, links = decided_by(site)
    assert last == of_pairs == {answer.document["sha256"]}
    assert len(links) > 10


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower().replace("-", "")))


def test_neither_the_model_nor_what_is_said_holds_anything_of_a_child(site: Site, files: Path) -> None:
    out = site.root.parent / "ours.json"
    answer = train_on(site, out)
    shipped().write(site.root.parent / "shipped.json")
    usual = words((site.root.parent / "shipped.json").read_text()) | set(answer.document)
    told = words(out.read_text() + answer.stdout.replace(str(out), "") + answer.stderr) - usual
    both = pl.concat(pl.read_parquet(files / f"{side}.parquet") for side in ("left", "right"))
    for name in ("unique_id", "first_name", "surname", "dob", "phone"):
        cells = both[name].drop_nulls().str.to_lowercase().str.replace_all("-", "")
        assert not told & set(cells.filter(cells.str.len_chars() > 3))
    with open_store(site.vault, VAULT, read_only=True) as store:
        assert not told & set(store.frame("SELECT subject_key FROM subject")["subject_key"])


def test_fewer_than_fifty_decided_pairs_are_refused_with_their_number(site: Site) -> None:
    kept = DECIDED - 31
    change(
        site,
        "UPDATE link_constraint SET asserted_to = now() WHERE record_a IN (SELECT record_a FROM link_constraint "
        f"ORDER BY record_a LIMIT {kept})",
    )
    refused = train_on(site, site.root / "ours.json")
    assert (refused.exit, refused.error["code"]) == (12, "WB-E-100")
    assert "31 of one child" in refused.error["where"]
    assert not (site.root / "ours.json").exists()


def test_a_site_without_a_night_has_nothing_to_train_on(tmp_path: Path) -> None:
    refused = train_on(init_site(tmp_path / "site"), tmp_path / "ours.json")
    assert refused.exit != 1
    assert refused.error["code"] == "WB-E-050"


def test_of_several_sources_one_is_chosen(site: Site) -> None:
    change(
        site,
        f"UPDATE subject SET namespace = 'hospital/patient' WHERE subject_key IN {SOME_DECIDED.format(60)}",
    )
    refused = train_on(site, site.root / "ours.json")
    assert (refused.exit, refused.error["code"]) == (10, "WB-E-011")
    assert "clinic/patient" in refused.error["where"]
    assert "hospital/patient" in refused.error["where"]
    for source in ("hospital/patient", "clinic/patient"):
        answer = train_on(site, site.root / f"{source[:4]}.json", "--source", source)
        assert answer.document["method"] == "60 labelled pairs of one child"
    for unknown in ("nobody", "student"):
        refused = train_on(site, site.root / "more.json", "--source", unknown)
        assert (refused.exit, refused.error["code"]) == (10, "WB-E-015")


def test_records_that_are_forgotten_or_buried_teach_nothing(site: Site) -> None:
    gone = SOME_DECIDED.format(3)
    change(
        site,
        f"INSERT INTO buried_record BY NAME SELECT subject_key AS record_id, false AS is_lifted FROM {gone}",
        f"UPDATE record_part SET sealed = NULL WHERE record_id IN {gone}",
    )
    answer = train_on(site, site.root / "ours.json")
    assert answer.document["labels"] == {"given": DECIDED, "used": DECIDED - 3, "silent": 3}
    told = CliRunner().invoke(
        cli, ["identity", "train", "--project", str(site.root), "--out", str(site.root / "again.json")]
    )
    assert told.exit_code == 0, told.output
    assert "3 of records that say nothing any more" in told.output


def test_a_run_that_holds_the_lock_does_not_stop_who_only_reads(site: Site) -> None:
    with run_lock(site.lock):
        assert train_on(site, site.root / "ours.json").exit == 0


@pytest.mark.parametrize("option", ["--left", "--right", "--labels", "--truth"])
def test_a_site_and_files_are_not_mixed(site: Site, files: Path, option: str) -> None:
    mixed = train_on(site, site.root / "ours.json", option, files / "left.parquet")
    assert (mixed.exit, mixed.error["code"]) == (2, "WB-E-016")


def test_a_source_is_a_site_s_and_something_is_trained_on(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.json"
    for given in (("--left", files / "left.parquet", "--source", "clinic/patient"), ()):
        refused = identity("train", *given, "--out", out)
        assert (refused.exit, refused.error["code"]) == (2, "WB-E-016")


def test_from_feeds_and_a_sheet_of_answers_to_a_site_s_own_model(tmp_path: Path) -> None:
    """A roster of OneRoster's files and patients as FHIR's ndjson: neither is a file that ``train --left`` reads."""
    print("seed", SEED)
    generate(tmp_path / "synthetic", students=2_500, nights=1, seed=SEED)
    site = init_site(tmp_path / "site")
    deliver(site, tmp_path / "synthetic" / "night-1")
    run_night(site)
    sheet = tmp_path / "sheet.csv"
    more = ("--spot-checks", 300, "--format", "csv", "--reviewer", "ana", "--project", site.root)
    assert identity("review", "export", "--out", sheet, *more).exit == 0
    asked = pl.read_csv(sheet, infer_schema=False).with_columns(answer=pl.lit("link"), why=pl.lit("written"))
    asked.write_csv(sheet)
    decided = identity("review", "import", sheet, "--project", site.root).document["decided"]
    patients = asked.filter(pl.col("source B") == "fhir/patient").height
    assert 50 < patients <= decided
    out = site.root / "ours.json"
    answer = train_on(site, out, "--source", "fhir/patient", "--reviewer", "Ana Ruiz")
    assert answer.exit == 0, answer.stdout
    assert answer.document["labels"]["used"] >= 50
    use(site, "ours.json")
    assert doctor(site)["state"] == "OK"
