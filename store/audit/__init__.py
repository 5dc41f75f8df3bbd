"""Tamper-evident records: audit log, decision receipts and the proof of the history."""
