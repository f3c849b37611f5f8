"""Where people live: cities, streets, phone plans, mail domains and money of nine countries."""

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Country:
    """How people are called, reached and addressed somewhere.

    cities: `name|postcode prefix|landline area`. street: {street} and {number}. postcode: the
    prefix followed by # for a digit and @ for a letter. mobile: `prefix+digits that follow`.
    landline_digits: digits after the area. utc_offset: winter hours.
    """

    code: str
    spellings: tuple[str, ...]
    share: float
    language: str
    currency: str
    euro_rate: float
    utc_offset: int
    calling: str
    trunk: str
    mobile: tuple[str, ...]
    landline_digits: int
    cities: tuple[str, ...]
    postcode: str
    street: str
    streets: tuple[str, ...]
    mail_domains: tuple[str, ...]
    top_level: str
    company_forms: tuple[str, ...]


def _streets(stems: str, endings: str, joint: str = " ") -> tuple[str, ...]:
    return tuple(f"{s}{joint}{e}" for s, e in product(stems.split(","), endings.split(",")))


_GERMAN_STREETS = _streets(
    "Haupt,Bahnhof,Garten,Schul,Linden,Berg,Wald,Mühlen,Kirch,Wiesen,Rosen,Birken,Schiller,"
    "Goethe,Ahorn,Brunnen,Feld,Markt,Ring,Sonnen",
    "straße,weg,gasse",
    "",
)
_FRENCH_STREETS = _streets(
    "rue,avenue,boulevard,place",
    "Victor Hugo,de la République,Jean Jaurès,Pasteur,de l'Église,du Général Leclerc,"
    "Émile Zola,des Écoles,Gambetta,de la Gare,des Lilas,Molière,Voltaire,Saint-Michel",
)

COUNTRIES: tuple[Country, ...] = (
    Country(
        code="US",
        spellings=("USA", "United States", "U.S.", "us"),
        share=0.26,
        language="en",
        currency="USD",
        euro_rate=1.1,
        utc_offset=-5,
        calling="1",
        trunk="",
        mobile=("646+7", "917+7", "310+7", "312+7", "415+7", "512+7", "206+7", "305+7"),
        landline_digits=7,
        cities=(
            "New York|100|212",
            "Brooklyn|112|718",
            "Chicago|606|312",
            "Los Angeles|900|213",
            "Houston|770|713",
            "Phoenix|850|602",
            "Philadelphia|191|215",
            "San Antonio|782|210",
            "Seattle|981|206",
            "Boston|021|617",
            "Denver|802|303",
            "Springfield|627|217",
        ),
        postcode="##",
        street="{number} {street}",
        streets=_streets(
            "Main,Oak,Maple,Cedar,Pine,Elm,Washington,Lake,Hill,Park,Walnut,Sunset,Lincoln,"
            "Jackson,Church,River,Willow,Jefferson,Center,Spring",
            "Street,Avenue,Road,Drive,Lane",
        ),
        mail_domains=("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "aol.com"),
        top_level="com",
        company_forms=("Inc.", "LLC", "Corp.", "& Sons"),
    ),
    Country(
        code="GB",
        spellings=("UK", "United Kingdom", "England", "gb"),
        share=0.16,
        language="en",
        currency="GBP",
        euro_rate=0.86,
        utc_offset=0,
        calling="44",
        trunk="0",
        mobile=("7400+6", "7412+6", "7501+6", "7710+6", "7733+6", "7801+6", "7890+6", "7962+6"),
        landline_digits=7,
        cities=(
            "London|SW1|207",
            "London|N1|208",
            "Manchester|M1|161",
            "Birmingham|B2|121",
            "Leeds|LS1|113",
            "Glasgow|G1|141",
            "Bristol|BS1|117",
            "Edinburgh|EH3|131",
            "Liverpool|L1|151",
            "Sheffield|S1|114",
        ),
        postcode=" #@@",
        street="{number} {street}",
        streets=_streets(
            "High,Station,Church,Victoria,Park,Mill,Queen's,King's,Albert,Manor,Green,Windsor,"
            "Orchard,York,Chapel,Grove",
            "Street,Road,Lane,Close,Avenue",
        ),
        mail_domains=("gmail.com", "hotmail.co.uk", "btinternet.com", "outlook.com", "yahoo.co.uk"),
        top_level="co.uk",
        company_forms=("Ltd", "plc", "& Co"),
    ),
    Country(
        code="DE",
        spellings=("Germany", "Deutschland", "GER", "de"),
        share=0.2,
        language="de",
        currency="EUR",
        euro_rate=1.0,
        utc_offset=1,
        calling="49",
        trunk="0",
        mobile=("1511+7", "1522+7", "1573+7", "160+7", "162+7", "170+7", "172+7", "176+8"),
        landline_digits=7,
        cities=(
            "Berlin|10|30",
            "Hamburg|20|40",
            "München|80|89",
            "Köln|50|221",
            "Frankfurt am Main|60|69",
            "Stuttgart|70|711",
            "Düsseldorf|40|211",
            "Leipzig|04|341",
            "Nürnberg|90|911",
            "Münster|48|251",
        ),
        postcode="###",
        street="{street} {number}",
        streets=_GERMAN_STREETS,
        mail_domains=("gmx.de", "web.de", "gmail.com", "t-online.de", "outlook.de"),
        top_level="de",
        company_forms=("GmbH", "AG", "KG", "e.K."),
    ),
    Country(
        code="FR",
        spellings=("France", "FRA", "fr"),
        share=0.12,
        language="fr",
        currency="EUR",
        euro_rate=1.0,
        utc_offset=1,
        calling="33",
        trunk="0",
        mobile=("6+8",),
        landline_digits=8,
        cities=(
            "Paris|75|1",
            "Lyon|69|4",
            "Marseille|13|4",
            "Toulouse|31|5",
            "Nantes|44|2",
            "Strasbourg|67|3",
            "Lille|59|3",
            "Bordeaux|33|5",
            "Saint-Étienne|42|4",
        ),
        postcode="0##",
        street="{number} {street}",
        streets=_FRENCH_STREETS,
        mail_domains=("gmail.com", "orange.fr", "free.fr", "laposte.net", "hotmail.fr"),
        top_level="fr",
        company_forms=("SARL", "SAS", "SA"),
    ),
    Country(
        code="NL",
        spellings=("Netherlands", "Nederland", "Holland", "nl"),
        share=0.07,
        language="nl",
        currency="EUR",
        euro_rate=1.0,
        utc_offset=1,
        calling="31",
        trunk="0",
        mobile=("61+7", "62+7", "63+7", "64+7", "65+7"),
        landline_digits=7,
        cities=(
            "Amsterdam|10|20",
            "Rotterdam|30|10",
            "Den Haag|25|70",
            "Utrecht|35|30",
            "Eindhoven|56|40",
            "Groningen|97|50",
            "Haarlem|20|23",
        ),
        postcode="## @@",
        street="{street} {number}",
        streets=_streets(
            "Kerk,Dorps,Molen,School,Park,Julianas,Wilhelmina,Stations,Beatrix,Linden,Kastanje",
            "straat,laan,weg,plein",
            "",
        ),
        mail_domains=("gmail.com", "ziggo.nl", "hotmail.nl", "kpnmail.nl", "outlook.com"),
        top_level="nl",
        company_forms=("B.V.", "N.V."),
    ),
    Country(
        code="ES",
        spellings=("Spain", "España", "es"),
        share=0.07,
        language="es",
        currency="EUR",
        euro_rate=1.0,
        utc_offset=1,
        calling="34",
        trunk="",
        mobile=("61+7", "62+7", "63+7", "65+7", "66+7", "68+7"),
        landline_digits=6,
        cities=(
            "Madrid|28|915",
            "Barcelona|08|934",
            "Valencia|46|963",
            "Sevilla|41|954",
            "Zaragoza|50|976",
            "Málaga|29|952",
            "Córdoba|14|957",
        ),
        postcode="0##",
        street="{street}, {number}",
        streets=_streets(
            "Calle,Avenida,Plaza",
            "Mayor,de la Constitución,San José,del Sol,Real,de España,Nueva,Cervantes,"
            "de la Iglesia,Goya,del Mar,Velázquez",
        ),
        mail_domains=("gmail.com", "hotmail.es", "yahoo.es", "telefonica.net"),
        top_level="es",
        company_forms=("S.L.", "S.A."),
    ),
    Country(
        code="PL",
        spellings=("Poland", "Polska", "pl"),
        share=0.05,
        language="pl",
        currency="PLN",
        euro_rate=4.3,
        utc_offset=1,
        calling="48",
        trunk="",
        mobile=("501+6", "512+6", "601+6", "660+6", "692+6", "721+6", "790+6", "880+6"),
        landline_digits=7,
        cities=(
            "Warszawa|00-|22",
            "Kraków|30-|12",
            "Łódź|90-|42",
            "Wrocław|50-|71",
            "Poznań|60-|61",
            "Gdańsk|80-|58",
        ),
        postcode="###",
        street="{street} {number}",
        streets=_streets(
            "ul.",
            "Polna,Leśna,Słoneczna,Krótka,Szkolna,Ogrodowa,Lipowa,Brzozowa,Łąkowa,Kwiatowa,"
            "Kościuszki,Mickiewicza,Długa,Główna,Piękna,Żeromskiego",
        ),
        mail_domains=("wp.pl", "gmail.com", "onet.pl", "o2.pl", "interia.pl"),
        top_level="pl",
        company_forms=("sp. z o.o.", "S.A."),
    ),
    Country(
        code="SE",
        spellings=("Sweden", "Sverige", "se"),
        share=0.04,
        language="sv",
        currency="SEK",
        euro_rate=11.2,
        utc_offset=1,
        calling="46",
        trunk="0",
        mobile=("70+7", "72+7", "73+7", "76+7"),
        landline_digits=6,
        cities=(
            "Stockholm|11|8",
            "Göteborg|41|31",
            "Malmö|21|40",
            "Uppsala|75|18",
            "Örebro|70|19",
            "Västerås|72|21",
        ),
        postcode="# ##",
        street="{street} {number}",
        streets=_streets(
            "Stor,Kyrko,Skol,Björk,Strand,Park,Sjö,Ring,Äng,Höga,Norra,Kungs", "gatan,vägen", ""
        ),
        mail_domains=("gmail.com", "telia.com", "hotmail.se", "outlook.com"),
        top_level="se",
        company_forms=("AB",),
    ),
    Country(
        code="CH",
        spellings=("Switzerland", "Schweiz", "Suisse", "ch"),
        share=0.03,
        language="de",
        currency="CHF",
        euro_rate=0.95,
        utc_offset=1,
        calling="41",
        trunk="0",
        mobile=("76+7", "77+7", "78+7", "79+7"),
        landline_digits=7,
        cities=(
            "Zürich|80|44",
            "Bern|30|31",
            "Basel|40|61",
            "Luzern|60|41",
            "St. Gallen|90|71",
            "Winterthur|84|52",
        ),
        postcode="##",
        street="{street} {number}",
        streets=_GERMAN_STREETS,
        mail_domains=("bluewin.ch", "gmail.com", "gmx.ch", "sunrise.ch"),
        top_level="ch",
        company_forms=("AG", "GmbH", "Sàrl"),
    ),
)
