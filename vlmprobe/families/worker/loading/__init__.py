"""How a checkpoint is found, checked and loaded."""
