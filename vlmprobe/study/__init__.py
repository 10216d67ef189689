"""Which runs are compared, their values, and which figure shows what. Knows no model."""
