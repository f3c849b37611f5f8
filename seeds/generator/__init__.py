"""A made-up retailer with a known truth: who is behind every record of its seven sources.

`world` holds the tools, `people` who there is, `purchases` what they buy, `cards` how they fill in
a form; one module per source turns that into rows; `delivery` writes them as the source would.
"""
