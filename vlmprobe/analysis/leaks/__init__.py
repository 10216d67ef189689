"""What a benchmark gives away before any model is asked: names, places, wordings and copies."""

from vlmprobe.analysis.leaks.design import PERSPECTIVE
from vlmprobe.analysis.leaks.find import find_leaks
from vlmprobe.analysis.leaks.leak import ALARM, Leak
from vlmprobe.analysis.leaks.sentences import summary_line

__all__ = ["ALARM", "PERSPECTIVE", "Leak", "find_leaks", "summary_line"]
