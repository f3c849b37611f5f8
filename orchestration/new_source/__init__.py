"""A new source: a sheet of questions drafted from a file, and its answers placed in the house."""
