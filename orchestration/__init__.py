"""The customer warehouse: landing, transform, identity, gates, release, and Dagster over them."""
