"""Checks a home: each run with its shards and rows, and whether what it names lies in it. Repairs what it can."""
