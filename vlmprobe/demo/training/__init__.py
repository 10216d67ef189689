"""Trains the demo's tiny models: from drawn scenes to folders that `from_pretrained` loads.

Import from the modules: the package itself stays empty, since some of them load torch and `vlmprobe --help` must not.
"""
