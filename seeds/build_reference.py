"""Rebuild the reference seeds that derive from well-kept public packages.

    python seeds/build_reference.py

Writes seeds/reference/{nicknames,phone_plans,country_names}.csv from the PyPI packages
`nicknames`, `names` (US census frequencies), `phonenumbers` (libphonenumber's metadata) and `babel`
(Unicode's CLDR).
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import names
from babel import Locale
from babel.core import get_global
from nicknames import NickNamer, name_triplets
from phonenumbers import SUPPORTED_REGIONS, PhoneMetadata
from phonenumbers.geodata.locale import LOCALE_DATA

# Short forms that the package, which is English, does not know.
SHORT_FORMS = {
    "alexander": "alex sander lex xander sasza aleks",
    "andreas": "andi andy dres",
    "andrzej": "jedrek andrzejek",
    "anna": "anja anneke antje anka ania anni annika",
    "antonio": "toni tono tonio",
    "antonius": "ton toon anton antoon teun",
    "barbara": "babs babsi basia bärbel",
    "bernadette": "berna detje",
    "bernhard": "bernd berni hard",
    "carolina": "carola caro lina karo",
    "catherine": "cathy cathie katia",
    "charlotte": "lotte lotta charlie lottie",
    "christian": "chris christel krischan",
    "christine": "christel tine tina stine kicki",
    "concepcion": "concha conchi conchita",
    "cornelia": "conny nelly corrie",
    "cornelis": "kees cor nelis cees",
    "dolores": "lola loli",
    "dominique": "domi nique",
    "elisabeth": "elise lisa lisbeth liesbeth els elsa sissi elli betty lies lisette bettina elly",
    "elzbieta": "ela elka",
    "enrique": "quique kike",
    "ewa": "ewka ewunia",
    "federico": "fede rico",
    "ferdinand": "ferdi nand",
    "francisca": "paca paqui fran",
    "francisco": "paco pancho curro fran kiko",
    "francois": "franck fanfan",
    "friedrich": "fritz friedel fred",
    "gabriele": "gabi gaby",
    "gerhard": "gerd gert hardy",
    "gertrud": "trude gerda trudi",
    "giuseppe": "beppe peppe pino",
    "grzegorz": "grzesiek",
    "guadalupe": "lupe lupita",
    "guillermo": "guille memo",
    "gunter": "gunni",
    "guillaume": "guy willy",
    "hans": "hannes hansi",
    "heinrich": "heinz heiner hein",
    "hendrik": "henk rik hein henny",
    "ignacio": "nacho",
    "isabel": "isa bel chabela",
    "isabelle": "isa belle isy",
    "jadwiga": "jadzia",
    "jacobus": "jaap koos cobus",
    "jan": "janek jasiek jantje",
    "jerzy": "jurek",
    "jesus": "chus chucho",
    "johann": "hans hannes",
    "johanna": "hanna jo hanneke hansje annie",
    "johannes": "hans hannes jan johan joop jo",
    "jose": "pepe chepe",
    "josef": "sepp jupp pepi",
    "josefa": "pepa fina",
    "joseph": "jos jef",
    "juan": "juanito",
    "karl": "kalle charly",
    "katarzyna": "kasia kaska",
    "katharina": "kathi kati käthe trine",
    "krzysztof": "krzysiek krzys",
    "lars": "lasse",
    "laurent": "lolo",
    "leonardus": "leo leon",
    "leopold": "poldi leo",
    "ludwig": "lutz wiggerl",
    "magdalena": "magda lena leni madzia",
    "malgorzata": "gosia malgosia",
    "manuel": "manolo manu lolo",
    "manuela": "manu ela",
    "margareta": "greta gretel grete maggan",
    "margarethe": "greta gretel grete margit marga",
    "maria": "mia marie mari marja maja maike marijke mieke marysia",
    "martin": "marty tinus",
    "martine": "tine martje",
    "matthias": "matze hias matti",
    "maximilian": "max maxi",
    "mercedes": "merche meche",
    "michael": "michi michel micha mischa",
    "mikael": "micke",
    "monika": "moni nika",
    "nicolas": "nico colas",
    "nicolaas": "klaas nico",
    "nikolaus": "klaus niko nico",
    "pawel": "pawelek",
    "petronella": "nel petra nelly ella",
    "petrus": "piet peter",
    "philippe": "phil filou",
    "pilar": "pili",
    "piotr": "piotrek",
    "rafael": "rafa",
    "ramon": "moncho",
    "robert": "robban robi",
    "roberto": "beto rob",
    "rosario": "charo",
    "rudolf": "rudi rolf",
    "sebastian": "basti wastl seb",
    "sebastiaan": "bas",
    "sophie": "soph fifi",
    "stanislaw": "staszek stas",
    "stefan": "steffen steffan",
    "stephane": "steph fanfan",
    "stefanie": "steffi steffie fanny",
    "susanne": "susi sanne sanna",
    "teresa": "tere resi maite",
    "theodorus": "theo dorus",
    "thomas": "tomte tommi",
    "tomasz": "tomek",
    "ulrich": "uli ulli",
    "ursula": "uschi ulla sula ursel",
    "veronique": "vero nique",
    "vincent": "vince cent",
    "walter": "walt",
    "wilhelm": "willi willy helm",
    "wilhelmina": "mina willemijn mien",
    "willem": "wim pim willie",
    "willemijn": "mijntje willie mijn",
    "wolfgang": "wolf wolfi",
    "zbigniew": "zbyszek",
    "zofia": "zosia",
}

# The package lists bill for both; frequency alone would send him to robert, away from will.
FORMAL_NAMES = {"bill": "william", "billy": "william"}

REFERENCE = Path(__file__).resolve().parent / "reference"

# Languages in which a source may spell a country.
LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "pl", "sv", "da", "fi", "nb")
COUNTRY_ALIASES = {
    "uk": "GB",
    "u.k.": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "great britain": "GB",
    "großbritannien": "GB",
    "grande-bretagne": "GB",
    "gran bretaña": "GB",
    "gran bretagna": "GB",
    "u.s.": "US",
    "u.s.a.": "US",
    "united states of america": "US",
    "america": "US",
    "holland": "NL",
    "the netherlands": "NL",
    "republic of ireland": "IE",
    "hong kong": "HK",
    "macau": "MO",
    "turkiye": "TR",
    # sports know some countries by other letters than ISO, and forms copy them
    "den": "DK",
    "ger": "DE",
    "ned": "NL",
    "por": "PT",
    "sui": "CH",
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


def nicknames() -> Iterable[tuple[str, str, str]]:
    """(given_name, formal_name, is_canonical): what a nickname may be short for.

    One of them, its commonest, is canonical.

    Nicknames form one large web (alex - alexander - sandy - sandra ...), so following all of it
    would call everybody the same. A name is canonised only to a formal name that is more common
    than itself, one step: bill becomes william, but john stays john though it is listed as a
    nickname of jonathan.
    """
    frequency = given_name_frequencies()
    namer = NickNamer()
    formal_names = {
        triplet.name2: namer.canonicals_of(triplet.name2) for triplet in name_triplets()
    }
    for formal_name, short_forms in SHORT_FORMS.items():
        for name in short_forms.split():
            formal_names[name] = formal_names.get(name, set()) | {formal_name}
    for name, formal in sorted(formal_names.items()):
        # Alphabetical order first, so that equal frequencies always give the same winner.
        best = FORMAL_NAMES.get(name) or max(sorted(formal), key=lambda n: frequency.get(n, 0.0))
        is_commoner = frequency.get(best, 0.0) > frequency.get(name, 0.0)
        is_foreign = name not in frequency and best not in frequency
        for other in sorted(formal):
            is_canonical = other == best and (is_commoner or is_foreign)
            yield name, other, str(is_canonical).lower()


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
    """(country_name, country_code), lower case: codes of two and three letters, and names.

    Of the phone plans' countries, by today's names (CLDR) and older ones (libphonenumber). What two
    countries are called, or one that has since become several, is no country's name.
    """
    claims: dict[str, set[str]] = defaultdict(set)
    for alias, territories in get_global("territory_aliases").items():
        if len(alias) == 3 and alias.isalpha():
            claims[alias.lower()].update(territories)
    for code in SUPPORTED_REGIONS:
        claims[code.lower()].add(code)
        older = LOCALE_DATA.get(code, {})
        for language in LANGUAGES:
            claims[Locale(language).territories[code].lower()].add(code)
            name = older.get(language, "")
            # "*aa": the same as in that other language
            while name.startswith("*"):
                name = older.get(name[1:], "")
            claims[name.lower()].add(code)
    known = {
        name: next(iter(codes))
        for name, codes in claims.items()
        if name.strip() and len(codes) == 1 and codes <= SUPPORTED_REGIONS
    }
    return sorted({**known, **COUNTRY_ALIASES}.items())


def write(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one seed with unix line ends."""
    with (REFERENCE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Rebuild all three."""
    write("nicknames", ("given_name", "formal_name", "is_canonical"), nicknames())
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
