"""``wellbridge extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wellbridge.pipelines.cli.output import command, document, json_option, project_option, show_json, table
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import ConfigurationError, Exit, VerifyError


@click.group()
def extract() -> None:
    """Build, verify or list releases."""


def _facts(release: Any) -> dict[str, Any]:
    return {
        "extract": release.extract,
        "kind": release.kind,
        "agreement": release.agreement,
        "created": release.created,
        "rows": release.rows,
        "hidden": release.hidden,
        "left_out": release.left_out,
        "digest": release.digest,
        "path": str(release.path),
    }


@extract.command("build")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Build every extract of the site.")
@project_option
@json_option
@command
def extract_build(name: str | None, everything: bool, project: Path, as_json: bool) -> Exit:
    """Build an extract under the agreement it names.

    No agreement in force, no file: exit 14. What is built is published whole, in a folder of its own.
    """
    from wellbridge.pipelines.releases import build_release, definitions

    site = load_site(project)
    if not name and not everything:
        raise ConfigurationError(
            "WB-E-012",
            "No extract was named.",
            f"known: {', '.join(definitions(site))}",
            todo="wellbridge extract build NAME, or --all",
        )
    built = [build_release(site, each) for each in ([name] if name else definitions(site))]
    if as_json:
        show_json(document(Exit.DONE, releases=[_facts(release) for release in built]))
    else:
        for release in built:
            click.echo(
                f"{release.extract} ({release.kind}) for agreement {release.agreement}: {release.path}"
            )
            click.echo(
                table(
                    [
                        {"file": file, "rows": rows, **release.hidden.get(file, {})}
                        for file, rows in release.rows.items()
                    ]
                )
            )
            for what, names in release.left_out.items():
                click.echo(f"Left out, because they would give small counts away: {what} {', '.join(names)}")
    return Exit.DONE


@extract.command("list")
@project_option
@json_option
@command
def extract_list(project: Path, as_json: bool) -> Exit:
    """List releases, the oldest first, each with its path."""
    from wellbridge.pipelines.extracts import list_releases

    found = [_facts(release) for release in list_releases(load_site(project).releases)]
    if as_json:
        show_json(document(Exit.DONE, releases=found))
    else:
        click.echo(table(found, ["extract", "kind", "agreement", "created", "path"]))
    return Exit.DONE


@extract.command("verify")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", type=click.Path(path_type=Path), help="Public key(s), one of which must have signed.")
@json_option
@command
def extract_verify(path: Path, key: Path | None, as_json: bool) -> Exit:
    """Check a release from its files alone; exit 18 on a violation.

    Signature, hashes, columns, small cells, margins and groups are looked at anew. Without --key nobody is taken for
    the one who must have signed.
    """
    from wellbridge.pipelines.extracts import verify_release
    from wellbridge.privacy.manifest import NAME
    from wellbridge.privacy.release_verifier import checked, in_words
    from wellbridge.privacy.signing import origin, read_public_keys

    keys = None if key is None else read_public_keys(key)
    violations = verify_release(path, keys)
    code, who = Exit.VERIFY if violations else Exit.DONE, origin(path / NAME, keys)
    limits = {} if violations else checked(path)
    if as_json:
        failed = VerifyError("WB-E-045", f"{len(violations)} violation(s) found.", path.name)
        errors = [failed.as_dict()] if violations else []
        show_json(document(code, path=str(path), violations=violations, checked=limits, origin=who,
                           errors=errors))
    elif violations:
        click.echo("\n".join(f"VIOLATION {violation}" for violation in violations))
    else:
        click.echo(f"The release is as it was built, and keeps what it promises.\nChecked: {in_words(limits)}.\n{who}")
    return code


@extract.command("verifier")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@json_option
@command
def extract_verifier(file: Path, as_json: bool) -> Exit:
    """Write the check of releases and tables as one file that needs Python alone.

    To run it: python -I -S FILE DIR --key KEYS.pub. The same version of Wellbridge writes the same bytes.
    """
    import hashlib

    from wellbridge.privacy.lone_verifier import lone_verifier
    from wellbridge.privacy.seal import wrote_new

    content = lone_verifier()
    if not wrote_new(file, lambda out: out.write(content)):
        raise ConfigurationError("WB-E-011", "The file is there already, or cannot be written.", f"file {file.name}",
                                 todo="Name a new file in a folder that exists")
    digest = hashlib.sha256(content).hexdigest()
    if as_json:
        show_json(document(Exit.DONE, path=str(file), sha256=digest))
    else:
        click.echo(f"{file}  sha256 {digest}\nTo check a release: python -I -S {file} DIR --key KEYS.pub")
    return Exit.DONE
