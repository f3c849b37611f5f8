"""Rebuild the reference seeds that derive from well-kept public packages.

    python seeds/build_reference.py

Writes seeds/reference/{nicknames,phone_plans,country_names}.csv from the PyPI packages
`nicknames`, `names` (US census frequencies) and `phonenumbers` (libphonenumber's metadata).
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import names
from nicknames import NickNamer, name_triplets
from phonenumbers import SUPPORTED_REGIONS, PhoneMetadata
from phonenumbers.geodata.locale import LOCALE_DATA

# The package lists bill for both; frequency alone would send him to robert, away from will.
FORMAL_NAMES = {"bill": "william", "billy": "william"}

REFERENCE = Path(__file__).resolve().parent / "reference"

# Languages in which a source may spell a country.
LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "pl", "sv", "da", "fi", "nb")
COUNTRY_ALIASES = {
    "uk": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "great britain": "GB",
    "usa": "US",
    "u.s.a.": "US",
    "united states of america": "US",
    "america": "US",
    "holland": "NL",
    "the netherlands": "NL",
    "czech republic": "CZ",
}


def given_name_frequencies() -> dict[str, float]:
    """Per cent of the US population with each given name (the larger of the two sexes)."""
    frequencies: dict[str, float] = {}
    for sex in ("male", "female"):
        for line in (Path(names.__file__).parent / f"dist.{sex}.first").read_text().splitlines():
            name, share = line.split()[:2]
            key = name.lower()
            frequencies[key] = max(frequencies.get(key, 0.0), float(share))
    return frequencies


def nicknames() -> Iterable[tuple[str, str]]:
    """(given_name, canonical_name): a nickname points to its commonest formal name.

    Nicknames form one large web (alex - alexander - sandy - sandra ...), so following all of it
    would call everybody the same. A name moves only to a formal name that is more common than
    itself, one step: bill becomes william, but john stays john though it is listed as a nickname
    of jonathan.
    """
    frequency = given_name_frequencies()
    namer = NickNamer()
    for name in sorted({triplet.name2 for triplet in name_triplets()}):
        # Alphabetical order first, so that equal frequencies always give the same winner.
        formal_names = sorted(namer.canonicals_of(name))
        best = FORMAL_NAMES.get(name) or max(formal_names, key=lambda n: frequency.get(n, 0.0))
        if frequency.get(best, 0.0) > frequency.get(name, 0.0):
            yield name, best


def phone_plans() -> Iterable[tuple[str, int, str, str, int, int]]:
    """One row per country: how a national number becomes an international one."""
    for region in sorted(SUPPORTED_REGIONS):
        plan = PhoneMetadata.metadata_for_region(region)
        if plan is None or plan.general_desc is None or plan.country_code is None:
            raise RuntimeError(f"phonenumbers has no plan for {region}")
        lengths = [length for length in plan.general_desc.possible_length if length > 0]
        international_prefix = plan.international_prefix or ""
        yield (
            region,
            plan.country_code,
            plan.national_prefix or "",
            international_prefix if international_prefix.isdigit() else "00",
            min(lengths),
            max(lengths),
        )


def country_names() -> Iterable[tuple[str, str]]:
    """(country_name, country_code), lower case; the ISO codes themselves included."""
    codes: dict[str, str] = {}
    for code, by_language in sorted(LOCALE_DATA.items()):
        if code in SUPPORTED_REGIONS:
            codes[code.lower()] = code
            for language in LANGUAGES:
                name = by_language.get(language, "").lstrip("*").lower()
                if name and not name.isspace():
                    codes.setdefault(name, code)
    return sorted({**codes, **COUNTRY_ALIASES}.items())


def write(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one seed with unix line ends."""
    with (REFERENCE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Rebuild all three."""
    write("nicknames", ("given_name", "canonical_name"), nicknames())
    write(
        "phone_plans",
        (
            "country_code",
            "calling_code",
            "trunk_prefix",
            "international_prefix",
            "min_length",
            "max_length",
        ),
        phone_plans(),
    )
    write("country_names", ("country_name", "country_code"), country_names())


if __name__ == "__main__":
    main()
