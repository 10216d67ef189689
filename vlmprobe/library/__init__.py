"""The library face: what ``from vlmprobe import ...`` gives, and the results that it returns (docs/python.md)."""
