"""What the commands do: the only code that knows both the store and the families."""
