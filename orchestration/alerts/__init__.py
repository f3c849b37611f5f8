"""Alerts: what is worth waking a person, told once by e-mail and webhook, without personal data."""
