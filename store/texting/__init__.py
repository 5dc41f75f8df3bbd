"""Consent to be texted, held by line and number (product section 6)."""
