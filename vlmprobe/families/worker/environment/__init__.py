"""What the Python environment has: packages, stand-ins for those that it lacks, and its version of transformers."""
