"""Which weight files a checkpoint has, and whether their tensors are the model's."""
