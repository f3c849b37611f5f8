"""Parameters of matching: what each level of agreement says, and how common values are.

They are three seeds in seeds/reference: match_levels.csv (m, u and household u of every level),
match_priors.csv (how likely two records are one person before they are compared) and
match_frequencies.csv. `warehouse train` writes them; the models read them.
"""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from orchestration.settings import PROJECT_ROOT

REFERENCE = PROJECT_ROOT / "seeds" / "reference"
LEVELS_FILE = "match_levels.csv"
PRIORS_FILE = "match_priors.csv"
FREQUENCIES_FILE = "match_frequencies.csv"

# A value that one profile in 262,144 bears says no more than 18 bits: rarer ones are often typos.
MOST_BITS = 18.0


class ParameterError(Exception):
    """A file of parameters cannot be used; the message names file, line and value."""


@dataclass(frozen=True)
class Level:
    """One level of one comparison. The probabilities of a comparison's levels sum to one.

    meaning starts with "exact" at the levels where the two values are equal.
    m: probability of the level when the two are one person and both have a value.
    u: the same when they are two people; household_u: two people who share a contact or address.
    """

    comparison: str
    level: int
    meaning: str
    m: float
    u: float
    household_u: float

    @property
    def bits(self) -> float:
        """What the level says for one person: log2(m / u)."""
        return math.log2(self.m / self.u)


@dataclass(frozen=True)
class Prior:
    """What two profiles share already, and how often they are one person.

    shared_email, shared_phone: none, personal, or shared when it is known to be several people's;
    shared_address: none or exact. In context 0, where they share nothing, the prior is the number
    of matches per profile, of all contexts, which does not depend on how many there are; in the
    others it is the probability that a candidate pair of the context is one person.
    """

    context: int
    shared_email: str
    shared_phone: str
    shared_address: str
    prior: float


@dataclass(frozen=True)
class Frequency:
    """Share of the profiles with a value of the field that bear this one.

    An empty value stands for any that is not listed; its frequency is their mean.
    """

    field: str
    value: str
    frequency: float


@dataclass(frozen=True)
class Parameters:
    """All that matching knows beside the records, in the order of the files."""

    levels: tuple[Level, ...]
    priors: tuple[Prior, ...]
    frequencies: tuple[Frequency, ...]


def rounded(number: float) -> float:
    """Six significant digits, as the files keep them."""
    return float(f"{number:.6g}")


def read_parameters(folder: Path) -> Parameters:
    """Read the three files of a folder.

    Raises ParameterError naming the file, line and value that cannot be used.
    """
    parameters = Parameters(
        levels=_read(folder / LEVELS_FILE, Level),
        priors=_read(folder / PRIORS_FILE, Prior),
        frequencies=_read(folder / FREQUENCIES_FILE, Frequency),
    )
    for line, prior in enumerate(parameters.priors, start=2):
        if prior.context and prior.prior > 1:
            raise ParameterError(
                f"{folder / PRIORS_FILE}:{line}: {prior.prior} is no probability"
                f" (context {prior.context})"
            )
    return parameters


def write_parameters(parameters: Parameters, folder: Path) -> None:
    """Write the three files; the same parameters are the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / LEVELS_FILE, Level, parameters.levels)
    _write(folder / PRIORS_FILE, Prior, parameters.priors)
    _write(folder / FREQUENCIES_FILE, Frequency, parameters.frequencies)


_Row = TypeVar("_Row", Level, Prior, Frequency)


def _read(path: Path, row_type: type[_Row]) -> tuple[_Row, ...]:
    columns = [field.name for field in fields(row_type)]
    # a prior may be a number of matches
    number = _positive if row_type is Prior else _probability
    readers: dict[object, Callable[[str], Any]] = {str: str, int: int, float: number}
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = csv.DictReader(stream)
            if lines.fieldnames != columns:
                raise ParameterError(f"{path}: expected the columns {','.join(columns)}")
            for line in lines:
                try:
                    cells = {f.name: readers[f.type](line[f.name]) for f in fields(row_type)}
                except (TypeError, ValueError) as error:
                    raise ParameterError(f"{path}:{lines.line_num}: {error}") from error
                rows.append(row_type(**cells))
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}") from error
    return tuple(rows)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(f"{text} is no number above 0")
    return number


def _probability(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise ValueError(f"{text} is no probability above 0")
    return number


def _write(path: Path, row_type: type[_Row], rows: Iterable[_Row]) -> None:
    columns = [field.name for field in fields(row_type)]
    aside = path.with_name(f"{path.name}.new")
    with aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            cells = (getattr(row, column) for column in columns)
            writer.writerow(f"{c:.6g}" if isinstance(c, float) else c for c in cells)
    aside.replace(path)


# --- defaults ------------------------------------------------------------------------------------
# Where data say nothing, these hold; where they say little, they are a weak prior. Trained on a
# generated world of 100,000 records and rounded; those of swapped names, near dates and addresses
# at work are set by hand.


def _levels(
    comparison: str, *levels: tuple[str, float, float], household: Sequence[float] = ()
) -> list[Level]:
    m_sum = math.fsum(level[1] for level in levels)
    u_sum = math.fsum(level[2] for level in levels)
    return [
        Level(
            comparison,
            number,
            meaning,
            rounded(m / m_sum),
            rounded(u / u_sum),
            rounded(household[number - 1] if household else u / u_sum),
        )
        for number, (meaning, m, u) in enumerate(levels, start=1)
    ]


# Two people of one household: their contact fields, guessed. Varying them moved F1 by .002 only.
HOUSEHOLD_EMAIL = (0.1, 0.01, 0.01, 0.6, 0.05, 0.23)
HOUSEHOLD_PHONE = (0.25, 0.01, 0.69, 0.05)
HOUSEHOLD_ADDRESS = (0.6, 0.05, 0.1, 0.1, 0.15)

_LEVELS = (
    *_levels(
        "first_name",
        ("exact", 0.789, 0.00235),
        ("nickname", 0.0419, 0.000752),
        ("close, or short for one name", 0.0534, 0.00153),
        ("initial or short form", 0.0357, 0.00238),
        ("similar", 0.0122, 0.00647),
        ("different", 0.00682, 0.98607),
        ("swapped with last name", 0.055, 0.00001),
        ("crossed with last name", 0.006, 0.00044),
    ),
    *_levels(
        "last_name",
        ("exact", 0.887, 0.000684),
        ("close", 0.0392, 0.000458),
        ("similar or part of a double name", 0.0475, 0.00287),
        ("different", 0.0261, 0.99599),
    ),
    *_levels(
        "birth_date",
        ("exact", 0.90881, 0.000104),
        ("one field off, or day and month exchanged", 0.0565, 0.00452),
        ("near", 0.00439, 0.0201),
        ("different", 0.0303, 0.97529),
        household=(0.00498, 0.0045, 0.0198, 0.97072),
    ),
    *_levels(
        "email",
        ("exact", 0.725, 3.82e-06),
        ("same mailbox name at another provider", 0.0157, 4.12e-05),
        ("close", 0.00403, 6.97e-05),
        ("different", 0.109, 0.69989),
        ("exact, known to be shared", 0.0454, 3.82e-06),
        ("different, one of them not at a mail provider", 0.1, 0.3),
        household=HOUSEHOLD_EMAIL,
    ),
    *_levels(
        "phone",
        ("exact", 0.684, 3.82e-06),
        ("one digit off", 0.0494, 4.39e-06),
        ("different", 0.246, 0.99999),
        ("exact, known to be shared", 0.0203, 3.82e-06),
        household=HOUSEHOLD_PHONE,
    ),
    *_levels(
        "address",
        ("exact", 0.291, 1.62e-05),
        ("street and postcode", 0.00128, 3.71e-06),
        ("postcode", 0.567, 8.56e-05),
        ("city", 0.0164, 0.00684),
        ("different", 0.124, 0.99306),
        household=HOUSEHOLD_ADDRESS,
    ),
    *_levels(
        "national_id",
        ("exact", 0.97175, 3.82e-06),
        ("at most two characters off", 0.00436, 1.55e-05),
        ("different", 0.0239, 0.99998),
    ),
)

# Expected matches per profile, of all contexts: the prior of context 0 is twice this by the number
# of profiles, because a person's duplicates do not grow with the data. All matches, not only those
# that share no contact: that they share none is evidence, and the levels of contacts count it.
MATCHES_PER_PROFILE = 1.0

_SHARED = ("none", "personal", "shared")
_PRIORS = (
    (MATCHES_PER_PROFILE, 0.9999, 0.44, 0.9999, 0.9999, 0.9999, 0.26, 0.9996, 0.64),
    (0.28, 0.9998, 0.38, 0.9999, 0.9999, 0.9918, 0.13, 0.9931, 0.67),
)

DEFAULTS = Parameters(
    levels=_LEVELS,
    priors=tuple(
        Prior(
            context=9 * address + 3 * phone + email,
            shared_email=_SHARED[email],
            shared_phone=_SHARED[phone],
            shared_address=("none", "exact")[address],
            prior=_PRIORS[address][3 * phone + email],
        )
        for address in range(2)
        for phone in range(3)
        for email in range(3)
    ),
    frequencies=(
        Frequency("first_name", "", 0.0024),
        Frequency("last_name", "", 0.0007),
        Frequency("city", "", 0.0069),
    ),
)


def comparison_names() -> tuple[str, ...]:
    """The comparisons in the order of a pattern's digits."""
    return tuple(dict.fromkeys(level.comparison for level in DEFAULTS.levels))


def exact_levels(comparison: str) -> list[int]:
    """The levels at which the two values are equal."""
    return [
        level.level
        for level in DEFAULTS.levels
        if level.comparison == comparison and level.meaning.startswith("exact")
    ]
