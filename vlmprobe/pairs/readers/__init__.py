"""The forms of benchmark that can be read: one module each."""
