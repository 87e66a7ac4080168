"""People, municipalities and companies that do not exist, with numbers that cannot belong to anyone."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from pathlib import Path
from random import Random

FIRST = (
    "Agnes Aksel Alberte Anders Asta Bent Birgit Bjørn Camilla Carl Dagny Ejnar Ellen Emil Esther Finn Freja Gerda "
    "Gustav "
    "Hanne Helge Ida Ingrid Jens Jonas Karen Kirsten Klara Knud Lærke Liv Magnus Malthe Marie Mikkel Niels Nora Oskar "
    "Palle "
    "Rasmus Ruth Signe Sofie Svend Søren Thea Tove Ulla Valdemar Viggo Åse"
).split()
LAST = (
    "Agerbæk Bakke Balle Birkholt Brink Dalgaard Damsø Egeskov Elbæk Fjordside Granlund Haugaard Hedevang Højmark "
    "Kærsgaard "
    "Lindeborg Lyngholt Mosebæk Nørrelund Overby Pilegaard Ravnsbjerg Rosenvang Skovsø Stenmark Søvang Thorsager "
    "Vestermose "
    "Ørnstrup Ågård"
).split()
STREETS = (
    "Birkevej Bøgebakken Degnemarken Egelunden Engdraget Fasanvej Fjordvænget Granbakken Hasselvej Kirkestien "
    "Kløvervænget "
    "Lærkevej Mosevej Møllebakken Nørregade Præstemarken Rønnevej Skovbrynet Søndergade Ådalen"
).split()
HOUSES = "Birke Bøge Eg Elme Fjord Hassel Hede Linde Lyng Mose Pile Rosen Skov Sø Vild Å".split()
ENDINGS = "bo|gården|hjemmet|huset|kollegiet|parken|højen|vænget".split("|")
POSTAL_AREAS = {
    "1084": (2000, 3999),
    "1085": (4000, 4999),
    "1083": (5000, 6999),
    "1082": (7000, 8999),
    "1081": (9000, 9999),
}
WEIGHTS_CPR = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
WEIGHTS_CVR = (2, 7, 6, 5, 4, 3, 2)


@dataclass(frozen=True)
class Municipality:
    """One of the 98 municipalities; `code` without leading zero."""

    code: str
    name: str
    region: str
    region_name: str
    population: int


class Municipalities:
    """The 98 municipalities of the reference register, and the own one among them."""

    def __init__(self, reference: Path, own: str) -> None:
        path = reference / "kommuner.csv"
        if not path.is_file():
            raise FileNotFoundError(f"{path} findes ikke. Kommuneregisteret skal ligge i mappen med referencedata.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            self.all = [
                Municipality(
                    r["kommunekode"].lstrip("0"), r["navn"], r["region_kode"], r["region"], int(r["befolkning"])
                )
                for r in csv.DictReader(file)
            ]
        found = [m for m in self.all if m.code == own.lstrip("0")]
        if not found:
            raise ValueError(f"Kommunekode {own} findes ikke i {path.name}. Vælg en af de {len(self.all)} kommuner.")
        self.own = found[0]
        self.others = [m for m in self.all if m is not self.own]
        self._neighbours = [m for m in self.others if m.region == self.own.region] or self.others
        self._weights = {
            id(pool): list(accumulate(m.population for m in pool)) for pool in (self.others, self._neighbours)
        }

    def another(self, rng: Random) -> Municipality:
        """Another municipality; three of four times in the own region, larger ones more often."""
        pool = self._neighbours if rng.random() < 0.75 else self.others
        return rng.choices(pool, cum_weights=self._weights[id(pool)])[0]


class CprNumbers:
    """CPR numbers with 60 added to the day of birth: ten digits, passing modulus 11, unique, and nobody's.

    Keeps one counter per day of birth, so memory does not grow with the population.
    """

    def __init__(self) -> None:
        self._given: dict[date, int] = {}

    def new(self, born: date) -> str:
        head = f"{born.day + 60:02d}{born:%m%y}"
        weighted = sum(int(d) * w for d, w in zip(head, WEIGHTS_CPR, strict=False))
        # The seventh digit tells the century: 0–3 is 1900–1999, 4–9 is 2000–2036.
        low, size = (0, 400) if born.year < 2000 else (400, 600)
        while True:
            turn = self._given.get(born, 0)
            if turn >= size:
                raise ValueError(
                    f"Der er ikke flere CPR-numre på en fødselsdag i {born.year}; vælg en mindre befolkning."
                )
            self._given[born] = turn + 1
            serial = low + (turn * 37 + born.toordinal()) % size
            check = -(weighted + 4 * (serial // 100) + 3 * (serial // 10 % 10) + 2 * (serial % 10)) % 11
            if check < 10:
                return f"{head}{serial:03d}{check}"


def name(rng: Random) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(FIRST)} {rng.choice(LAST)}"


def street(rng: Random) -> str:
    return f"{rng.choice(STREETS)} {rng.randint(1, 120)}"


def postal_code(rng: Random, region: str) -> str:
    """A code within the region's range (municipalities have no range of their own)."""
    return str(rng.randint(*POSTAL_AREAS.get(region, (1000, 9999))))


def place_names() -> Iterator[str]:
    """Names of places without end, first the short ones."""
    turn = 0
    while True:
        turn += 1
        for ending in ENDINGS:
            for house in HOUSES:
                yield house + ending if turn == 1 else f"{house}{ending} {turn}"


def ean(number: int) -> str:
    """A Danish public GS1 location number: 5798, eight digits, check digit (weights 1, 3 from the left)."""
    body = f"5798{number:08d}"
    return body + str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10)


def cvr_numbers(first: int = 9_900_000) -> Iterator[str]:
    """CVR numbers that pass modulus 11, from a range that is not given out; a remainder of 1 gives no number."""
    for number in range(first, 10_000_000):
        remainder = sum(int(d) * w for d, w in zip(str(number), WEIGHTS_CVR, strict=True)) % 11
        if remainder != 1:
            yield f"{number}{(11 - remainder) % 11}"
