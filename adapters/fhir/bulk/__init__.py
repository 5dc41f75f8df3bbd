"""Bulk exports (FHIR Bulk Data Access): request, polling, download and mapping."""
