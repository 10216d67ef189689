"""The workflows behind the commands, one file per command."""
