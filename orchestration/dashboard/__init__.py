"""The dashboard: a release to look at, to filter and to search, and the steward's desk."""
