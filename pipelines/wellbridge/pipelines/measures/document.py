"""``docs/measures.md``, written from the declarations.

``python -m wellbridge.pipelines.measures.document`` prints it.
"""

from __future__ import annotations

from typing import Final

from wellbridge.pipelines.measures.measure import PILLARS, Kind, Measure
from wellbridge.pipelines.measures.registry import MEASURES

_HEAD: Final = """\
# Measures

Written from the declarations in `pipelines/wellbridge/pipelines/measures/` by
`python -m wellbridge.pipelines.measures.document > docs/measures.md`; a test compares.

*Students* are the children with a current row in `student`. The *school year* runs from July to June.
*Newest data* is the newest day that any delivery speaks for. *Counted services* are counseling, mentoring,
basic needs, family support, tutoring and case management. Whoever is no current student counts under
*not linked* in every breakdown; a student of whom the roster does not say, under *not reported*.

`measure_value` holds the values unsuppressed and leaves only through an agreement. A page shows a group when
at least the minimum cell of persons is in it and, for a share, on either side of it, and hides others so that
no such group follows, beside releases too; see `report/shown.py`.
"""


def render() -> str:
    """Return the page."""
    return "\n".join((_HEAD, *(_pillar(pillar) for pillar in PILLARS)))


def _pillar(pillar: str) -> str:
    found = [measure for measure in MEASURES.values() if measure.pillar == pillar]
    return "\n".join((f"## {pillar}", "", *(_measure(measure) for measure in found)))


def _measure(measure: Measure) -> str:
    lines = [f"### {measure.title} (`{measure.id}`)", "", measure.definition, ""]
    lines += [f"- **{name}**: {text}" for name, text in _facts(measure).items()]
    lines += [f"- `{p.name}` = {p.value:g} ({p.source})" for p in measure.params]
    return "\n".join((*lines, ""))


def _facts(measure: Measure) -> dict[str, str]:
    own = () if measure.own_dimension is None else (measure.own_dimension,)
    facts = {
        "Numerator": measure.numerator, "Denominator": measure.denominator,
        "Value": f"a {'share' if measure.kind is Kind.PROPORTION else 'mean'}, in {measure.unit}",
        "Source": ", ".join(f"`{name}`" for name in measure.sources),
        "Broken down by": ", ".join(f"`{name}`" for name in (*own, *measure.dimensions)),
        "Minimum n": str(measure.min_n),
    }
    if measure.beside is not None:
        facts["Shown beside"] = f"area indicator `{measure.beside}`, never joined to a person"
    return facts


if __name__ == "__main__":
    print(render(), end="")
