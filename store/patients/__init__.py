"""Patients: read, changed by batches, merged, parted, and as they were at an earlier time."""
