"""Names, addresses and the errors people make when they type them; all of it invented here.

The lists are common or made-up names and fictional streets; telephone numbers are of the 555-01xx block that
is kept free for fiction. No name of a real child can come out other than by chance.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Texts = NDArray[np.object_]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIRLS: Final = _words(
    "Ada Alma Amara Anaïs Beatriz Bella Carmen Cassandra Catherine Chloe Clara Daniela Deborah Elena "
    "Elizabeth Esther Eva Fatima Gabriela Grace Hannah Imani Ines Iris Isabella Jasmine Jennifer "
    "Josephine Julia Kamala Katherine Keisha Laila Leonor Lucía Margaret Mariana Maya Mei Nadia "
    "Naomi Noor Olivia Penelope Priya Rebecca Renée Rosa Samantha Sofía Susana Talia Teresa "
    "Valentina Victoria Wanda Ximena Yara Zoe Zainab "
)
BOYS: Final = _words(
    "Aaron Abdul Adrián Alexander Andre Anthony Arjun Benjamin Bruno Caleb Carlos Charles "
    "Christopher Daniel Darius David Diego Edward Elias Emmanuel Ethan Felix Francisco Gabriel "
    "George Hassan Henry Hugo Ibrahim Isaac Jamal James Jesús Joaquín Jonathan Joseph José Kenji "
    "Kevin Lamar Leonardo Lucas Malik Marcus Matthew Michael Mohamed Nathaniel Nicholas Omar Patrick "
    "Rafael Raúl Richard Robert Samuel Thomas Timothy William Zachary "
)
SURNAMES: Final = _words(
    "Adeyemi Aguilar Ahmed Alvarez Anderson Bailey Baker Barnes Bell Bennett Brooks Campbell "
    "Castillo Chavez Chen Clark Coleman Collins Cooper Cruz Davis Delgado Diaz Edwards Evans "
    "Fernández Fisher Flores Foster Garcia Gómez Gonzales Gray Green Gupta Guzmán Hall Harris "
    "Hernández Hill Howard Hughes Jackson Jenkins Jiménez Johnson Jones Kaur Kelly Khan Kim King Lee "
    "Lewis Lopez Martínez Mendoza Mitchell Morales Moreno Morgan Muñoz Murphy Nelson Nguyen O'Brien "
    "O'Neal Ortiz Owens Park Parker Patel Perez Peterson Phillips Powell Ramirez Reed Reyes Rivera "
    "Roberts Robinson Rodriguez Rogers Ross Ruiz Russell Sanders Scott Silva Singh Smith Stewart "
    "Taylor Torres Tran Turner Vargas Vásquez Walker Ward Washington Watson White Williams Wilson "
    "Wood Wright Young "
)
STREETS: Final = _words(
    "Alder Ash Basalt Birch Bluebonnet Canyon Cedar Cottonwood Cypress Elder Fern Granite Hackberry "
    "Hazel Juniper Larkspur Linden Magnolia Maple Mesquite Oak Palo Pecan Pine Quartz Redbud Sage "
    "Sumac Walnut Willow "
)
STREET_KINDS: Final = ("St", "Ave", "Rd", "Ln", "Ct")
ZIP_CODES: Final = ("78401", "78404", "78411", "78415", "79065")
_SYLLABLES: Final = _words(
    "ba bel cor da del dor fa fen gal ha jor ka kel la len mar mel mo na nor pa pel qui ra rin ro sa "
    "sel sto ta tel tor va ven wa wel yo za zen zor "
)

NICKNAMES: Final = {
    "Alexander": "Alex",
    "Anthony": "Tony",
    "Benjamin": "Ben",
    "Catherine": "Cathy",
    "Charles": "Charlie",
    "Christopher": "Chris",
    "Daniel": "Danny",
    "Deborah": "Debbie",
    "Edward": "Eddie",
    "Elizabeth": "Liz",
    "Francisco": "Paco",
    "Gabriela": "Gaby",
    "Isabella": "Bella",
    "James": "Jim",
    "Jennifer": "Jenny",
    "José": "Pepe",
    "Joseph": "Joe",
    "Josephine": "Josie",
    "Katherine": "Kate",
    "Margaret": "Maggie",
    "Matthew": "Matt",
    "Michael": "Mike",
    "Nathaniel": "Nate",
    "Nicholas": "Nick",
    "Patrick": "Pat",
    "Penelope": "Penny",
    "Rebecca": "Becky",
    "Richard": "Rick",
    "Robert": "Bob",
    "Samantha": "Sam",
    "Samuel": "Sam",
    "Susana": "Susi",
    "Teresa": "Tere",
    "Thomas": "Tom",
    "Timothy": "Tim",
    "Victoria": "Vicky",
    "William": "Bill",
    "Zachary": "Zach",
}


def pick(rng: np.random.Generator, options: tuple[str, ...], size: int) -> Texts:
    """Draw ``size`` of the options, each as likely as the other."""
    return np.array(options, dtype=object)[rng.integers(0, len(options), size)]


def made_surnames(rng: np.random.Generator, size: int) -> Texts:
    """Make surnames of three syllables, so that a large district has rare names too."""
    parts = [pick(rng, _SYLLABLES, size) for _ in range(3)]
    return np.array([f"{a}{b}{c}".capitalize() for a, b, c in zip(*parts, strict=True)], dtype=object)


def surnames(rng: np.random.Generator, size: int) -> Texts:
    """Draw family names: 60 % common ones, the others made up."""
    common, rare = pick(rng, SURNAMES, size), made_surnames(rng, size)
    chosen: Texts = np.where(rng.random(size) < 0.6, common, rare)
    return chosen


def first_names(rng: np.random.Generator, is_girl: NDArray[np.bool_]) -> Texts:
    """Draw first names by sex."""
    size = len(is_girl)
    chosen: Texts = np.where(is_girl, pick(rng, GIRLS, size), pick(rng, BOYS, size))
    return chosen


def addresses(rng: np.random.Generator, size: int) -> tuple[Texts, Texts, Texts]:
    """Return street lines, ZIP codes and telephone numbers of ``size`` households."""
    numbers = rng.integers(1, 9900, size)
    streets = zip(numbers, pick(rng, STREETS, size), pick(rng, STREET_KINDS, size), strict=True)
    lines = np.array([f"{number} {street} {kind}" for number, street, kind in streets], dtype=object)
    phones = np.array([f"361-555-{number:04d}" for number in rng.integers(100, 200, size)], dtype=object)
    return lines, pick(rng, ZIP_CODES, size), phones


def mistype(rng: np.random.Generator, name: str) -> str:
    """Return the name with one typing error: two letters swapped, one left out or one doubled."""
    if len(name) < 4:
        return name + name[-1]
    at = int(rng.integers(1, len(name) - 2))
    kind = int(rng.integers(0, 3))
    if kind == 0 and name[at] != name[at + 1]:
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if kind == 1:
        return name[:at] + name[at + 1 :]
    return name[: at + 1] + name[at] + name[at + 1 :]
