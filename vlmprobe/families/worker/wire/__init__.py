"""The protocol between vlmprobe and a model in another process."""
