"""Backups: an encrypted file for each point in time, and how a home is made from one again."""
