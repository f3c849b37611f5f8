"""How a member is named in an export, as SQL: normalised as a platform wants it, then hashed.

A platform hashes what it knows itself, so one blank more in ours matches nobody. The rules are
those that Meta (customer information parameters) and Google (Data Manager API, formatting of user
data) publish; the tests hold them against the examples there.
"""

from enum import StrEnum

from orchestration.sql import literal


class Identifier(StrEnum):
    """What names a member; the name of the only column of the files."""

    EMAIL = "email"
    EMAIL_SHA256 = "email_sha256"
    PHONE = "phone"
    PHONE_SHA256 = "phone_sha256"
    CUSTOMER_ID = "customer_id"

    @property
    def is_hashed(self) -> bool:
        """Whether it is a SHA-256, 64 hex digits in lower case."""
        return self.value.endswith("_sha256")

    @property
    def channel(self) -> str | None:
        """The channel whose addresses it is made of; None when it is made of none."""
        if self is Identifier.CUSTOMER_ID:
            return None
        return "email" if self.value.startswith("email") else "sms"


class Platform(StrEnum):
    """Whose rules of normalisation are followed."""

    META = "meta"
    GOOGLE = "google"


# No text that may run as a formula where somebody opens a CSV in a spreadsheet, nothing that needs
# quotes, no control or invisible character. A phone begins with + and goes on in digits: a number.
_EMAIL = r'[^\s\pC@",;:<>()\[\]\\=+-][^\s\pC@",;:<>()\[\]\\]*@[^\s\pC@",;:<>()\[\]\\]+'
_E164 = r"\+[1-9][0-9]{6,14}"
_CUSTOMER_ID = "[A-Za-z0-9_]+"
_GOOGLES_DOMAINS = "('gmail.com', 'googlemail.com')"


def identifier_sql(
    identifier: Identifier,
    platform: Platform | None,
    *,
    address: str = "address",
    customer_id: str = "customer_id",
) -> str:
    """SQL of how a member is named; NULL where the address cannot be used.

    address, customer_id: SQL expressions. platform: only of hashed ones; without, it is as for the
    tools that send.
    """
    if identifier is Identifier.CUSTOMER_ID:
        return _matching(customer_id, _CUSTOMER_ID)
    if identifier.channel == "email":
        usable = _matching(email_sql(address, platform), _EMAIL)
    else:
        usable = _matching(f"trim({address})", _E164)
        if platform is Platform.META:
            usable = f"substr({usable}, 2)"
    return f"sha256({usable})" if identifier.is_hashed else usable


def email_sql(address: str, platform: Platform | None = None) -> str:
    """SQL of an e-mail address as a platform wants it before hashing."""
    email = f"lower(trim({address}))"
    if platform is not Platform.GOOGLE:
        return email
    mailbox = f"replace(split_part(split_part({email}, '@', 1), '+', 1), '.', '')"
    domain = f"split_part({email}, '@', 2)"
    return f"if({domain} in {_GOOGLES_DOMAINS}, {mailbox} || '@' || {domain}, {email})"


def _matching(text: str, pattern: str) -> str:
    return f"case when regexp_full_match({text}, {literal(pattern)}) then {text} end"
