"""Activation: audiences of a release become files for the tools and platforms that use them."""
