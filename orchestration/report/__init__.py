"""The report of a release: figures over the marts, charts of them, and one page to open."""
