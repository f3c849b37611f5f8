"""The person's rights: to be forgotten, everywhere and for good."""
