"""Landing: raw files become verbatim rows in schema `raw`, every line loaded or rejected."""

from orchestration.landing.feeds import FEEDS, Feed
from orchestration.landing.listing import LandingError
from orchestration.landing.load import land
from orchestration.landing.raw_tables import create_raw_tables, landing_state
from orchestration.landing.report import FeedTotals, FileOutcome, LandingReport, Outcome

__all__ = [
    "FEEDS",
    "Feed",
    "FeedTotals",
    "FileOutcome",
    "LandingError",
    "LandingReport",
    "Outcome",
    "create_raw_tables",
    "land",
    "landing_state",
]
