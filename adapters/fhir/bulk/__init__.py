"""Bulk exports (FHIR Bulk Data Access): asked for, followed, fetched and read."""
