"""Security labels of health records: what a label says about how a record may be used.

Codes that restrict a record count whatever system they are written under, because the wild puts them under
ValueSet addresses and local systems. A code that restricts nothing counts only under a system that defines
it; any other label says that some rule holds which is not known here, so the record counts as under the
strictest regime, 42 CFR Part 2 (design law 3).

Sources: HL7 v3-Confidentiality, v3-ActCode and v3-ActReason; HL7 DS4P (security-label-ds4p); HL7 v2 tables
0177 (confidentiality) and 0717 (access restriction); the v2 tables were not checked against a primary text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Label = tuple[str, str]  # system, "" where none is stated; code

HL7_CONFIDENTIALITY: Final = "HL70177"
HL7_ACCESS_RESTRICTION: Final = "HL70717"
_TERMINOLOGY: Final = "http://terminology.hl7.org/"
_NAMES: Final = ("v3-Confidentiality", "v3-ActCode", "v3-ActReason")
ACCEPTED_SYSTEMS: Final = frozenset(
    {f"{_TERMINOLOGY}{kind}/{name}" for kind in ("CodeSystem", "ValueSet") for name in _NAMES}
    | {f"http://hl7.org/fhir/{name.replace('-', '/')}" for name in _NAMES}
    | {"http://hl7.org/fhir/uv/security-label-ds4p/CodeSystem/securityLabelMark",
       HL7_CONFIDENTIALITY, HL7_ACCESS_RESTRICTION}
)

# Substance use: the law itself, its consent directive, the sensitivities that it covers; DRG is table 0717's
# drugs.
PART2: Final = frozenset({"42CFRPart2", "42CFRPart2CD", "SUD", "ETH", "ETHUD", "OPIOIDUD", "DRG"})
# Consents that permit Part 2 records name the law or the sensitivity as a whole.
PART2_PERMITS: Final = frozenset({"42CFRPart2", "SUD"})
# Records of these kinds have no place in a warehouse shared with schools, whatever a consent says:
# psychotherapy notes (45 CFR 164.508(a)(2)), HIV and other sexually transmitted infections, sexuality, sexual
# assault, domestic violence.
NEVER_KEPT: Final = frozenset({"PSYTHPN", "HIPAAPsyNotes", "HIV", "AID", "STD", "SDV", "SEX"})
# Labels that ask for no more than the walk does anyway: behavioural health as such, marks for paper and
# screens, purposes of use, and the restriction of identifiers that never leave the vault. "V" (very
# restricted) is not one.
ORDINARY: Final = frozenset({
    "U", "L", "M", "N", "R",
    "BH", "MH", "PSY", "EMOTDIS", "COGN", "DVD", "VIO", "DEMO", "DOB", "TBOO", "HTEST",
    "TREAT", "ETREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "NORDSCLCD",
    "ConfidentialMark", "COPYMark", "DeliverToAddresseeOnlyMark", "RedisclosureProhibitionMark",
    "RestrictedConfidentialityMark", "DRAFTMark",
    "ALL", "DEM", "LOC", "NO", "OI", "PID-7", "PID-17", "SMD", "EMP", "UWM", "VIP",
})
_FOLDED: Final = {code.casefold(): code for code in PART2 | PART2_PERMITS | NEVER_KEPT | ORDINARY}


def is_part2(labels: Iterable[Label]) -> bool:
    """Whether the labels put a record under 42 CFR Part 2, or under a rule that is not known here."""
    return any(_restricts(system, code) for system, code in _canonical(labels))


def is_never_kept(labels: Iterable[Label]) -> bool:
    """Whether the labels name a kind of record that is never loaded."""
    return any(code in NEVER_KEPT for _, code in _canonical(labels))


def covers_part2(labels: Iterable[Label]) -> bool:
    """Whether a consent's provision names Part 2 records or a part of them."""
    return any(code in PART2 for _, code in _canonical(labels))


def permits_part2(labels: Iterable[Label]) -> bool:
    """Whether a permit for these labels permits Part 2 records as a whole."""
    return any(code in PART2_PERMITS for _, code in _canonical(labels))


def _canonical(labels: Iterable[Label]) -> set[Label]:
    """Return labels with their codes spelt as in this module; a code that it does not know stays as it is."""
    trimmed = {(system.strip(), code.strip()) for system, code in labels}
    return {(system, _FOLDED.get(code.casefold(), code)) for system, code in trimmed if code}


def _restricts(system: str, code: str) -> bool:
    if code in PART2:
        return True
    return code not in NEVER_KEPT and not (code in ORDINARY and system in ACCEPTED_SYSTEMS)
