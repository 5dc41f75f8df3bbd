"""Delimited extracts (CSV, TSV): sets of files from a drop folder, grouped into one record per patient."""
