"""``python -m vlmprobe``."""

from vlmprobe.cli.main import main

if __name__ == "__main__":
    main()
