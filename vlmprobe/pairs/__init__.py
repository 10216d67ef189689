"""Reading benchmarks into swap pairs, and answers into categories. Pure Python; Pillow is imported on use."""

from __future__ import annotations

from vlmprobe.pairs.answers import CHECKERS, AnswerCheck, check_answer
from vlmprobe.pairs.axes import DEPTH, HEIGHT, SPACE, Axis, AxisSet, Category, Side, Subset
from vlmprobe.pairs.boxes import Box, Boxes, BoxProblem, normalize_name, read_boxes
from vlmprobe.pairs.dataset import READER_VERSION, Dataset, read_dataset
from vlmprobe.pairs.image_source import HeldImage, ImageFile, ImageSource
from vlmprobe.pairs.image_swaps import ImageSwap, ImageSwaps, link_image_swaps
from vlmprobe.pairs.images import MAX_PIXELS, decode_image
from vlmprobe.pairs.mirrored import Mirrored, mirrored_pairs, write_mirrored
from vlmprobe.pairs.other_axis import ask_other_axis, other_axes
from vlmprobe.pairs.pictured import pictured_relations
from vlmprobe.pairs.pixels import DECODING_VERSION
from vlmprobe.pairs.prompts import (
    AS_WRITTEN,
    PUBLISHED,
    TEMPLATES,
    YES_NO,
    Order,
    Template,
    balanced_order,
    get_template,
    is_under,
)
from vlmprobe.pairs.quads import OUTCOMES, PERSPECTIVES, QuadLink, QuadSet, link_quads
from vlmprobe.pairs.read_once import Benchmarks
from vlmprobe.pairs.summary import DatasetSummary, ProblemGroup, image_lines, one_color_lines, summarize
from vlmprobe.pairs.swap_pair import Origin, Question, RowProblem, SwapPair

__all__ = [
    "AS_WRITTEN",
    "CHECKERS",
    "DECODING_VERSION",
    "DEPTH",
    "HEIGHT",
    "MAX_PIXELS",
    "OUTCOMES",
    "PERSPECTIVES",
    "PUBLISHED",
    "READER_VERSION",
    "SPACE",
    "TEMPLATES",
    "YES_NO",
    "AnswerCheck",
    "Axis",
    "AxisSet",
    "Benchmarks",
    "Box",
    "BoxProblem",
    "Boxes",
    "Category",
    "Dataset",
    "DatasetSummary",
    "HeldImage",
    "ImageFile",
    "ImageSource",
    "ImageSwap",
    "ImageSwaps",
    "Mirrored",
    "Order",
    "Origin",
    "ProblemGroup",
    "QuadLink",
    "QuadSet",
    "Question",
    "RowProblem",
    "Side",
    "Subset",
    "SwapPair",
    "Template",
    "ask_other_axis",
    "balanced_order",
    "check_answer",
    "decode_image",
    "get_template",
    "image_lines",
    "is_under",
    "link_image_swaps",
    "link_quads",
    "mirrored_pairs",
    "normalize_name",
    "one_color_lines",
    "other_axes",
    "pictured_relations",
    "read_boxes",
    "read_dataset",
    "summarize",
    "write_mirrored",
]
