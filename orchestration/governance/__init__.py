"""What personal data is there, what it is for, and the page that says so."""
