"""A site: the project folder of one district, its feeds and where its stores lie.

Standard library only: every command reads the site first, and a night with nothing new reads nothing else.
"""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wellbridge.pipelines.sources.kinds import KINDS, SETTINGS
from wellbridge.schemas.errors import ConfigurationError, SourceError

PROJECT_FILE: Final = "wellbridge.toml"
FAIL_ON: Final = ("held", "warn", "never")
GATES: Final = ("block", "warn")
ENGINES: Final = ("duckdb", "spark")
REPEATING: Final = ("*/client",)  # notices; as ``matcher.REPEATING``, which brings polars
_MOST_SHEET_DAYS: Final = 90
_SECTIONS: Final = {
    "district": frozenset({"name", "id"}),
    "run": frozenset({"held_limit", "fail_on"}),
    "report": frozenset({"min_cell"}),
    "identity": frozenset(
        {"reviewers", "sheet_days", "gates", "max_gap", "max_drift", "engine", "model", "repeating"}
    ),
}


@dataclass(frozen=True)
class Feed:
    """One feed: where a partner's deliveries arrive and how they are read.

    Attributes:
        name: the feed's name, equal to its file's name.
        kind: the source kind.
        inbox: the folder its deliveries arrive in.
        settings: what its source kind needs to know: renamed headers, local codes, dialect.
    """

    name: str
    kind: str
    inbox: Path
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """A district's site as its files describe it.

    Attributes:
        root: the project folder.
        district: name shown on reports.
        district_id: NCES or state id of the district.
        state: private folder of stores, keys and landed deliveries.
        feeds: by name.
        held_limit: share of a feed's rows that may be held before a run ends with exit 13.
        min_cell: smallest number of persons that may be shown on the site's own page.
        reviewers: how many must agree before a doubtful pair of records is decided, 1 or 2.
        sheet_days: how long a review sheet may be answered.
        engine: what scores pairs of records, ``duckdb`` or ``spark``; the links are the same.
        repeating: patterns of the sources (``clinic/patient``) in which several records may be about one child.
        model: the site's own model of linking (``identity train``); None for the one that is shipped.
        gates: whether a night whose links fail a gate is stopped (``block``) or told of (``warn``).
        max_gap: largest gap of a group's estimated recall to all others'.
        max_drift: largest drift of a comparison since the last run, in bits a link.
    """

    root: Path
    district: str
    district_id: str
    state: Path
    feeds: Mapping[str, Feed]
    held_limit: float = 0.05
    fail_on: str = "held"
    min_cell: int = 10
    reviewers: int = 1
    sheet_days: int = 14
    engine: str = "duckdb"
    repeating: tuple[str, ...] = REPEATING
    model: Path | None = None
    gates: str = "block"
    max_gap: float = 0.05
    max_drift: float = 1.0

    @property
    def warehouse(self) -> Path:
        """The de-identified store."""
        return self.state / "warehouse.duckdb"

    @property
    def vault(self) -> Path:
        """The identified store."""
        return self.state / "vault" / "vault.duckdb"

    @property
    def landing(self) -> Path:
        """Sealed deliveries by batch id."""
        return self.state / "landing"

    @property
    def work(self) -> Path:
        """Plain copies of the running night."""
        return self.state / "work"

    @property
    def key(self) -> Path:
        """The key that seals landed deliveries."""
        return self.state / "keys" / "site.key"

    @property
    def signing_key(self) -> Path:
        """The key that signs releases; its public half lies beside it in ``.pub`` and in the site's folder."""
        return self.state / "keys" / "signing.key"

    @property
    def public_key(self) -> Path:
        """The public half of the signing key, for whoever checks a release."""
        return self.root / "signing-key.pub"

    @property
    def lock(self) -> Path:
        """The file that a run locks."""
        return self.state / "run.lock"

    @property
    def seen(self) -> Path:
        """Cache of what each inbox held when last seen."""
        return self.state / "seen.json"

    @property
    def refused_links(self) -> Path:
        """How the links stood of the last night that a gate refused; no such file once one was taken."""
        return self.state / "refused-links.json"

    @property
    def releases(self) -> Path:
        """Where built extracts are published."""
        return self.root / "releases"

    @property
    def reports(self) -> Path:
        """Where pages are written."""
        return self.root / "reports"

    def select(self, patterns: Iterable[str], exclude: Iterable[str] = ()) -> list[Feed]:
        """Return the feeds that match any pattern (all without patterns), in name order.

        Raises:
            ConfigurationError: WB-E-012 when a pattern selects nothing.
        """
        wanted, exclude = list(patterns), list(exclude)
        for pattern in (*wanted, *exclude):
            if not fnmatch.filter(self.feeds, pattern):
                raise ConfigurationError(
                    "WB-E-012", "A selection matches no feed.", _near(pattern, self.feeds)
                )
        names = {n for p in wanted or ["*"] for n in fnmatch.filter(self.feeds, p)}
        names -= {n for p in exclude for n in fnmatch.filter(self.feeds, p)}
        if not names:
            known = ", ".join(sorted(self.feeds))
            raise ConfigurationError("WB-E-012", "The selection leaves no feed.", f"known: {known}")
        return [self.feeds[name] for name in sorted(names)]

    def check_inboxes(self, feeds: Iterable[Feed]) -> None:
        """Refuse a feed of unknown kind, a missing inbox and folders that no feed owns.

        Raises:
            SourceError: WB-E-020 when a feed's folder is missing.
            ConfigurationError: WB-E-015 when a feed's source kind is unknown, WB-E-013 when files lie in a
                folder that no feed reads.
        """
        for feed in feeds:
            if feed.kind not in KINDS:
                raise ConfigurationError(
                    "WB-E-015",
                    "A feed names an unknown source kind.",
                    f"feeds/{feed.name}.toml · kind · {_near(feed.kind, KINDS)}",
                    todo="Name one of the kinds known",
                )
            if not feed.inbox.is_dir():
                raise SourceError(
                    "WB-E-020", "A feed's inbox is missing.", f"feed {feed.name} · {feed.inbox.name}/"
                )
        common = self.root / "inbox"
        owned = {feed.inbox.resolve() for feed in self.feeds.values()}
        strangers = (
            [
                p.name
                for p in sorted(common.iterdir())
                if p.is_dir() and p.resolve() not in owned and not p.name.startswith(".") and any(p.iterdir())
            ]
            if common.is_dir()
            else []
        )
        if strangers:
            raise ConfigurationError(
                "WB-E-013",
                f"{len(strangers)} folder(s) of the inbox belong to no feed.",
                " · ".join(f"inbox/{name}" for name in strangers),
            )


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    import difflib  # noqa: PLC0415 - only a wrong name needs it

    near = difflib.get_close_matches(name, names, n=3)
    return f"near: {', '.join(near)}" if near else f"known: {', '.join(sorted(names))}"


def load_site(root: Path) -> Site:
    """Read a site's files; environment variables ``WELLBRIDGE_STATE_DIR`` and ``WELLBRIDGE_FAIL_ON`` win.

    Raises:
        ConfigurationError: WB-E-010 when there is no project file, WB-E-011 when a file cannot be understood,
            WB-E-015 when it has a key that nothing reads.
    """
    project = root / PROJECT_FILE
    if not project.is_file():
        raise ConfigurationError("WB-E-010", "There is no Wellbridge project here.", f"file {PROJECT_FILE}")
    config = read_toml(project)
    _check_keys(config, {"state_dir", *_SECTIONS}, PROJECT_FILE)
    for section, known in _SECTIONS.items():
        _check_keys(_table(config, section, project), known, f"{PROJECT_FILE} · [{section}]")
    district = _table(config, "district", project)
    run = _table(config, "run", project)
    fail_on = os.environ.get("WELLBRIDGE_FAIL_ON", run.get("fail_on", "held"))
    if fail_on not in FAIL_ON:
        raise ConfigurationError(
            "WB-E-011", f"fail_on must be one of {', '.join(FAIL_ON)}.", f"{PROJECT_FILE} · run.fail_on"
        )
    state = Path(os.environ.get("WELLBRIDGE_STATE_DIR", str(config.get("state_dir", "state"))))
    min_cell = _number(config, "report", "min_cell", 10)
    if min_cell < 10:
        raise ConfigurationError(
            "WB-E-044", "The page's minimum cell is below 10.", f"{PROJECT_FILE} · report.min_cell"
        )
    reviewers, sheet_days = (
        _number(config, "identity", "reviewers", 1),
        _number(config, "identity", "sheet_days", 14),
    )
    if reviewers not in {1, 2} or not 1 <= sheet_days <= _MOST_SHEET_DAYS:
        raise ConfigurationError(
            "WB-E-011",
            f"reviewers must be 1 or 2, and sheet_days 1 to {_MOST_SHEET_DAYS}.",
            f"{PROJECT_FILE} · [identity]",
        )
    gates, max_gap, max_drift = _gates(config)
    return Site(
        root=root,
        district=str(district.get("name", root.name)),
        district_id=str(district.get("id", "")),
        state=state if state.is_absolute() else root / state,
        feeds=_feeds(root),
        fail_on=fail_on,
        held_limit=_number(config, "run", "held_limit", 0.05),
        min_cell=int(min_cell),
        reviewers=int(reviewers),
        sheet_days=int(sheet_days),
        engine=_engine(config),
        repeating=_repeating(config),
        model=_model(config, root),
        gates=gates,
        max_gap=max_gap,
        max_drift=max_drift,
    )


def _engine(config: Mapping[str, Any]) -> str:
    """Return what scores pairs of records."""
    engine = _table(config, "identity", Path(PROJECT_FILE)).get("engine", "duckdb")
    if engine not in ENGINES:
        raise ConfigurationError(
            "WB-E-011", f"engine must be one of {', '.join(ENGINES)}.", f"{PROJECT_FILE} · identity.engine"
        )
    return str(engine)


def _repeating(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the patterns of the sources that may hold a child several times; never the roster."""
    found = _table(config, "identity", Path(PROJECT_FILE)).get("repeating", list(REPEATING))
    is_list = isinstance(found, list) and all(isinstance(one, str) and one.count("/") == 1 for one in found)
    if not is_list:
        what = 'repeating must be a list of sources, such as "clinic/patient".'
        raise ConfigurationError("WB-E-011", what, f"{PROJECT_FILE} · identity.repeating")
    return tuple(found)


def _model(config: Mapping[str, Any], root: Path) -> Path | None:
    """Return the file of the site's own model; it is read where it is used."""
    named = _table(config, "identity", Path(PROJECT_FILE)).get("model")
    if named is None:
        return None
    if not isinstance(named, str) or not (root / named).is_file():
        raise ConfigurationError(
            "WB-E-011",
            "model must name a file that identity train wrote.",
            f"{PROJECT_FILE} · identity.model",
        )
    return root / named


def _gates(config: Mapping[str, Any]) -> tuple[str, float, float]:
    """Return the policy on gates of linking, and their limits."""
    policy = _table(config, "identity", Path(PROJECT_FILE)).get("gates", "block")
    max_gap, max_drift = (
        _number(config, "identity", "max_gap", 0.05),
        _number(config, "identity", "max_drift", 1.0),
    )
    if policy not in GATES or not 0 <= max_gap <= 1 or not max_drift >= 0:
        raise ConfigurationError(
            "WB-E-011",
            f"gates must be one of {', '.join(GATES)}, max_gap 0 to 1, and max_drift 0 or more.",
            f"{PROJECT_FILE} · [identity]",
        )
    return policy, max_gap, max_drift


def _number(config: Mapping[str, Any], section: str, name: str, default: float) -> float:
    value = _table(config, section, Path(PROJECT_FILE)).get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(
            "WB-E-011", "A setting that must be a number is none.", f"{PROJECT_FILE} · {section}.{name}"
        )
    return value


def _table(config: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    found = config.get(name, {})
    if not isinstance(found, dict):
        raise ConfigurationError("WB-E-011", "A section of the file is no table.", f"{file.name} · [{name}]")
    return found


def _feeds(root: Path) -> dict[str, Feed]:
    feeds = {}
    for path in sorted((root / "feeds").glob("*.toml")):
        config = read_toml(path)
        if not isinstance(config.get("kind"), str):
            raise ConfigurationError(
                "WB-E-011", "A feed does not say its source kind.", f"feeds/{path.name} · kind"
            )
        if config["kind"] in SETTINGS:  # an unknown kind is told when its feed is read
            _check_keys(config, SETTINGS[config["kind"]], f"feeds/{path.name}")
        _check_settings(config, path.name)
        inbox = Path(str(config.get("path", f"inbox/{path.stem}")))
        feeds[path.stem] = Feed(
            name=path.stem,
            kind=config["kind"],
            inbox=inbox if inbox.is_absolute() else root / inbox,
            settings={name: value for name, value in config.items() if name not in {"kind", "path"}},
        )
    if not feeds:
        raise ConfigurationError("WB-E-011", "The site has no feeds.", "feeds/*.toml")
    return feeds


def _check_keys(config: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse a key that nothing reads: a misspelt setting would do nothing, and nobody would know."""
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ConfigurationError(
            "WB-E-015",
            "A settings file has a key that is not known.",
            f"{where} · {unknown[0]} · {_near(unknown[0], known)}",
        )


def _check_settings(config: Mapping[str, Any], name: str) -> None:
    """Refuse settings of another form than every source reads: they would fail in the middle of a night."""
    wrong = [key for key in ("encoding", "separator") if not isinstance(config.get(key, ""), str)]
    wrong += (
        ["separator"] if isinstance(config.get("separator"), str) and len(config["separator"]) != 1 else []
    )
    wrong += [] if _is_names(config.get("rename", {})) else ["rename"]
    codes = config.get("codes", {})
    wrong += [] if isinstance(codes, dict) and all(map(_is_names, codes.values())) else ["codes"]
    extra = config.get("extra", [])
    wrong += [] if isinstance(extra, list) and all(isinstance(one, str) for one in extra) else ["extra"]
    wrong += [] if isinstance(config.get("own_ids", False), bool) else ["own_ids"]
    if wrong:
        raise ConfigurationError(
            "WB-E-011",
            "A feed's setting has another form than it must have.",
            f"feeds/{name} · {', '.join(wrong)}",
        )


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def read_toml(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        ConfigurationError: WB-E-011, naming the line but not what stands there.
    """
    where = ""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        position = str(error).rpartition("(at ")[2].rstrip(")")
        where = position if position != str(error) else ""
    except UnicodeDecodeError:
        where = "not UTF-8"
    except OSError:
        where = "cannot be opened"
    raise ConfigurationError("WB-E-011", "A settings file cannot be understood.", f"{path.name} · {where}")


def init_site(root: Path, *, district: str = "Example Unified School District") -> Site:
    """Make a new site: files, empty inboxes, a private state folder and a fresh key.

    Raises:
        ConfigurationError: WB-E-011 when a site is there already.
    """
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - only `init` needs them
    from importlib import resources  # noqa: PLC0415

    from wellbridge.privacy.seal import new_key  # noqa: PLC0415
    from wellbridge.privacy.signing import new_signing_key  # noqa: PLC0415

    if (root / PROJECT_FILE).exists():
        raise ConfigurationError(
            "WB-E-011", "A site is there already.", PROJECT_FILE, todo="Choose another folder"
        )
    today = datetime.now(UTC).date()
    fill = {
        "{district}": district,
        "{start}": today.isoformat(),
        "{end}": (today + timedelta(days=364)).isoformat(),
        "{destruction}": (today + timedelta(days=454)).isoformat(),
    }
    _copy_templates(resources.files("wellbridge.pipelines") / "templates" / "site", root, fill)
    site = load_site(root)
    for feed in site.feeds.values():
        feed.inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (site.state, site.key.parent, site.vault.parent, site.landing):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    new_key(site.key)
    signer = new_signing_key(site.signing_key, district)
    site.public_key.write_text(f"{signer.public}\n", encoding="utf-8")
    return site


def _copy_templates(source: Any, target: Path, fill: Mapping[str, str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        name = ".gitignore" if item.name == "gitignore" else item.name
        if item.is_dir():
            _copy_templates(item, target / name, fill)
            continue
        text = item.read_text(encoding="utf-8")
        for mark, value in fill.items():
            text = text.replace(mark, value)
        (target / name).write_text(text, encoding="utf-8")
